//! JSONL in, outputs' places, standard output.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::Path;
use std::process;

use anyhow::{Context, Result};
use cream::{Directory, Row};

/// The rows of a JSONL file.
pub(crate) fn read_rows<R: Row>(path: &Path) -> Result<Vec<R>> {
    Ok(cream::read_jsonl(&path.display().to_string(), open(path)?)?)
}

pub(crate) fn open(path: &Path) -> Result<BufReader<File>> {
    Ok(BufReader::new(File::open(path).with_context(|| format!("cannot read {}", path.display()))?))
}

/// Lines that are no rows: errors, or, where the user says so, passed over and counted.
pub(crate) struct BadLines {
    skip: bool,
    count: usize,
    first: Option<cream::Error>,
}

impl BadLines {
    pub(crate) fn new(skip: bool) -> Self {
        BadLines { skip, count: 0, first: None }
    }

    /// What becomes of one.
    pub(crate) fn meet(&mut self, error: cream::Error) -> cream::Result<()> {
        if !self.skip {
            return Err(error);
        }
        self.count += 1;
        self.first.get_or_insert(error);
        Ok(())
    }

    /// Says how many there were, quiet or not: they are missing from what is made of the file.
    pub(crate) fn tell(&self, file: &Path) {
        if let Some(first) = &self.first {
            eprintln!("{}: {} bad lines passed over, the first: {first}", file.display(), self.count);
        }
    }
}

/// The folder an output file goes to (made if it is missing), and the file's name in it.
pub(crate) fn place(output: &Path) -> Result<(Directory, &str)> {
    let name = output.file_name().and_then(OsStr::to_str);
    let name = name.with_context(|| format!("--output {}: expected the name of a file", output.display()))?;
    let folder = match output.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    Ok((Directory::open(folder)?, name))
}

/// One line on standard output. A reader that has gone away (`cream … | head`) ends the program quietly.
pub(crate) fn say(line: &str) -> Result<()> {
    match writeln!(io::stdout().lock(), "{line}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => process::exit(0),
        result => result.context("cannot write to standard output"),
    }
}

//! JSONL in, standard output and standard error.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process;

use anyhow::{Context, Result};
use cream::Row;

/// Standard input as the path of an input, standard output as that of an output.
pub(crate) const STANDARD: &str = "-";

/// The rows of a JSONL file.
pub(crate) fn read_rows<R: Row>(path: &Path) -> Result<Vec<R>> {
    Ok(cream::read_jsonl(&name(path), open(path)?)?)
}

pub(crate) fn open(path: &Path) -> Result<Box<dyn BufRead>> {
    if path == Path::new(STANDARD) {
        return Ok(Box::new(io::stdin().lock()));
    }
    Ok(Box::new(BufReader::new(File::open(path).with_context(|| format!("cannot read {}", path.display()))?)))
}

/// What messages call an input.
pub(crate) fn name(path: &Path) -> String {
    if path == Path::new(STANDARD) { "standard input".to_owned() } else { path.display().to_string() }
}

/// A short name for what a file holds: its own without the ending.
pub(crate) fn stem(path: &Path) -> String {
    if path == Path::new(STANDARD) {
        return "stdin".to_owned();
    }
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
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
            tell(&format!("{}: {} bad lines passed over, the first: {first}", name(file), self.count));
        }
    }
}

/// One line on standard output.
pub(crate) fn say(line: &str) -> Result<()> {
    unless_broken(writeln!(io::stdout().lock(), "{line}")).context("cannot write to standard output")
}

/// One line on standard error. Work goes on where nobody can read it.
pub(crate) fn tell(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// A reader that has gone away (`cream … | head`) ends the program quietly.
pub(crate) fn unless_broken(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => process::exit(0),
        written => written,
    }
}

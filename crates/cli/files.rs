//! JSONL in, standard output and standard error.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process;

use anyhow::{Context, Result, ensure};
use cream::{Encoder, EvalOptions, Row, Task};

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

/// The rows of a file, of which those that cannot be used are errors or, where the user says so, passed over and counted.
pub(crate) struct Rows<'a> {
    file: &'a Path,
    skip_bad: bool,
    bad: usize,
    first: Option<cream::Error>,
}

impl<'a> Rows<'a> {
    pub(crate) fn of(file: &'a Path, skip_bad: bool) -> Self {
        Rows { file, skip_bad, bad: 0, first: None }
    }

    /// Those that can be read.
    pub(crate) fn read<R: Row>(&mut self) -> Result<Vec<R>> {
        Ok(self.read_numbered()?.into_iter().map(|(_, row)| row).collect())
    }

    /// The same with the numbers of their lines.
    pub(crate) fn read_numbered<R: Row>(&mut self) -> Result<Vec<(usize, R)>> {
        Ok(cream::read_numbered(&name(self.file), open(self.file)?, &mut |error| self.meet(error))?)
    }

    /// Keeps those that `check` has nothing against. Where none are passed over, the work itself finds the first.
    pub(crate) fn keep<R>(&mut self, rows: &mut Vec<R>, check: impl Fn(&R) -> cream::Result<()>) -> Result<()> {
        if self.skip_bad {
            let some = !rows.is_empty();
            cream::keep(rows, check, &mut |error| self.meet(error))?;
            self.tell(some && rows.is_empty())?;
        }
        Ok(())
    }

    /// The same of a task.
    pub(crate) fn keep_task(&mut self, task: &mut Task, encoder: Encoder<'_>, options: &EvalOptions) -> Result<()> {
        if self.skip_bad {
            task.keep(encoder, options, &mut |error| self.meet(error))?;
            self.tell(task.is_empty())?;
        }
        Ok(())
    }

    /// What becomes of a bad row.
    pub(crate) fn meet(&mut self, error: cream::Error) -> cream::Result<()> {
        if !self.skip_bad {
            return Err(error);
        }
        self.bad += 1;
        self.first.get_or_insert(error);
        Ok(())
    }

    /// Says how many bad ones there were, quiet or not: they are missing from what is made of the file.
    pub(crate) fn tell(&self, none_left: bool) -> Result<()> {
        let file = name(self.file);
        if let Some(first) = &self.first {
            tell(&format!("{file}: {} bad rows passed over, the first: {first}", self.bad));
        }
        ensure!(!none_left, "{file}: no rows left, expected at least one");
        Ok(())
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

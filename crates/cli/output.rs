//! Where rows go: a file that is replaced when the new one is whole, or what can only be written to (standard output, a
//! pipe, a device), where they go out as they are made.

use std::fmt;
use std::fs::{self, File, FileType};
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use cream::{Directory, Error, Output, Store, follow_links, is_open_file, store_at_once};
use pollster::block_on;

use crate::files::{STANDARD, unless_broken};
use crate::inputs::Inputs;
use crate::interrupt;

/// A place for rows.
pub(crate) struct Place {
    store: Box<dyn Store>,
    /// In the store.
    name: String,
    /// As the user names it.
    shown: String,
    kind: Kind,
}

#[derive(PartialEq, Eq)]
enum Kind {
    File,
    Stream,
    StandardOutput,
}

impl Place {
    /// Opens `--output`: `-`, a file, or what a link leads to. The folder of a file is made if it is missing.
    pub(crate) fn open(output: &Path, inputs: &Inputs) -> Result<Self> {
        inputs.check_file(output)?;
        let shown = match output.display().to_string() {
            shown if shown == STANDARD => "standard output".to_owned(),
            shown => shown,
        };
        let stream = |sink: Box<dyn Write>, kind| Place {
            store: Box::new(Stream { sink, shown: shown.clone(), sent: 0 }),
            name: shown.clone(),
            shown: shown.clone(),
            kind,
        };
        let path = follow_links(output)?;
        if output == Path::new(STANDARD) || is_standard_output(&path) {
            ensure!(!is_closed(), "--output: {shown} is closed; --output /dev/null throws rows away");
            return Ok(stream(Box::new(io::stdout()), Kind::StandardOutput));
        }
        match fs::metadata(&path) {
            Ok(file) if !file.is_dir() && (!file.is_file() || is_open_file(&path)) => {
                if is_block_device(file.file_type()) {
                    bail!("--output {shown}: a disk, expected a file");
                }
                // Behind what is there already, where a shell opened a file to add to.
                let sink = File::options().append(true).open(&path);
                Ok(stream(Box::new(sink.with_context(|| format!("--output {shown}: cannot write"))?), Kind::Stream))
            }
            _ => {
                let (folder, name) = Directory::of_file(output)?;
                Ok(Place { store: Box::new(folder), name, shown, kind: Kind::File })
            }
        }
    }

    /// For a stage.
    pub(crate) fn output(&mut self) -> Output<'_> {
        Output { store: &mut *self.store, name: &self.name }
    }

    /// All of what goes there.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(block_on(self.store.write(&self.name, bytes))?)
    }

    /// Where nothing else may be said then.
    pub(crate) fn is_standard_output(&self) -> bool {
        self.kind == Kind::StandardOutput
    }

    /// Says on Ctrl-C that the same command resumes, where it does: what has gone out cannot be taken up.
    pub(crate) fn handle_interrupts(&self) -> Result<()> {
        if self.kind == Kind::File { interrupt::resumable() } else { Ok(()) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// A store of one file, under every name, that can only be written to. What is appended is the beginning of what is written
/// at the end, so that only the rest goes out then.
struct Stream {
    sink: Box<dyn Write>,
    shown: String,
    sent: usize,
}

impl Stream {
    fn send(&mut self, bytes: &[u8]) -> cream::Result<()> {
        let written = unless_broken(self.sink.write_all(bytes).and_then(|()| self.sink.flush()));
        written.map_err(|source| Error::Io { path: self.shown.clone(), action: "write", source })?;
        self.sent += bytes.len();
        Ok(())
    }
}

impl Stream {
    fn read(&self, _name: &str) -> cream::Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn exists(&self, _name: &str) -> bool {
        false
    }

    fn names(&self, _start: &str) -> cream::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn write(&mut self, _name: &str, bytes: &[u8]) -> cream::Result<()> {
        self.send(bytes.get(self.sent..).unwrap_or_default())
    }

    fn append(&mut self, _name: &str, bytes: &[u8]) -> cream::Result<()> {
        self.send(bytes)
    }

    fn truncate(&mut self, _name: &str, _len: usize) -> cream::Result<()> {
        Ok(())
    }

    fn rename(&mut self, _from: &str, _to: &str) -> cream::Result<()> {
        Ok(())
    }

    fn remove(&mut self, _name: &str) -> cream::Result<()> {
        Ok(())
    }
}

store_at_once!(Stream);

/// Whether a path is this process's own file 1, as `/dev/stdout` is.
fn is_standard_output(path: &Path) -> bool {
    let folder = path.parent().and_then(|folder| fs::canonicalize(folder).ok());
    let own = fs::canonicalize("/dev/fd").ok();
    path.ends_with("1") && folder.is_some() && folder == own
}

/// Whether there was no standard output when the program began. Rust puts /dev/null in its place and opens it for reading
/// too, which a shell's `> /dev/null` does not.
fn is_closed() -> bool {
    let flags = fs::read_to_string("/proc/self/fdinfo/1").unwrap_or_default();
    let flags = flags.lines().find_map(|line| u32::from_str_radix(line.strip_prefix("flags:")?.trim(), 8).ok());
    let null = fs::read_link("/proc/self/fd/1").is_ok_and(|target| target == Path::new("/dev/null"));
    null && flags.is_some_and(|flags| flags & 3 == 2)
}

#[cfg(unix)]
fn is_block_device(file: FileType) -> bool {
    std::os::unix::fs::FileTypeExt::is_block_device(&file)
}

#[cfg(not(unix))]
fn is_block_device(_file: FileType) -> bool {
    false
}

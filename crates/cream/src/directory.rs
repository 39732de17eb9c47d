//! The native edge: a store that is a folder of the file system.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::store::Store;

/// A folder.
///
/// Files are made beside their place, flushed to the disk and renamed, and the folder is flushed after: a crash, a kill
/// or a full disk leaves the older file.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
    /// Held open, and with it the lock.
    _lock: Option<File>,
}

impl Directory {
    /// A folder, made where there is none.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(path: &Path) -> Result<Self> {
        fs::create_dir_all(path).map_err(failed(path, "make"))?;
        Ok(Directory { root: path.into(), _lock: None })
    }

    /// The same, for this process alone until it ends or drops the store. Leaves an empty file `.lock`.
    ///
    /// # Errors
    /// Another process holds it, or it cannot be made.
    pub fn lock(path: &Path) -> Result<Self> {
        let mut directory = Directory::open(path)?;
        let lock = path.join(".lock");
        let file = File::create(&lock).map_err(failed(&lock, "make"))?;
        match file.try_lock() {
            Ok(()) => directory._lock = Some(file),
            Err(TryLockError::WouldBlock) => {
                return Err(Error::file(&path.display().to_string(), "another process works on this directory"));
            }
            Err(TryLockError::Error(source)) => return Err(failed(&lock, "lock")(source)),
        }
        Ok(directory)
    }

    /// The folder's own path.
    pub fn path(&self) -> &Path {
        &self.root
    }
}

impl Store for Directory {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.root.join(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(failed(&path, "read")(e)),
        }
    }

    fn exists(&self, name: &str) -> bool {
        self.root.join(name).exists()
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.root.join(name);
        let temporary = path.with_file_name(format!(".{}.tmp", file_name(name)));
        make_folder(&path)?;
        let written = File::create(&temporary)
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&temporary, &path))
            .and_then(|()| sync_folder(&path));
        if written.is_err() {
            // Best effort: the error to report is the first.
            let _ = fs::remove_file(&temporary);
        }
        written.map_err(failed(&path, "write"))
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.root.join(name);
        make_folder(&path)?;
        let open = File::options().create(true).append(true).open(&path);
        open.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all())).map_err(failed(&path, "write"))
    }

    fn truncate(&mut self, name: &str, len: usize) -> Result<()> {
        let path = self.root.join(name);
        let open = File::options().write(true).open(&path);
        open.and_then(|file| file.set_len(len as u64).and_then(|()| file.sync_all())).map_err(failed(&path, "cut"))
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (self.root.join(from), self.root.join(to));
        fs::rename(&from, &to).and_then(|()| sync_folder(&to)).map_err(failed(&from, "rename"))
    }

    fn remove(&mut self, name: &str) -> Result<()> {
        let path = self.root.join(name);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed(&path, "remove")(e)),
            _ => Ok(()),
        }
    }
}

fn failed(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Error {
    let path = path.display().to_string();
    move |source| Error::Io { path, action, source }
}

fn file_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn make_folder(file: &Path) -> Result<()> {
    match file.parent() {
        Some(folder) if !folder.exists() => {
            fs::create_dir_all(folder).and_then(|()| sync_folder(folder)).map_err(failed(folder, "make"))
        }
        _ => Ok(()),
    }
}

/// Makes the entry of a file or folder durable. Windows can neither open a folder as a file nor needs to.
fn sync_folder(entry: &Path) -> io::Result<()> {
    match entry.parent() {
        Some(folder) if cfg!(unix) => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fresh folder under the system's own for temporary files.
    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("cream-directory-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        path
    }

    #[test]
    fn files_come_change_and_go() {
        let path = folder("files");
        let mut store = Directory::open(&path).unwrap();
        assert_eq!(store.read("a/b").unwrap(), None);
        store.write("a/b", b"one").unwrap();
        store.append("a/b", b" two").unwrap();
        store.truncate("a/b", 5).unwrap();
        store.write("a/c", b"old").unwrap();
        store.rename("a/b", "a/c").unwrap();
        assert_eq!(store.read("a/c").unwrap().unwrap(), b"one t");
        store.remove("a/c").unwrap();
        store.remove("a/c").unwrap();
        assert!(!store.exists("a/c"));
        assert_eq!(fs::read_dir(path.join("a")).unwrap().count(), 0);
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_leaves_the_older_file() {
        let path = folder("full");
        let mut store = Directory::open(&path).unwrap();
        store.write("a", b"old").unwrap();
        std::os::unix::fs::symlink("/dev/full", path.join(".a.tmp")).unwrap();
        let message = store.write("a", b"new").unwrap_err().to_string();
        assert!(message.contains("/a: cannot write: No space left on device"), "{message}");
        assert_eq!(store.read("a").unwrap().unwrap(), b"old");
        store.write("a", b"new").unwrap();
        assert_eq!(store.read("a").unwrap().unwrap(), b"new");
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn one_process_at_a_time() {
        let path = folder("lock");
        let held = Directory::lock(&path).unwrap();
        let message = Directory::lock(&path).unwrap_err().to_string();
        assert!(message.contains("another process works on this directory"), "{message}");
        drop(held);
        Directory::lock(&path).unwrap();
        fs::remove_dir_all(path).unwrap();
    }
}

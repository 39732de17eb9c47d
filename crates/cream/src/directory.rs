//! The native edge: a store that is a folder of the file system.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf, is_separator};

use crate::error::{Error, Result};
use crate::store::join;
use crate::store_at_once;

/// A folder.
///
/// Files are made beside their place, flushed to the disk and renamed, and the folder is flushed after: a crash, a kill
/// or a full disk leaves the older file. A new file has the permissions of the one that it replaces. Links are followed;
/// what is no plain file (a device, a pipe, a folder) is never replaced.
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
    /// It cannot be made, or is a file.
    pub fn open(path: &Path) -> Result<Self> {
        if path.exists() && !path.is_dir() {
            return Err(Error::file(&path.display().to_string(), "a file, expected a folder"));
        }
        fs::create_dir_all(path).map_err(failed(path, "make"))?;
        Ok(Directory { root: path.into(), _lock: None })
    }

    /// The folder of a file, made where there is none, and the file's name in it; where the path is a link, those of what
    /// it leads to.
    ///
    /// # Errors
    /// It cannot be made, the path names no file, or a file could not be written there: found out before the work that
    /// fills it.
    pub fn of_file(path: &Path) -> Result<(Self, String)> {
        let path = follow_links(path)?;
        let shown = path.display().to_string();
        let name = path.file_name().and_then(OsStr::to_str).filter(|_| !shown.ends_with(is_separator));
        let name = name.ok_or_else(|| Error::file(&shown, "expected the name of a file"))?;
        let directory = Directory::open(folder_of(&path))?;
        let place = directory.replaceable(name)?;
        if place.exists() {
            File::options().append(true).open(&place).map_err(failed(&place, "write"))?;
        }
        let scratch = scratch(&place);
        File::create(&scratch).and_then(|_| fs::remove_file(&scratch)).map_err(failed(&place, "write"))?;
        Ok((directory, name.to_owned()))
    }

    /// The same, for this process alone until it ends or drops the store. Leaves an empty file `.lock`.
    ///
    /// # Errors
    /// Another process holds it, or it cannot be made.
    pub fn lock(path: &Path) -> Result<Self> {
        let mut directory = Directory::open(path)?;
        let lock = path.join(".lock");
        // Whatever is in a file of that name stays there.
        let file = File::options().create(true).append(true).open(&lock).map_err(failed(&lock, "make"))?;
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

    /// Where a file of this name is or comes to be, behind links.
    fn replaceable(&self, name: &str) -> Result<PathBuf> {
        let path = follow_links(&self.root.join(name))?;
        match fs::metadata(&path) {
            Ok(file) if file.is_dir() => Err(Error::file(&path.display().to_string(), "a folder, expected a file")),
            Ok(file) if !file.is_file() || is_open_file(&path) => Err(Error::file(
                &path.display().to_string(),
                "a device or a pipe, expected a file that can be replaced",
            )),
            _ => Ok(path),
        }
    }
}

/// Where a path leads through links, whether there is a file or not. The link that stands for a process's open file
/// (`/proc/self/fd/1`, where `/dev/stdout` leads) is not followed: that file as it is open is meant, not one of its name.
///
/// # Errors
/// Links without an end.
pub fn follow_links(path: &Path) -> Result<PathBuf> {
    /// As many as Linux follows.
    const MOST: usize = 40;
    let mut place = path.to_owned();
    for _ in 0..=MOST {
        match fs::read_link(&place) {
            Ok(target) if !is_open_file(&place) => place = folder_of(&place).join(target),
            _ => return Ok(place),
        }
    }
    Err(Error::file(&path.display().to_string(), "links without an end, expected a file"))
}

/// Whether a path names an open file of a process.
pub fn is_open_file(path: &Path) -> bool {
    let folder = fs::canonicalize(folder_of(path)).unwrap_or_default();
    folder == Path::new("/dev/fd") || folder.starts_with("/proc") && folder.ends_with("fd")
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// The file that becomes `path`.
fn scratch(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default();
    path.with_file_name([OsStr::new("."), name, OsStr::new(".tmp")].into_iter().collect::<OsString>())
}

/// Gives a file the permissions of the one it is about to replace, where there is one and the file system can.
fn keep_permissions(new: &Path, old: &Path) {
    if let Ok(old) = fs::metadata(old)
        && fs::symlink_metadata(new).is_ok_and(|new| new.is_file())
    {
        let _ = fs::set_permissions(new, old.permissions());
    }
}

/// The functions of [`Store`](crate::Store), at once.
#[allow(missing_docs, clippy::missing_errors_doc, reason = "they are those of Store")]
impl Directory {
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.root.join(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(failed(&path, "read")(e)),
        }
    }

    pub fn exists(&self, name: &str) -> bool {
        self.root.join(name).exists()
    }

    pub fn names(&self, start: &str) -> Result<Vec<String>> {
        let folder = start.rsplit_once('/').map_or("", |(folder, _)| folder);
        let path = self.root.join(folder);
        let entries = match fs::read_dir(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed(&path, "read"))?,
        };
        // A name that is not UTF-8 is none of a store's.
        let names = entries.flatten().filter(|entry| entry.path().is_file());
        let names = names.filter_map(|entry| Some(join(folder, entry.file_name().to_str()?)));
        Ok(names.filter(|name| name.starts_with(start)).collect())
    }

    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.replaceable(name)?;
        let temporary = scratch(&path);
        make_folder(&path)?;
        let written = File::create(&temporary)
            .inspect(|_| keep_permissions(&temporary, &path))
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&temporary, &path))
            .and_then(|()| sync_folder(&path));
        if written.is_err() {
            // Best effort: the error to report is the first.
            let _ = fs::remove_file(&temporary);
        }
        written.map_err(failed(&path, "write"))
    }

    pub fn append(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.root.join(name);
        make_folder(&path)?;
        let open = File::options().create(true).append(true).open(&path);
        open.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all())).map_err(failed(&path, "write"))
    }

    pub fn truncate(&mut self, name: &str, len: usize) -> Result<()> {
        let path = self.root.join(name);
        let open = File::options().write(true).open(&path);
        open.and_then(|file| file.set_len(len as u64).and_then(|()| file.sync_all())).map_err(failed(&path, "cut"))
    }

    pub fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (self.root.join(from), self.replaceable(to)?);
        keep_permissions(&from, &to);
        fs::rename(&from, &to).and_then(|()| sync_folder(&to)).map_err(failed(&from, "rename"))
    }

    pub fn remove(&mut self, name: &str) -> Result<()> {
        let path = self.root.join(name);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed(&path, "remove")(e)),
            _ => Ok(()),
        }
    }
}

store_at_once!(Directory);

fn failed(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Error {
    let path = path.display().to_string();
    move |source| Error::Io { path, action, source }
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
    #[cfg(unix)]
    fn links_are_followed_and_permissions_kept() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let path = folder("links");
        fs::create_dir_all(path.join("far")).unwrap();
        let mut store = Directory::open(&path).unwrap();
        fs::write(path.join("far/there"), "old").unwrap();
        fs::set_permissions(path.join("far/there"), fs::Permissions::from_mode(0o600)).unwrap();
        for (link, target) in [("a", "far/there"), ("b", "a"), ("c", "far/not-yet"), ("loop", "loop"), ("sub", "far")] {
            symlink(target, path.join(link)).unwrap();
        }
        let mode = |name: &str| fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o777;
        store.write("b", b"one").unwrap();
        assert_eq!((fs::read_to_string(path.join("far/there")).unwrap().as_str(), mode("far/there")), ("one", 0o600));
        store.write("d", b"two").unwrap();
        store.rename("d", "a").unwrap();
        assert_eq!((fs::read_to_string(path.join("far/there")).unwrap().as_str(), mode("far/there")), ("two", 0o600));
        store.write("c", b"three").unwrap();
        assert_eq!(fs::read_to_string(path.join("far/not-yet")).unwrap(), "three");
        assert!(["a", "b", "c"].iter().all(|link| path.join(link).is_symlink()));
        for (name, expected) in [("loop", "loop: links without an end"), ("sub", "far: a folder, expected a file")] {
            let message = store.write(name, b"x").unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        let (found, name) = Directory::of_file(&path.join("b")).unwrap();
        assert_eq!((found.path(), name.as_str()), (path.join("far").as_path(), "there"));
        assert_eq!(store.names("far/").unwrap().len(), 2);
        assert_eq!(store.names("far/t").unwrap(), ["far/there"]);
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_is_no_plain_file_is_not_replaced() {
        let path = folder("devices");
        let mut store = Directory::open(&path).unwrap();
        std::os::unix::fs::symlink("/dev/null", path.join("null")).unwrap();
        std::os::unix::fs::symlink("/proc/self/fd/1", path.join("out")).unwrap();
        store.write("new", b"x").unwrap();
        for name in ["null", "out"] {
            for result in [store.write(name, b"x"), store.rename("new", name)] {
                let message = result.unwrap_err().to_string();
                assert!(message.contains("a device or a pipe, expected a file that can be replaced"), "{message}");
            }
            assert!(path.join(name).is_symlink());
        }
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_file_is_no_folder_and_a_folder_no_file() {
        let path = folder("kinds");
        let mut store = Directory::open(&path).unwrap();
        store.write("file", b"x").unwrap();
        for (result, expected) in [
            (Directory::open(&path.join("file")), "file: a file, expected a folder"),
            (Directory::lock(&path.join("file")), "file: a file, expected a folder"),
            (Directory::of_file(&path).map(|(found, _)| found), ": a folder, expected a file"),
            (Directory::of_file(&path.join("new/")).map(|(found, _)| found), "new/: expected the name of a file"),
        ] {
            let message = result.unwrap_err().to_string();
            assert!(message.ends_with(expected), "{message}");
        }
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn one_process_at_a_time() {
        let path = folder("lock");
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join(".lock"), "of another program").unwrap();
        let held = Directory::lock(&path).unwrap();
        let message = Directory::lock(&path).unwrap_err().to_string();
        assert!(message.contains("another process works on this directory"), "{message}");
        drop(held);
        Directory::lock(&path).unwrap();
        assert_eq!(fs::read_to_string(path.join(".lock")).unwrap(), "of another program");
        fs::remove_dir_all(path).unwrap();
    }
}

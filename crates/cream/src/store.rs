//! Where stages leave their files: a folder, or memory.

use std::collections::BTreeMap;

use crate::error::Result;

/// Files under relative names with `/` between folders.
///
/// A call that is cut short, at any moment, leaves every file either as it was or as it should be, save that an append
/// may leave a part of its bytes: who appends must be able to tell.
pub trait Store {
    /// The whole file, or `None` where there is none.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>>;

    /// Whether there is such a file.
    fn exists(&self, name: &str) -> bool;

    /// Names of the files that begin with `start`, which is a folder's name and `/`, or nothing, and the beginning of a
    /// file's.
    ///
    /// # Errors
    /// The folder is there and cannot be read.
    fn names(&self, start: &str) -> Result<Vec<String>>;

    /// Makes or replaces a file at once.
    ///
    /// # Errors
    /// It cannot be written; an older file is as it was.
    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()>;

    /// Adds to the end of a file, which is made where there is none.
    ///
    /// # Errors
    /// It cannot be written.
    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<()>;

    /// Cuts a file to `len` bytes.
    ///
    /// # Errors
    /// It is not there or cannot be written.
    fn truncate(&mut self, name: &str, len: usize) -> Result<()>;

    /// Gives a file another name, in place of any file of that name.
    ///
    /// # Errors
    /// It is not there or cannot be renamed.
    fn rename(&mut self, from: &str, to: &str) -> Result<()>;

    /// Removes a file, if there is one.
    ///
    /// # Errors
    /// It cannot be removed.
    fn remove(&mut self, name: &str) -> Result<()>;
}

/// The file or folder that a stage makes, and where.
pub struct Output<'a> {
    /// Where.
    pub store: &'a mut dyn Store,
    /// The file or, in training, the folder; empty for the store's own.
    pub name: &'a str,
}

/// A file's name in a folder of a store.
pub(crate) fn join(folder: &str, file: &str) -> String {
    if folder.is_empty() { file.into() } else { format!("{folder}/{file}") }
}

/// A folder of a store, as a store.
pub(crate) struct Within<'a> {
    /// The store.
    pub(crate) store: &'a mut dyn Store,
    /// The folder.
    pub(crate) folder: &'a str,
}

impl Store for Within<'_> {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.store.read(&join(self.folder, name))
    }

    fn exists(&self, name: &str) -> bool {
        self.store.exists(&join(self.folder, name))
    }

    fn names(&self, start: &str) -> Result<Vec<String>> {
        let within = join(self.folder, "");
        let names = self.store.names(&join(self.folder, start))?;
        Ok(names.iter().filter_map(|name| name.strip_prefix(&within)).map(str::to_owned).collect())
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.store.write(&join(self.folder, name), bytes)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.store.append(&join(self.folder, name), bytes)
    }

    fn truncate(&mut self, name: &str, len: usize) -> Result<()> {
        self.store.truncate(&join(self.folder, name), len)
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        self.store.rename(&join(self.folder, from), &join(self.folder, to))
    }

    fn remove(&mut self, name: &str) -> Result<()> {
        self.store.remove(&join(self.folder, name))
    }
}

/// A store in memory, for the browser and for tests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// Contents by name.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Store for Memory {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.files.get(name).cloned())
    }

    fn exists(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    fn names(&self, start: &str) -> Result<Vec<String>> {
        let of_folder = |name: &&String| name.strip_prefix(start).is_some_and(|rest| !rest.contains('/'));
        Ok(self.files.keys().filter(of_folder).cloned().collect())
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.files.insert(name.into(), bytes.into());
        Ok(())
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.files.entry(name.into()).or_default().extend(bytes);
        Ok(())
    }

    fn truncate(&mut self, name: &str, len: usize) -> Result<()> {
        self.files.entry(name.into()).or_default().truncate(len);
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        let bytes = self.files.remove(from).unwrap_or_default();
        self.write(to, &bytes)
    }

    fn remove(&mut self, name: &str) -> Result<()> {
        self.files.remove(name);
        Ok(())
    }
}

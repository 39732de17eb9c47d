//! Where stages leave their files: a folder, or memory.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use crate::error::Result;

/// What a function of a store answers with: a browser's files come later.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + 'a>>;

/// Files under relative names with `/` between folders.
///
/// A call that is cut short, at any moment, leaves every file either as it was or as it should be, save that an append
/// may leave a part of its bytes: who appends must be able to tell.
pub trait Store {
    /// The whole file, or `None` where there is none.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    fn read<'a>(&'a self, name: &'a str) -> Answer<'a, Option<Vec<u8>>>;

    /// Whether there is such a file.
    ///
    /// # Errors
    /// The store does not answer.
    fn exists<'a>(&'a self, name: &'a str) -> Answer<'a, bool>;

    /// Names of the files that begin with `start`, which is a folder's name and `/`, or nothing, and the beginning of a
    /// file's.
    ///
    /// # Errors
    /// The folder is there and cannot be read.
    fn names<'a>(&'a self, start: &'a str) -> Answer<'a, Vec<String>>;

    /// Makes or replaces a file at once.
    ///
    /// # Errors
    /// It cannot be written; an older file is as it was.
    fn write<'a>(&'a mut self, name: &'a str, bytes: &'a [u8]) -> Answer<'a, ()>;

    /// Adds to the end of a file, which is made where there is none.
    ///
    /// # Errors
    /// It cannot be written.
    fn append<'a>(&'a mut self, name: &'a str, bytes: &'a [u8]) -> Answer<'a, ()>;

    /// Cuts a file to `len` bytes.
    ///
    /// # Errors
    /// It is not there or cannot be written.
    fn truncate<'a>(&'a mut self, name: &'a str, len: usize) -> Answer<'a, ()>;

    /// Gives a file another name, in place of any file of that name.
    ///
    /// # Errors
    /// It is not there or cannot be renamed.
    fn rename<'a>(&'a mut self, from: &'a str, to: &'a str) -> Answer<'a, ()>;

    /// Removes a file, if there is one.
    ///
    /// # Errors
    /// It cannot be removed.
    fn remove<'a>(&'a mut self, name: &'a str) -> Answer<'a, ()>;
}

/// Makes a [`Store`](crate::Store) of a type whose own functions of the same names do the work at once.
#[macro_export]
macro_rules! store_at_once {
    ($store:ty) => {
        impl $crate::Store for $store {
            fn read<'a>(&'a self, name: &'a str) -> $crate::Answer<'a, Option<Vec<u8>>> {
                Box::pin(async move { <$store>::read(self, name) })
            }

            fn exists<'a>(&'a self, name: &'a str) -> $crate::Answer<'a, bool> {
                Box::pin(async move { Ok(<$store>::exists(self, name)) })
            }

            fn names<'a>(&'a self, start: &'a str) -> $crate::Answer<'a, Vec<String>> {
                Box::pin(async move { <$store>::names(self, start) })
            }

            fn write<'a>(&'a mut self, name: &'a str, bytes: &'a [u8]) -> $crate::Answer<'a, ()> {
                Box::pin(async move { <$store>::write(self, name, bytes) })
            }

            fn append<'a>(&'a mut self, name: &'a str, bytes: &'a [u8]) -> $crate::Answer<'a, ()> {
                Box::pin(async move { <$store>::append(self, name, bytes) })
            }

            fn truncate<'a>(&'a mut self, name: &'a str, len: usize) -> $crate::Answer<'a, ()> {
                Box::pin(async move { <$store>::truncate(self, name, len) })
            }

            fn rename<'a>(&'a mut self, from: &'a str, to: &'a str) -> $crate::Answer<'a, ()> {
                Box::pin(async move { <$store>::rename(self, from, to) })
            }

            fn remove<'a>(&'a mut self, name: &'a str) -> $crate::Answer<'a, ()> {
                Box::pin(async move { <$store>::remove(self, name) })
            }
        }
    };
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
    fn read<'a>(&'a self, name: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(async move { self.store.read(&join(self.folder, name)).await })
    }

    fn exists<'a>(&'a self, name: &'a str) -> Answer<'a, bool> {
        Box::pin(async move { self.store.exists(&join(self.folder, name)).await })
    }

    fn names<'a>(&'a self, start: &'a str) -> Answer<'a, Vec<String>> {
        Box::pin(async move {
            let within = join(self.folder, "");
            let names = self.store.names(&join(self.folder, start)).await?;
            Ok(names.iter().filter_map(|name| name.strip_prefix(&within)).map(str::to_owned).collect())
        })
    }

    fn write<'a>(&'a mut self, name: &'a str, bytes: &'a [u8]) -> Answer<'a, ()> {
        Box::pin(async move { self.store.write(&join(self.folder, name), bytes).await })
    }

    fn append<'a>(&'a mut self, name: &'a str, bytes: &'a [u8]) -> Answer<'a, ()> {
        Box::pin(async move { self.store.append(&join(self.folder, name), bytes).await })
    }

    fn truncate<'a>(&'a mut self, name: &'a str, len: usize) -> Answer<'a, ()> {
        Box::pin(async move { self.store.truncate(&join(self.folder, name), len).await })
    }

    fn rename<'a>(&'a mut self, from: &'a str, to: &'a str) -> Answer<'a, ()> {
        Box::pin(async move { self.store.rename(&join(self.folder, from), &join(self.folder, to)).await })
    }

    fn remove<'a>(&'a mut self, name: &'a str) -> Answer<'a, ()> {
        Box::pin(async move { self.store.remove(&join(self.folder, name)).await })
    }
}

/// A store in memory, for the browser and for tests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// Contents by name.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// The functions of [`Store`], at once.
#[allow(missing_docs, clippy::missing_errors_doc, reason = "they are those of Store")]
impl Memory {
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.files.get(name).cloned())
    }

    pub fn exists(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    pub fn names(&self, start: &str) -> Result<Vec<String>> {
        let of_folder = |name: &&String| name.strip_prefix(start).is_some_and(|rest| !rest.contains('/'));
        Ok(self.files.keys().filter(of_folder).cloned().collect())
    }

    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.files.insert(name.into(), bytes.into());
        Ok(())
    }

    pub fn append(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.files.entry(name.into()).or_default().extend(bytes);
        Ok(())
    }

    pub fn truncate(&mut self, name: &str, len: usize) -> Result<()> {
        self.files.entry(name.into()).or_default().truncate(len);
        Ok(())
    }

    pub fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        let bytes = self.files.remove(from).unwrap_or_default();
        self.write(to, &bytes)
    }

    pub fn remove(&mut self, name: &str) -> Result<()> {
        self.files.remove(name);
        Ok(())
    }
}

store_at_once!(Memory);

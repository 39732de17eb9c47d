//! The files of a model, from a path or in memory, and what is in them.

#[cfg(not(target_arch = "wasm32"))]
use std::{collections::BTreeSet, fs, io, path::Path};

use cream_engine::{Checkpoint, Text, gguf, hf};

use crate::error::{Error, Result};
use crate::fingerprint::fingerprint;

/// The contents of a model's files: of one GGUF file, or of a folder in Hugging Face's layout.
pub struct ModelFiles {
    name: String,
    /// By file name; one entry for a GGUF file.
    contents: hf::Files,
    is_gguf: bool,
    notes: Vec<String>,
}

impl ModelFiles {
    /// Reads a .gguf file or a folder; messages call it `name`.
    ///
    /// # Errors
    /// What cannot be read, or a folder that holds something else than a model.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read(name: &str, path: &Path) -> Result<Self> {
        if path.is_dir() {
            return ModelFiles::read_folder(name.into(), path);
        }
        let bytes = fs::read(path).map_err(|error| {
            Error::file(name, format!("cannot read it, expected a .gguf file or a folder: {error}"))
        })?;
        Ok(ModelFiles::gguf(name.into(), bytes))
    }

    /// The bytes of a GGUF file.
    pub fn gguf(name: String, bytes: Vec<u8>) -> Self {
        ModelFiles { contents: [(name.clone(), bytes)].into(), name, is_gguf: true, notes: Vec::new() }
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn read_folder(name: String, folder: &Path) -> Result<Self> {
        let mut files = ModelFiles { name, contents: hf::Files::new(), is_gguf: false, notes: Vec::new() };
        for file in hf::FILES {
            files.add(folder, file)?;
        }
        let names = file_names(folder)?;
        let has_weights =
            ["model.safetensors", "model.safetensors.index.json"].iter().any(|&file| names.contains(file));
        match (names.contains("adapter_config.json"), has_weights) {
            (true, false) => return Err(files.wrong("this folder is an adapter, expected a model")),
            (true, true) => files.notes.push("the adapter beside the model is not used".to_owned()),
            (false, _) => {}
        }
        if let Some(what) = hf::instead(names.iter().map(String::as_str)) {
            return Err(files.wrong(&format!("this folder holds {what}")));
        }
        // One that is missing is named when the model is read.
        for file in hf::shards(&files.contents).map_err(|error| files.wrong(&error.to_string()))? {
            files.add(folder, &file)?;
        }
        let unknown = hf::unknown_settings(&files.contents).map_err(|error| files.wrong(&error.to_string()))?;
        if !unknown.is_empty() {
            let unknown = unknown.join(", ");
            files.notes.push(format!("config.json: passed over, since nothing is known of them: {unknown}"));
        }
        Ok(files)
    }

    /// Adds a file of the folder if it is there. A link to nothing is an error.
    #[cfg(not(target_arch = "wasm32"))]
    fn add(&mut self, folder: &Path, file: &str) -> Result<()> {
        let path = folder.join(file);
        match fs::read(&path) {
            Ok(bytes) => _ = self.contents.insert(file.to_owned(), bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {}
            Err(source) => return Err(Error::Io { path: path.display().to_string(), action: "read", source }),
        }
        Ok(())
    }

    fn wrong(&self, problem: &str) -> Error {
        Error::file(&self.name, problem)
    }

    /// What messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What of the files is not used, for whoever may have meant it to be.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What tells these files from others.
    pub fn fingerprint(&self) -> String {
        fingerprint(self.contents.values().map(Vec::as_slice))
    }

    /// Tensors and text of the model; the tensors stay where they are.
    ///
    /// # Errors
    /// A file that is missing, damaged, or of a model that the engine does not run.
    pub fn parse(&self) -> Result<(Checkpoint<'_>, Text)> {
        if self.is_gguf {
            return Ok(gguf::load(&self.name, &self.contents[&self.name])?);
        }
        let (checkpoint, text) = hf::load(&self.contents).map_err(|error| self.wrong(&error.to_string()))?;
        Ok((checkpoint, text.ok_or_else(|| self.wrong("tokenizer.json: missing"))?))
    }
}

/// The names of what lies in a folder, those that are no UTF-8 left out.
///
/// # Errors
/// The folder cannot be read.
#[cfg(not(target_arch = "wasm32"))]
pub fn file_names(folder: &Path) -> Result<BTreeSet<String>> {
    let list = || fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>();
    let names = list().map_err(|source| Error::Io { path: folder.display().to_string(), action: "read", source })?;
    Ok(names.into_iter().filter_map(|name| name.into_string().ok()).collect())
}

//! From `--model` and `--adapter` to a model on a device.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{fs, io};

use anyhow::{Context, Result, bail};
use cream::Policy;
use cream::engine::{Adapter, Backend, Checkpoint, Date, Llama, LlamaConfig, Text, gguf, hf};

use crate::args::{ModelArgs, PromptFlags};
use crate::date;
use crate::files::tell;
use crate::hub;
use crate::memory::check_model;

/// The contents of a model's files.
pub(crate) struct ModelFiles {
    name: String,
    /// By file name; one entry for a GGUF file.
    contents: BTreeMap<String, Vec<u8>>,
    is_gguf: bool,
    /// What of the folder is not used.
    notes: Vec<String>,
}

impl ModelFiles {
    /// Reads a .gguf file, a folder, or a model of the hub.
    pub(crate) fn open(name: &str) -> Result<Self> {
        let path = Path::new(name);
        if path.is_dir() {
            return ModelFiles::folder(name, path);
        }
        if !path.exists() && hub::is_id(name) {
            return ModelFiles::folder(name, &hub::folder(name)?);
        }
        let bytes = fs::read(path).with_context(|| {
            format!("--model {name}: cannot read it; expected a .gguf file, a folder, or a hub id like org/name")
        })?;
        Ok(ModelFiles {
            name: name.to_owned(),
            contents: [(name.to_owned(), bytes)].into(),
            is_gguf: true,
            notes: Vec::new(),
        })
    }

    fn folder(name: &str, folder: &Path) -> Result<Self> {
        let mut files =
            ModelFiles { name: name.to_owned(), contents: BTreeMap::new(), is_gguf: false, notes: Vec::new() };
        for file in hf::FILES {
            files.add(folder, file)?;
        }
        let names = names(folder)?;
        let has_weights =
            ["model.safetensors", "model.safetensors.index.json"].iter().any(|&file| names.contains(file));
        match (names.contains("adapter_config.json"), has_weights) {
            (true, false) => {
                bail!("--model {name}: this folder is an adapter; give it as --adapter, and its base as --model")
            }
            (true, true) => {
                files.notes.push("the adapter beside the model is not used; --adapter would use it".to_owned())
            }
            (false, _) => {}
        }
        if let Some(what) = hf::instead(names.iter().map(String::as_str)) {
            bail!("--model {name}: this folder holds {what}");
        }
        // One that is missing is named when the model is read.
        for file in hf::shards(&files.contents).with_context(|| name.to_owned())? {
            files.add(folder, &file)?;
        }
        let unknown = hf::unknown_settings(&files.contents).with_context(|| name.to_owned())?.join(", ");
        if !unknown.is_empty() {
            files.notes.push(format!("config.json: passed over, since nothing is known of them: {unknown}"));
        }
        Ok(files)
    }

    /// Adds a file of the folder if it is there. A link to nothing is an error.
    fn add(&mut self, folder: &Path, file: &str) -> Result<()> {
        let path = folder.join(file);
        match fs::read(&path) {
            Ok(bytes) => _ = self.contents.insert(file.to_owned(), bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {}
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
        Ok(())
    }

    /// Says what of the folder is not used, quiet or not: the user may have meant it.
    pub(crate) fn tell(&self) {
        self.notes.iter().for_each(|note| tell(&format!("{}: {note}", self.name)));
    }

    /// What tells these files from others.
    pub(crate) fn fingerprint(&self) -> String {
        cream::fingerprint(self.contents.values().map(Vec::as_slice))
    }

    /// Tensors and text of the model.
    pub(crate) fn parse(&self) -> Result<(Checkpoint<'_>, Text)> {
        if self.is_gguf {
            return Ok(gguf::load(&self.name, &self.contents[&self.name])?);
        }
        let (checkpoint, text) = hf::load(&self.contents).with_context(|| self.name.clone())?;
        Ok((checkpoint, text.with_context(|| format!("{}: tokenizer.json: missing", self.name))?))
    }
}

/// The names of what lies in a folder.
pub(crate) fn names(folder: &Path) -> Result<BTreeSet<String>> {
    let list = || fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>();
    let names = list().with_context(|| format!("cannot read {}", folder.display()))?;
    Ok(names.into_iter().filter_map(|name| name.into_string().ok()).collect())
}

/// A model on its device, with what it needs to read and write text.
pub(crate) struct Loaded<B: Backend> {
    pub(crate) model: Llama<B>,
    pub(crate) adapter: Option<Adapter<B>>,
    pub(crate) text: Text,
    /// Of the model's files, the adapter's, and the day where the chat template prints one.
    pub(crate) fingerprint: String,
}

impl<B: Backend> Loaded<B> {
    pub(crate) fn policy(&self, prompt: &PromptFlags) -> Policy<'_, B> {
        Policy {
            model: &self.model,
            adapter: self.adapter.as_ref(),
            encoder: prompt.encoder(&self.text, self.model.config()),
            fingerprint: &self.fingerprint,
        }
    }
}

/// Loads what the flags name, with the day that its chat template prints; `trainable` unpacks the weights to f32.
pub(crate) fn load<B: Backend>(backend: &B, args: &ModelArgs, day: Option<Date>, trainable: bool) -> Result<Loaded<B>> {
    let files = ModelFiles::open(&args.model)?;
    files.tell();
    let (checkpoint, mut text) = files.parse()?;
    check_model(backend, &checkpoint, trainable)?;
    let model = Llama::new(backend.clone(), &checkpoint, trainable)?;
    let mut fingerprint = files.fingerprint();
    let mut adapter = None;
    if let Some(folder) = &args.adapter {
        let (loaded, of_adapter) = load_adapter(backend, model.config(), folder)?;
        fingerprint = cream::fingerprint([fingerprint.as_bytes(), of_adapter.as_bytes()]);
        adapter = Some(loaded);
    }
    if let Some(date) = date::set(&mut text, day) {
        fingerprint = cream::fingerprint([fingerprint.as_bytes(), date.to_string().as_bytes()]);
    }
    Ok(Loaded { model, adapter, text, fingerprint })
}

/// Reads a PEFT folder; with its fingerprint.
fn load_adapter<B: Backend>(backend: &B, config: &LlamaConfig, folder: &Path) -> Result<(Adapter<B>, String)> {
    const WEIGHTS: &str = "adapter_model.safetensors";
    let shown = folder.display();
    if folder.is_file() {
        bail!("--adapter {shown}: a file, expected a folder in PEFT's layout (adapter_config.json, {WEIGHTS})");
    }
    let read =
        |file: &str| fs::read(folder.join(file)).with_context(|| format!("--adapter {shown}: cannot read {file}"));
    let settings = match read("adapter_config.json") {
        Err(_) if folder.join("config.json").exists() => {
            bail!("--adapter {shown}: this folder is a model, expected an adapter; give it as --model")
        }
        result => result?,
    };
    if !folder.join(WEIGHTS).exists() && folder.join("adapter_model.bin").exists() {
        bail!(
            "--adapter {shown}: adapter_model.bin, pickled weights, which are not read: \
             PeftModel.from_pretrained(…).save_pretrained(…) in PEFT writes {WEIGHTS}"
        );
    }
    let weights = read(WEIGHTS)?;
    let adapter = Adapter::from_peft(backend, config, &settings, &weights)
        .with_context(|| format!("--adapter {}", folder.display()))?;
    Ok((adapter, cream::fingerprint([&settings[..], &weights[..]])))
}

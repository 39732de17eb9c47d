//! From `--model` and `--adapter` to a model on a device.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use cream::Policy;
use cream::engine::{Adapter, Backend, Checkpoint, Llama, LlamaConfig, Text, gguf, hf};

use crate::args::{ModelArgs, PromptFlags};
use crate::hub;
use crate::memory::check_weights;

/// The contents of a model's files.
pub(crate) struct ModelFiles {
    name: String,
    /// By file name; one entry for a GGUF file.
    contents: BTreeMap<String, Vec<u8>>,
    is_gguf: bool,
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
        Ok(ModelFiles { name: name.to_owned(), contents: [(name.to_owned(), bytes)].into(), is_gguf: true })
    }

    fn folder(name: &str, folder: &Path) -> Result<Self> {
        let mut contents = BTreeMap::new();
        let list = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in list {
            let entry = entry.with_context(|| format!("cannot read {}", folder.display()))?;
            if let Ok(file) = entry.file_name().into_string()
                && hf::wanted(&file)
            {
                let bytes =
                    fs::read(entry.path()).with_context(|| format!("cannot read {}", entry.path().display()))?;
                contents.insert(file, bytes);
            }
        }
        if !contents.contains_key("config.json") && folder.join("adapter_config.json").exists() {
            bail!("--model {name}: this folder is an adapter; give it as --adapter, and its base as --model");
        }
        Ok(ModelFiles { name: name.to_owned(), contents, is_gguf: false })
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

/// A model on its device, with what it needs to read and write text.
pub(crate) struct Loaded<B: Backend> {
    pub(crate) model: Llama<B>,
    pub(crate) adapter: Option<Adapter<B>>,
    pub(crate) text: Text,
    /// Of the model's files and the adapter's.
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

/// Loads what the flags name; `trainable` unpacks the weights to f32.
pub(crate) fn load<B: Backend>(backend: &B, args: &ModelArgs, trainable: bool) -> Result<Loaded<B>> {
    let files = ModelFiles::open(&args.model)?;
    let (checkpoint, text) = files.parse()?;
    check_weights(backend, &checkpoint, trainable)?;
    let model = Llama::new(backend.clone(), &checkpoint, trainable)?;
    let mut fingerprint = files.fingerprint();
    let mut adapter = None;
    if let Some(folder) = &args.adapter {
        let (loaded, of_adapter) = load_adapter(backend, model.config(), folder)?;
        fingerprint = cream::fingerprint([fingerprint.as_bytes(), of_adapter.as_bytes()]);
        adapter = Some(loaded);
    }
    Ok(Loaded { model, adapter, text, fingerprint })
}

/// Reads a PEFT folder; with its fingerprint.
fn load_adapter<B: Backend>(backend: &B, config: &LlamaConfig, folder: &Path) -> Result<(Adapter<B>, String)> {
    let read = |file: &str| {
        let path = folder.join(file);
        fs::read(&path).with_context(|| format!("--adapter {}: cannot read {file}", folder.display()))
    };
    let (settings, weights) = (read("adapter_config.json")?, read("adapter_model.safetensors")?);
    let adapter = Adapter::from_peft(backend, config, &settings, &weights)
        .with_context(|| format!("--adapter {}", folder.display()))?;
    Ok((adapter, cream::fingerprint([&settings[..], &weights[..]])))
}

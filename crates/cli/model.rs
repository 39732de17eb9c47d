//! From `--model` and `--adapter` to a model on a device.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use cream::engine::{Adapter, Backend, Date, Llama, LlamaConfig, Text};
use cream::{ModelFiles, Policy};

use crate::args::{ModelArgs, PromptFlags};
use crate::date;
use crate::files::tell;
use crate::hub;
use crate::memory::check_model;

/// Reads a .gguf file, a folder, or a model of the hub.
pub(crate) fn open(name: &str) -> Result<ModelFiles> {
    let path = Path::new(name);
    if path.exists() {
        return ModelFiles::read(name, path).context("--model");
    }
    if !hub::is_id(name) {
        bail!("--model {name}: no such file; expected a .gguf file, a folder, or a hub id like org/name");
    }
    ModelFiles::read(name, &hub::folder(name)?).context("--model")
}

/// Says what of the files is not used, quiet or not: the user may have meant it.
pub(crate) fn tell_notes(files: &ModelFiles) {
    files.notes().iter().for_each(|note| tell(&format!("{}: {note}", files.name())));
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
    pub(crate) fn policy(&self, prompt: &PromptFlags) -> Policy<'_, Llama<B>> {
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
    let files = open(&args.model)?;
    tell_notes(&files);
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
pub(crate) fn load_adapter<B: Backend>(
    backend: &B,
    config: &LlamaConfig,
    folder: &Path,
) -> Result<(Adapter<B>, String)> {
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

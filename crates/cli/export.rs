//! `cream export`

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::ValueEnum;
use cream::engine::Backend;
use cream::{Directory, Output, Progress};
use pollster::block_on;

use crate::args::{Global, ModelArgs, Storage};
use crate::device::Job;
use crate::inputs::{Inputs, Made};
use crate::model;
use crate::progress::Shown;

/// Write a model for other programs
///
/// merged: a Hugging Face folder (config.json, model.safetensors, tokenizer files), the adapter added to the weights.
/// peft: the adapter alone, as PEFT loads it; --base-model names its base there.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cream export --model model.gguf --adapter RUN/iteration-2 --output MERGED
  cream export --model model.gguf --adapter RUN/iteration-2 --output PEFT --format peft --base-model org/name")]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Folder to write; files of the same names there are replaced
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// What to write
    #[arg(long, value_enum, default_value_t = Format::Merged)]
    format: Format,
    /// Element type of merged weights; 16 bits can round an adapter's small changes away
    #[arg(long, value_enum, default_value_t = Storage::F32)]
    dtype: Storage,
    /// The base that adapter_config.json names [default: --model as given]
    #[arg(long, value_name = "NAME")]
    base_model: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Merged,
    Peft,
}

impl Job for Args {
    fn run<B: Backend>(self, backend: B, global: &Global) -> Result<()> {
        Inputs::files([])?.with(&self.model).check_folder(&self.output, Made::Export)?;
        let loaded = model::load(&backend, &self.model, None, false)?;
        let mut store = Directory::open(&self.output)?;
        let output = Output { store: &mut store, name: "" };
        match self.format {
            Format::Merged => {
                block_on(cream::save_model(
                    &loaded.model,
                    loaded.adapter.as_ref(),
                    &loaded.text,
                    self.dtype.into(),
                    output,
                ))?;
            }
            Format::Peft => {
                let adapter = loaded.adapter.as_ref().context("--format peft: expected --adapter")?;
                let base = self.base_model.as_deref().unwrap_or(&self.model.model);
                block_on(cream::save_adapter(&loaded.model, adapter, base, output))?;
            }
        }
        Shown::new(global).log(&format!("{}: written", self.output.display()));
        Ok(())
    }
}

//! `cream export`

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::ValueEnum;
use cream::engine::{Backend, Dtype, gguf};
use cream::{Directory, Output, Progress};
use pollster::block_on;

use crate::args::{Global, ModelArgs};
use crate::device::Job;
use crate::inputs::{Inputs, Made};
use crate::model;
use crate::output::Place;
use crate::progress::Shown;

/// Write a model for other programs
///
/// merged: a Hugging Face folder (config.json, model.safetensors, tokenizer files), the adapter added to the weights.
/// peft: the adapter alone, as PEFT loads it; --base-model names its base there.
/// gguf: one file for llama.cpp, the adapter added to the weights. Matrices of a quantised model that the adapter leaves as they
/// are keep their blocks, whatever --dtype is. gguf-lora: the adapter alone, for llama.cpp's --lora over the model as it is.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cream export --model model.gguf --adapter RUN/iteration-2 --output MERGED
  cream export --model model.gguf --adapter RUN/iteration-2 --output PEFT --format peft --base-model org/name
  cream export --model model.gguf --adapter RUN/iteration-2 --output merged.gguf --format gguf --dtype q8_0
  cream export --model model.gguf --adapter RUN/iteration-2 --output lora.gguf --format gguf-lora")]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Folder to write, where files of the same names are replaced; with gguf and gguf-lora the file
    #[arg(long, value_name = "DIR|FILE")]
    output: PathBuf,
    /// What to write
    #[arg(long, value_enum, default_value_t = Format::Merged)]
    format: Format,
    /// Element type of weights; 16 bits and fewer can round an adapter's small changes away [default: f32; gguf: f16]
    #[arg(long, value_enum)]
    dtype: Option<Elements>,
    /// With peft: the base that adapter_config.json names [default: --model as given]
    #[arg(long, value_name = "NAME")]
    base_model: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Merged,
    Peft,
    Gguf,
    GgufLora,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Elements {
    F32,
    F16,
    Bf16,
    #[value(name = "q8_0")]
    Q8_0,
}

impl From<Elements> for Dtype {
    fn from(elements: Elements) -> Self {
        match elements {
            Elements::F32 => Dtype::F32,
            Elements::F16 => Dtype::F16,
            Elements::Bf16 => Dtype::BF16,
            Elements::Q8_0 => Dtype::Q8_0,
        }
    }
}

impl Job for Args {
    fn run<B: Backend>(self, backend: B, global: &Global) -> Result<()> {
        let of_adapter = matches!(self.format, Format::Peft | Format::GgufLora);
        ensure!(!of_adapter || self.dtype.is_none(), "--dtype: an adapter is written in f32, expected no --dtype");
        ensure!(
            self.dtype != Some(Elements::Q8_0) || self.format == Format::Gguf,
            "--dtype q8_0: expected --format gguf with it"
        );
        ensure!(
            self.base_model.is_none() || self.format == Format::Peft,
            "--base-model: expected --format peft with it"
        );
        ensure!(!of_adapter || self.model.adapter.is_some(), "--format {}: expected --adapter", self.format.name());
        match self.format {
            Format::Merged | Format::Peft => self.write_folder(&backend)?,
            Format::Gguf | Format::GgufLora => self.write_file(&backend)?,
        }
        Shown::new(global).log(&format!("{}: written", self.output.display()));
        Ok(())
    }
}

impl Format {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

impl Args {
    fn write_folder<B: Backend>(&self, backend: &B) -> Result<()> {
        Inputs::files([])?.with(&self.model).check_folder(&self.output, Made::Export)?;
        let loaded = model::load(backend, &self.model, None, false)?;
        let mut store = Directory::open(&self.output)?;
        let output = Output { store: &mut store, name: "" };
        match (&loaded.adapter, self.format) {
            (Some(adapter), Format::Peft) => {
                let base = self.base_model.as_deref().unwrap_or(&self.model.model);
                block_on(cream::save_adapter(&loaded.model, adapter, base, output))?;
            }
            (adapter, _) => {
                let dtype = self.dtype.unwrap_or(Elements::F32).into();
                block_on(cream::save_model(&loaded.model, adapter.as_ref(), &loaded.text, dtype, output))?;
            }
        }
        Ok(())
    }

    fn write_file<B: Backend>(&self, backend: &B) -> Result<()> {
        ensure!(!self.output.is_dir(), "--output {}: a folder, expected a file", self.output.display());
        let mut place = Place::open(&self.output, &Inputs::files([])?.with(&self.model))?;
        let files = model::open(&self.model.model)?;
        model::tell_notes(&files);
        let (checkpoint, text) = files.parse()?;
        let load = |folder: &PathBuf| model::load_adapter(backend, &checkpoint.config, folder);
        let adapter = self.model.adapter.as_ref().map(load).transpose()?.map(|(adapter, _)| adapter);
        let bytes = match (&adapter, self.format) {
            (Some(adapter), Format::GgufLora) => block_on(gguf::save_adapter(backend, &checkpoint.config, adapter))?,
            (adapter, _) => {
                let dtype = self.dtype.unwrap_or(Elements::F16).into();
                block_on(gguf::save(backend, &checkpoint, adapter.as_ref(), &text, dtype))?
            }
        };
        place.write(&bytes)
    }
}

//! Weights in a store: adapters in PEFT's layout, models in Hugging Face's.

use std::borrow::Cow;

use cream_engine::{Adapter, Backend, Checkpoint, Dtype, Llama, LlamaConfig, Tensor, Text, hf};

use crate::error::{Error, Result};
use crate::store::{Output, Store, join};

pub(crate) const ADAPTER_CONFIG: &str = "adapter_config.json";
const ADAPTER_WEIGHTS: &str = "adapter_model.safetensors";
pub(crate) const MODEL_CONFIG: &str = "config.json";
const MODEL_WEIGHTS: &str = "model.safetensors";
/// All files of weights, each configuration after what it describes.
pub(crate) const FILES: [&str; 4] = [ADAPTER_WEIGHTS, MODEL_WEIGHTS, ADAPTER_CONFIG, MODEL_CONFIG];

/// Writes an adapter into the folder `output`, its configuration last: a folder with one is complete.
///
/// # Errors
/// A device that was lost or a failing store.
pub async fn save_adapter<B: Backend>(
    backend: &B,
    adapter: &Adapter<B>,
    base_model: &str,
    output: Output<'_>,
) -> Result<()> {
    let (config, weights) = adapter.to_peft(backend, base_model).await?;
    output.store.write(&join(output.name, ADAPTER_WEIGHTS), &weights)?;
    output.store.write(&join(output.name, ADAPTER_CONFIG), config.as_bytes())
}

/// Reads an adapter from a folder of a store.
///
/// # Errors
/// A file that is missing, or not what a model of this shape takes.
pub fn load_adapter<B: Backend>(
    backend: &B,
    model: &LlamaConfig,
    store: &dyn Store,
    folder: &str,
) -> Result<Adapter<B>> {
    let read = |file: &str| {
        let name = join(folder, file);
        store.read(&name)?.ok_or_else(|| Error::file(&name, "missing, expected an adapter in PEFT's layout"))
    };
    Ok(Adapter::from_peft(backend, model, &read(ADAPTER_CONFIG)?, &read(ADAPTER_WEIGHTS)?)?)
}

/// Writes a model into the folder `output`, `adapter` added into its weights, with tokenizer and chat template, as
/// transformers reads it: elements of type `dtype` (F32, F16 or BF16), its configuration last.
///
/// # Errors
/// Another `dtype`, a device that was lost, or a failing store.
pub async fn save_model<B: Backend>(
    model: &Llama<B>,
    adapter: Option<&Adapter<B>>,
    text: &Text,
    dtype: Dtype,
    output: Output<'_>,
) -> Result<()> {
    let Output { store, name: folder } = output;
    let tensor = |(name, shape, values): (String, Vec<usize>, Vec<f32>)| {
        let bytes: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
        (name, Tensor { dtype: Dtype::F32, shape, bytes: Cow::Owned(bytes) })
    };
    let tensors = model.tensors(adapter).await?.into_iter().map(tensor).collect();
    let weights = Checkpoint::new(MODEL_WEIGHTS, model.config().clone(), tensors)?.to_safetensors(dtype)?;
    store.write(&join(folder, MODEL_WEIGHTS), &weights)?;
    for (file, bytes) in text.files()? {
        store.write(&join(folder, &file), &bytes)?;
    }
    store.write(&join(folder, MODEL_CONFIG), hf::config_json(model.config(), dtype, Some(text)).as_bytes())
}

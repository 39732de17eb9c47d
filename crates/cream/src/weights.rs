//! Weights in a store: adapters in PEFT's layout, models in Hugging Face's.

use cream_engine::{Dtype, Text};

use crate::error::{Error, Result};
use crate::model::Model;
use crate::store::{Output, Store, join};

pub(crate) const ADAPTER_CONFIG: &str = "adapter_config.json";
const ADAPTER_WEIGHTS: &str = "adapter_model.safetensors";
pub(crate) const MODEL_CONFIG: &str = "config.json";
pub(crate) const MODEL_WEIGHTS: &str = "model.safetensors";
/// All files of weights, each configuration after what it describes.
pub(crate) const FILES: [&str; 4] = [ADAPTER_WEIGHTS, MODEL_WEIGHTS, ADAPTER_CONFIG, MODEL_CONFIG];

/// Writes an adapter into the folder `output`, its configuration last: a folder with one is complete.
///
/// # Errors
/// A device that was lost or a failing store.
pub async fn save_adapter<M: Model>(
    model: &M,
    adapter: &M::Adapter,
    base_model: &str,
    output: Output<'_>,
) -> Result<()> {
    let (config, weights) = model.write_adapter(adapter, base_model).await?;
    output.store.write(&join(output.name, ADAPTER_WEIGHTS), &weights).await?;
    output.store.write(&join(output.name, ADAPTER_CONFIG), config.as_bytes()).await
}

/// Reads an adapter from a folder of a store.
///
/// # Errors
/// A file that is missing, or not what a model of this shape takes.
pub async fn load_adapter<M: Model>(model: &M, store: &dyn Store, folder: &str) -> Result<M::Adapter> {
    let read = async |file: &str| {
        let name = join(folder, file);
        let bytes = store.read(&name).await?;
        bytes.ok_or_else(|| Error::file(&name, "missing, expected an adapter in PEFT's layout"))
    };
    model.read_adapter(&read(ADAPTER_CONFIG).await?, &read(ADAPTER_WEIGHTS).await?)
}

/// Writes a model into the folder `output`, `adapter` added into its weights, with tokenizer and chat template, as
/// transformers reads it: elements of type `dtype` (F32, F16 or BF16), its configuration last.
///
/// # Errors
/// Another `dtype`, a device that was lost, or a failing store.
pub async fn save_model<M: Model>(
    model: &M,
    adapter: Option<&M::Adapter>,
    text: &Text,
    dtype: Dtype,
    output: Output<'_>,
) -> Result<()> {
    for (file, bytes) in model.files(adapter, text, dtype).await? {
        output.store.write(&join(output.name, &file), &bytes).await?;
    }
    Ok(())
}

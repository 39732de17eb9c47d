//! What a plan must know of a model: no weights.

use super::Budget;
use crate::adapter::{Adapter, LoraConfig};
use crate::backend::Backend;
use crate::checkpoint::Checkpoint;
use crate::config::LlamaConfig;
use crate::llama::Llama;
use crate::tensor::Dtype;

/// The outline of a model on a device, loaded or not.
#[derive(Debug, Clone)]
pub struct Outline {
    pub(super) config: LlamaConfig,
    pub(super) weight_bytes: u64,
    pub(super) lora: Option<LoraConfig>,
    pub(super) steps_per_read: usize,
    budget: Budget,
}

impl Outline {
    /// Of a model that is there.
    pub fn of<B: Backend>(model: &Llama<B>, adapter: Option<&Adapter<B>>) -> Self {
        Outline::new(model.backend(), model.config(), model.bytes(), adapter.map(Adapter::config))
    }

    /// Of a model that [`Llama::new`] would make.
    pub fn unloaded<B: Backend>(backend: &B, checkpoint: &Checkpoint<'_>, trainable: bool) -> Self {
        let bytes = |tensor: &crate::Tensor<'_>| match tensor.shape[..] {
            [rows, cols] if !trainable => backend.matrix_bytes(tensor.dtype, rows, cols),
            [rows, cols] => backend.matrix_bytes(Dtype::F32, rows, cols),
            _ => backend.matrix_bytes(Dtype::F32, 1, tensor.shape.iter().product()),
        };
        Outline::new(backend, &checkpoint.config, checkpoint.tensors.values().map(bytes).sum(), None)
    }

    fn new<B: Backend>(backend: &B, config: &LlamaConfig, weight_bytes: u64, lora: Option<&LoraConfig>) -> Self {
        Outline {
            config: config.clone(),
            weight_bytes,
            lora: lora.cloned(),
            steps_per_read: backend.steps_per_read(),
            budget: backend.budget(),
        }
    }

    /// The same with an adapter of this shape, or with none.
    pub fn with_adapter(&self, lora: Option<&LoraConfig>) -> Self {
        Outline { lora: lora.cloned(), ..self.clone() }
    }

    /// The model's shape.
    pub fn config(&self) -> &LlamaConfig {
        &self.config
    }

    /// Bytes that the weights take.
    pub fn weight_bytes(&self) -> u64 {
        self.weight_bytes
    }

    /// How much of the device's memory may be taken.
    pub fn budget(&self) -> Budget {
        self.budget
    }
}

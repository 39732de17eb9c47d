//! Keys that say what a file is and how its model computes: those that [`super::configuration`] does not read must leave a
//! Llama as it is.
//!
//! After llama.cpp (`llama-hparams`, `llama-model-loader`), which passes over keys that an architecture does not read: a
//! model that needs them would be computed without.

use super::container::{Container, Value};
use crate::config::LlamaConfig;
use crate::error::{Error, Result};

/// Keys of the architecture that are read, or that describe and change nothing: those of experts and of YaRN say nothing
/// where there are no experts and no YaRN, and both are refused.
const KNOWN: [&str; 30] = [
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.layer_norm_rms_epsilon",
    "attention.value_length",
    "block_count",
    "context_length",
    "embedding_length",
    "expert_chunk_feed_forward_length",
    "expert_feed_forward_length",
    "expert_gating_func",
    "expert_shared_feed_forward_length",
    "expert_used_count",
    "expert_weights_norm",
    "expert_weights_scale",
    "feed_forward_length",
    "pooling_type",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scale_linear",
    "rope.scaling.factor",
    "rope.scaling.finetuned",
    "rope.scaling.original_context_length",
    "rope.scaling.type",
    "rope.scaling.yarn_attn_factor",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    "rope.scaling.yarn_ext_factor",
    "rope.scaling.yarn_log_multiplier",
    "vocab_size",
];

/// Refuses a part of a model, a file that is no model, and a vocabulary alone.
pub(super) fn check_kind(container: &Container) -> Result<()> {
    let file = &container.file;
    if let Some(count @ 2..) = container.size("split.count")? {
        let number = container.size("split.no")?.unwrap_or(0) + 1;
        let problem = format!(
            "part {number} of {count} of a split model: merge them first (llama-gguf-split --merge PART-00001 MODEL.gguf)"
        );
        return Err(Error::file(file, "split.count", problem));
    }
    const KIND: &str = "general.type";
    match container.optional_string(KIND)? {
        None | Some("model") => {}
        Some("adapter") => {
            let next = "\"adapter\", expected \"model\": give its base as the model, and the adapter as a folder in PEFT's layout";
            return Err(Error::file(file, KIND, next));
        }
        Some(other) => return Err(Error::file(file, KIND, format_args!("{other:?}, expected \"model\""))),
    }
    if container.tensors.is_empty() && container.unreadable.is_empty() {
        return Err(Error::file(file, "tensor count", "0: a vocabulary without a model"));
    }
    Ok(())
}

/// Refuses a setting that would make the model another one.
pub(super) fn check_settings(container: &Container, config: &LlamaConfig) -> Result<()> {
    let windowless = |window: f64| window >= config.max_position_embeddings as f64;
    // llama.cpp holds the scale of attention in f32.
    let usual_scale = |scale: f64| scale as f32 == 1.0 / (config.head_dim as f32).sqrt();
    for (key, value) in container.under("llama.").filter(|(key, _)| !KNOWN.contains(key)) {
        let number = value.number();
        let same = match key {
            "attention.causal" => matches!(value, Value::Bool(true)),
            "attention.scale" => value.is_nothing() || number.is_some_and(usual_scale),
            "attention.sliding_window" => value.is_nothing() || number.is_some_and(windowless),
            // Rows of q and k as Meta's, which all converters give them.
            "tensor_data_layout" => matches!(value, Value::String(b"" | b"Meta AI original pth")),
            _ if key.contains("scal") || key.contains("factor") => value.is_nothing() || number == Some(1.0),
            _ => value.is_nothing(),
        };
        if !same {
            return Err(container.wrong(&format!("llama.{key}"), value, "a model without it: it is not supported"));
        }
    }
    Ok(())
}

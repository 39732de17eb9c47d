//! The keys of config.json that [`super::configuration`] does not read.
//!
//! transformers' Llama passes over keys that it does not know, and so would a model that needs them be computed without.
//! Here a key whose name speaks of the computation must have a value that leaves a Llama as it is; other keys are known to
//! change nothing, or are handed to the caller to be told of.

use serde_json::{Map, Value};

use super::CONFIG;
use crate::config::LlamaConfig;
use crate::error::{Error, Result};
use crate::neutral::{is_neutral, shown};

/// Keys that are read elsewhere.
const READ: [&str; 22] = [
    "attention_bias",
    "head_dim",
    "hidden_act",
    "hidden_size",
    "intermediate_size",
    "max_position_embeddings",
    "mlp_bias",
    "model_type",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "original_max_position_embeddings",
    "quantization_config",
    "rms_norm_eps",
    "rope_parameters",
    "rope_scaling",
    "rope_theta",
    "tie_word_embeddings",
    "vocab_size",
    // Which tokens end a text, and which begin it.
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
];

/// Keys that describe a model or a program, that say how to sample or to train, or that choose among ways to compute the
/// same.
const HARMLESS: [&str; 76] = [
    "attn_implementation",
    "attention_implementation",
    "bad_words_ids",
    "begin_suppress_tokens",
    "cache_implementation",
    "chunk_size_feed_forward",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty",
    "experts_implementation",
    "finetuning_task",
    "flash_attention",
    "flash_attn",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "gradient_checkpointing",
    "id2label",
    "initializer_factor",
    "initializer_range",
    "is_decoder",
    "is_llama_config",
    "keys_to_ignore_at_inference",
    "label2id",
    "length_penalty",
    "license",
    "max_length",
    "max_new_tokens",
    "max_sequence_length",
    "max_window_layers",
    "min_length",
    "model_max_length",
    "name_or_path",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_labels",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_router_logits",
    "output_scores",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict",
    "return_dict_in_generate",
    "router_aux_loss_coef",
    "seq_length",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tie_last_hidden_states",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "typical_p",
    "unsloth_fixed",
    "unsloth_version",
    "use_bfloat16",
    "use_cache",
    "use_flash_attention",
    "use_flash_attention_2",
    "use_flash_attn",
    "use_flash_attn_2",
    "use_sliding_window",
];

/// Words of names that speak of the computation.
const WORDS: [&str; 86] = [
    "act",
    "activation",
    "alibi",
    "attention",
    "attn",
    "audio",
    "bias",
    "biases",
    "bidirectional",
    "block",
    "blocks",
    "cap",
    "capping",
    "causal",
    "clamp",
    "clip",
    "compression",
    "conv",
    "decoder",
    "embed",
    "embedding",
    "embeddings",
    "emb",
    "encoder",
    "expert",
    "experts",
    "factor",
    "ffn",
    "gate",
    "gated",
    "head",
    "heads",
    "hidden",
    "interleaved",
    "kv",
    "layer",
    "layernorm",
    "layers",
    "logit",
    "logits",
    "lora",
    "mask",
    "mlp",
    "moe",
    "mrope",
    "mtp",
    "multiplier",
    "mup",
    "norm",
    "normalization",
    "norms",
    "nope",
    "parallel",
    "pct",
    "percent",
    "position",
    "positional",
    "pooling",
    "pruned",
    "qk",
    "qkv",
    "quant",
    "quantization",
    "residual",
    "rms",
    "rope",
    "rotary",
    "router",
    "scale",
    "scaled",
    "scaling",
    "sink",
    "sinks",
    "sliding",
    "softcap",
    "softcapping",
    "softmax",
    "sparse",
    "ssm",
    "theta",
    "tie",
    "tied",
    "vision",
    "width",
    "window",
    "windows",
];

/// What other configurations can turn off.
const OF_EVERY_LLAMA: [&str; 8] = [
    "causal",
    "gated_mlp",
    "is_causal",
    "use_gated_mlp",
    "use_rms_norm",
    "use_rope",
    "use_rotary_embeddings",
    "use_swiglu",
];

/// Granite's key for what scores are multiplied with.
const ATTENTION_SCALE: &str = "attention_multiplier";

/// Refuses a setting that makes a model another one; returns the keys of which nothing is known.
pub(super) fn check<'a>(raw: &'a Map<String, Value>, config: &LlamaConfig) -> Result<Vec<&'a str>> {
    let mut unknown = Vec::new();
    for (key, value) in raw {
        let harmless = ["_token_id", "_token_ids", "_token", "_version", "_dropout", "_dropout_prob", "_pdrop"];
        let name = key.as_str();
        // Without them a Llama is another model, and the usual scale of attention is not 1.
        let is_own = OF_EVERY_LLAMA.contains(&name) || name == ATTENTION_SCALE;
        let neutral = if is_own { value.is_null() } else { is_neutral(name, value) };
        if READ.contains(&name)
            || HARMLESS.contains(&name)
            || name.starts_with('_')
            || harmless.iter().any(|end| name.ends_with(end))
            || neutral
        {
            continue;
        }
        let number = value.as_f64();
        let (same, expected) = match name {
            "architectures" => (value.as_array().is_some_and(|list| list.iter().all(is_llama)), "\"LlamaForCausalLM\""),
            "auto_map" => (!has_own_model(value), "no code of its own for the model: it may compute anything"),
            // As far back as the model sees.
            "sliding_window" => {
                let reaches = number.is_some_and(|window| window >= config.max_position_embeddings as f64);
                (reaches || raw.get("use_sliding_window") == Some(&Value::Bool(false)), "null: attention has no window")
            }
            "layer_types" => {
                let full = |kind: &Value| kind == "full_attention";
                (value.as_array().is_some_and(|kinds| kinds.iter().all(full)), "\"full_attention\" in all layers")
            }
            own if OF_EVERY_LLAMA.contains(&own) => (value == &Value::Bool(true), "true"),
            ATTENTION_SCALE => {
                let usual = 1.0 / (config.head_dim as f32).sqrt();
                (number.is_some_and(|scale| scale as f32 == usual), "1 / sqrt(head_dim)")
            }
            _ if name.split(['_', '.', '-']).any(|word| WORDS.contains(&word)) => {
                (false, "a Llama without it: it is not supported")
            }
            _ => {
                unknown.push(name);
                continue;
            }
        };
        if !same {
            return Err(Error::file(CONFIG, name, format_args!("{}, expected {expected}", shown(value))));
        }
    }
    Ok(unknown)
}

fn is_llama(architecture: &Value) -> bool {
    let name = architecture.as_str().unwrap_or_default();
    ["LlamaForCausalLM", "LlamaModel"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Whether a class of the repository's own takes the place of transformers' model.
fn has_own_model(map: &Value) -> bool {
    let is_model = |name: &String| name == "AutoModel" || name == "AutoModelForCausalLM";
    map.as_object().is_none_or(|map| map.keys().any(is_model))
}

//! Reads and writes GGUF files of Llama models: configuration, tensors, tokenizer and chat template.
//!
//! What is read departs from the file in two ways. Names and keys become Hugging Face's. The rows of q and k are put back into
//! Hugging Face's order: the converter (`convert_hf_to_gguf.py`, `permute`) interleaves the two halves of every head,
//! for rotary pairs that are neighbours. Blocks stay as they are: whole rows move.

mod container;
mod encode;
mod keys;
mod save;
mod save_vocab;
#[cfg(test)]
mod tests;
mod vocab;

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::checkpoint::{Checkpoint, check_extra};
use crate::config::{LlamaConfig, RopeScaling};
use crate::error::{Error, Result};
use crate::source::{MOST_BYTES, Place, Reader, SMALL, Streamed, exactly};
use crate::tensor::Tensor;
use crate::text::Text;
use container::{Container, Failure};
pub use save::{save, save_adapter};

/// How the names of tensors begin that the forward pass runs through.
const PARTS: [&str; 5] = ["blk.", "token_embd", "output", "rope_", "position_embd"];

/// Reads the file called `name`. Tensors borrow from `bytes`, except q and k.
pub fn load<'a>(name: &str, bytes: &'a [u8]) -> Result<(Checkpoint<'a>, Text)> {
    assemble(Container::read(name, bytes, bytes.len() as u64).map_err(|failure| failure.error)?)
}

/// Bytes that the header of a file is looked for in first; four times as many each time that they are too few.
const FIRST_BYTES: u64 = 1 << 20;

/// Reads the header of the file called `name`, and with it all but the weights.
///
/// # Errors
/// As [`load`]; what the reader says.
pub async fn open<R: Reader>(name: &str, reader: R) -> Result<(Streamed<R>, Text)> {
    let len = reader.len();
    let mut read = FIRST_BYTES.min(len);
    loop {
        let bytes = exactly(&reader, name, "header", 0..read).await?;
        let mut container = match Container::read(name, &bytes, len) {
            // They end within the header.
            Err(Failure { asked, .. }) if read < asked && asked <= len => {
                if asked > MOST_BYTES {
                    let problem = format_args!("takes {asked} bytes or more, expected at most {MOST_BYTES}");
                    return Err(Error::file(name, "header", problem));
                }
                read = asked.max(4 * read).min(len);
                continue;
            }
            container => container.map_err(|failure| failure.error)?,
        };
        let mut places = BTreeMap::new();
        for (tensor, at) in &container.places {
            match hugging_face_name(tensor) {
                Some(new) => _ = places.insert(new, Place { file: name.to_owned(), range: at.clone() }),
                None if at.end - at.start <= SMALL => {
                    let small = container.tensors.get_mut(tensor).expect("it has a place");
                    small.bytes = Cow::Owned(exactly(&reader, name, tensor, at.clone()).await?);
                }
                None => {}
            }
        }
        let (checkpoint, text) = assemble(container)?;
        let readers = [(name.to_owned(), reader)].into();
        return Ok((Streamed::new(readers, checkpoint, places, restore), text));
    }
}

/// A model's parts, all of them checked.
fn assemble(mut container: Container<'_>) -> Result<(Checkpoint<'_>, Text)> {
    let name = &container.file.clone();
    keys::check_kind(&container)?;
    let architecture = container.string("general.architecture")?;
    if architecture != "llama" {
        let problem = format!("{architecture:?}, only \"llama\" is supported");
        return Err(Error::file(name, "general.architecture", problem));
    }
    if let Some((tensor, problem)) = container.unreadable.iter().find(|(tensor, _)| hugging_face_name(tensor).is_some())
    {
        return Err(Error::file(name, tensor, problem));
    }
    let stored = std::mem::take(&mut container.tensors);
    let config = configuration(&container, &stored)?;
    config.check(name)?;
    keys::check_settings(&container, &config)?;
    for tensor in container.unreadable.keys() {
        check_extra(name, tensor, &PARTS, None, &config)?;
    }
    let tensors = rename(name, &config, stored)?;
    let checkpoint = Checkpoint::new(name, config, tensors)?;
    let text = vocab::text(&container, checkpoint.config.vocab_size)?;
    Ok((checkpoint, text))
}

fn configuration(container: &Container, tensors: &BTreeMap<String, Tensor>) -> Result<LlamaConfig> {
    let (file, size) = (&container.file, |key: &str| container.size(&format!("llama.{key}")));
    let required = |key: &str| {
        size(key)?.ok_or_else(|| Error::file(file, format_args!("llama.{key}"), "missing, expected a whole number"))
    };
    if let Some(experts @ 1..) = size("expert_count")? {
        return Err(Error::file(
            file,
            "llama.expert_count",
            format_args!("{experts}, only dense models are supported"),
        ));
    }
    let embedding = tensors
        .get("token_embd.weight")
        .ok_or_else(|| Error::file(file, "token_embd.weight", "missing, expected a tensor [vocabulary, width]"))?;
    let heads = required("attention.head_count")?;
    let hidden_size = required("embedding_length")?;
    let head_dim = match size("attention.key_length")? {
        Some(length) => length,
        None => hidden_size.checked_div(heads).unwrap_or(0),
    };
    for key in ["attention.value_length", "rope.dimension_count"] {
        if let Some(other) = size(key)?.filter(|&other| other != head_dim) {
            let problem = format!("{other}, expected the key's {head_dim}");
            return Err(Error::file(file, format_args!("llama.{key}"), problem));
        }
    }
    let rope_theta = container.float("llama.rope.freq_base")?.unwrap_or(10_000.0);
    let eps_key = "llama.attention.layer_norm_rms_epsilon";
    let eps = container.float(eps_key)?.ok_or_else(|| Error::file(file, eps_key, "missing, expected a number"))?;
    let mut config = LlamaConfig {
        vocab_size: embedding.shape[0],
        hidden_size,
        intermediate_size: required("feed_forward_length")?,
        num_hidden_layers: required("block_count")?,
        num_attention_heads: heads,
        num_key_value_heads: size("attention.head_count_kv")?.unwrap_or(heads),
        head_dim,
        max_position_embeddings: required("context_length")?,
        rms_norm_eps: eps as f32,
        rope_theta,
        rope_scaling: linear_scaling(container)?,
        tie_word_embeddings: !tensors.contains_key("output.weight"),
    };
    if let Some(divisors) = tensors.get("rope_freqs.weight").map(Tensor::to_f32)
        && divisors.iter().any(|&divisor| divisor != 1.0)
    {
        if config.rope_scaling.is_some() {
            return Err(Error::file(
                file,
                "rope_freqs.weight",
                "divisors beside linear scaling, expected one of the two",
            ));
        }
        config.rope_scaling = Some(llama3_scaling(file, &config, &divisors)?);
    }
    Ok(config)
}

/// As llama.cpp reads it: scaling of no type is linear, and a factor of 0 is none.
fn linear_scaling(container: &Container) -> Result<Option<RopeScaling>> {
    const KIND: &str = "llama.rope.scaling.type";
    let factor = match container.optional_string(KIND)? {
        Some("none") => None,
        None | Some("linear") => match container.float("llama.rope.scaling.factor")? {
            None => container.float("llama.rope.scale_linear")?,
            factor => factor,
        },
        Some(other) => {
            let problem = format!("{other:?}, only \"none\" and \"linear\" are supported");
            return Err(Error::file(&container.file, KIND, problem));
        }
    };
    Ok(factor.filter(|&factor| factor != 0.0 && factor != 1.0).map(|factor| RopeScaling::Linear { factor }))
}

/// Finds the parameters that the converter made `rope_freqs.weight` from: divisors of the frequencies, `[E / 2]`.
///
/// The file holds the divisors only. All Llama 3.1 to 3.3 models share every parameter but `factor`, which is the
/// largest divisor; divisors that these parameters do not give back are refused.
fn llama3_scaling(file: &str, config: &LlamaConfig, divisors: &[f32]) -> Result<RopeScaling> {
    let scaling = RopeScaling::Llama3 {
        factor: divisors.iter().copied().fold(1.0, f32::max).into(),
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 8192,
    };
    let plain = LlamaConfig { rope_scaling: None, ..config.clone() }.rope_frequencies();
    let scaled = LlamaConfig { rope_scaling: Some(scaling), ..config.clone() }.rope_frequencies();
    let same = |((&divisor, plain), scaled): ((&f32, f32), f32)| (plain / divisor - scaled).abs() <= 1e-4 * scaled;
    if divisors.len() == plain.len() && divisors.iter().zip(plain).zip(scaled).all(same) {
        return Ok(scaling);
    }
    Err(Error::file(file, "rope_freqs.weight", "not the divisors of Llama 3.1's scaling, the only one supported"))
}

fn rename<'a>(
    file: &str,
    config: &LlamaConfig,
    stored: BTreeMap<String, Tensor<'a>>,
) -> Result<BTreeMap<String, Tensor<'a>>> {
    let mut tensors = BTreeMap::new();
    for (name, mut tensor) in stored {
        if name == "rope_freqs.weight" {
            continue;
        }
        let Some(new) = hugging_face_name(&name) else {
            check_extra(file, &name, &PARTS, (!tensor.bytes.is_empty()).then_some(&tensor), config)?;
            continue;
        };
        restore(file, &new, &mut tensor, config)?;
        tensors.insert(new, tensor);
    }
    Ok(tensors)
}

/// Names of tensors without `.weight`: GGUF's behind `blk.N.`, Hugging Face's behind `model.layers.N.`, and below them those
/// of no block.
const NAMES: [(&str, &str); 12] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
    ("token_embd", "model.embed_tokens"),
    ("output_norm", "model.norm"),
    ("output", "lm_head"),
];

fn hugging_face_name(name: &str) -> Option<String> {
    let name = name.strip_suffix(".weight")?;
    let (block, part) = match name.strip_prefix("blk.").and_then(|rest| rest.split_once('.')) {
        Some((layer, part)) => (format!("model.layers.{layer}."), part),
        None => (String::new(), name),
    };
    let (in_block, outside) = NAMES.split_at(9);
    let names = if block.is_empty() { outside } else { in_block };
    let (_, part) = names.iter().find(|(gguf, _)| *gguf == part)?;
    Some(format!("{block}{part}.weight"))
}

/// The inverse of [`hugging_face_name`], for a tensor that a configuration has.
fn gguf_name(name: &str) -> String {
    let name = name.trim_end_matches(".weight");
    let (block, part) = match name.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.')) {
        Some((layer, part)) => (format!("blk.{layer}."), part),
        None => (String::new(), name),
    };
    let part = NAMES.iter().find(|(_, hugging_face)| *hugging_face == part).map_or(part, |(gguf, _)| gguf);
    format!("{block}{part}.weight")
}

/// Heads of a matrix whose rows the file interleaves.
fn interleaved_heads(name: &str, config: &LlamaConfig) -> Option<usize> {
    if name.ends_with(".q_proj.weight") {
        Some(config.num_attention_heads)
    } else {
        name.ends_with(".k_proj.weight").then_some(config.num_key_value_heads)
    }
}

/// Puts the rows of a matrix that the file interleaves back into their places.
fn restore(file: &str, name: &str, tensor: &mut Tensor, config: &LlamaConfig) -> Result<()> {
    interleaved_heads(name, config).map_or(Ok(()), |heads| restore_rows(file, name, tensor, heads))
}

/// Within each head, stored row 2 j + i becomes row i E/2 + j, for i in 0..2.
fn restore_rows(file: &str, name: &str, tensor: &mut Tensor, heads: usize) -> Result<()> {
    let [rows, _] = tensor.shape[..] else {
        return Err(Error::file(file, name, format_args!("shape {:?}, expected a matrix", tensor.shape)));
    };
    if rows % (2 * heads) != 0 {
        let problem = format!("{rows} rows, expected a multiple of twice its {heads} heads");
        return Err(Error::file(file, name, problem));
    }
    // None where they are still to be read.
    let row_bytes = tensor.bytes.len() / rows;
    let half = rows / heads / 2;
    let mut bytes = Vec::with_capacity(tensor.bytes.len());
    for head in 0..heads {
        for i in 0..2 {
            for j in 0..half {
                let from = (head * 2 * half + 2 * j + i) * row_bytes;
                bytes.extend_from_slice(&tensor.bytes[from..from + row_bytes]);
            }
        }
    }
    tensor.bytes = Cow::Owned(bytes);
    Ok(())
}

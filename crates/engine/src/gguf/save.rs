//! Writes models and adapters as llama.cpp reads them.
//!
//! The inverse of the reader: Hugging Face's names become GGUF's, the rows of q and k (and of the factors that add to
//! them) are interleaved, Llama 3.1's scaling becomes divisors of the frequencies.

use std::borrow::Cow;

use super::encode::{Info, Metadata, begin, push};
use super::{gguf_name, interleaved_heads, save_vocab};
use crate::adapter::{Adapter, Linear};
use crate::backend::Backend;
use crate::checkpoint::{Checkpoint, encode};
use crate::config::{LlamaConfig, RopeScaling};
use crate::error::{Error, Result};
use crate::matrix::{Lora, Matrix};
use crate::tensor::Dtype;
use crate::text::Text;

/// The whole of a GGUF file: `checkpoint` with `adapter` added into its weights, and its tokenizer and chat template.
///
/// Matrices are of type `dtype`: F32, F16, BF16 or Q8_0, the last F16 where rows are no whole number of blocks; vectors are
/// F32. A matrix that is quantised and that the adapter leaves as it is keeps its blocks, whatever `dtype` is.
///
/// # Errors
/// Another `dtype`, a tokenizer that GGUF has no words for, or a device that was lost.
pub async fn save<B: Backend>(
    backend: &B,
    checkpoint: &Checkpoint<'_>,
    adapter: Option<&Adapter<B>>,
    text: &Text,
    dtype: Dtype,
) -> Result<Vec<u8>> {
    let config = &checkpoint.config;
    let mut metadata = header("model", dtype)?;
    describe(&mut metadata, config);
    save_vocab::describe(&mut metadata, text, config.vocab_size)?;

    let mut tensors = Vec::new();
    for (name, shape) in config.tensor_shapes() {
        let stored = checkpoint.tensor(&name, &shape)?;
        let added = adapter.and_then(|adapter| adapter.get_by_weight(&name));
        let dtype = match (&shape[..], stored.dtype.block_len()) {
            (&[_], _) => Dtype::F32,
            (_, 2..) if added.is_none() => stored.dtype,
            (&[.., cols], _) if dtype.row_bytes(cols).is_none() => Dtype::F16,
            _ => dtype,
        };
        tensors.push((Info { name: gguf_name(&name), dtype, shape }, name, stored, added));
    }
    let divisors = divisors(config);
    let of_divisors = divisors.as_ref().map(|divisors| Info {
        name: "rope_freqs.weight".to_owned(),
        dtype: Dtype::F32,
        shape: vec![divisors.len()],
    });

    let mut file = begin(&metadata, tensors.iter().map(|(info, ..)| info).chain(&of_divisors));
    for (info, name, stored, added) in tensors {
        let bytes = match added {
            Some(lora) => {
                let sum = Matrix::stored(backend, stored).to_dense(backend, Some(lora))?;
                encode(&backend.read(&sum).await?, info.dtype).into()
            }
            None if stored.dtype == info.dtype => Cow::Borrowed(&stored.bytes[..]),
            None => encode(&stored.to_f32(), info.dtype).into(),
        };
        push(&mut file, &info, &interleave(interleaved_heads(&name, config), info.shape[0], bytes));
    }
    if let Some((info, divisors)) = of_divisors.zip(divisors) {
        push(&mut file, &info, &encode(&divisors, Dtype::F32));
    }
    Ok(file)
}

/// The whole of a GGUF file of an adapter alone, in F32: llama.cpp's `--lora`.
///
/// # Errors
/// A device that was lost.
pub async fn save_adapter<B: Backend>(backend: &B, config: &LlamaConfig, adapter: &Adapter<B>) -> Result<Vec<u8>> {
    let mut metadata = header("adapter", Dtype::F32)?;
    metadata.string("adapter.type", "lora");
    metadata.f32("adapter.lora.alpha", adapter.config().lora_alpha);
    let mut factors = Vec::new();
    for (layer, linear) in (0..config.num_hidden_layers).flat_map(|layer| Linear::ALL.map(|linear| (layer, linear))) {
        let Some(Lora { a, b, .. }) = adapter.get(layer, linear) else { continue };
        let name = linear.weight_name(layer);
        for (letter, matrix) in [("a", a), ("b", b)] {
            let gguf = format!("{}.lora_{letter}", gguf_name(&name));
            let info = Info { name: gguf, dtype: Dtype::F32, shape: vec![matrix.rows(), matrix.cols()] };
            // B makes the rows that the base interleaves.
            let heads = if letter == "b" { interleaved_heads(&name, config) } else { None };
            factors.push((info, matrix, heads));
        }
    }
    let mut file = begin(&metadata, factors.iter().map(|(info, ..)| info));
    for (info, matrix, heads) in factors {
        let buffer = matrix.buffer().ok_or_else(|| Error::Request("a packed adapter".into()))?;
        let bytes = encode(&backend.read(buffer).await?, Dtype::F32).into();
        push(&mut file, &info, &interleave(heads, info.shape[0], bytes));
    }
    Ok(file)
}

fn header(kind: &str, dtype: Dtype) -> Result<Metadata> {
    // llama.cpp's `llama_ftype`.
    let file_type = match dtype {
        Dtype::F32 => 0,
        Dtype::F16 => 1,
        Dtype::Q8_0 => 7,
        Dtype::BF16 => 32,
        other => {
            return Err(Error::Request(format!("cannot write weights as {other:?}, only as F32, F16, BF16 or Q8_0")));
        }
    };
    let mut metadata = Metadata::default();
    metadata.string("general.architecture", "llama");
    metadata.string("general.type", kind);
    metadata.u32("general.file_type", file_type);
    metadata.u32("general.quantization_version", 2);
    Ok(metadata)
}

fn describe(metadata: &mut Metadata, config: &LlamaConfig) {
    for (key, value) in [
        ("block_count", config.num_hidden_layers),
        ("context_length", config.max_position_embeddings),
        ("embedding_length", config.hidden_size),
        ("feed_forward_length", config.intermediate_size),
        ("attention.head_count", config.num_attention_heads),
        ("attention.head_count_kv", config.num_key_value_heads),
        ("attention.key_length", config.head_dim),
        ("attention.value_length", config.head_dim),
        ("rope.dimension_count", config.head_dim),
        ("vocab_size", config.vocab_size),
    ] {
        metadata.u32(&format!("llama.{key}"), value as u32);
    }
    metadata.f32("llama.attention.layer_norm_rms_epsilon", config.rms_norm_eps);
    metadata.f32("llama.rope.freq_base", config.rope_theta as f32);
    if let Some(RopeScaling::Linear { factor }) = config.rope_scaling {
        metadata.string("llama.rope.scaling.type", "linear");
        metadata.f32("llama.rope.scaling.factor", factor as f32);
    }
}

/// What llama.cpp divides the plain frequencies by, `[E / 2]`, where scaling has no keys of its own.
fn divisors(config: &LlamaConfig) -> Option<Vec<f32>> {
    let Some(RopeScaling::Llama3 { .. }) = config.rope_scaling else { return None };
    let plain = LlamaConfig { rope_scaling: None, ..config.clone() }.rope_frequencies();
    Some(plain.iter().zip(config.rope_frequencies()).map(|(plain, scaled)| plain / scaled).collect())
}

/// The inverse of [`super::restore_rows`]: within each head, row i E/2 + j becomes stored row 2 j + i, for i in 0..2.
fn interleave(heads: Option<usize>, rows: usize, bytes: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    let Some(heads) = heads else { return bytes };
    let (row_bytes, half) = (bytes.len() / rows, rows / heads / 2);
    let mut stored = Vec::with_capacity(bytes.len());
    for head in 0..heads {
        for j in 0..half {
            for i in 0..2 {
                let from = (head * 2 * half + i * half + j) * row_bytes;
                stored.extend_from_slice(&bytes[from..from + row_bytes]);
            }
        }
    }
    stored.into()
}

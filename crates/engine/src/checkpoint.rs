//! A model as it lies in its file: its shape and its named tensors, all of them checked against each other.

use std::borrow::Cow;
use std::collections::BTreeMap;

use half::{bf16, f16};
use safetensors::View;

use crate::blocks;
use crate::config::LlamaConfig;
use crate::error::{Error, Result};
use crate::tensor::{Dtype, Tensor};

/// Configuration and tensors of one model, under Hugging Face's names (`model.layers.0.self_attn.q_proj.weight`, …).
#[derive(Debug, Clone)]
pub struct Checkpoint<'a> {
    /// Name of the file, for messages.
    pub file: String,
    /// The shape that all tensors have been checked against.
    pub config: LlamaConfig,
    /// Exactly the tensors of [`LlamaConfig::tensor_shapes`].
    pub tensors: BTreeMap<String, Tensor<'a>>,
}

impl<'a> Checkpoint<'a> {
    /// Takes a model's parts, and refuses a configuration no Llama has and a tensor missing, unknown or misshapen.
    pub fn new(file: &str, config: LlamaConfig, tensors: BTreeMap<String, Tensor<'a>>) -> Result<Self> {
        config.check(file)?;
        let shapes: BTreeMap<_, _> = config.tensor_shapes().into_iter().collect();
        let checkpoint = Checkpoint { file: file.to_owned(), config, tensors };
        for (name, shape) in &shapes {
            checkpoint.tensor(name, shape)?;
        }
        match checkpoint.tensors.keys().find(|&name| !shapes.contains_key(name)) {
            Some(name) => {
                Err(Error::file(file, name, "a tensor that a Llama model of this configuration does not have"))
            }
            None => Ok(checkpoint),
        }
    }

    /// The tensor of this name; an error where it is missing or has another shape.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<&Tensor<'a>> {
        let tensor = self
            .tensors
            .get(name)
            .ok_or_else(|| Error::file(&self.file, name, format_args!("missing, expected shape {shape:?}")))?;
        if tensor.shape != shape {
            let problem = format!("shape {:?}, expected {shape:?}", tensor.shape);
            return Err(Error::file(&self.file, name, problem));
        }
        Ok(tensor)
    }

    /// A model whose tensors hold what `fill` writes into them, stored as `dtype`: F32, F16 or BF16.
    pub fn from_fn(
        config: LlamaConfig,
        dtype: Dtype,
        mut fill: impl FnMut(&str, &mut [f32]),
    ) -> Result<Checkpoint<'static>> {
        config.check("config")?;
        float(dtype)?;
        let mut tensors = BTreeMap::new();
        for (name, shape) in config.tensor_shapes() {
            let mut values = vec![0.0; shape.iter().product()];
            fill(&name, &mut values);
            let bytes = Cow::Owned(encode(&values, dtype));
            tensors.insert(name, Tensor { dtype, shape, bytes });
        }
        Checkpoint::new("random weights", config, tensors)
    }

    /// The whole model as one safetensors file with elements of type `dtype`: F32, F16 or BF16.
    pub fn to_safetensors(&self, dtype: Dtype) -> Result<Vec<u8>> {
        let target = float(dtype)?;
        let converted = self.tensors.iter().map(|(name, tensor)| (name, Converted { tensor, dtype, target }));
        let metadata = [("format".to_owned(), "pt".to_owned())].into();
        safetensors::serialize(converted, Some(metadata)).map_err(|e| Error::file("model.safetensors", "header", e))
    }
}

/// Refuses a tensor beside those of a configuration, unless the result is the same without it: it lies outside what the
/// forward pass runs through (names that begin with one of `parts`), it follows from the configuration, or it is a bias of
/// zeros. `tensor` is `None` where its type cannot be read.
pub(crate) fn check_extra(
    file: &str,
    name: &str,
    parts: &[&str],
    tensor: Option<&Tensor<'_>>,
    config: &LlamaConfig,
) -> Result<()> {
    const ROTARY: [&str; 2] = [".rotary_emb.", ".attn_rot_embd"];
    /// Ends of names by which quantised safetensors (GPTQ, AWQ, bitsandbytes, FP8, MLX) keep what their weights mean.
    const OF_QUANTISED: [&str; 11] = [
        "_scale",
        ".scale",
        ".scales",
        "_scale_inv",
        ".qweight",
        ".qzeros",
        ".g_idx",
        ".absmax",
        ".quant_map",
        ".SCB",
        ".biases",
    ];
    let runs_through =
        parts.iter().any(|part| name.starts_with(part)) && !ROTARY.iter().any(|part| name.contains(part));
    let zeros = |tensor: &Tensor<'_>| tensor.to_f32().iter().all(|&value| value == 0.0);
    if !runs_through || name.ends_with(".bias") && tensor.is_some_and(zeros) {
        return Ok(());
    }
    if name.contains(".quant_state.") || OF_QUANTISED.iter().any(|end| name.ends_with(end)) {
        let next = "of quantised weights, which are read from GGUF files only: give such a file, or weights in F32, F16 or BF16";
        return Err(Error::file(file, name, next));
    }
    let layers = config.num_hidden_layers;
    Err(Error::file(
        file,
        name,
        format_args!("a tensor that a dense Llama of {layers} layers without biases does not have"),
    ))
}

/// A tensor seen as `dtype`: converted when its turn comes to be written, so that no second model lies in memory.
struct Converted<'t, 'a> {
    tensor: &'t Tensor<'a>,
    dtype: Dtype,
    target: safetensors::Dtype,
}

impl View for Converted<'_, '_> {
    fn dtype(&self) -> safetensors::Dtype {
        self.target
    }

    fn shape(&self) -> &[usize] {
        &self.tensor.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        if self.tensor.dtype == self.dtype {
            return Cow::Borrowed(&self.tensor.bytes);
        }
        Cow::Owned(encode(&self.tensor.to_f32(), self.dtype))
    }

    fn data_len(&self) -> usize {
        self.tensor.shape.iter().product::<usize>() * self.dtype.block_bytes()
    }
}

/// What safetensors calls a type that weights can be written as.
fn float(dtype: Dtype) -> Result<safetensors::Dtype> {
    match dtype {
        Dtype::F32 => Ok(safetensors::Dtype::F32),
        Dtype::F16 => Ok(safetensors::Dtype::F16),
        Dtype::BF16 => Ok(safetensors::Dtype::BF16),
        other => Err(Error::Request(format!("cannot write weights as {other:?}, only as F32, F16 or BF16"))),
    }
}

/// Little-endian bytes of `values` as F16 or BF16, rounded to nearest, as blocks of Q8_0, or as F32.
pub(crate) fn encode(values: &[f32], dtype: Dtype) -> Vec<u8> {
    match dtype {
        Dtype::Q8_0 => values.as_chunks().0.iter().flat_map(blocks::pack_q8_0).collect(),
        Dtype::F16 => values.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect(),
        Dtype::BF16 => values.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect(),
        _ => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
    }
}

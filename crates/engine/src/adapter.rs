//! LoRA adapters over any choice of a model's linears, in PEFT's layout on disk.

mod peft;

use std::borrow::Cow;
use std::collections::BTreeMap;

use cream_core::philox::{Stream, prompt_hash, uniform};
use safetensors::{SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};

use crate::backend::Backend;
use crate::config::LlamaConfig;
use crate::error::{Error, Result};
use crate::matrix::{Lora, Matrix};
use crate::stand_in;
use crate::tensor::{Dtype, Tensor};
use peft::PeftConfig;

/// The linears of a block, under Hugging Face's names. Their order is that of the forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are Hugging Face's own")]
pub enum Linear {
    QProj,
    KProj,
    VProj,
    OProj,
    GateProj,
    UpProj,
    DownProj,
}

impl Linear {
    /// All seven.
    pub const ALL: [Linear; 7] = [
        Linear::QProj,
        Linear::KProj,
        Linear::VProj,
        Linear::OProj,
        Linear::GateProj,
        Linear::UpProj,
        Linear::DownProj,
    ];

    /// Those that take the same input.
    pub(crate) const BY_INPUT: [&[Linear]; 4] = [
        &[Linear::QProj, Linear::KProj, Linear::VProj],
        &[Linear::OProj],
        &[Linear::GateProj, Linear::UpProj],
        &[Linear::DownProj],
    ];

    /// `q_proj` and so on.
    pub fn name(self) -> &'static str {
        ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"][self as usize]
    }

    /// `[D_out, D_in]` in a model of this shape.
    pub fn shape(self, config: &LlamaConfig) -> [usize; 2] {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        match self {
            Linear::QProj => [config.num_attention_heads * config.head_dim, width],
            Linear::KProj | Linear::VProj => [config.num_key_value_heads * config.head_dim, width],
            Linear::OProj => [width, config.num_attention_heads * config.head_dim],
            Linear::GateProj | Linear::UpProj => [inner, width],
            Linear::DownProj => [width, inner],
        }
    }

    /// `model.layers.N.self_attn.q_proj`
    fn module_name(self, layer: usize) -> String {
        let part = if self <= Linear::OProj { "self_attn" } else { "mlp" };
        format!("model.layers.{layer}.{part}.{}", self.name())
    }

    /// `model.layers.N.self_attn.q_proj.weight`
    pub(crate) fn weight_name(self, layer: usize) -> String {
        format!("{}.weight", self.module_name(layer))
    }
}

/// Shape of an adapter, under PEFT's keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoraConfig {
    /// R, the rank.
    pub r: usize,
    /// The addition is scaled by `lora_alpha / r`.
    pub lora_alpha: f32,
    /// Which linears have a pair.
    pub target_modules: Vec<Linear>,
}

impl Default for LoraConfig {
    fn default() -> Self {
        LoraConfig { r: 16, lora_alpha: 32.0, target_modules: Linear::ALL.to_vec() }
    }
}

impl LoraConfig {
    fn check(&self) -> Result<()> {
        let bad = |problem: String| Err(Error::Request(format!("adapter: {problem}")));
        if self.r == 0 || self.r > 4096 {
            return bad(format!("r is {}, expected 1 to 4096", self.r));
        }
        if !(self.lora_alpha.is_finite() && self.lora_alpha > 0.0) {
            return bad(format!("lora_alpha is {}, expected a positive number", self.lora_alpha));
        }
        if self.target_modules.is_empty() {
            return bad("target_modules is empty, expected at least one linear".into());
        }
        Ok(())
    }
}

/// Low-rank pairs for a model, f32 on its device.
#[derive(Debug)]
pub struct Adapter<B: Backend> {
    config: LoraConfig,
    /// By layer and [`Linear`].
    blocks: Vec<[Option<Lora<B>>; 7]>,
    dropout: f32,
}

impl<B: Backend> Adapter<B> {
    /// A fresh adapter that changes nothing: A uniform within ±1/sqrt(D_in) (PEFT's Kaiming start), B zero, so that
    /// policy and reference are equal at step 0.
    ///
    /// # Errors
    /// A rank of 0, a non-positive alpha, no target.
    pub fn new(backend: &B, model: &LlamaConfig, config: LoraConfig, seed: u64) -> Result<Self> {
        config.check()?;
        let zeros = |[rows, cols]: [usize; 2]| vec![0.0; rows * cols];
        let start = |name: &str, shape: [usize; 2]| {
            let (mut values, bound) = (zeros(shape), 1.0 / (shape[1] as f32).sqrt());
            for (i, four) in values.chunks_mut(4).enumerate() {
                let random = Stream::at(seed, prompt_hash(name.as_bytes()), 0, i as u32).random();
                let draws = random.map(|word| bound * (2.0 * uniform(word) - 1.0));
                four.iter_mut().zip(draws).for_each(|(value, draw)| *value = draw);
            }
            values
        };
        Self::from_fn(
            backend,
            model,
            config,
            |Factor { name, shape, is_a }| {
                if *is_a { start(name, *shape) } else { zeros(*shape) }
            },
        )
    }

    /// An adapter of the values that `factor` gives.
    pub(crate) fn from_fn(
        backend: &B,
        model: &LlamaConfig,
        config: LoraConfig,
        factor: impl FnMut(&Factor) -> Vec<f32>,
    ) -> Result<Self> {
        let mut factor = factor;
        Self::build(model, config, |factors| Ok(uploaded(backend, factors.iter().map(&mut factor))))
    }

    /// Reads a PEFT folder: the contents of adapter_config.json and adapter_model.safetensors.
    ///
    /// # Errors
    /// A config that is not LoRA's or asks for what is not supported; a tensor missing, unknown, or of a wrong shape or type.
    pub fn from_peft(backend: &B, model: &LlamaConfig, adapter_config: &[u8], weights: &[u8]) -> Result<Self> {
        const WEIGHTS: &str = "adapter_model.safetensors";
        let read = peft::read(adapter_config, model.num_hidden_layers)?;
        let file =
            SafeTensors::deserialize(weights).map_err(|e| Error::file(WEIGHTS, "header", stand_in::or(weights, e)))?;
        let mut stored = BTreeMap::new();
        for name in file.names() {
            if let Some(twice) = stored.insert(peft::factor_name(name), name) {
                return Err(Error::file(WEIGHTS, name, format_args!("the same factor as {twice}")));
            }
        }
        let mut factor = |Factor { name, shape, .. }: &Factor| {
            let own = stored.remove(name).unwrap_or(name);
            let view = file.tensor(own).map_err(|e| Error::file(WEIGHTS, own, e))?;
            let dtype = match view.dtype() {
                safetensors::Dtype::F32 => Dtype::F32,
                safetensors::Dtype::F16 => Dtype::F16,
                safetensors::Dtype::BF16 => Dtype::BF16,
                other => return Err(Error::file(WEIGHTS, own, format!("type {other}, expected F32, F16 or BF16"))),
            };
            if view.shape() != shape {
                let problem = format!("shape {:?}, expected {shape:?} of this model", view.shape());
                return Err(Error::file(WEIGHTS, own, problem));
            }
            Ok(Tensor { dtype, shape: shape.to_vec(), bytes: Cow::Borrowed(view.data()) }.to_f32())
        };
        let adapter = Self::build(model, read.lora, |factors| {
            let values: Result<Vec<_>> = factors.iter().map(&mut factor).collect();
            Ok(uploaded(backend, values?))
        })?;
        match stored.values().find(|name| !name.contains(".rotary_emb.")) {
            Some(name) => {
                let problem = format!("not a factor of the {} layers and target_modules", model.num_hidden_layers);
                Err(Error::file(WEIGHTS, name, problem))
            }
            None => Ok(Adapter { dropout: read.dropout, ..adapter }),
        }
    }

    /// `make` gives buffers for all factors, in their order.
    fn build(
        model: &LlamaConfig,
        config: LoraConfig,
        make: impl FnOnce(&[Factor]) -> Result<Vec<B::Buffer>>,
    ) -> Result<Self> {
        let (r, scale) = (config.r, config.lora_alpha / config.r as f32);
        let pair = |layer: usize, linear: Linear| {
            let ([d_out, d_in], [a, b]) = (linear.shape(model), factor_names(layer, linear));
            [Factor { name: a, shape: [r, d_in], is_a: true }, Factor { name: b, shape: [d_out, r], is_a: false }]
        };
        let is_target = |linear: &Linear| config.target_modules.contains(linear);
        let pairs = |layer| Linear::ALL.map(|linear| is_target(&linear).then(|| pair(layer, linear)));
        let factors: Vec<Factor> = (0..model.num_hidden_layers).flat_map(|layer| in_order(pairs(layer))).collect();
        let matrices = make(&factors)?.into_iter().zip(&factors);
        let matrices = matrices.map(|(buffer, factor)| Matrix::dense(buffer, factor.shape[0], factor.shape[1]));
        let lora = |[a, b]: [Matrix<B>; 2]| Lora { a, b, scale };
        let by_linear = paired(model.num_hidden_layers, is_target, matrices).into_iter();
        let blocks = by_linear.map(|pairs| pairs.map(|pair| pair.map(lora))).collect();
        Ok(Adapter { config, blocks, dropout: 0.0 })
    }

    /// The contents of adapter_config.json and adapter_model.safetensors.
    ///
    /// # Errors
    /// A device that was lost.
    pub async fn to_peft(&self, backend: &B, base_model: &str) -> Result<(String, Vec<u8>)> {
        let matrices = self.matrices();
        let buffers: Vec<&B::Buffer> = matrices.iter().filter_map(|matrix| matrix.buffer()).collect();
        let shapes = matrices.iter().map(|matrix| vec![matrix.rows(), matrix.cols()]);
        let factors = backend.read_all(&buffers).await?.into_iter().zip(shapes);
        let tensors: BTreeMap<String, (Vec<f32>, Vec<usize>)> = self.names().into_iter().zip(factors).collect();
        let views = tensors.iter().map(|(name, (values, shape))| {
            let view = TensorView::new(safetensors::Dtype::F32, shape.clone(), bytemuck::cast_slice(values));
            (name, view.expect("as many values as its shape says"))
        });
        let weights = safetensors::serialize(views, None).map_err(|e| Error::Request(e.to_string()))?;
        let config = PeftConfig::new(&self.config, base_model);
        let config = serde_json::to_string_pretty(&config).map_err(|e| Error::Request(e.to_string()))?;
        Ok((config, weights))
    }

    /// One of this shape with arbitrary factors.
    pub(crate) fn unwritten(backend: &B, model: &LlamaConfig, config: &LoraConfig) -> Result<Self> {
        config.check()?;
        let buffer = |Factor { shape: [rows, cols], .. }: &Factor| backend.buffer(rows * cols);
        Self::build(model, config.clone(), |factors| Ok(factors.iter().map(buffer).collect()))
    }

    /// A copy that can be trained apart from this one.
    pub fn duplicate(&self, backend: &B) -> Self {
        let shape = |matrix: &Matrix<B>| [matrix.rows(), matrix.cols()];
        let shapes: Vec<_> = self.matrices().into_iter().map(shape).collect();
        let buffers: Vec<&B::Buffer> = self.matrices().into_iter().filter_map(Matrix::buffer).collect();
        let copies = backend.duplicate_all(&buffers).into_iter().zip(shapes);
        let copies = copies.map(|(buffer, [rows, cols])| Matrix::dense(buffer, rows, cols));
        let scale = self.config.lora_alpha / self.config.r as f32;
        let by_linear = self.paired(copies).into_iter();
        let blocks = by_linear.map(|pairs| pairs.map(|pair| pair.map(|[a, b]| Lora { a, b, scale }))).collect();
        Adapter { config: self.config.clone(), blocks, dropout: self.dropout }
    }

    /// All factors, in their order.
    fn matrices<'a>(&'a self) -> Vec<&'a Matrix<B>> {
        let factors = |pair: &'a Option<Lora<B>>| pair.as_ref().map(|Lora { a, b, .. }| [a, b]);
        self.blocks.iter().flat_map(|pairs| in_order(pairs.each_ref().map(factors))).collect()
    }

    /// Their PEFT names.
    fn names(&self) -> Vec<String> {
        let named = |layer: usize| {
            let mut linears = Linear::ALL.into_iter();
            in_order(self.blocks[layer].each_ref().map(|pair| {
                let linear = linears.next()?;
                pair.as_ref().map(|_| factor_names(layer, linear))
            }))
        };
        (0..self.blocks.len()).flat_map(named).collect()
    }

    /// Numbers of each factor, in their order.
    pub(crate) fn lens(&self) -> Vec<usize> {
        self.matrices().into_iter().map(|matrix| matrix.rows() * matrix.cols()).collect()
    }

    /// Something for each factor, in their order, as pairs by layer and [`Linear`].
    pub(crate) fn paired<T>(&self, values: impl IntoIterator<Item = T>) -> Vec<[Option<[T; 2]>; 7]> {
        paired(self.blocks.len(), |linear| self.config.target_modules.contains(linear), values)
    }

    /// Its shape.
    pub fn config(&self) -> &LoraConfig {
        &self.config
    }

    /// The share of inputs that PEFT drops while it trains this adapter, as its file says. Nothing is dropped here, in
    /// training either.
    pub fn dropout(&self) -> f32 {
        self.dropout
    }

    pub(crate) fn get(&self, layer: usize, linear: Linear) -> Option<&Lora<B>> {
        self.blocks[layer][linear as usize].as_ref()
    }

    /// What is added to the weight of this Hugging Face name.
    pub(crate) fn get_by_weight(&self, name: &str) -> Option<&Lora<B>> {
        let pairs = (0..self.blocks.len()).flat_map(|layer| Linear::ALL.map(|linear| (layer, linear)));
        let (layer, linear) = pairs.into_iter().find(|(layer, linear)| linear.weight_name(*layer) == name)?;
        self.get(layer, linear)
    }

    /// All factors under their PEFT names, in their order.
    pub(crate) fn parameters_mut(&mut self) -> Vec<(String, Option<&mut B::Buffer>)> {
        let mut out = Vec::new();
        for (layer, pairs) in self.blocks.iter_mut().enumerate() {
            let mut linears = Linear::ALL.into_iter();
            out.extend(in_order(pairs.each_mut().map(|pair| {
                let [name_a, name_b] = factor_names(layer, linears.next()?);
                let Lora { a, b, .. } = pair.as_mut()?;
                Some([(name_a, a.dense_mut()), (name_b, b.dense_mut())])
            })));
        }
        out
    }
}

/// The order of factors: block by block, input by input, every A before every B. So those that are multiplied as one lie
/// behind each other, and all that is trained does.
pub(crate) fn in_order<T>(mut pairs: [Option<[T; 2]>; 7]) -> Vec<T> {
    let mut out = Vec::new();
    for linears in Linear::BY_INPUT {
        let own = linears.iter().filter_map(|&linear| pairs[linear as usize].take());
        let (of_a, of_b): (Vec<T>, Vec<T>) = own.map(|[a, b]| (a, b)).unzip();
        out.extend(of_a.into_iter().chain(of_b));
    }
    out
}

/// Back from that order, for so many layers.
fn paired<T>(
    layers: usize,
    is_target: impl Fn(&Linear) -> bool,
    values: impl IntoIterator<Item = T>,
) -> Vec<[Option<[T; 2]>; 7]> {
    let mut values = values.into_iter();
    let mut block = |_| {
        let mut pairs = [const { None }; 7];
        for linears in Linear::BY_INPUT {
            let own: Vec<Linear> = linears.iter().copied().filter(&is_target).collect();
            let [of_a, of_b] = [(); 2].map(|()| values.by_ref().take(own.len()).collect::<Vec<_>>());
            for ((linear, a), b) in own.into_iter().zip(of_a).zip(of_b) {
                pairs[linear as usize] = Some([a, b]);
            }
        }
        pairs
    };
    (0..layers).map(&mut block).collect()
}

/// One factor of a pair.
pub(crate) struct Factor {
    /// PEFT's.
    name: String,
    pub(crate) shape: [usize; 2],
    is_a: bool,
}

/// Factors on a device.
fn uploaded<B: Backend>(backend: &B, factors: impl IntoIterator<Item = Vec<f32>>) -> Vec<B::Buffer> {
    let factors: Vec<Vec<f32>> = factors.into_iter().collect();
    backend.upload_all(&factors.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

fn factor_names(layer: usize, linear: Linear) -> [String; 2] {
    let module = linear.module_name(layer);
    ["lora_A", "lora_B"].map(|factor| format!("base_model.model.{module}.{factor}.weight"))
}

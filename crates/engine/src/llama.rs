//! The model: a Llama-family decoder over a [`Backend`], forward and backward, written once.

use cream_core::philox::{Stream, normals, prompt_hash};

use crate::adapter::{Adapter, Linear};
use crate::backend::{Adapted, Backend, Heads, Norm, Rope};
use crate::batch::Batch;
use crate::checkpoint::Checkpoint;
use crate::config::LlamaConfig;
use crate::error::Result;
use crate::matrix::{Lora, Matrix};
use crate::memory::ready;
use crate::source::WeightSource;
use crate::tensor::Dtype;
use crate::train::{BlockGradients, Gradients};

/// Weights of a model on a device.
#[derive(Debug)]
pub struct Llama<B: Backend> {
    backend: B,
    config: LlamaConfig,
    /// `[V, D]`; also the head where the two are tied.
    pub(crate) embedding: Matrix<B>,
    pub(crate) blocks: Vec<Block<B>>,
    /// `[D]`
    pub(crate) norm: B::Buffer,
    /// `[V, D]`
    pub(crate) head: Option<Matrix<B>>,
    /// `[E / 2]`
    frequencies: B::Buffer,
}

/// Weights of one decoder block.
#[derive(Debug)]
pub(crate) struct Block<B: Backend> {
    /// `[D]`
    pub(crate) attention_norm: B::Buffer,
    /// `[D]`
    pub(crate) mlp_norm: B::Buffer,
    /// In the order of [`Linear::ALL`].
    pub(crate) linears: [Matrix<B>; 7],
}

/// Where the rows of one forward pass lie.
pub(crate) struct Rows<B: Backend> {
    pub(crate) positions: B::Indices,
    pub(crate) plan: B::Plan,
    /// T
    pub(crate) count: usize,
}

/// Keys and values of one block kept from earlier passes, `[rows, K * E]` each.
#[derive(Debug)]
pub(crate) struct BlockCache<B: Backend> {
    pub(crate) keys: B::Buffer,
    pub(crate) values: B::Buffer,
}

/// What the backward pass of one block needs from its forward pass.
pub(crate) struct BlockActivations<B: Backend> {
    /// `[T, H * E]`, rotated
    q: B::Buffer,
    /// `[T, K * E]`, rotated
    k: B::Buffer,
    /// `[T, K * E]`
    v: B::Buffer,
    /// `[T, H * E]`
    attended: B::Buffer,
    /// `[T, H]`
    lse: B::Buffer,
    /// Residual stream between attention and MLP, `[T, D]`
    middle: B::Buffer,
    /// `[T, F]`
    gate: B::Buffer,
    /// `[T, F]`
    up: B::Buffer,
}

/// A forward pass kept for its backward pass.
pub(crate) struct Tape<B: Backend> {
    rows: Rows<B>,
    tokens: B::Indices,
    head_rows: B::Indices,
    targets: B::Indices,
    /// Input of each block, `[T, D]`, and its activations unless they are to be computed again.
    blocks: Vec<(B::Buffer, Option<BlockActivations<B>>)>,
    /// Rows that meet the head, before and after the last norm, `[n, D]`.
    last: B::Buffer,
    normed: B::Buffer,
    /// `[n]`
    lse: B::Buffer,
}

impl<B: Backend> Llama<B> {
    /// Puts a checkpoint on the device: as its file packs it, or as f32 where the weights themselves are `trainable`.
    ///
    /// # Errors
    /// A tensor that is missing or has another shape than the config says; a shape that the device's kernels do not take.
    pub fn new(backend: B, checkpoint: &Checkpoint<'_>, trainable: bool) -> Result<Self> {
        ready(Llama::load(backend, checkpoint, trainable, |_, _| Ok(())))
    }

    /// The same from wherever the tensors lie, of which one is in memory at a time, or the few that lie behind each other
    /// on the device. `told` hears how many are there, and of how many, and ends the loading by an error.
    ///
    /// # Errors
    /// As [`Llama::new`]; what the source and `told` say.
    pub async fn load<S: WeightSource>(
        backend: B,
        source: &S,
        trainable: bool,
        mut told: impl FnMut(usize, usize) -> Result<()>,
    ) -> Result<Self> {
        let config = source.config().clone();
        backend.check(source.file(), &config)?;
        let (mut there, all) = (0, config.tensor_shapes().len());
        let mut told = |more| {
            there += more;
            told(there, all)
        };
        let matrix = async |name: &str, shape: [usize; 2]| -> Result<Matrix<B>> {
            let tensor = source.tensor(name, &shape).await?;
            Ok(Matrix::all_stored(&backend, &[&tensor], trainable).swap_remove(0))
        };
        let vector = async |name: &str| -> Result<B::Buffer> {
            Ok(backend.upload(&source.tensor(name, &[config.hidden_size]).await?.to_f32()))
        };
        let table = [config.vocab_size, config.hidden_size];
        let mut blocks = Vec::with_capacity(config.num_hidden_layers);
        for layer in 0..config.num_hidden_layers {
            let mut linears = Vec::with_capacity(7);
            for of_one_input in Linear::BY_INPUT {
                let mut tensors = Vec::with_capacity(of_one_input.len());
                for linear in of_one_input {
                    tensors.push(source.tensor(&linear.weight_name(layer), &linear.shape(&config)).await?);
                }
                linears.extend(Matrix::all_stored(&backend, &tensors.iter().collect::<Vec<_>>(), trainable));
                told(tensors.len())?;
            }
            let [attention, mlp] = norm_names(layer);
            blocks.push(Block {
                attention_norm: vector(&attention).await?,
                mlp_norm: vector(&mlp).await?,
                linears: linears.try_into().expect("one for each of Linear::ALL"),
            });
            told(2)?;
        }
        let embedding = matrix("model.embed_tokens.weight", table).await?;
        let norm = vector("model.norm.weight").await?;
        let head = if config.tie_word_embeddings { None } else { Some(matrix("lm_head.weight", table).await?) };
        told(2 + usize::from(head.is_some()))?;
        Ok(Llama {
            embedding,
            blocks,
            norm,
            head,
            frequencies: backend.upload(&config.rope_frequencies()),
            backend,
            config,
        })
    }

    /// A model of this shape with arbitrary weights in f32.
    pub(crate) fn unwritten(backend: B, config: &LlamaConfig) -> Self {
        let matrix = |[rows, cols]: [usize; 2]| Matrix::dense(backend.buffer(rows * cols), rows, cols);
        let vector = || backend.buffer(config.hidden_size);
        let table = [config.vocab_size, config.hidden_size];
        let block = |_| Block {
            attention_norm: vector(),
            mlp_norm: vector(),
            linears: Linear::ALL.map(|linear| matrix(linear.shape(config))),
        };
        Llama {
            embedding: matrix(table),
            blocks: (0..config.num_hidden_layers).map(block).collect(),
            norm: vector(),
            head: (!config.tie_word_embeddings).then(|| matrix(table)),
            frequencies: backend.buffer(config.head_dim / 2),
            config: config.clone(),
            backend,
        }
    }

    /// Bytes that its weights take.
    pub(crate) fn bytes(&self) -> u64 {
        let norms =
            self.backend.matrix_bytes(Dtype::F32, 1, self.config.hidden_size) * (2 * self.blocks.len() + 1) as u64;
        let matrices = self.blocks.iter().flat_map(|block| &block.linears).chain([&self.embedding]).chain(&self.head);
        norms + matrices.map(|matrix| matrix.bytes(&self.backend)).sum::<u64>()
    }

    /// A model with random weights (normal, standard deviation 0.02), for benches: only its shape means anything.
    ///
    /// # Errors
    /// A `dtype` other than F32, F16 and BF16.
    pub fn random(backend: B, config: LlamaConfig, dtype: Dtype, seed: u64) -> Result<Self> {
        let checkpoint = Checkpoint::from_fn(config, dtype, |name, values| {
            if name.contains("norm") {
                return values.fill(1.0);
            }
            let name = prompt_hash(name.as_bytes());
            for (i, four) in values.chunks_mut(4).enumerate() {
                let normals = normals(Stream::at(seed, name, 0, i as u32).random());
                four.iter_mut().zip(normals).for_each(|(value, normal)| *value = 0.02 * normal);
            }
        })?;
        Llama::new(backend, &checkpoint, false)
    }

    /// The model's shape.
    pub fn config(&self) -> &LlamaConfig {
        &self.config
    }

    /// The device it lies on.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// Log-probability of every completion token of the batch under the model with `adapter`, in the order of
    /// [`Batch::targets`].
    ///
    /// # Errors
    /// A device that was lost.
    pub async fn token_logps(&self, adapter: Option<&Adapter<B>>, batch: &Batch) -> Result<Vec<f32>> {
        let (rows, mut x) = self.enter(batch);
        for layer in 0..self.blocks.len() {
            self.block(layer, &mut x, &rows, adapter, None);
        }
        let head_rows = self.backend.indices(&batch.head_rows);
        let (_, normed) = self.leave(x, batch.rows(), &head_rows, batch.head_rows.len());
        let (logps, _) = self.head_logps(&normed, &self.backend.indices(&batch.targets), batch.targets.len());
        self.backend.read(&logps).await
    }

    /// As [`Llama::token_logps`], keeping what [`Llama::backward`] needs. With `recompute` only each block's input is
    /// kept (4·T·D bytes a block instead of about 10 times as many) and its activations are computed twice.
    pub(crate) fn forward(&self, adapter: Option<&Adapter<B>>, batch: &Batch, recompute: bool) -> (Tape<B>, B::Buffer) {
        let (rows, mut x) = self.enter(batch);
        let mut blocks = Vec::with_capacity(self.blocks.len());
        for layer in 0..self.blocks.len() {
            let (y, activations) = self.block_kept(layer, &x, &rows, adapter);
            blocks.push((x, (!recompute).then_some(activations)));
            x = y;
        }
        let (tokens, targets) = (self.backend.indices(&batch.tokens), self.backend.indices(&batch.targets));
        let head_rows = self.backend.indices(&batch.head_rows);
        let (last, normed) = self.leave(x, batch.rows(), &head_rows, batch.head_rows.len());
        let (logps, lse) = self.head_logps(&normed, &targets, batch.targets.len());
        (Tape { rows, tokens, head_rows, targets, blocks, last, normed, lse }, logps)
    }

    /// Adds to `gradients` the gradient of `sum of d_logps[i] * logps[i]`; `d_logps` `[n]`.
    pub(crate) fn backward(
        &self,
        adapter: Option<&Adapter<B>>,
        tape: Tape<B>,
        d_logps: &[f32],
        gradients: &mut Gradients<B>,
    ) {
        let (backend, width) = (&self.backend, self.config.hidden_size);
        let scored = d_logps.len();
        let d_logps = backend.upload(d_logps);
        let mut d_normed = backend.buffer(scored * width);
        let d_head = gradients.head.as_mut().or(gradients.embedding.as_mut());
        backend.token_logps_backward(
            &tape.normed,
            self.head(),
            &tape.targets,
            &tape.lse,
            &d_logps,
            &mut d_normed,
            d_head,
        );
        let mut d_last = backend.zeros(scored * width);
        let eps = self.config.rms_norm_eps;
        backend.rms_norm_backward(&tape.last, &self.norm, eps, &d_normed, &mut d_last, gradients.norm.as_mut());
        let mut d_x = backend.zeros(tape.rows.count * width);
        backend.embed_backward(&d_last, &tape.head_rows, &mut d_x);
        for (layer, (x, activations)) in tape.blocks.into_iter().enumerate().rev() {
            let activations = activations.unwrap_or_else(|| self.block_kept(layer, &x, &tape.rows, adapter).1);
            self.block_backward(layer, &x, activations, &tape.rows, adapter, &mut d_x, &mut gradients.blocks[layer]);
        }
        if let Some(d_embedding) = &mut gradients.embedding {
            backend.embed_backward(&d_x, &tape.tokens, d_embedding);
        }
    }

    fn enter(&self, batch: &Batch) -> (Rows<B>, B::Buffer) {
        let rows = Rows {
            positions: self.backend.indices(&batch.positions),
            plan: self.backend.plan(&batch.segments),
            count: batch.rows(),
        };
        let x = self.embed(&self.backend.indices(&batch.tokens), rows.count);
        (rows, x)
    }

    pub(crate) fn embed(&self, tokens: &B::Indices, count: usize) -> B::Buffer {
        let mut x = self.backend.buffer(count * self.config.hidden_size);
        self.backend.embed(&self.embedding, tokens, &mut x);
        x
    }

    /// Gathers the rows that meet the head: before and after the last norm, `[n, D]`.
    pub(crate) fn leave(
        &self,
        x: B::Buffer,
        rows: usize,
        head_rows: &B::Indices,
        count: usize,
    ) -> (B::Buffer, B::Buffer) {
        let width = self.config.hidden_size;
        let x = Matrix::dense(x, rows, width);
        let mut last = self.backend.buffer(count * width);
        self.backend.embed(&x, head_rows, &mut last);
        let normed = self.last_normed(&last, count);
        (last, normed)
    }

    /// Rows that meet the head, `[n, D]`.
    pub(crate) fn last_normed(&self, last: &B::Buffer, count: usize) -> B::Buffer {
        self.normed(last, &self.norm, count)
    }

    fn head_logps(&self, normed: &B::Buffer, targets: &B::Indices, count: usize) -> (B::Buffer, B::Buffer) {
        let (mut logps, mut lse) = (self.backend.buffer(count), self.backend.buffer(count));
        self.backend.token_logps(normed, self.head(), targets, &mut logps, &mut lse);
        (logps, lse)
    }

    pub(crate) fn head(&self) -> &Matrix<B> {
        self.head.as_ref().unwrap_or(&self.embedding)
    }

    fn normed(&self, x: &B::Buffer, weight: &B::Buffer, count: usize) -> B::Buffer {
        let mut out = self.backend.buffer(count * self.config.hidden_size);
        self.backend.rms_norm(x, weight, self.config.rms_norm_eps, &mut out);
        out
    }

    fn heads(&self) -> Heads {
        Heads {
            query: self.config.num_attention_heads,
            key_value: self.config.num_key_value_heads,
            dim: self.config.head_dim,
        }
    }

    /// One decoder block: adds to `x`, the residual stream, what attention and then the MLP make of it. With a `cache`,
    /// keys and values go to the given rows of it, and attention reads them there.
    pub(crate) fn block(
        &self,
        layer: usize,
        x: &mut B::Buffer,
        rows: &Rows<B>,
        adapter: Option<&Adapter<B>>,
        cache: Option<(&mut BlockCache<B>, &B::Indices)>,
    ) {
        let (backend, block, count, heads) = (&self.backend, &self.blocks[layer], rows.count, self.heads());
        let of = |linear| self.adapted(layer, linear, adapter);
        let norm = |weight| Norm { weight, eps: self.config.rms_norm_eps };
        let attended = match cache {
            Some((BlockCache { keys, values }, at)) => {
                let mut q = backend.buffer(count * heads.query * heads.dim);
                let [of_q, of_k, of_v] = [Linear::QProj, Linear::KProj, Linear::VProj].map(of);
                let rope = Rope { positions: &rows.positions, frequencies: &self.frequencies };
                let (norm, linears) = (norm(&block.attention_norm), [&of_q, &of_k, &of_v]);
                backend.project(x, &norm, linears, &rope, at, &mut q, [keys, values]);
                self.attended(&q, keys, values, rows).0
            }
            None => {
                let h = self.normed(x, &block.attention_norm, count);
                let [q, k, v] = self.projected(layer, &h, rows, adapter);
                self.attended(&q, &k, &v, rows).0
            }
        };
        backend.linear(&attended, &of(Linear::OProj), true, x);
        let mut activated = backend.buffer(count * self.config.intermediate_size);
        let linears = [&of(Linear::GateProj), &of(Linear::UpProj)];
        backend.gated(x, &norm(&block.mlp_norm), linears, &mut activated);
        backend.linear(&activated, &of(Linear::DownProj), true, x);
    }

    /// The same into a stream of its own, and what its backward pass needs.
    fn block_kept(
        &self,
        layer: usize,
        x: &B::Buffer,
        rows: &Rows<B>,
        adapter: Option<&Adapter<B>>,
    ) -> (B::Buffer, BlockActivations<B>) {
        let (backend, block, count) = (&self.backend, &self.blocks[layer], rows.count);
        let plus = |residual: &B::Buffer, linear: Linear, from: &B::Buffer| {
            let mut out = backend.duplicate(residual);
            backend.linear(from, &self.adapted(layer, linear, adapter), true, &mut out);
            out
        };
        let h = self.normed(x, &block.attention_norm, count);
        let [q, k, v] = self.projected(layer, &h, rows, adapter);
        let (attended, lse) = self.attended(&q, &k, &v, rows);
        let middle = plus(x, Linear::OProj, &attended);
        let h = self.normed(&middle, &block.mlp_norm, count);
        let [gate, up] = [Linear::GateProj, Linear::UpProj].map(|of| self.linear(layer, of, &h, count, adapter));
        let y = plus(&middle, Linear::DownProj, &self.activated(&gate, &up, count));
        (y, BlockActivations { q, k, v, attended, lse, middle, gate, up })
    }

    fn adapted<'a>(&'a self, layer: usize, linear: Linear, adapter: Option<&'a Adapter<B>>) -> Adapted<'a, B> {
        Adapted { weight: &self.blocks[layer].linears[linear as usize], lora: lora(adapter, layer, linear) }
    }

    fn linear(
        &self,
        layer: usize,
        linear: Linear,
        x: &B::Buffer,
        count: usize,
        adapter: Option<&Adapter<B>>,
    ) -> B::Buffer {
        let adapted = self.adapted(layer, linear, adapter);
        let mut out = self.backend.buffer(count * adapted.weight.rows());
        self.backend.linear(x, &adapted, false, &mut out);
        out
    }

    /// Queries, keys and values of normed rows, the first two rotated.
    fn projected(&self, layer: usize, h: &B::Buffer, rows: &Rows<B>, adapter: Option<&Adapter<B>>) -> [B::Buffer; 3] {
        let linears = [Linear::QProj, Linear::KProj, Linear::VProj];
        let [mut q, mut k, v] = linears.map(|linear| self.linear(layer, linear, h, rows.count, adapter));
        self.backend.rope(&mut q, &rows.positions, &self.frequencies, false);
        self.backend.rope(&mut k, &rows.positions, &self.frequencies, false);
        [q, k, v]
    }

    /// What attention makes of them, and its log-sum-exp.
    fn attended(&self, q: &B::Buffer, k: &B::Buffer, v: &B::Buffer, rows: &Rows<B>) -> (B::Buffer, B::Buffer) {
        let heads = self.heads();
        let mut out = self.backend.buffer(rows.count * heads.query * heads.dim);
        let mut lse = self.backend.buffer(rows.count * heads.query);
        self.backend.attention(q, k, v, &rows.plan, heads, &mut out, &mut lse);
        (out, lse)
    }

    fn activated(&self, gate: &B::Buffer, up: &B::Buffer, count: usize) -> B::Buffer {
        let mut out = self.backend.buffer(count * self.config.intermediate_size);
        self.backend.swiglu(gate, up, &mut out);
        out
    }

    /// Turns `d`, the gradient with respect to the block's output, into that with respect to its input.
    #[allow(clippy::too_many_arguments, reason = "forward's arguments and the gradient")]
    fn block_backward(
        &self,
        layer: usize,
        x: &B::Buffer,
        activations: BlockActivations<B>,
        rows: &Rows<B>,
        adapter: Option<&Adapter<B>>,
        d: &mut B::Buffer,
        gradients: &mut BlockGradients<B>,
    ) {
        let (backend, block, count, heads) = (&self.backend, &self.blocks[layer], rows.count, self.heads());
        let BlockActivations { q, k, v, attended, lse, middle, mut gate, mut up } = activations;
        let eps = self.config.rms_norm_eps;
        let BlockGradients { attention_norm, mlp_norm, linears } = gradients;
        let mut linear = |which: Linear, x: &B::Buffer, d_out: &B::Buffer, accumulate: bool, d_x: &mut B::Buffer| {
            let (weight, pair) = (&block.linears[which as usize], lora(adapter, layer, which));
            let gradient = linears[which as usize].as_target();
            backend.linear_backward(x, weight, pair, d_out, accumulate, d_x, gradient);
        };

        // What ends before the next part begins leaves its memory to it.
        {
            let d_act = &mut backend.buffer(count * self.config.intermediate_size);
            linear(Linear::DownProj, &self.activated(&gate, &up, count), d, false, d_act);
            backend.swiglu_backward(&mut gate, &mut up, d_act);
            let (d_gate, d_up) = (gate, up);
            let d_h = &mut backend.buffer(count * self.config.hidden_size);
            let h = self.normed(&middle, &block.mlp_norm, count);
            linear(Linear::GateProj, &h, &d_gate, false, d_h);
            linear(Linear::UpProj, &h, &d_up, true, d_h);
            backend.rms_norm_backward(&middle, &block.mlp_norm, eps, d_h, d, mlp_norm.as_mut());
        }

        let d_q = &mut backend.buffer(count * heads.query * heads.dim);
        let d_k = &mut backend.buffer(count * heads.key_value * heads.dim);
        let d_v = &mut backend.buffer(count * heads.key_value * heads.dim);
        {
            let d_attended = &mut backend.buffer(count * heads.query * heads.dim);
            linear(Linear::OProj, &attended, d, false, d_attended);
            backend.attention_backward(&q, &k, &v, &attended, &lse, d_attended, &rows.plan, heads, d_q, d_k, d_v);
        }
        backend.rope(d_q, &rows.positions, &self.frequencies, true);
        backend.rope(d_k, &rows.positions, &self.frequencies, true);
        let d_h = &mut backend.buffer(count * self.config.hidden_size);
        let h = self.normed(x, &block.attention_norm, count);
        linear(Linear::QProj, &h, d_q, false, d_h);
        linear(Linear::KProj, &h, d_k, true, d_h);
        linear(Linear::VProj, &h, d_v, true, d_h);
        backend.rms_norm_backward(x, &block.attention_norm, eps, d_h, d, attention_norm.as_mut());
    }

    /// All weights, those that are packed as `None`: embedding, blocks (norms, then linears), last norm, head.
    pub(crate) fn parameters_mut(&mut self) -> Vec<(String, Option<&mut B::Buffer>)> {
        let mut out = vec![("model.embed_tokens.weight".to_string(), self.embedding.dense_mut())];
        for (layer, block) in self.blocks.iter_mut().enumerate() {
            let [attention, mlp] = norm_names(layer);
            out.extend([(attention, Some(&mut block.attention_norm)), (mlp, Some(&mut block.mlp_norm))]);
            let linears = Linear::ALL.into_iter().zip(&mut block.linears);
            out.extend(linears.map(|(linear, weight)| (linear.weight_name(layer), weight.dense_mut())));
        }
        out.push(("model.norm.weight".into(), Some(&mut self.norm)));
        out.extend(self.head.as_mut().map(|head| ("lm_head.weight".to_string(), head.dense_mut())));
        out
    }

    /// Logits of the token after `tokens`, `[V]`.
    #[cfg(test)]
    pub(crate) async fn last_logits(&self, tokens: &[u32]) -> Result<Vec<f32>> {
        let group = crate::batch::Group { prompt: tokens.to_vec(), completions: vec![vec![0]] };
        let batch = Batch::new(&[group], self.config.vocab_size)?;
        let (rows, mut x) = self.enter(&batch);
        for layer in 0..self.blocks.len() {
            self.block(layer, &mut x, &rows, None, None);
        }
        let (_, normed) = self.leave(x, rows.count, &self.backend.indices(&batch.head_rows), 1);
        let mut logits = self.backend.buffer(self.config.vocab_size);
        self.backend.matmul(&normed, self.head(), 1.0, false, &mut logits);
        self.backend.read(&logits).await
    }

    /// Every weight as f32 under its Hugging Face name, with its shape; `adapter`, if given, is added in
    /// (`W + scale * B · A`): for export, not for scoring.
    ///
    /// # Errors
    /// A device that was lost.
    pub async fn tensors(&self, adapter: Option<&Adapter<B>>) -> Result<Vec<(String, Vec<usize>, Vec<f32>)>> {
        let (table, vector) = (vec![self.config.vocab_size, self.config.hidden_size], vec![self.config.hidden_size]);
        let embedding = self.embedding.to_dense(&self.backend, None)?;
        let mut out = self.read_named(vec![("model.embed_tokens.weight".into(), table.clone(), &embedding)]).await?;
        drop(embedding);
        // One wait for a block: all of a large model's weights in f32 would not lie on its device at once.
        for (layer, block) in self.blocks.iter().enumerate() {
            let mut dense = Vec::with_capacity(Linear::ALL.len());
            for linear in Linear::ALL {
                dense.push(block.linears[linear as usize].to_dense(&self.backend, lora(adapter, layer, linear))?);
            }
            let mut named = Vec::new();
            for (linear, values) in Linear::ALL.into_iter().zip(&dense) {
                named.push((linear.weight_name(layer), linear.shape(&self.config).to_vec(), values));
            }
            let norms = [&block.attention_norm, &block.mlp_norm];
            named.extend(norm_names(layer).into_iter().zip(norms).map(|(name, norm)| (name, vector.clone(), norm)));
            out.extend(self.read_named(named).await?);
        }
        let head = self.head.as_ref().map(|head| head.to_dense(&self.backend, None)).transpose()?;
        let mut named = vec![("model.norm.weight".to_string(), vector, &self.norm)];
        named.extend(head.iter().map(|head| ("lm_head.weight".to_string(), table.clone(), head)));
        out.extend(self.read_named(named).await?);
        Ok(out)
    }

    /// All of these in one wait.
    async fn read_named(
        &self,
        named: Vec<(String, Vec<usize>, &B::Buffer)>,
    ) -> Result<Vec<(String, Vec<usize>, Vec<f32>)>> {
        let buffers: Vec<&B::Buffer> = named.iter().map(|(_, _, buffer)| *buffer).collect();
        let values = self.backend.read_all(&buffers).await?;
        Ok(named.into_iter().zip(values).map(|((name, shape, _), values)| (name, shape, values)).collect())
    }
}

fn lora<B: Backend>(adapter: Option<&Adapter<B>>, layer: usize, linear: Linear) -> Option<&Lora<B>> {
    adapter.and_then(|adapter| adapter.get(layer, linear))
}

/// Names of a block's norms: before attention, before the MLP.
fn norm_names(layer: usize) -> [String; 2] {
    ["input_layernorm", "post_attention_layernorm"].map(|which| format!("model.layers.{layer}.{which}.weight"))
}

//! The kernels a device must offer. `Cpu` defines each; every other backend is compared with it.
//!
//! Kernels take buffers and sizes only: no closures, no strides, no shapes that a WGSL binding could not carry.
//! Sizes that follow from the buffers' lengths are not repeated. Arguments that do not fit each other are a mistake
//! of this crate, not of a user's file, and panic.
//!
//! Nothing but the functions that are futures waits for the device.

pub(crate) mod plain;

use std::future::Future;

use cream_core::Sampling;

use crate::config::LlamaConfig;
use crate::error::Result;
use crate::matrix::{Lora, Matrix};
use crate::memory::{Budget, Meter};
use crate::tensor::{Dtype, Tensor};

/// Rows of queries that see the same keys: a prompt, a completion, or one decoding slot.
///
/// Query `i` of the segment sees the `prefix_len` keys from `prefix_start` on, then the `own_past + i + 1` keys from
/// `own_start` on.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Segment {
    /// First query row.
    pub query_start: u32,
    /// Number of query rows.
    pub query_len: u32,
    /// First key row of the shared prompt.
    pub prefix_start: u32,
    /// Number of key rows of the shared prompt.
    pub prefix_len: u32,
    /// First key row of the segment itself.
    pub own_start: u32,
    /// Keys of the segment that lie before its first query (decoding; 0 elsewhere).
    pub own_past: u32,
}

/// What [`Backend::sample`] gives for a row that no token can be drawn from: no vocabulary has so many.
pub const NO_TOKEN: u32 = u32::MAX;

/// Heads of an attention kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    /// H, query heads; a multiple of `key_value`.
    pub query: usize,
    /// K, key-value heads.
    pub key_value: usize,
    /// E, width of one head.
    pub dim: usize,
}

/// What AdamW needs beside the tensors; names and defaults are torch's.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamW {
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Decoupled weight decay, times the learning rate; norms and biases have none.
    pub weight_decay: f32,
    /// Gradients are scaled so that their norm is at most this; 0 leaves them as they are.
    pub max_grad_norm: f32,
}

impl Default for AdamW {
    fn default() -> Self {
        AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01, max_grad_norm: 1.0 }
    }
}

/// One tensor under AdamW: its value, its gradient and its two moments, all of one length.
#[derive(Debug)]
pub struct Parameter<'a, B: Backend> {
    /// Updated in place.
    pub value: &'a mut B::Buffer,
    /// Gradient, before clipping.
    pub gradient: &'a B::Buffer,
    /// First moment.
    pub first: &'a mut B::Buffer,
    /// Second moment.
    pub second: &'a mut B::Buffer,
    /// Whether weight decay acts on it.
    pub decayed: bool,
}

/// Where the gradient of a linear's own parameters goes; each is added to.
#[derive(Debug)]
pub enum LinearGradient<'a, B: Backend> {
    /// Neither the weight nor an adapter is trained.
    Frozen,
    /// The low-rank pair is trained, the weight is not.
    Lora {
        /// `[R, D_in]`
        a: &'a mut B::Buffer,
        /// `[D_out, R]`
        b: &'a mut B::Buffer,
    },
    /// The weight itself is trained, `[D_out, D_in]`.
    Weight(&'a mut B::Buffer),
}

/// A linear of a block with its adapter, if it has one.
#[derive(Debug)]
pub struct Adapted<'a, B: Backend> {
    /// `[D_out, D_in]`
    pub weight: &'a Matrix<B>,
    /// Added to it.
    pub lora: Option<&'a Lora<B>>,
}

/// A root-mean-square norm.
#[derive(Debug)]
pub struct Norm<'a, B: Backend> {
    /// `[D]`
    pub weight: &'a B::Buffer,
    /// Added to the mean square.
    pub eps: f32,
}

/// Rotary positions of T rows.
#[derive(Debug)]
pub struct Rope<'a, B: Backend> {
    /// `[T]`
    pub positions: &'a B::Indices,
    /// `[E / 2]`
    pub frequencies: &'a B::Buffer,
}

/// A device.
pub trait Backend: Clone + std::fmt::Debug {
    /// f32 numbers on the device.
    type Buffer: std::fmt::Debug;
    /// u32 numbers on the device: tokens, rows, positions.
    type Indices: std::fmt::Debug;
    /// A matrix as its file stores it, unpacked only inside the kernels.
    type Packed: std::fmt::Debug;
    /// Segments, prepared for the attention kernels.
    type Plan: std::fmt::Debug;

    /// What `cream devices` shows.
    fn name(&self) -> String;
    /// Decoding steps worth queueing before tokens are read back.
    fn steps_per_read(&self) -> usize;
    /// A decoding step is queued and another will be: a good moment to let the device have it.
    fn flush(&self) {}
    /// Waits until all is done that was asked for: what a device has to say of it, it says here. For the end of loading,
    /// which reads nothing.
    fn finish(&self) -> impl Future<Output = Result<()>> {
        async { Ok(()) }
    }
    /// Makes ready what `work` will need, where that takes time (pipelines); `work` itself may be gone through for it
    /// but is not done: what it reads are zeros. `progress` is told how many are there, and of how many, and may end it.
    fn prepare(
        &self,
        work: impl FnOnce(),
        progress: impl FnMut(usize, usize) -> Result<()>,
    ) -> impl Future<Output = Result<()>> {
        let _ = (work, progress);
        async { Ok(()) }
    }

    /// Whether its kernels take a model of this shape, which `file` has.
    ///
    /// # Errors
    /// The first size that they do not.
    fn check(&self, file: &str, config: &LlamaConfig) -> Result<()> {
        let _ = (file, config);
        Ok(())
    }

    /// Bytes that its buffers hold.
    fn meter(&self) -> &Meter;
    /// How much of its memory a caller may take; see [`MemoryPlan`](crate::MemoryPlan).
    fn budget(&self) -> Budget;
    /// Gives back what is kept for reuse. For the boundary between stages, whose buffers have other sizes: within one,
    /// what is freed is soon asked for again.
    fn trim(&self);

    /// A buffer of `len` numbers with arbitrary contents.
    fn buffer(&self, len: usize) -> Self::Buffer;
    /// A buffer of `len` zeros.
    fn zeros(&self, len: usize) -> Self::Buffer;
    /// A buffer holding `data`.
    fn upload(&self, data: &[f32]) -> Self::Buffer;
    /// How many numbers a buffer holds.
    fn len(&self, buffer: &Self::Buffer) -> usize;
    /// How many bytes a matrix of this type takes here: numbers of f32, or what [`Backend::pack`] makes of another.
    fn matrix_bytes(&self, dtype: Dtype, rows: usize, cols: usize) -> u64;
    /// A copy of `source`.
    fn duplicate(&self, source: &Self::Buffer) -> Self::Buffer;
    /// Token ids, rows or positions.
    fn indices(&self, data: &[u32]) -> Self::Indices;
    /// A stored matrix, checked by its reader.
    fn pack(&self, tensor: &Tensor<'_>) -> Self::Packed;
    /// Segments in the order of their query rows.
    fn plan(&self, segments: &[Segment]) -> Self::Plan;
    /// Waits for the device and copies a buffer back.
    fn read(&self, buffer: &Self::Buffer) -> impl Future<Output = Result<Vec<f32>>>;
    /// The same of several buffers, all at once.
    fn read_all(&self, buffers: &[&Self::Buffer]) -> impl Future<Output = Result<Vec<Vec<f32>>>> {
        async move {
            let mut out = Vec::with_capacity(buffers.len());
            for buffer in buffers {
                out.push(self.read(buffer).await?);
            }
            Ok(out)
        }
    }
    /// Waits for the device and copies indices back, all at once.
    fn read_indices(&self, indices: &[&Self::Indices]) -> impl Future<Output = Result<Vec<Vec<u32>>>>;
    /// Does `work`, waits for the device, and tells the seconds between by the device's own clock, where it has one.
    fn device_seconds(&self, work: impl FnOnce()) -> impl Future<Output = Result<Option<f64>>> {
        async {
            work();
            self.read(&self.zeros(1)).await?;
            Ok(None)
        }
    }

    /// `out[t] = table[ids[t]]`: table `[V, D]`, out `[T, D]`; a row stays as it is where its id is V or more, as that of
    /// [`NO_TOKEN`] is. Also gathers rows of activations.
    fn embed(&self, table: &Matrix<Self>, ids: &Self::Indices, out: &mut Self::Buffer);
    /// `d_table[ids[t]] += d_out[t]`: d_out `[T, D]`, d_table `[V, D]`.
    fn embed_backward(&self, d_out: &Self::Buffer, ids: &Self::Indices, d_table: &mut Self::Buffer);
    /// `out[rows[t]] = x[t]`: fills rows of a KV cache. x `[T, width]`.
    fn store_rows(&self, x: &Self::Buffer, rows: &Self::Indices, out: &mut Self::Buffer);

    /// `out = x / sqrt(mean(x²) + eps) * weight` by row: x, out `[T, D]`, weight `[D]`.
    fn rms_norm(&self, x: &Self::Buffer, weight: &Self::Buffer, eps: f32, out: &mut Self::Buffer);
    /// Adds to `d_x` `[T, D]` and, where given, to `d_weight` `[D]`.
    fn rms_norm_backward(
        &self,
        x: &Self::Buffer,
        weight: &Self::Buffer,
        eps: f32,
        d_out: &Self::Buffer,
        d_x: &mut Self::Buffer,
        d_weight: Option<&mut Self::Buffer>,
    );

    /// `out = alpha * x · weightᵀ`, or `out +=` it: x `[T, D_in]`, weight `[D_out, D_in]`, out `[T, D_out]`.
    fn matmul(&self, x: &Self::Buffer, weight: &Matrix<Self>, alpha: f32, accumulate: bool, out: &mut Self::Buffer);
    /// `d_x = alpha * d_out · weight`, or `d_x +=` it.
    fn matmul_backward_input(
        &self,
        d_out: &Self::Buffer,
        weight: &Matrix<Self>,
        alpha: f32,
        accumulate: bool,
        d_x: &mut Self::Buffer,
    );
    /// `d_weight += alpha * d_outᵀ · x`: d_out `[T, D_out]`, x `[T, D_in]`, d_weight `[D_out, D_in]`.
    fn matmul_backward_weight(
        &self,
        d_out: &Self::Buffer,
        x: &Self::Buffer,
        d_out_width: usize,
        alpha: f32,
        d_weight: &mut Self::Buffer,
    );

    /// Rotates the half-split pairs (e, e + E/2) of every head by `positions[t] * frequencies[e]`, in place; backwards
    /// where `inverse`, which is also the gradient. x `[T, heads * E]`, frequencies `[E / 2]`.
    fn rope(&self, x: &mut Self::Buffer, positions: &Self::Indices, frequencies: &Self::Buffer, inverse: bool);

    /// Causal grouped-query attention over segments, scores scaled by `1 / sqrt(E)`.
    /// q, out `[T, H * E]`; k, v `[rows, K * E]`; lse `[T, H]`, the log-sum-exp of each row of scores.
    #[allow(clippy::too_many_arguments, reason = "the kernel's bindings")]
    fn attention(
        &self,
        q: &Self::Buffer,
        k: &Self::Buffer,
        v: &Self::Buffer,
        plan: &Self::Plan,
        heads: Heads,
        out: &mut Self::Buffer,
        lse: &mut Self::Buffer,
    );
    /// Overwrites d_q, d_k, d_v, each shaped as q, k, v; recomputes the scores from `lse`.
    #[allow(clippy::too_many_arguments, reason = "the kernel's bindings")]
    fn attention_backward(
        &self,
        q: &Self::Buffer,
        k: &Self::Buffer,
        v: &Self::Buffer,
        out: &Self::Buffer,
        lse: &Self::Buffer,
        d_out: &Self::Buffer,
        plan: &Self::Plan,
        heads: Heads,
        d_q: &mut Self::Buffer,
        d_k: &mut Self::Buffer,
        d_v: &mut Self::Buffer,
    );

    /// `out = gate * sigmoid(gate) * up`, element by element.
    fn swiglu(&self, gate: &Self::Buffer, up: &Self::Buffer, out: &mut Self::Buffer);
    /// Turns gate and up into their gradients.
    fn swiglu_backward(&self, gate: &mut Self::Buffer, up: &mut Self::Buffer, d_out: &Self::Buffer);

    /// `logps[t] = log_softmax(h[t] · headᵀ)[targets[t]]` and `lse[t]`, in tiles: no `[T, V]` array exists.
    /// h `[T, D]`, head `[V, D]`.
    fn token_logps(
        &self,
        h: &Self::Buffer,
        head: &Matrix<Self>,
        targets: &Self::Indices,
        logps: &mut Self::Buffer,
        lse: &mut Self::Buffer,
    );
    /// Overwrites `d_h` `[T, D]` and, where given, adds to `d_head` `[V, D]`; recomputes each tile of logits.
    #[allow(clippy::too_many_arguments, reason = "the kernel's bindings")]
    fn token_logps_backward(
        &self,
        h: &Self::Buffer,
        head: &Matrix<Self>,
        targets: &Self::Indices,
        lse: &Self::Buffer,
        d_logps: &Self::Buffer,
        d_h: &mut Self::Buffer,
        d_head: Option<&mut Self::Buffer>,
    );

    /// Draws one token a row: logits `[S, V]`; streams `[S, 4]`, the Philox counters; out `[S]`. With `seen`, the
    /// tokens of each row so far as `[S, ceil(V / 32)]` words of bits, repetition is penalised, and the token drawn is
    /// added to them. [`NO_TOKEN`] where a logit is NaN or infinite, or all are negative infinity, which else masks a token.
    fn sample(
        &self,
        logits: &Self::Buffer,
        sampling: &Sampling,
        seed: u64,
        streams: &Self::Indices,
        seen: Option<&mut Self::Indices>,
        out: &mut Self::Indices,
    );

    /// `out[0] = sum of the squares of all numbers in all buffers`.
    fn sum_of_squares(&self, buffers: &[&Self::Buffer], out: &mut Self::Buffer);
    /// One step of AdamW at `step` (from 1), gradients first clipped by the norm whose square is `norm_squared[0]`. Where
    /// that is not finite, all stays as it is.
    fn adamw(
        &self,
        parameters: Vec<Parameter<'_, Self>>,
        norm_squared: &Self::Buffer,
        options: &AdamW,
        learning_rate: f32,
        step: u32,
    );

    /// [`Backend::pack`] of matrices for the same input, as wide as each other: a device may lay their rows behind each
    /// other, to multiply them as one.
    fn pack_all(&self, tensors: &[&Tensor<'_>]) -> Vec<Self::Packed> {
        tensors.iter().map(|tensor| self.pack(tensor)).collect()
    }

    /// The same of [`Backend::upload`].
    fn upload_all(&self, data: &[&[f32]]) -> Vec<Self::Buffer> {
        data.iter().map(|data| self.upload(data)).collect()
    }

    /// The same of [`Backend::zeros`].
    fn zeros_all(&self, lens: &[usize]) -> Vec<Self::Buffer> {
        lens.iter().map(|&len| self.zeros(len)).collect()
    }

    /// The same of [`Backend::duplicate`].
    fn duplicate_all(&self, sources: &[&Self::Buffer]) -> Vec<Self::Buffer> {
        sources.iter().map(|source| self.duplicate(source)).collect()
    }

    /// `out = x · weightᵀ + scale * (x · Aᵀ) · Bᵀ`, or `out +=` it (product and residual in one).
    fn linear(&self, x: &Self::Buffer, linear: &Adapted<'_, Self>, accumulate: bool, out: &mut Self::Buffer) {
        plain::linear(self, x, linear, accumulate, out);
    }

    /// `out = silu(h · gateᵀ) * (h · upᵀ)` with h the norm of x: x `[T, D]`, out `[T, F]`.
    fn gated(
        &self,
        x: &Self::Buffer,
        norm: &Norm<'_, Self>,
        gate_and_up: [&Adapted<'_, Self>; 2],
        out: &mut Self::Buffer,
    ) {
        plain::gated(self, x, norm, gate_and_up, out);
    }

    /// Queries, keys and values of the norm of x `[T, D]`, the first two rotated: q `[T, H * E]`; keys and values go to
    /// rows `at` of a cache, `[rows, K * E]` each.
    #[allow(clippy::too_many_arguments, reason = "the kernel's bindings")]
    fn project(
        &self,
        x: &Self::Buffer,
        norm: &Norm<'_, Self>,
        linears: [&Adapted<'_, Self>; 3],
        rope: &Rope<'_, Self>,
        at: &Self::Indices,
        q: &mut Self::Buffer,
        cache: [&mut Self::Buffer; 2],
    ) {
        plain::project(self, x, norm, linears, rope, at, q, cache);
    }

    /// Backward of [`Backend::linear`]: `d_x =` or `d_x +=`, and the gradient of whatever is trained.
    #[allow(clippy::too_many_arguments, reason = "the kernel's bindings")]
    fn linear_backward(
        &self,
        x: &Self::Buffer,
        weight: &Matrix<Self>,
        lora: Option<&Lora<Self>>,
        d_out: &Self::Buffer,
        accumulate: bool,
        d_x: &mut Self::Buffer,
        gradient: LinearGradient<'_, Self>,
    ) {
        self.matmul_backward_input(d_out, weight, 1.0, accumulate, d_x);
        if let LinearGradient::Weight(d_weight) = gradient {
            self.matmul_backward_weight(d_out, x, weight.rows(), 1.0, d_weight);
            return;
        }
        let Some(Lora { a, b, scale }) = lora else { return };
        let mut d_low = self.buffer(self.len(x) / a.cols() * a.rows());
        self.matmul_backward_input(d_out, b, *scale, false, &mut d_low);
        self.matmul_backward_input(&d_low, a, 1.0, true, d_x);
        if let LinearGradient::Lora { a: d_a, b: d_b } = gradient {
            let mut low = self.buffer(self.len(x) / a.cols() * a.rows());
            self.matmul(x, a, 1.0, false, &mut low);
            self.matmul_backward_weight(d_out, &low, b.rows(), *scale, d_b);
            self.matmul_backward_weight(&d_low, x, a.rows(), 1.0, d_a);
        }
    }
}

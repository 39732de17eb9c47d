//! The CPU backend: the definition of every kernel, threaded with rayon, products through `gemm`.
//!
//! A result does not depend on the number of threads: work is divided by fixed sizes, no sum crosses a division, and all
//! arithmetic on numbers of a kernel is without denormal ones (see [`denormals`]).

mod adamw;
mod aligned;
mod attention;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod buffer;
mod denormals;
mod embed;
mod few_rows;
mod lane_sums;
mod matmul;
mod product;
mod rms_norm;
mod rope;
mod sample;
mod sum_of_squares;
mod swiglu;
mod token_logps;
mod unpack;
mod vectorised;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use cream_core::Sampling;

use crate::backend::{AdamW, Backend, Heads, Parameter, Segment};
use crate::error::Result;
use crate::matrix::{Matrix, MatrixData};
use crate::memory::{Budget, Meter};
use crate::tensor::{Dtype, Tensor};
use aligned::Aligned;
pub use buffer::CpuBuffer;
use buffer::Pool;
#[cfg(test)]
pub(crate) use denormals::flushed;
use product::Weight;

/// All cores of this machine, or as many as rayon's pool has.
///
/// Decoding calls hundreds of short kernels a step: call the model from inside the pool (`rayon::scope`), where a kernel
/// shares its work at once; from outside, each one wakes the pool and waits for it.
#[derive(Debug, Clone, Default)]
pub struct Cpu {
    pool: Arc<Pool>,
    budget: Budget,
    rest: Option<fn() -> Rest>,
}

/// What a read waits for before it answers.
pub type Rest = Pin<Box<dyn Future<Output = ()>>>;

/// A matrix as its file packs it.
#[derive(Debug)]
pub struct CpuPacked {
    dtype: Dtype,
    row_bytes: usize,
    bytes: Aligned<u8>,
}

impl Cpu {
    /// A backend on rayon's global pool.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with so much memory to take.
    pub fn with_budget(self, budget: Budget) -> Self {
        Cpu { budget, ..self }
    }

    /// The same with a rest at every read, where there is but one thread and others want it too: a page's worker hears that
    /// it shall stop only when it waits for something.
    pub fn with_rest(self, rest: fn() -> Rest) -> Self {
        Cpu { rest: Some(rest), ..self }
    }

    async fn rest(&self) {
        if let Some(rest) = self.rest {
            rest().await;
        }
    }

    fn weight<'a>(&self, matrix: &'a Matrix<Self>) -> Weight<'a> {
        match matrix.data() {
            MatrixData::Dense(buffer) => Weight::Dense { values: buffer, cols: matrix.cols() },
            MatrixData::Packed(packed) => Weight::Packed {
                dtype: packed.dtype,
                row_bytes: packed.row_bytes,
                bytes: &packed.bytes,
                cols: matrix.cols(),
            },
        }
    }
}

impl Backend for Cpu {
    type Buffer = CpuBuffer;
    type Indices = Vec<u32>;
    type Packed = CpuPacked;
    type Plan = Vec<Segment>;

    fn name(&self) -> String {
        // pulp's levels (V4 is AVX-512, V3 AVX2 and FMA) print with all their features behind a parenthesis.
        let level = format!("{:?}", pulp::Arch::new());
        let level = level.split('(').next().unwrap_or_default();
        format!("cpu, {} threads, SIMD level {level}", rayon::current_num_threads())
    }

    fn steps_per_read(&self) -> usize {
        1
    }

    fn meter(&self) -> &Meter {
        &self.pool.meter
    }

    fn budget(&self) -> Budget {
        self.budget
    }

    fn trim(&self) {
        self.pool.trim();
    }

    fn buffer(&self, len: usize) -> CpuBuffer {
        CpuBuffer::new(&self.pool, len)
    }

    fn zeros(&self, len: usize) -> CpuBuffer {
        let mut out = self.buffer(len);
        out.fill(0.0);
        out
    }

    fn upload(&self, data: &[f32]) -> CpuBuffer {
        let mut out = self.buffer(data.len());
        out.copy_from_slice(data);
        out
    }

    fn len(&self, buffer: &CpuBuffer) -> usize {
        buffer.len()
    }

    fn matrix_bytes(&self, dtype: Dtype, rows: usize, cols: usize) -> u64 {
        (rows * cols / dtype.block_len() * dtype.block_bytes()) as u64
    }

    fn duplicate(&self, source: &CpuBuffer) -> CpuBuffer {
        self.upload(source)
    }

    fn indices(&self, data: &[u32]) -> Vec<u32> {
        data.to_vec()
    }

    fn pack(&self, tensor: &Tensor<'_>) -> CpuPacked {
        let bytes = Aligned::from_slice(&tensor.bytes);
        CpuPacked { dtype: tensor.dtype, row_bytes: bytes.len() / tensor.shape[0], bytes }
    }

    fn plan(&self, segments: &[Segment]) -> Vec<Segment> {
        segments.to_vec()
    }

    async fn read(&self, buffer: &CpuBuffer) -> Result<Vec<f32>> {
        self.rest().await;
        Ok(buffer.to_vec())
    }

    async fn read_indices(&self, indices: &[&Vec<u32>]) -> Result<Vec<Vec<u32>>> {
        self.rest().await;
        Ok(indices.iter().map(|&indices| indices.clone()).collect())
    }

    fn embed(&self, table: &Matrix<Self>, ids: &Vec<u32>, out: &mut CpuBuffer) {
        embed::forward(self.weight(table), table.rows(), ids, out);
    }

    fn embed_backward(&self, d_out: &CpuBuffer, ids: &Vec<u32>, d_table: &mut CpuBuffer) {
        embed::backward(d_out, ids, d_table);
    }

    fn store_rows(&self, x: &CpuBuffer, rows: &Vec<u32>, out: &mut CpuBuffer) {
        embed::store(x, rows, out);
    }

    fn rms_norm(&self, x: &CpuBuffer, weight: &CpuBuffer, eps: f32, out: &mut CpuBuffer) {
        rms_norm::forward(x, weight, eps, out);
    }

    fn rms_norm_backward(
        &self,
        x: &CpuBuffer,
        weight: &CpuBuffer,
        eps: f32,
        d_out: &CpuBuffer,
        d_x: &mut CpuBuffer,
        d_weight: Option<&mut CpuBuffer>,
    ) {
        rms_norm::backward(x, weight, eps, d_out, d_x, d_weight.map(|d| &mut **d));
    }

    fn matmul(&self, x: &CpuBuffer, weight: &Matrix<Self>, alpha: f32, accumulate: bool, out: &mut CpuBuffer) {
        matmul::forward(x, self.weight(weight), weight.rows(), alpha, accumulate, out);
    }

    fn matmul_backward_input(
        &self,
        d_out: &CpuBuffer,
        weight: &Matrix<Self>,
        alpha: f32,
        accumulate: bool,
        d_x: &mut CpuBuffer,
    ) {
        let scratch = || self.buffer(matmul::CHUNK.max(weight.cols()));
        matmul::backward_input(d_out, self.weight(weight), weight.rows(), alpha, accumulate, d_x, scratch);
    }

    fn matmul_backward_weight(
        &self,
        d_out: &CpuBuffer,
        x: &CpuBuffer,
        d_out_width: usize,
        alpha: f32,
        d_weight: &mut CpuBuffer,
    ) {
        matmul::backward_weight(d_out, x, d_out_width, alpha, d_weight);
    }

    fn rope(&self, x: &mut CpuBuffer, positions: &Vec<u32>, frequencies: &CpuBuffer, inverse: bool) {
        rope::rotate(x, positions, frequencies, inverse);
    }

    fn attention(
        &self,
        q: &CpuBuffer,
        k: &CpuBuffer,
        v: &CpuBuffer,
        plan: &Vec<Segment>,
        heads: Heads,
        out: &mut CpuBuffer,
        lse: &mut CpuBuffer,
    ) {
        attention::forward(q, k, v, plan, heads, out, lse);
    }

    fn attention_backward(
        &self,
        q: &CpuBuffer,
        k: &CpuBuffer,
        v: &CpuBuffer,
        out: &CpuBuffer,
        lse: &CpuBuffer,
        d_out: &CpuBuffer,
        plan: &Vec<Segment>,
        heads: Heads,
        d_q: &mut CpuBuffer,
        d_k: &mut CpuBuffer,
        d_v: &mut CpuBuffer,
    ) {
        let saved = attention::Saved { q, k, v, out, lse };
        attention::backward(&saved, d_out, plan, heads, d_q, d_k, d_v);
    }

    fn swiglu(&self, gate: &CpuBuffer, up: &CpuBuffer, out: &mut CpuBuffer) {
        swiglu::forward(gate, up, out);
    }

    fn swiglu_backward(&self, gate: &mut CpuBuffer, up: &mut CpuBuffer, d_out: &CpuBuffer) {
        swiglu::backward(gate, up, d_out);
    }

    fn token_logps(
        &self,
        h: &CpuBuffer,
        head: &Matrix<Self>,
        targets: &Vec<u32>,
        logps: &mut CpuBuffer,
        lse: &mut CpuBuffer,
    ) {
        token_logps::forward(h, self.weight(head), head.rows(), targets, logps, lse, |len| self.buffer(len));
    }

    fn token_logps_backward(
        &self,
        h: &CpuBuffer,
        head: &Matrix<Self>,
        targets: &Vec<u32>,
        lse: &CpuBuffer,
        d_logps: &CpuBuffer,
        d_h: &mut CpuBuffer,
        d_head: Option<&mut CpuBuffer>,
    ) {
        let d_logits = token_logps::LogitGradient { targets, lse, d_logps };
        let d_head = d_head.map(|d| &mut **d);
        token_logps::backward(h, self.weight(head), head.rows(), &d_logits, d_h, d_head, |len| self.buffer(len));
    }

    fn sample(
        &self,
        logits: &CpuBuffer,
        sampling: &Sampling,
        seed: u64,
        streams: &Vec<u32>,
        seen: Option<&mut Vec<u32>>,
        out: &mut Vec<u32>,
    ) {
        sample::draw(logits, sampling, seed, streams, seen.map(Vec::as_mut_slice), out);
    }

    fn sum_of_squares(&self, buffers: &[&CpuBuffer], out: &mut CpuBuffer) {
        out[0] = sum_of_squares::sum(buffers);
    }

    fn adamw(
        &self,
        parameters: Vec<Parameter<'_, Self>>,
        norm_squared: &CpuBuffer,
        options: &AdamW,
        learning_rate: f32,
        step: u32,
    ) {
        adamw::step(parameters, norm_squared[0], options, learning_rate, step);
    }
}

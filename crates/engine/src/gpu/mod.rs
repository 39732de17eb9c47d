//! The GPU backend: every kernel as WGSL through wgpu, on Vulkan, Metal, DX12 and in the browser.
//!
//! Each file here bears the name of its shader (`shaders/NAME.wgsl`) and of its CPU twin (`cpu/NAME.rs`).
//! Kernels are recorded, not run: work goes to the device when something is read back or the recording is full.

mod adamw;
mod adapter;
mod attention;
mod attention_decode;
mod buffer;
mod dispatch;
mod embed;
mod failure;
mod forms;
mod fused;
mod heap;
mod matmul;
mod matmul_few;
mod oneshot;
mod prepare;
mod recording;
mod rms_norm;
mod rope;
mod sample;
mod shaders;
mod split;
mod sum_of_squares;
mod swiglu;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod timestamps;
mod token_logps;
mod trust;
#[cfg(test)]
mod validation;
mod weight;

use std::sync::Arc;

use cream_core::Sampling;

use crate::backend::{AdamW, Adapted, Backend, Heads, Norm, Parameter, Rope, Segment};
use crate::config::LlamaConfig;
use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::memory::{Budget, Meter, pooled_bytes};
use crate::tensor::{Dtype, Tensor};

pub use adapter::{AdapterInfo, Errors, adapters};
pub use attention::GpuPlan;
pub use buffer::{GpuBuffer, GpuIndices};
pub use dispatch::Counts;
pub use weight::GpuPacked;
/// The very crate whose device [`Gpu::from_device`] takes.
pub use wgpu;

/// A device, its queue and what has been recorded for it.
///
/// An error of a call (an array over the device's limit, out of memory, something that it does not take) is told by the
/// next read, once. Until then nothing more is recorded or sent, and after it the device works as before: what was there
/// may be used, and what was being made since the read before is an error wherever it is used, so it must be made anew.
/// What was being *changed* in place may have been or not: a trainer takes up the state that was saved of it. Only a
/// device that was lost stays so.
#[derive(Debug, Clone)]
pub struct Gpu(Arc<dispatch::Device>, Budget);

impl Gpu {
    /// How much memory the device had to give when it was opened, where its driver tells.
    pub fn memory_bytes(&self) -> Option<u64> {
        self.0.memory_bytes
    }

    /// Gives the device up, as if it were lost: whatever is read from now on is an error.
    pub fn destroy(&self) {
        self.0.device.destroy();
    }

    /// What the device is.
    pub fn info(&self) -> &AdapterInfo {
        &self.0.info
    }

    /// What the device was given to do so far.
    pub fn counts(&self) -> Counts {
        self.0.counts()
    }

    /// An error that somebody else was told of: see [`Errors::Reported`]. The next read is that error.
    pub fn report(&self, error: &wgpu::Error) {
        self.0.failure.set(error.to_string());
    }

    /// The same of the loss of the device; every read is an error from now on.
    pub fn report_lost(&self, message: &str) {
        self.0.failure.set_lost(format!("device lost: {message}"));
    }

    /// The same with so much memory to take.
    pub fn with_budget(self, budget: Budget) -> Self {
        Gpu(self.0, budget)
    }
}

impl Backend for Gpu {
    type Buffer = GpuBuffer;
    type Indices = GpuIndices;
    type Packed = GpuPacked;
    type Plan = GpuPlan;

    fn name(&self) -> String {
        self.0.info.name.clone()
    }

    fn steps_per_read(&self) -> usize {
        // Browsers take their time to tell that work is done; Firefox looks ten times a second.
        if cfg!(target_arch = "wasm32") { 32 } else { 16 }
    }

    fn flush(&self) {
        self.0.flush();
    }

    async fn finish(&self) -> Result<()> {
        self.0.read(&self.0.unread::<u32>()).await.map(drop)
    }

    async fn prepare(&self, work: impl FnOnce(), progress: impl FnMut(usize, usize) -> Result<()>) -> Result<()> {
        self.0.prepare(work, progress).await
    }

    fn check(&self, file: &str, config: &LlamaConfig) -> Result<()> {
        // Tiles of a product lie in one line along its columns.
        let columns = dispatch::MOST_GROUPS as usize * matmul::TILE;
        for (key, value, most) in [
            ("head_dim", config.head_dim, attention::WIDEST),
            ("vocab_size", config.vocab_size, columns),
            ("intermediate_size", config.intermediate_size, columns),
        ] {
            if value > most {
                let problem = format_args!("{value}, expected at most {most} on {}", self.name());
                return Err(Error::file(file, format_args!("config {key}"), problem));
            }
        }
        Ok(())
    }

    fn meter(&self) -> &Meter {
        self.0.meter()
    }

    fn budget(&self) -> Budget {
        self.1
    }

    fn trim(&self) {
        self.0.trim();
    }

    fn buffer(&self, len: usize) -> GpuBuffer {
        self.0.buffer(len)
    }

    fn zeros(&self, len: usize) -> GpuBuffer {
        self.zeros_all(&[len]).swap_remove(0)
    }

    fn upload(&self, data: &[f32]) -> GpuBuffer {
        self.0.upload(data)
    }

    fn len(&self, buffer: &GpuBuffer) -> usize {
        buffer.len()
    }

    fn matrix_bytes(&self, dtype: Dtype, rows: usize, cols: usize) -> u64 {
        pooled_bytes(weight::words(dtype, rows, cols))
    }

    fn duplicate(&self, source: &GpuBuffer) -> GpuBuffer {
        self.0.duplicate_all(&[source]).swap_remove(0)
    }

    fn indices(&self, data: &[u32]) -> GpuIndices {
        self.0.indices(data)
    }

    fn pack(&self, tensor: &Tensor<'_>) -> GpuPacked {
        self.pack_all(&[tensor]).swap_remove(0)
    }

    fn plan(&self, segments: &[Segment]) -> GpuPlan {
        GpuPlan::new(&self.0, segments)
    }

    async fn read(&self, buffer: &GpuBuffer) -> Result<Vec<f32>> {
        self.0.read(buffer).await
    }

    async fn read_all(&self, buffers: &[&GpuBuffer]) -> Result<Vec<Vec<f32>>> {
        self.0.read_all(buffers).await
    }

    async fn read_indices(&self, indices: &[&GpuIndices]) -> Result<Vec<Vec<u32>>> {
        self.0.read_all(indices).await
    }

    async fn device_seconds(&self, work: impl FnOnce()) -> Result<Option<f64>> {
        self.0.seconds(work).await
    }

    fn embed(&self, table: &Matrix<Self>, ids: &GpuIndices, out: &mut GpuBuffer) {
        embed::forward(&self.0, table, ids, out);
    }

    fn embed_backward(&self, d_out: &GpuBuffer, ids: &GpuIndices, d_table: &mut GpuBuffer) {
        embed::backward(&self.0, d_out, ids, d_table);
    }

    fn store_rows(&self, x: &GpuBuffer, rows: &GpuIndices, out: &mut GpuBuffer) {
        embed::store(&self.0, x, rows, out);
    }

    fn rms_norm(&self, x: &GpuBuffer, weight: &GpuBuffer, eps: f32, out: &mut GpuBuffer) {
        rms_norm::forward(&self.0, x, weight, eps, out);
    }

    fn rms_norm_backward(
        &self,
        x: &GpuBuffer,
        weight: &GpuBuffer,
        eps: f32,
        d_out: &GpuBuffer,
        d_x: &mut GpuBuffer,
        d_weight: Option<&mut GpuBuffer>,
    ) {
        rms_norm::backward(&self.0, x, weight, eps, d_out, d_x, d_weight);
    }

    fn matmul(&self, x: &GpuBuffer, weight: &Matrix<Self>, alpha: f32, accumulate: bool, out: &mut GpuBuffer) {
        split::matmul(&self.0, x, weight, alpha, accumulate, out);
    }

    fn matmul_backward_input(
        &self,
        d_out: &GpuBuffer,
        weight: &Matrix<Self>,
        alpha: f32,
        accumulate: bool,
        d_x: &mut GpuBuffer,
    ) {
        split::matmul_backward_input(&self.0, d_out, weight, alpha, accumulate, d_x);
    }

    fn matmul_backward_weight(
        &self,
        d_out: &GpuBuffer,
        x: &GpuBuffer,
        d_out_width: usize,
        alpha: f32,
        d_weight: &mut GpuBuffer,
    ) {
        split::matmul_backward_weight(&self.0, d_out, x, d_out_width, alpha, d_weight);
    }

    fn rope(&self, x: &mut GpuBuffer, positions: &GpuIndices, frequencies: &GpuBuffer, inverse: bool) {
        rope::rotate(&self.0, x, positions, frequencies, inverse);
    }

    fn attention(
        &self,
        q: &GpuBuffer,
        k: &GpuBuffer,
        v: &GpuBuffer,
        plan: &GpuPlan,
        heads: Heads,
        out: &mut GpuBuffer,
        lse: &mut GpuBuffer,
    ) {
        split::attention(&self.0, q, k, v, plan, heads, out, lse);
    }

    fn attention_backward(
        &self,
        q: &GpuBuffer,
        k: &GpuBuffer,
        v: &GpuBuffer,
        out: &GpuBuffer,
        lse: &GpuBuffer,
        d_out: &GpuBuffer,
        plan: &GpuPlan,
        heads: Heads,
        d_q: &mut GpuBuffer,
        d_k: &mut GpuBuffer,
        d_v: &mut GpuBuffer,
    ) {
        let saved = attention::Saved { q, k, v, out, lse };
        split::attention_backward(&self.0, &saved, d_out, plan, heads, d_q, d_k, d_v);
    }

    fn swiglu(&self, gate: &GpuBuffer, up: &GpuBuffer, out: &mut GpuBuffer) {
        swiglu::forward(&self.0, gate, up, out);
    }

    fn swiglu_backward(&self, gate: &mut GpuBuffer, up: &mut GpuBuffer, d_out: &GpuBuffer) {
        swiglu::backward(&self.0, gate, up, d_out);
    }

    fn token_logps(
        &self,
        h: &GpuBuffer,
        head: &Matrix<Self>,
        targets: &GpuIndices,
        logps: &mut GpuBuffer,
        lse: &mut GpuBuffer,
    ) {
        token_logps::forward(&self.0, h, head, targets, logps, lse);
    }

    fn token_logps_backward(
        &self,
        h: &GpuBuffer,
        head: &Matrix<Self>,
        targets: &GpuIndices,
        lse: &GpuBuffer,
        d_logps: &GpuBuffer,
        d_h: &mut GpuBuffer,
        d_head: Option<&mut GpuBuffer>,
    ) {
        let d_logits = token_logps::LogitGradient { targets, lse, d_logps };
        token_logps::backward(&self.0, h, head, &d_logits, d_h, d_head);
    }

    fn sample(
        &self,
        logits: &GpuBuffer,
        sampling: &Sampling,
        seed: u64,
        streams: &GpuIndices,
        seen: Option<&mut GpuIndices>,
        out: &mut GpuIndices,
    ) {
        sample::draw(&self.0, logits, sampling, seed, streams, seen.as_deref(), out);
    }

    fn sum_of_squares(&self, buffers: &[&GpuBuffer], out: &mut GpuBuffer) {
        sum_of_squares::sum(&self.0, buffers, out);
    }

    fn adamw(
        &self,
        parameters: Vec<Parameter<'_, Self>>,
        norm_squared: &GpuBuffer,
        options: &AdamW,
        learning_rate: f32,
        step: u32,
    ) {
        adamw::step(&self.0, parameters, norm_squared, options, learning_rate, step);
    }

    fn pack_all(&self, tensors: &[&Tensor<'_>]) -> Vec<GpuPacked> {
        GpuPacked::all(&self.0, tensors)
    }

    fn upload_all(&self, data: &[&[f32]]) -> Vec<GpuBuffer> {
        self.0.write_all(data)
    }

    fn zeros_all(&self, lens: &[usize]) -> Vec<GpuBuffer> {
        self.0.zeros_all(lens)
    }

    fn duplicate_all(&self, sources: &[&GpuBuffer]) -> Vec<GpuBuffer> {
        self.0.duplicate_all(sources)
    }

    fn linear(&self, x: &GpuBuffer, linear: &Adapted<'_, Self>, accumulate: bool, out: &mut GpuBuffer) {
        fused::linear(self, x, linear, accumulate, out);
    }

    fn gated(&self, x: &GpuBuffer, norm: &Norm<'_, Self>, gate_and_up: [&Adapted<'_, Self>; 2], out: &mut GpuBuffer) {
        fused::gated(self, x, norm, gate_and_up, out);
    }

    fn project(
        &self,
        x: &GpuBuffer,
        norm: &Norm<'_, Self>,
        linears: [&Adapted<'_, Self>; 3],
        rope: &Rope<'_, Self>,
        at: &GpuIndices,
        q: &mut GpuBuffer,
        cache: [&mut GpuBuffer; 2],
    ) {
        fused::project(self, x, norm, linears, rope, at, q, cache);
    }
}

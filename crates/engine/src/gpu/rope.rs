//! Rotary positions on half-split pairs.

use super::Gpu;
use super::buffer::{GpuBuffer, GpuIndices};
use super::dispatch::{Device, Kernel, line};
use super::shaders::{library, shader};
use crate::backend::Rope;

/// x `[T, heads * E]`, frequencies `[E / 2]`; one invocation a pair.
pub(super) fn rotate(device: &Device, x: &GpuBuffer, positions: &GpuIndices, frequencies: &GpuBuffer, inverse: bool) {
    let Some(width) = x.len().checked_div(positions.len()) else { return };
    let sign: f32 = if inverse { -1.0 } else { 1.0 };
    for rows in device.parts(positions.len(), &[width, 1]) {
        let (x, positions) = (x.rows(&rows, width), positions.rows(&rows, 1));
        let (kernel, pairs) = (Kernel { shader: shader!("rope", library!("turn")), constants: vec![] }, x.len() / 2);
        let parameters = [pairs as u32, width as u32 / 2, frequencies.len() as u32, sign.to_bits()];
        let bindings = [x.storage(), positions.storage(), frequencies.storage()];
        device.run(kernel, &bindings, &parameters, line(pairs.div_ceil(256)));
    }
}

/// x `[T, (H + 2 K) * E]`: queries, keys and values; q `[T, H * E]`, cache `[rows, K * E]` each.
pub(super) fn rotate_to_cache(
    device: &Device,
    x: &GpuBuffer,
    Rope { positions, frequencies }: &Rope<'_, Gpu>,
    at: &GpuIndices,
    q: &GpuBuffer,
    [keys, values]: [&GpuBuffer; 2],
) {
    let (rows, half) = (positions.len(), frequencies.len());
    let [heads, query_heads] = [x, q].map(|array| array.len() / rows / half / 2);
    let kernel = Kernel { shader: shader!("rope_to_cache", library!("turn")), constants: vec![] };
    let parameters = [rows, query_heads, (heads - query_heads) / 2, half].map(|size| size as u32);
    let inputs = [x.storage(), positions.storage(), frequencies.storage(), at.storage()];
    let bindings: Vec<_> = inputs.into_iter().chain([q, keys, values].map(GpuBuffer::storage)).collect();
    device.run(kernel, &bindings, &parameters, line((x.len() / 2).div_ceil(256)));
}

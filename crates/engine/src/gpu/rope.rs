//! Rotary positions on half-split pairs.

use super::buffer::{GpuBuffer, GpuIndices};
use super::dispatch::{Device, Kernel, line};
use super::shaders::shader;

/// x `[T, heads * E]`, frequencies `[E / 2]`; one invocation a pair.
pub(super) fn rotate(device: &Device, x: &GpuBuffer, positions: &GpuIndices, frequencies: &GpuBuffer, inverse: bool) {
    let pairs = x.len() / 2;
    let Some(pairs_per_row) = pairs.checked_div(positions.len()) else { return };
    let kernel = Kernel { shader: shader!("rope"), constants: vec![] };
    let sign: f32 = if inverse { -1.0 } else { 1.0 };
    let parameters = [pairs as u32, pairs_per_row as u32, frequencies.len() as u32, sign.to_bits()];
    let bindings = [x.storage(), positions.storage(), frequencies.storage()];
    device.run(kernel, &bindings, &parameters, line(pairs.div_ceil(256)));
}

//! Rotary positions on half-split pairs.

use super::buffer::{GpuBuffer, GpuIndices};
use super::dispatch::{Device, Kernel, line};
use super::shaders::shader;

/// x `[T, heads * E]`, frequencies `[E / 2]`; one invocation a pair.
pub(super) fn rotate(device: &Device, x: &GpuBuffer, positions: &GpuIndices, frequencies: &GpuBuffer, inverse: bool) {
    let Some(width) = x.len().checked_div(positions.len()) else { return };
    let sign: f32 = if inverse { -1.0 } else { 1.0 };
    for rows in device.parts(positions.len(), &[width, 1]) {
        let (x, positions) = (x.rows(&rows, width), positions.rows(&rows, 1));
        let (kernel, pairs) = (Kernel { shader: shader!("rope"), constants: vec![] }, x.len() / 2);
        let parameters = [pairs as u32, width as u32 / 2, frequencies.len() as u32, sign.to_bits()];
        let bindings = [x.storage(), positions.storage(), frequencies.storage()];
        device.run(kernel, &bindings, &parameters, line(pairs.div_ceil(256)));
    }
}

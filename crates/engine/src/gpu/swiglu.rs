//! The gated activation of the MLP: `silu(gate) * up`.

use super::buffer::GpuBuffer;
use super::dispatch::{Device, Kernel, each};
use super::shaders::shader;

/// All `[T, F]`.
pub(super) fn forward(device: &Device, gate: &GpuBuffer, up: &GpuBuffer, out: &GpuBuffer) {
    let kernel = Kernel { shader: shader!("swiglu"), constants: vec![] };
    let bindings = [gate.storage(), up.storage(), out.storage()];
    device.run(kernel, &bindings, &[out.len() as u32], each(out.len()));
}

/// All `[T, F]`.
pub(super) fn backward(
    device: &Device,
    gate: &GpuBuffer,
    up: &GpuBuffer,
    d_out: &GpuBuffer,
    d_gate: &GpuBuffer,
    d_up: &GpuBuffer,
) {
    let kernel = Kernel { shader: shader!("swiglu_backward"), constants: vec![] };
    let bindings = [gate.storage(), up.storage(), d_out.storage(), d_gate.storage(), d_up.storage()];
    device.run(kernel, &bindings, &[d_out.len() as u32], each(d_out.len()));
}

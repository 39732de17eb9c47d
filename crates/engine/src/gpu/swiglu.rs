//! The gated activation of the MLP: `silu(gate) * up`.

use super::buffer::GpuBuffer;
use super::dispatch::{Device, Kernel, each};
use super::shaders::{library, shader};
use super::split::by_numbers;

/// All `[T, F]`.
pub(super) fn forward(device: &Device, gate: &GpuBuffer, up: &GpuBuffer, out: &GpuBuffer) {
    by_numbers(device, [gate, up, out], |arrays| {
        let kernel = Kernel { shader: shader!("swiglu", library!("sigmoid")), constants: vec![] };
        let bindings = arrays.each_ref().map(GpuBuffer::storage);
        device.run(kernel, &bindings, &[arrays[0].len() as u32], each(arrays[0].len()));
    });
}

/// All `[T, F]`; gate and up become their gradients.
pub(super) fn backward(device: &Device, gate: &GpuBuffer, up: &GpuBuffer, d_out: &GpuBuffer) {
    by_numbers(device, [gate, up, d_out], |arrays| {
        let kernel = Kernel { shader: shader!("swiglu_backward", library!("sigmoid")), constants: vec![] };
        let bindings = arrays.each_ref().map(GpuBuffer::storage);
        device.run(kernel, &bindings, &[arrays[0].len() as u32], each(arrays[0].len()));
    });
}

//! Root-mean-square norm by row.

use super::buffer::GpuBuffer;
use super::dispatch::{Device, Kernel, line};
use super::shaders::shader;

/// Columns of one workgroup in the gradient of the weight, as in the shader.
const COLUMNS: usize = 8;

/// x, out `[T, D]`, weight `[D]`; one workgroup a row.
pub(super) fn forward(device: &Device, x: &GpuBuffer, weight: &GpuBuffer, eps: f32, out: &GpuBuffer) {
    let rows = x.len() / weight.len();
    let kernel = Kernel { shader: shader!("rms_norm"), constants: vec![] };
    let parameters = [weight.len() as u32, rows as u32, eps.to_bits()];
    device.run(kernel, &[x.storage(), weight.storage(), out.storage()], &parameters, line(rows));
}

/// Adds to d_x `[T, D]` and d_weight `[D]`.
pub(super) fn backward(
    device: &Device,
    x: &GpuBuffer,
    weight: &GpuBuffer,
    eps: f32,
    d_out: &GpuBuffer,
    d_x: &GpuBuffer,
    d_weight: Option<&mut GpuBuffer>,
) {
    let width = weight.len();
    let rows = x.len() / width;
    let inverse_rms = device.buffer(rows);
    let kernel = Kernel { shader: shader!("rms_norm_backward"), constants: vec![] };
    let bindings = [x, weight, d_out, d_x, &inverse_rms].map(GpuBuffer::storage);
    device.run(kernel, &bindings, &[width as u32, rows as u32, eps.to_bits()], line(rows));
    if let Some(d_weight) = d_weight {
        let kernel = Kernel { shader: shader!("rms_norm_backward_weight"), constants: vec![] };
        let bindings = [x, d_out, &inverse_rms, d_weight].map(|buffer| buffer.storage());
        device.run(kernel, &bindings, &[width as u32, rows as u32], line(width.div_ceil(COLUMNS)));
    }
}

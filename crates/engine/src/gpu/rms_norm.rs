//! Root-mean-square norm by row.

use super::buffer::GpuBuffer;
use super::dispatch::{Device, Kernel, line};
use super::shaders::shader;

/// Columns of one workgroup in the gradient of the weight, as in the shader.
const COLUMNS: usize = 8;

/// x, out `[T, D]`, weight `[D]`; one workgroup a row.
pub(super) fn forward(device: &Device, x: &GpuBuffer, weight: &GpuBuffer, eps: f32, out: &GpuBuffer) {
    let width = weight.len();
    for rows in device.parts(x.len() / width, &[width]) {
        let [x, out] = [x, out].map(|array| array.rows(&rows, width));
        let kernel = Kernel { shader: shader!("rms_norm"), constants: vec![] };
        let parameters = [width as u32, rows.len() as u32, eps.to_bits()];
        device.run(kernel, &[x.storage(), weight.storage(), out.storage()], &parameters, line(rows.len()));
    }
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
    for rows in device.parts(x.len() / width, &[width]) {
        let [x, d_out, d_x] = [x, d_out, d_x].map(|array| array.rows(&rows, width));
        let (rows, inverse_rms) = (rows.len(), device.buffer(rows.len()));
        let kernel = Kernel { shader: shader!("rms_norm_backward"), constants: vec![] };
        let bindings = [&x, weight, &d_out, &d_x, &inverse_rms].map(GpuBuffer::storage);
        device.run(kernel, &bindings, &[width as u32, rows as u32, eps.to_bits()], line(rows));
        if let Some(d_weight) = d_weight.as_deref() {
            let kernel = Kernel { shader: shader!("rms_norm_backward_weight"), constants: vec![] };
            let bindings = [&x, &d_out, &inverse_rms, d_weight].map(GpuBuffer::storage);
            device.run(kernel, &bindings, &[width as u32, rows as u32], line(width.div_ceil(COLUMNS)));
        }
    }
}

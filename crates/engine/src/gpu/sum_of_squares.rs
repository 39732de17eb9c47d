//! The square of a gradient's norm.

use super::buffer::{GpuBuffer, joined};
use super::dispatch::{Device, Kernel, line};
use super::shaders::shader;

/// Numbers that one workgroup sums.
const CHUNK: usize = 1 << 14;

/// Over all numbers of all buffers: one kernel for those that lie behind each other, and one over the sums.
pub(super) fn sum(device: &Device, buffers: &[&GpuBuffer], out: &GpuBuffer) {
    let parts = |buffer: &GpuBuffer| {
        let parts = device.parts(buffer.len(), &[1]).into_iter();
        parts.map(|part| buffer.rows(&part, 1)).collect::<Vec<_>>()
    };
    let runs = joined(buffers.iter().map(|&buffer| buffer.clone()), GpuBuffer::joined);
    let buffers: Vec<GpuBuffer> = runs.iter().flat_map(parts).collect();
    let groups = |buffer: &GpuBuffer| buffer.len().div_ceil(CHUNK);
    let sums = device.buffer(buffers.iter().map(groups).sum());
    let mut start = 0;
    for buffer in buffers.iter().filter(|buffer| !buffer.is_empty()) {
        let kernel = Kernel { shader: shader!("sum_of_squares"), constants: vec![("squared", 1)] };
        let parameters = [buffer.len() as u32, CHUNK as u32, start as u32];
        device.run(kernel, &[buffer.storage(), sums.storage()], &parameters, line(groups(buffer)));
        start += groups(buffer);
    }
    let kernel = Kernel { shader: shader!("sum_of_squares"), constants: vec![("squared", 0)] };
    let parameters = [sums.len() as u32, sums.len() as u32, 0];
    device.run(kernel, &[sums.storage(), out.storage()], &parameters, line(1));
}

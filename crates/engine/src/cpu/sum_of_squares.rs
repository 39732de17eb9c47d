//! The square of a gradient's norm.

use rayon::prelude::*;

use super::buffer::CpuBuffer;
use super::denormals::flushed;

/// Numbers summed in f32 before they join the sum in f64.
const CHUNK: usize = 1 << 12;

/// Over all numbers of all buffers.
pub(super) fn sum(buffers: &[&CpuBuffer]) -> f32 {
    let by_buffer: Vec<f64> = buffers
        .par_iter()
        .map(|buffer| {
            let chunks = buffer.chunks(CHUNK).map(|chunk| f64::from(chunk.iter().map(|x| x * x).sum::<f32>()));
            flushed(|| chunks.sum())
        })
        .collect();
    by_buffer.into_iter().sum::<f64>() as f32
}

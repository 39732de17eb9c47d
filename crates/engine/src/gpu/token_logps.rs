//! Head product, log-softmax and gather in one, over tiles of the vocabulary: `[T, V]` never exists.

use std::ops::Range;

use super::Gpu;
use super::buffer::{GpuBuffer, GpuIndices};
use super::dispatch::{Device, Kernel, line};
use super::matmul;
use super::shaders::shader;
use super::weight::Weight;
use crate::matrix::Matrix;

/// Most numbers in a tile of logits: 64 MiB.
const TILE_NUMBERS: usize = 16 << 20;
/// Rows of the head in a tile, at least and at most.
const TILE_ROWS: Range<usize> = 256..8192;
/// Invocations of a workgroup.
const GROUP: usize = 256;

/// h `[T, D]`, head `[V, D]`, targets, logps, lse `[T]`.
pub(super) fn forward(
    device: &Device,
    h: &GpuBuffer,
    head: &Matrix<Gpu>,
    targets: &GpuIndices,
    logps: &GpuBuffer,
    lse: &GpuBuffer,
) {
    let (head, rows) = (Weight::from(head), targets.len());
    let sums = device.buffer(rows);
    for_each_tile(device, h, head, rows, |part, logits| {
        let kernel = Kernel { shader: shader!("token_logps"), constants: vec![] };
        let parameters = [rows, part.len(), part.start, head.rows].map(|size| size as u32);
        let bindings = [logits.storage(), targets.storage(), logps.storage(), lse.storage(), sums.storage()];
        device.run(kernel, &bindings, &parameters, line(rows));
    });
}

/// What turns logits into their gradient, each `[T]`.
pub(super) struct LogitGradient<'a> {
    pub(super) targets: &'a GpuIndices,
    pub(super) lse: &'a GpuBuffer,
    pub(super) d_logps: &'a GpuBuffer,
}

/// d_h `[T, D]`, d_head `[V, D]`.
pub(super) fn backward(
    device: &Device,
    h: &GpuBuffer,
    head: &Matrix<Gpu>,
    LogitGradient { targets, lse, d_logps }: &LogitGradient<'_>,
    d_h: &GpuBuffer,
    d_head: Option<&mut GpuBuffer>,
) {
    let (head, rows) = (Weight::from(head), targets.len());
    let d_head = d_head.as_deref();
    for_each_tile(device, h, head, rows, |part, logits| {
        let kernel = Kernel { shader: shader!("token_logps_backward"), constants: vec![] };
        let parameters = [rows, part.len(), part.start].map(|size| size as u32);
        let bindings = [targets.storage(), lse.storage(), d_logps.storage(), logits.storage()];
        device.run(kernel, &bindings, &parameters, line((rows * part.len()).div_ceil(GROUP)));
        matmul::backward_input_part(device, logits, head, part.clone(), 1.0, part.start > 0, d_h);
        if let Some(d_head) = d_head {
            matmul::backward_weight_part(device, logits, h, head.cols, part, 1.0, d_head);
        }
    });
}

/// Calls `visit` with each range of the vocabulary and its logits `[T, range]`.
fn for_each_tile(
    device: &Device,
    h: &GpuBuffer,
    head: Weight<'_>,
    rows: usize,
    mut visit: impl FnMut(Range<usize>, &GpuBuffer),
) {
    let Some(most) = TILE_NUMBERS.checked_div(rows) else { return };
    let tile = most.clamp(TILE_ROWS.start, TILE_ROWS.end).min(head.rows);
    let logits = device.buffer(rows * tile);
    for start in (0..head.rows).step_by(tile) {
        let part = start..head.rows.min(start + tile);
        matmul::forward_part(device, h, head, part.clone(), 1.0, false, &logits);
        visit(part, &logits);
    }
}

//! Head product, log-softmax and gather in one, over tiles of the vocabulary: `[T, V]` never exists.

use std::ops::Range;

use super::Gpu;
use super::buffer::{ALIGNMENT, GpuBuffer, GpuIndices};
use super::dispatch::{Device, Kernel, line};
use super::matmul;
use super::shaders::shader;
use super::weight::Weight;
use crate::matrix::Matrix;
use crate::memory::logit_tile;

/// Fewest rows of the head in a tile.
const FEWEST_ROWS: usize = 256;
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
    let (head, width) = (Weight::from(head), head.cols());
    for rows in device.parts(targets.len(), &row_widths(width)) {
        let (h, targets) = (h.rows(&rows, width), targets.rows(&rows, 1));
        let [logps, lse] = [logps, lse].map(|array| array.rows(&rows, 1));
        forward_part(device, &h, head, &targets, &logps, &lse);
    }
}

/// Numbers that a row has of each array, the narrowest tile of logits among them.
fn row_widths(width: usize) -> [usize; 3] {
    [width, 1, FEWEST_ROWS]
}

fn forward_part(
    device: &Device,
    h: &GpuBuffer,
    head: Weight<'_>,
    targets: &GpuIndices,
    logps: &GpuBuffer,
    lse: &GpuBuffer,
) {
    let rows = targets.len();
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
    let (head, width) = (Weight::from(head), head.cols());
    for rows in device.parts(targets.len(), &row_widths(width)) {
        let [h, d_h] = [h, d_h].map(|array| array.rows(&rows, width));
        let (targets, [lse, d_logps]) = (targets.rows(&rows, 1), [lse, d_logps].map(|array| array.rows(&rows, 1)));
        let gradient = LogitGradient { targets: &targets, lse: &lse, d_logps: &d_logps };
        backward_part(device, &h, head, &gradient, &d_h, d_head.as_deref());
    }
}

fn backward_part(
    device: &Device,
    h: &GpuBuffer,
    head: Weight<'_>,
    LogitGradient { targets, lse, d_logps }: &LogitGradient<'_>,
    d_h: &GpuBuffer,
    d_head: Option<&GpuBuffer>,
) {
    let rows = targets.len();
    for_each_tile(device, h, head, rows, |part, logits| {
        let kernel = Kernel { shader: shader!("token_logps_backward"), constants: vec![] };
        let parameters = [rows, part.len(), part.start].map(|size| size as u32);
        let bindings = [targets.storage(), lse.storage(), d_logps.storage(), logits.storage()];
        device.run(kernel, &bindings, &parameters, line((rows * part.len()).div_ceil(GROUP)));
        let weight = head.part(&part);
        matmul::backward_input_part(device, logits, weight, 0..part.len(), 1.0, part.start > 0, d_h);
        if let Some(d_head) = d_head {
            let d_head = d_head.rows(&part, head.cols);
            matmul::backward_weight_part(device, logits, h, head.cols, 0..part.len(), 1.0, &d_head);
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
    if rows == 0 {
        return;
    }
    let most = device.binding_numbers();
    let (planned, row) = (logit_tile(rows, head.rows), head.row_words().max(head.cols).max(rows));
    // Each tile begins where a binding may.
    let tile = if planned == head.rows { planned } else { planned / ALIGNMENT * ALIGNMENT };
    let tile = if tile * row <= most { tile } else { most / row / ALIGNMENT * ALIGNMENT };
    if tile == 0 {
        return device.too_large(ALIGNMENT * row);
    }
    let logits = device.buffer(rows * tile);
    for start in (0..head.rows).step_by(tile) {
        let part = start..head.rows.min(start + tile);
        matmul::forward_part(device, h, head.part(&part), 0..part.len(), 1.0, false, &logits);
        visit(part, &logits);
    }
}

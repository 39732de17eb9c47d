//! `out = alpha * x · weightᵀ` and its two gradients.

use std::ops::Range;

use super::Gpu;
use super::buffer::GpuBuffer;
use super::dispatch::{Device, Kernel, line};
use super::shaders::shader;
use super::weight::{Weight, over_weight};
use crate::matrix::Matrix;

/// Rows and columns of one workgroup's tile.
const TILE: usize = 64;
/// Most rows of x for which each weight is read once.
const FEW: usize = 32;
/// Columns that one workgroup of that form takes.
const FEW_COLUMNS: usize = 4;

/// x `[T, D_in]`, weight `[D_out, D_in]`, out `[T, D_out]`.
pub(super) fn forward(
    device: &Device,
    x: &GpuBuffer,
    weight: &Matrix<Gpu>,
    alpha: f32,
    accumulate: bool,
    out: &GpuBuffer,
) {
    let weight = Weight::from(weight);
    assert_eq!(out.len(), x.len() / weight.cols * weight.rows, "matmul: out");
    forward_part(device, x, weight, 0..weight.rows, alpha, accumulate, out);
}

/// The same by a part of the weight's rows; the first numbers of out are `[T, part]`.
pub(super) fn forward_part(
    device: &Device,
    x: &GpuBuffer,
    weight: Weight<'_>,
    part: Range<usize>,
    alpha: f32,
    accumulate: bool,
    out: &GpuBuffer,
) {
    let rows = x.len() / weight.cols;
    if rows == 0 {
        return;
    }
    let (kernel, groups) = if rows <= FEW {
        let at_once = if rows == 1 { 1 } else { rows.next_power_of_two().max(4) };
        let constants = vec![("ROWS", at_once as u32)];
        let kernel = Kernel { shader: over_weight!("matmul_few", weight.library), constants };
        (kernel, line(part.len().div_ceil(FEW_COLUMNS)))
    } else {
        (Kernel { shader: over_weight!("matmul", weight.library), constants: vec![] }, tiles(part.len(), rows))
    };
    let parameters = parameters(rows, weight, &part, alpha, accumulate);
    device.run(kernel, &[weight.storage, x.storage(), out.storage()], &parameters, groups);
}

/// d_out `[T, D_out]`, weight `[D_out, D_in]`, d_x `[T, D_in]`.
pub(super) fn backward_input(
    device: &Device,
    d_out: &GpuBuffer,
    weight: &Matrix<Gpu>,
    alpha: f32,
    accumulate: bool,
    d_x: &GpuBuffer,
) {
    let weight = Weight::from(weight);
    assert_eq!(d_x.len(), d_out.len() / weight.rows * weight.cols, "matmul_backward_input: d_x");
    backward_input_part(device, d_out, weight, 0..weight.rows, alpha, accumulate, d_x);
}

/// The same by a part of the weight's rows; the first numbers of d_out are `[T, part]`.
pub(super) fn backward_input_part(
    device: &Device,
    d_out: &GpuBuffer,
    weight: Weight<'_>,
    part: Range<usize>,
    alpha: f32,
    accumulate: bool,
    d_x: &GpuBuffer,
) {
    let rows = d_x.len() / weight.cols;
    if rows == 0 {
        return;
    }
    let kernel = Kernel { shader: over_weight!("matmul_backward_input", weight.library), constants: vec![] };
    let parameters = parameters(rows, weight, &part, alpha, accumulate);
    let bindings = [weight.storage, d_out.storage(), d_x.storage()];
    device.run(kernel, &bindings, &parameters, tiles(weight.cols, rows));
}

/// d_out `[T, D_out]`, x `[T, D_in]`, d_weight `[D_out, D_in]`.
pub(super) fn backward_weight(
    device: &Device,
    d_out: &GpuBuffer,
    x: &GpuBuffer,
    d_out_width: usize,
    alpha: f32,
    d_weight: &GpuBuffer,
) {
    let d_in = d_weight.len() / d_out_width;
    assert_eq!(x.len(), d_out.len() / d_out_width * d_in, "matmul_backward_weight: x");
    backward_weight_part(device, d_out, x, d_in, 0..d_out_width, alpha, d_weight);
}

/// The same into a part of the weight's rows; the first numbers of d_out are `[T, part]`.
pub(super) fn backward_weight_part(
    device: &Device,
    d_out: &GpuBuffer,
    x: &GpuBuffer,
    d_in: usize,
    part: Range<usize>,
    alpha: f32,
    d_weight: &GpuBuffer,
) {
    let rows = x.len() / d_in;
    let kernel = Kernel { shader: shader!("matmul_backward_weight"), constants: vec![] };
    let parameters = [rows as u32, part.len() as u32, d_in as u32, part.start as u32, alpha.to_bits()];
    let bindings = [d_out.storage(), x.storage(), d_weight.storage()];
    device.run(kernel, &bindings, &parameters, tiles(d_in, part.len()));
}

/// Of the kernels that read a weight.
fn parameters(rows: usize, weight: Weight<'_>, part: &Range<usize>, alpha: f32, accumulate: bool) -> [u32; 7] {
    let sizes = [rows, part.len(), weight.cols, weight.stride, part.start].map(|size| size as u32);
    let [rows, d_out, d_in, stride, first] = sizes;
    [rows, d_out, d_in, stride, first, u32::from(accumulate), alpha.to_bits()]
}

fn tiles(columns: usize, rows: usize) -> [u32; 3] {
    [columns.div_ceil(TILE) as u32, rows.div_ceil(TILE) as u32, 1]
}

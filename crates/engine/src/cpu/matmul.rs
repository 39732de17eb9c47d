//! `out = alpha * x · weightᵀ` and its two gradients.

use super::buffer::CpuBuffer;
use super::product::{Rhs, Shape, Strided, Weight, product_by_columns};

/// Numbers of a packed weight that are unpacked at a time for its backward product.
pub(super) const CHUNK: usize = 1 << 20;

/// x `[T, D_in]`, weight `[D_out, D_in]`, out `[T, D_out]`.
pub(super) fn forward(x: &[f32], weight: Weight<'_>, d_out: usize, alpha: f32, accumulate: bool, out: &mut [f32]) {
    let d_in = weight.cols();
    let shape = Shape { m: x.len() / d_in, n: d_out, k: d_in };
    assert_eq!(out.len(), shape.m * d_out, "matmul: out");
    let lhs = Strided { data: x, row: d_in, col: 1 };
    product_by_columns(out, shape, lhs, Rhs::Transposed(weight), alpha, accumulate);
}

/// d_out `[T, D_out]`, weight `[D_out, D_in]`, d_x `[T, D_in]`; scratch of at least [`CHUNK`] numbers and a row.
pub(super) fn backward_input(
    d_out: &[f32],
    weight: Weight<'_>,
    rows: usize,
    alpha: f32,
    accumulate: bool,
    d_x: &mut [f32],
    scratch: impl FnOnce() -> CpuBuffer,
) {
    let d_in = weight.cols();
    let m = d_out.len() / rows;
    assert_eq!(d_x.len(), m * d_in, "matmul_backward_input: d_x");
    let mut scratch = matches!(weight, Weight::Packed { .. }).then(scratch);
    let step = if scratch.is_some() { (CHUNK / d_in).max(1) } else { rows };
    for start in (0..rows).step_by(step) {
        let range = start..rows.min(start + step);
        let shape = Shape { m, n: d_in, k: range.len() };
        let lhs = Strided { data: &d_out[start.min(d_out.len())..], row: rows, col: 1 };
        let values = weight.rows_parallel(range, scratch.as_deref_mut().unwrap_or_default());
        let rhs = Rhs::Matrix(Strided { data: values, row: d_in, col: 1 });
        product_by_columns(d_x, shape, lhs, rhs, alpha, accumulate || start > 0);
    }
}

/// `d_weight += alpha * d_outᵀ · x`: d_out `[T, D_out]`, x `[T, D_in]`, d_weight `[D_out, D_in]`.
pub(super) fn backward_weight(d_out: &[f32], x: &[f32], d_out_width: usize, alpha: f32, d_weight: &mut [f32]) {
    let rows = d_out.len() / d_out_width;
    let d_in = d_weight.len() / d_out_width;
    assert_eq!(x.len(), rows * d_in, "matmul_backward_weight: x");
    let shape = Shape { m: d_out_width, n: d_in, k: rows };
    let lhs = Strided { data: d_out, row: 1, col: d_out_width };
    let rhs = Rhs::Matrix(Strided { data: x, row: d_in, col: 1 });
    product_by_columns(d_weight, shape, lhs, rhs, alpha, true);
}

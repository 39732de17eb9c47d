//! `x · weightᵀ` for few rows of x, as in decoding: every row of the weight is read once, and nothing is packed.
//!
//! Each result is one sum over D_in in the order of the vector lanes, whatever rows are computed beside it: a sequence
//! decodes to the same bits alone and in a batch.

use pulp::{Arch, Simd, WithSimd};

/// x `[T, D_in]`, weight `[n, D_in]` (some rows of it), out `[T, n]`.
pub(super) fn product(x: &[f32], weight: &[f32], d_in: usize, out: &mut [f32]) {
    Arch::new().dispatch(FewRows { x, weight, d_in, out });
}

struct FewRows<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    d_in: usize,
    out: &'a mut [f32],
}

impl WithSimd for FewRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let FewRows { x, weight, d_in, out } = self;
        let width = weight.len() / d_in;
        let mut x_tiles = x.chunks_exact(4 * d_in);
        let mut out_tiles = out.chunks_exact_mut(4 * width);
        for (x, out) in x_tiles.by_ref().zip(out_tiles.by_ref()) {
            columns::<S, 4, 4>(simd, x, weight, d_in, out);
        }
        let (x, out) = (x_tiles.remainder(), out_tiles.into_remainder());
        match out.len() / width {
            0 => {}
            1 => columns::<S, 1, 8>(simd, x, weight, d_in, out),
            2 => columns::<S, 2, 8>(simd, x, weight, d_in, out),
            _ => columns::<S, 3, 4>(simd, x, weight, d_in, out),
        }
    }
}

/// T rows of x against all rows of the weight, R at a time.
#[inline(always)]
fn columns<S: Simd, const T: usize, const R: usize>(
    simd: S,
    x: &[f32],
    weight: &[f32],
    d_in: usize,
    out: &mut [f32],
) {
    let width = weight.len() / d_in;
    let mut x_rows: [&[f32]; T] = [&[]; T];
    for t in 0..T {
        x_rows[t] = &x[t * d_in..][..d_in];
    }
    let whole = width - width % R;
    for first in (0..whole).step_by(R) {
        let mut rows: [&[f32]; R] = [&[]; R];
        for r in 0..R {
            rows[r] = &weight[(first + r) * d_in..][..d_in];
        }
        let sums = tile(simd, x_rows, rows);
        for (t, sums) in sums.iter().enumerate() {
            out[t * width + first..][..R].copy_from_slice(sums);
        }
    }
    for last in whole..width {
        let sums = tile(simd, x_rows, [&weight[last * d_in..][..d_in]]);
        for (t, [sum]) in sums.into_iter().enumerate() {
            out[t * width + last] = sum;
        }
    }
}

/// Dot products of every x with every row, all of one length.
// Plain loops: an iterator's or an array's closure would not be inlined into code compiled for wider vectors.
#[inline(always)]
fn tile<S: Simd, const T: usize, const R: usize>(simd: S, x: [&[f32]; T], rows: [&[f32]; R]) -> [[f32; R]; T] {
    let whole = rows[0].len() / S::F32_LANES * S::F32_LANES;
    let mut x_vectors: [&[S::f32s]; T] = [&[]; T];
    let mut row_vectors: [&[S::f32s]; R] = [&[]; R];
    for t in 0..T {
        x_vectors[t] = S::as_simd_f32s(&x[t][..whole]).0;
    }
    for r in 0..R {
        row_vectors[r] = S::as_simd_f32s(&rows[r][..whole]).0;
    }
    let mut sums = [[simd.splat_f32s(0.0); R]; T];
    for k in 0..whole / S::F32_LANES {
        for t in 0..T {
            for r in 0..R {
                sums[t][r] = simd.mul_add_e_f32s(x_vectors[t][k], row_vectors[r][k], sums[t][r]);
            }
        }
    }
    let mut out = [[0.0; R]; T];
    for t in 0..T {
        for r in 0..R {
            out[t][r] = simd.reduce_sum_f32s(sums[t][r]);
            for k in whole..rows[r].len() {
                out[t][r] += x[t][k] * rows[r][k];
            }
        }
    }
    out
}

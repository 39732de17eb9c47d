//! Root-mean-square norm (arXiv 1910.07467) by row.

use rayon::prelude::*;

use super::denormals::flushed;
use super::vectorised::vectorised;

/// Rows one task takes.
const ROWS: usize = 32;

/// x, out `[T, D]`, weight `[D]`.
pub(super) fn forward(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let width = weight.len();
    out.par_chunks_mut(ROWS * width).zip(x.par_chunks(ROWS * width)).for_each(|(out, x)| {
        vectorised(
            #[inline(always)]
            || {
                for (out, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                    let scale = inverse_rms(x, eps);
                    for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
                        *out = x * scale * weight;
                    }
                }
            },
        );
    });
}

/// With `n = x / rms` and `g = d_out * weight`: `d_x += (g - n * mean(g * n)) / rms`, `d_weight += sum of d_out * n`.
pub(super) fn backward(
    x: &[f32],
    weight: &[f32],
    eps: f32,
    d_out: &[f32],
    d_x: &mut [f32],
    d_weight: Option<&mut [f32]>,
) {
    let width = weight.len();
    let rows = d_x.par_chunks_mut(ROWS * width).zip(x.par_chunks(ROWS * width));
    rows.zip(d_out.par_chunks(ROWS * width)).for_each(|((d_x, x), d_out)| {
        vectorised(
            #[inline(always)]
            || {
                let rows = d_x.chunks_exact_mut(width).zip(x.chunks_exact(width));
                for ((d_x, x), d_out) in rows.zip(d_out.chunks_exact(width)) {
                    let scale = inverse_rms(x, eps);
                    let products = x.iter().zip(d_out).zip(weight).map(|((x, d), weight)| x * d * weight);
                    let shared = sum(products) * scale * scale * scale / width as f32;
                    for (((d_x, x), d_out), weight) in d_x.iter_mut().zip(x).zip(d_out).zip(weight) {
                        *d_x += d_out * weight * scale - x * shared;
                    }
                }
            },
        );
    });
    if let Some(d_weight) = d_weight {
        flushed(|| {
            for (x, d_out) in x.chunks_exact(width).zip(d_out.chunks_exact(width)) {
                let scale = inverse_rms(x, eps);
                for ((d_weight, x), d_out) in d_weight.iter_mut().zip(x).zip(d_out) {
                    *d_weight += d_out * x * scale;
                }
            }
        });
    }
}

#[inline(always)]
fn inverse_rms(x: &[f32], eps: f32) -> f32 {
    1.0 / (sum(x.iter().map(|x| x * x)) / x.len() as f32 + eps).sqrt()
}

/// Sums in 16 interleaved lanes, which vectorises and rounds better than one running sum.
#[inline(always)]
fn sum(values: impl ExactSizeIterator<Item = f32>) -> f32 {
    let mut lanes = [0.0; 16];
    for (i, value) in values.enumerate() {
        lanes[i % 16] += value;
    }
    lanes.iter().sum()
}

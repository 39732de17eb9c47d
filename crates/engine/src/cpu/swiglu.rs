//! The gated activation of the MLP: `silu(gate) * up` (arXiv 2002.05202).

use cream_core::math::exp;
use rayon::prelude::*;

use super::vectorised::vectorised;

/// Numbers one task takes.
const CHUNK: usize = 1 << 14;

/// All `[T, F]`.
pub(super) fn forward(gate: &[f32], up: &[f32], out: &mut [f32]) {
    let chunks = out.par_chunks_mut(CHUNK).zip(gate.par_chunks(CHUNK)).zip(up.par_chunks(CHUNK));
    chunks.for_each(|((out, gate), up)| {
        vectorised(
            #[inline(always)]
            || {
                for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
                    *out = gate * sigmoid(*gate) * up;
                }
            },
        );
    });
}

/// `d_up = d_out * silu(gate)`, `d_gate = d_out * up * s * (1 + gate * (1 - s))` with s = sigmoid(gate), in place.
pub(super) fn backward(gate: &mut [f32], up: &mut [f32], d_out: &[f32]) {
    let chunks = gate.par_chunks_mut(CHUNK).zip(up.par_chunks_mut(CHUNK)).zip(d_out.par_chunks(CHUNK));
    chunks.for_each(|((gate, up), d_out)| {
        vectorised(
            #[inline(always)]
            || {
                for ((gate, up), d_out) in gate.iter_mut().zip(up.iter_mut()).zip(d_out) {
                    let s = sigmoid(*gate);
                    let d_gate = d_out * *up * s * (1.0 + *gate * (1.0 - s));
                    *up = d_out * *gate * s;
                    *gate = d_gate;
                }
            },
        );
    });
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

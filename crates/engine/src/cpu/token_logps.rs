//! Head product, log-softmax and gather in one, over tiles of the vocabulary: `[T, V]` never exists.

use std::ops::Range;

use cream_core::math::exp;
use rayon::prelude::*;

use super::buffer::CpuBuffer;
use super::matmul;
use super::product::Weight;
use super::vectorised::vectorised;

/// Rows of the head in one tile.
const TILE: usize = 1024;
/// Tokens one task takes.
const ROWS: usize = 8;

/// h `[T, D]`, head `[V, D]`, targets, logps, lse `[T]`.
pub(super) fn forward(
    h: &[f32],
    head: Weight<'_>,
    vocab: usize,
    targets: &[u32],
    logps: &mut [f32],
    lse: &mut [f32],
    buffer: impl Fn(usize) -> CpuBuffer,
) {
    // While tiles are read, lse holds the running maximum, logps the target's logit, sums the running sum.
    let mut sums = buffer(targets.len());
    sums.fill(0.0);
    lse.fill(f32::MIN);
    for_each_tile(h, head, vocab, &buffer, |columns, logits, _| {
        let running = lse.par_chunks_mut(ROWS).zip(sums.par_chunks_mut(ROWS)).zip(logps.par_chunks_mut(ROWS));
        let tiles = logits.par_chunks(ROWS * columns.len()).zip(targets.par_chunks(ROWS));
        running.zip(tiles).for_each(|(((max, sum), logps), (logits, targets))| {
            vectorised(
                #[inline(always)]
                || {
                    for (i, logits) in logits.chunks_exact(columns.len()).enumerate() {
                        let new_max = logits.iter().fold(max[i], |max, &l| if l > max { l } else { max });
                        let mut lanes = [0.0; 16];
                        for chunk in logits.chunks(16) {
                            lanes.iter_mut().zip(chunk).for_each(|(lane, l)| *lane += exp(l - new_max));
                        }
                        sum[i] = sum[i] * exp(max[i] - new_max) + lanes.iter().sum::<f32>();
                        max[i] = new_max;
                        if columns.contains(&(targets[i] as usize)) {
                            logps[i] = logits[targets[i] as usize - columns.start];
                        }
                    }
                },
            );
        });
    });
    for ((lse, sum), logp) in lse.iter_mut().zip(sums.iter()).zip(logps) {
        *lse += sum.ln();
        *logp -= *lse;
    }
}

/// What turns logits into their gradient, each `[T]`.
pub(super) struct LogitGradient<'a> {
    pub(super) targets: &'a [u32],
    pub(super) lse: &'a [f32],
    pub(super) d_logps: &'a [f32],
}

/// `d_logits = d_logps * (onehot(target) - exp(logits - lse))`, tile by tile; d_h `[T, D]`, d_head `[V, D]`.
pub(super) fn backward(
    h: &[f32],
    head: Weight<'_>,
    vocab: usize,
    LogitGradient { targets, lse, d_logps }: &LogitGradient<'_>,
    d_h: &mut [f32],
    mut d_head: Option<&mut [f32]>,
    buffer: impl Fn(usize) -> CpuBuffer,
) {
    let width = head.cols();
    for_each_tile(h, head, vocab, &buffer, |columns, logits, weights| {
        let inputs = targets.par_chunks(ROWS).zip(lse.par_chunks(ROWS)).zip(d_logps.par_chunks(ROWS));
        logits.par_chunks_mut(ROWS * columns.len()).zip(inputs).for_each(|(logits, ((targets, lse), d_logps))| {
            vectorised(
                #[inline(always)]
                || {
                    for (i, logits) in logits.chunks_exact_mut(columns.len()).enumerate() {
                        logits.iter_mut().for_each(|l| *l = -d_logps[i] * exp(*l - lse[i]));
                        if columns.contains(&(targets[i] as usize)) {
                            logits[targets[i] as usize - columns.start] += d_logps[i];
                        }
                    }
                },
            );
        });
        let weights = Weight::Dense { values: weights, cols: width };
        matmul::backward_input(logits, weights, columns.len(), 1.0, columns.start > 0, d_h, || buffer(0));
        if let Some(d_head) = d_head.as_deref_mut() {
            let d_tile = &mut d_head[columns.start * width..columns.end * width];
            matmul::backward_weight(logits, h, columns.len(), 1.0, d_tile);
        }
    });
}

/// Calls `visit` with each range of the vocabulary, its logits `[T, range]` and its rows of the head.
fn for_each_tile(
    h: &[f32],
    head: Weight<'_>,
    vocab: usize,
    buffer: impl Fn(usize) -> CpuBuffer,
    mut visit: impl FnMut(Range<usize>, &mut [f32], &[f32]),
) {
    let width = head.cols();
    let rows = h.len() / width;
    let mut logits = buffer(rows * TILE.min(vocab));
    let mut unpacked = match head {
        Weight::Dense { .. } => buffer(0),
        Weight::Packed { .. } => buffer(TILE.min(vocab) * width),
    };
    for start in (0..vocab).step_by(TILE) {
        let columns = start..vocab.min(start + TILE);
        let logits = &mut logits[..rows * columns.len()];
        let values = head.rows_parallel(columns.clone(), &mut unpacked);
        let tile = Weight::Dense { values, cols: width };
        matmul::forward(h, tile, columns.len(), 1.0, false, logits);
        visit(columns, logits, values);
    }
}

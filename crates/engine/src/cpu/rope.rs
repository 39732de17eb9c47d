//! Rotary positions (arXiv 2104.09864) on half-split pairs.

use rayon::prelude::*;

use super::denormals::flushed;

/// Rows one task takes.
const ROWS: usize = 16;

/// Rotates pairs (e, e + E/2) of every head, in place: x `[T, heads * E]`, frequencies `[E / 2]`.
pub(super) fn rotate(x: &mut [f32], positions: &[u32], frequencies: &[f32], inverse: bool) {
    let half = frequencies.len();
    let Some(width) = x.len().checked_div(positions.len()) else { return };
    let sign = if inverse { -1.0 } else { 1.0 };
    x.par_chunks_mut(ROWS * width).zip(positions.par_chunks(ROWS)).for_each(|(rows, positions)| {
        let mut turns = vec![(0.0, 0.0); half];
        flushed(|| {
            for (row, &position) in rows.chunks_exact_mut(width).zip(positions) {
                for (turn, frequency) in turns.iter_mut().zip(frequencies) {
                    let (sin, cos) = (position as f32 * frequency).sin_cos();
                    *turn = (sign * sin, cos);
                }
                for head in row.chunks_exact_mut(2 * half) {
                    let (low, high) = head.split_at_mut(half);
                    for ((low, high), &(sin, cos)) in low.iter_mut().zip(high).zip(&turns) {
                        (*low, *high) = (*low * cos - *high * sin, *high * cos + *low * sin);
                    }
                }
            }
        });
    });
}

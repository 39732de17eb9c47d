//! One token from each row of logits.

use cream_core::Sampling;
use cream_core::philox::Stream;
use rayon::prelude::*;

/// logits `[S, V]`, streams `[S, 4]`, out `[S]`. A row with nothing to draw from (a NaN: a broken model) gives token 0.
pub(super) fn draw(logits: &[f32], sampling: &Sampling, seed: u64, streams: &[u32], out: &mut [u32]) {
    let Some(vocab) = logits.len().checked_div(out.len()) else { return };
    let rows = out.par_iter_mut().zip(logits.par_chunks_exact(vocab)).zip(streams.par_chunks_exact(4));
    rows.for_each_init(
        || vec![0.0; 2 * vocab],
        |scratch, ((token, logits), stream)| {
            let counter = [stream[0], stream[1], stream[2], stream[3]];
            let uniform = Stream { counter, ..Stream::at(seed, 0, 0, 0) }.uniform();
            *token = cream_core::sample(logits, sampling, uniform, scratch).unwrap_or(0);
        },
    );
}

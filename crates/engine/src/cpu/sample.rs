//! One token from each row of logits.

use cream_core::philox::Stream;
use cream_core::{Sampling, penalise, seen_words};
use rayon::prelude::*;

use crate::backend::NO_TOKEN;

/// logits `[S, V]`, streams `[S, 4]`, seen `[S, ceil(V / 32)]`, out `[S]`.
pub(super) fn draw(
    logits: &[f32],
    sampling: &Sampling,
    seed: u64,
    streams: &[u32],
    seen: Option<&mut [u32]>,
    out: &mut [u32],
) {
    let Some(vocab) = logits.len().checked_div(out.len()) else { return };
    let draw = |scratch: &mut [f32], logits: &[f32], stream: &[u32]| {
        let counter = [stream[0], stream[1], stream[2], stream[3]];
        let uniform = Stream { counter, ..Stream::at(seed, 0, 0, 0) }.uniform();
        // The options have been checked: an error is one of the logits.
        cream_core::sample(logits, sampling, uniform, scratch).unwrap_or(NO_TOKEN)
    };
    let rows = out.par_iter_mut().zip(logits.par_chunks_exact(vocab)).zip(streams.par_chunks_exact(4));
    let Some(seen) = seen else {
        let scratch = || vec![0.0; 2 * vocab];
        return rows
            .for_each_init(scratch, |scratch, ((token, logits), stream)| *token = draw(scratch, logits, stream));
    };
    rows.zip(seen.par_chunks_exact_mut(seen_words(vocab))).for_each_init(
        || vec![0.0; 3 * vocab],
        |scratch, (((token, logits), stream), seen)| {
            let (scratch, penalised) = scratch.split_at_mut(2 * vocab);
            penalised.copy_from_slice(logits);
            penalise(penalised, seen, sampling.repetition_penalty);
            *token = draw(scratch, penalised, stream);
            if *token != NO_TOKEN {
                seen[*token as usize / 32] |= 1 << (*token % 32);
            }
        },
    );
}

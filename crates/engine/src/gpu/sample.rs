//! One token from each row of logits.

use cream_core::{Sampling, seen_words};

use super::buffer::{GpuBuffer, GpuIndices};
use super::dispatch::{Device, Kernel, line};
use super::shaders::shader;

/// logits `[S, V]`, streams `[S, 4]`, seen `[S, ceil(V / 32)]`, out `[S]`; one workgroup a row.
pub(super) fn draw(
    device: &Device,
    logits: &GpuBuffer,
    sampling: &Sampling,
    seed: u64,
    streams: &GpuIndices,
    seen: Option<&GpuIndices>,
    out: &GpuIndices,
) {
    let Some(vocab) = logits.len().checked_div(out.len()) else { return };
    let Sampling { temperature, top_k, top_p, min_p, repetition_penalty } = *sampling;
    let inverse_temperature = if temperature == 0.0 { 0.0 } else { 1.0 / temperature };
    let top_k = if (top_k as usize) < vocab { top_k } else { 0 };
    let kernel = Kernel { shader: shader!("sample"), constants: vec![("penalised", u32::from(seen.is_some()))] };
    let words = seen_words(vocab);
    for rows in device.parts(out.len(), &[vocab, 4, 1, words]) {
        let (logits, streams, out) = (logits.rows(&rows, vocab), streams.rows(&rows, 4), out.rows(&rows, 1));
        // Bound and not read where nothing is penalised.
        let seen = seen.map_or_else(|| device.unread(), |seen| seen.rows(&rows, words));
        let numbers = [inverse_temperature, top_p, min_p, repetition_penalty, 1.0 / repetition_penalty];
        let [inverse_temperature, top_p, min_p, penalty, reciprocal] = numbers.map(f32::to_bits);
        let sizes = [vocab as u32, rows.len() as u32, seed as u32, (seed >> 32) as u32];
        let parameters = [&sizes[..], &[inverse_temperature, top_k, top_p, min_p, penalty, reciprocal]].concat();
        let bindings = [logits.storage(), streams.storage(), seen.storage(), out.storage()];
        device.run(kernel.clone(), &bindings, &parameters, line(rows.len()));
    }
}

#[cfg(test)]
mod tests {
    use cream_core::{Sampling, seen_words};
    use pollster::block_on;

    use crate::gpu::testing::gpu;
    use crate::tests::random::rounds;
    use crate::{Backend, Cpu};

    fn tokens<B: Backend>(backend: &B, logits: &[f32], sampling: &Sampling, streams: &[u32]) -> Vec<u32> {
        let mut out = backend.indices(&vec![u32::MAX; streams.len() / 4]);
        backend.sample(&backend.upload(logits), sampling, 7, &backend.indices(streams), None, &mut out);
        block_on(backend.read_indices(&[&out])).unwrap().swap_remove(0)
    }

    /// The tokens of several steps over the same logits, and what is seen after them.
    fn penalised<B: Backend>(
        backend: &B,
        logits: &[f32],
        sampling: &Sampling,
        streams: &[u32],
        seen: &[u32],
    ) -> Vec<Vec<u32>> {
        let (logits, mut seen) = (backend.upload(logits), backend.indices(seen));
        let step = |_| {
            let mut out = backend.indices(&vec![u32::MAX; streams.len() / 4]);
            backend.sample(&logits, sampling, 7, &backend.indices(streams), Some(&mut seen), &mut out);
            out
        };
        let steps: Vec<B::Indices> = (0..5).map(step).collect();
        block_on(backend.read_indices(&steps.iter().chain([&seen]).collect::<Vec<_>>())).unwrap()
    }

    /// Steps chained on the device: each sees what the ones before it drew.
    #[test]
    fn repetition_is_penalised_as_on_the_cpu() {
        let Some(gpu) = gpu() else { return };
        for mut random in rounds() {
            let (rows, vocab) = (random.pick(&[1, 3]), random.pick(&[1, 31, 257, 5000]));
            let logits = random.normals(rows * vocab, 3.0);
            let (streams, seen) = (random.words_of(4 * rows), random.words_of(rows * seen_words(vocab)));
            for (temperature, repetition_penalty) in [(0.0, 1.7), (1.0, 1.3), (0.7, 0.5)] {
                let sampling = Sampling { temperature, repetition_penalty, ..Sampling::default() };
                let expected = penalised(&Cpu::new(), &logits, &sampling, &streams, &seen);
                let got = penalised(&gpu, &logits, &sampling, &streams, &seen);
                assert_eq!(got, expected, "{rows} rows of {vocab} tokens, {sampling:?}");
            }
        }
    }

    /// Ranges that are cut more than once, rows of few distinct logits, and masked tokens.
    #[test]
    fn rows_of_every_kind_draw_as_on_the_cpu() {
        let Some(gpu) = gpu() else { return };
        for mut random in rounds() {
            let (rows, vocab) = (2, random.pick(&[257, 1 << 12, 70_001]));
            let (scale, levels) = (random.pick(&[0.1, 1.0, 10.0]), random.pick(&[1.0, 1e3]));
            let mut logits = random.normals(rows * vocab, scale);
            for (i, logit) in logits.iter_mut().enumerate() {
                *logit = if i % 5 == 3 { f32::NEG_INFINITY } else { (*logit * levels).round() / levels };
            }
            let streams = random.words_of(4 * rows);
            for sampling in [
                Sampling { top_k: 40, ..Sampling::default() },
                Sampling { temperature: 0.3, top_p: 0.5, min_p: 0.01, ..Sampling::default() },
                Sampling { temperature: 2.0, top_p: 1.0, ..Sampling::default() },
                Sampling { temperature: 0.0, ..Sampling::default() },
            ] {
                let expected = tokens(&Cpu::new(), &logits, &sampling, &streams);
                let got = tokens(&gpu, &logits, &sampling, &streams);
                assert_eq!(got, expected, "{vocab} tokens, scale {scale}, levels {levels}, {sampling:?}");
            }
        }
    }
}

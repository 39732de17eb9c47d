//! One token from each row of logits.

use cream_core::Sampling;

use super::buffer::{GpuBuffer, GpuIndices};
use super::dispatch::{Device, Kernel, line};
use super::shaders::shader;

/// logits `[S, V]`, streams `[S, 4]`, out `[S]`; one workgroup a row. A row with nothing to draw from (a NaN: a broken
/// model) gives token 0.
pub(super) fn draw(
    device: &Device,
    logits: &GpuBuffer,
    sampling: &Sampling,
    seed: u64,
    streams: &GpuIndices,
    out: &GpuIndices,
) {
    let Some(vocab) = logits.len().checked_div(out.len()) else { return };
    let Sampling { temperature, top_k, top_p, min_p } = *sampling;
    let inverse_temperature = if temperature == 0.0 { 0.0 } else { 1.0 / temperature };
    let top_k = if (top_k as usize) < vocab { top_k } else { 0 };
    let parameters = [
        vocab as u32,
        out.len() as u32,
        seed as u32,
        (seed >> 32) as u32,
        inverse_temperature.to_bits(),
        top_k,
        top_p.to_bits(),
        min_p.to_bits(),
    ];
    let kernel = Kernel { shader: shader!("sample"), constants: vec![] };
    let bindings = [logits.storage(), streams.storage(), out.storage()];
    device.run(kernel, &bindings, &parameters, line(out.len()));
}

#[cfg(test)]
mod tests {
    use cream_core::Sampling;
    use pollster::block_on;

    use crate::gpu::testing::gpu;
    use crate::tests::random::rounds;
    use crate::{Backend, Cpu};

    fn tokens<B: Backend>(backend: &B, logits: &[f32], sampling: &Sampling, streams: &[u32]) -> Vec<u32> {
        let mut out = backend.indices(&vec![u32::MAX; streams.len() / 4]);
        backend.sample(&backend.upload(logits), sampling, 7, &backend.indices(streams), &mut out);
        block_on(backend.read_indices(&out)).unwrap()
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
                Sampling { temperature: 0.3, top_k: 0, top_p: 0.5, min_p: 0.01 },
                Sampling { temperature: 2.0, top_k: 0, top_p: 1.0, min_p: 0.0 },
                Sampling { temperature: 0.0, ..Sampling::default() },
            ] {
                let expected = tokens(&Cpu::new(), &logits, &sampling, &streams);
                let got = tokens(&gpu, &logits, &sampling, &streams);
                assert_eq!(got, expected, "{vocab} tokens, scale {scale}, levels {levels}, {sampling:?}");
            }
        }
    }

    #[test]
    fn nothing_to_draw_from_is_token_0() {
        let Some(gpu) = gpu() else { return };
        for broken in [f32::NAN, -f32::NAN, f32::INFINITY] {
            let logits = [0.0, broken, 1.0];
            assert_eq!(tokens(&gpu, &logits, &Sampling::default(), &[1, 2, 3, 4]), [0], "{broken}");
        }
        let masked = [f32::NEG_INFINITY; 3];
        assert_eq!(tokens(&gpu, &masked, &Sampling::default(), &[1, 2, 3, 4]), [0]);
    }
}

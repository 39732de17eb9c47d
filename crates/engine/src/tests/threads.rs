//! Results do not depend on the number of threads, on the rows beside a row, nor on what a reused buffer held before:
//! the CPU's own promise.

use pollster::block_on;

use super::models::{accumulate, adapter, batch, checkpoint, configs, groups};
use super::packed::DTYPES;
use super::random::rounds;
use super::widened;
use crate::{AdamW, Backend, Cpu, Dtype, Llama, Matrix, Trained, Trainer};

/// Log-probs and the state after two steps, on this many threads.
fn run(threads: usize, seed: usize, dtype: Dtype, again: bool) -> (Vec<f32>, Vec<u8>) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let random = &mut rounds().nth(seed).unwrap();
        let backend = Cpu::new();
        let config = &configs()[seed % 2];
        let stored = checkpoint(random, config, dtype);
        let groups = [groups(random, config.vocab_size), groups(random, config.vocab_size)].concat();
        let batch = batch(&groups);
        let d = widened(&random.normals(batch.completion_lens.len(), 1.0));
        let start = adapter(&backend, random, config);
        let one = || {
            // F32: all weights are trained. Otherwise an adapter over packed weights.
            let all = dtype == Dtype::F32;
            let mut model = Llama::new(backend.clone(), &stored, all).unwrap();
            let mut adapter = (!all).then(|| start.duplicate(&backend));
            let logps = block_on(model.token_logps(adapter.as_ref(), &batch)).unwrap();
            let mut trainer = Trainer::new(&model, adapter.as_ref(), AdamW::default(), false);
            for _ in 0..2 {
                accumulate(&mut trainer, &model, adapter.as_ref(), &batch, &d);
                block_on(trainer.update(Trained::new(&mut model, adapter.as_mut()), 1e-2)).unwrap();
            }
            (logps, block_on(trainer.state(Trained::new(&mut model, adapter.as_mut()))).unwrap())
        };
        let first = one();
        if again { one() } else { first }
    })
}

#[test]
fn threads_change_nothing() {
    for seed in 0..rounds().count() {
        for dtype in [Dtype::F32, Dtype::BF16] {
            let [(one, one_state), (three, three_state)] = [1, 3].map(|threads| run(threads, seed, dtype, false));
            assert_eq!(one, three, "{dtype:?}, round {seed}");
            assert!(one_state == three_state, "{dtype:?}, round {seed}: state");
        }
    }
}

/// Decoding reads stored weights otherwise for one row than for several.
#[test]
fn rows_beside_a_row_change_nothing() {
    let backend = Cpu::new();
    for mut random in rounds() {
        for dtype in DTYPES {
            let (d_in, d_out) = (256, random.pick(&[1, 63, 65, 130]));
            let weight = Matrix::stored(&backend, &random.tensor(dtype, d_out, d_in));
            let product = |x: &[f32]| {
                let mut out = backend.buffer(x.len() / d_in * d_out);
                backend.matmul(&backend.upload(x), &weight, 1.0, false, &mut out);
                out.to_vec()
            };
            for rows in [2, 3, 9, 64] {
                let x = random.normals(rows * d_in, 1.0);
                let alone: Vec<f32> = x.chunks_exact(d_in).flat_map(product).collect();
                assert_eq!(product(&x), alone, "{rows} rows by {dtype:?} [{d_out}, {d_in}]");
            }
        }
    }
}

#[test]
fn used_buffers_change_nothing() {
    for seed in 0..rounds().count() {
        for dtype in [Dtype::F32, Dtype::BF16] {
            let [(fresh, fresh_state), (used, used_state)] = [false, true].map(|again| run(2, seed, dtype, again));
            assert_eq!(fresh, used, "{dtype:?}, round {seed}");
            assert!(fresh_state == used_state, "{dtype:?}, round {seed}: state");
        }
    }
}

//! Speed of what runs once a token, once a pair or once a prompt: `cargo bench -p cream-core`.

use cream_core::consistency::Kind;
use cream_core::philox::{Stream, normals};
use cream_core::{Loss, PairLogps, Sampling, math, sample};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

/// The vocabulary of SmolLM2.
const VOCABULARY: usize = 49_152;

/// Normal logits; 3 is about the spread of a trained model's, 0.3 that of random weights.
fn logits(spread: f32) -> Vec<f32> {
    (0..VOCABULARY as u32 / 4)
        .flat_map(|i| normals(Stream::at(0, 0, 0, i).random()))
        .map(|deviate| spread * deviate)
        .collect()
}

fn rewards(completion: u32, n: usize) -> Vec<f64> {
    (0..n as u32).map(|i| f64::from(Stream::at(0, 0, completion, i).uniform())).collect()
}

#[divan::bench(args = [Loss::Cream, Loss::Dpo, Loss::Ipo])]
fn loss_and_gradient(bencher: Bencher<'_, '_>, loss: Loss) {
    let pairs: Vec<PairLogps> = rewards(0, 4000)
        .as_chunks()
        .0
        .iter()
        .map(|&[chosen, rejected, reference_chosen, reference_rejected]| PairLogps {
            chosen: -80.0 * chosen,
            rejected: -80.0 * rejected,
            reference_chosen: -80.0 * reference_chosen,
            reference_rejected: -80.0 * reference_rejected,
        })
        .collect();
    bencher.counter(ItemsCount::new(pairs.len())).bench_local(|| {
        for pair in black_box(&pairs) {
            black_box(loss.evaluate(0.1, 0.7, pair).expect("good input"));
        }
    });
}

#[divan::bench(args = [5, 64, 100_000])]
fn kendall(bencher: Bencher<'_, '_>, n: usize) {
    let (current, previous) = (rewards(0, n), rewards(1, n));
    let mut scratch = vec![0; Kind::Kendall.scratch_len(n)];
    bencher.bench_local(|| Kind::Kendall.agreement(black_box(&current), &previous, &mut scratch));
}

#[divan::bench(args = [0.0, 0.3, 1.0, 3.0, 6.0])]
fn sample_top_p(bencher: Bencher<'_, '_>, spread: f32) {
    let (row, mut scratch) = (logits(spread), vec![0.0; 2 * VOCABULARY]);
    let options = Sampling::default();
    bencher.bench_local(|| sample(black_box(&row), &options, black_box(0.5), &mut scratch));
}

#[divan::bench(args = [0.3, 3.0])]
fn sample_top_k(bencher: Bencher<'_, '_>, spread: f32) {
    let (row, mut scratch) = (logits(spread), vec![0.0; 2 * VOCABULARY]);
    let options = Sampling { top_k: 50, top_p: 1.0, ..Sampling::default() };
    bencher.bench_local(|| sample(black_box(&row), &options, black_box(0.5), &mut scratch));
}

#[divan::bench]
fn sample_greedy(bencher: Bencher<'_, '_>) {
    let (row, mut scratch) = (logits(3.0), vec![0.0; 2 * VOCABULARY]);
    let options = Sampling { temperature: 0.0, ..Sampling::default() };
    bencher.bench_local(|| sample(black_box(&row), &options, black_box(0.5), &mut scratch));
}

#[divan::bench]
fn exp(bencher: Bencher<'_, '_>) {
    let (row, mut out) = (logits(3.0), vec![0.0; VOCABULARY]);
    bencher.counter(ItemsCount::new(VOCABULARY)).bench_local(|| {
        for (out, &x) in out.iter_mut().zip(black_box(&row)) {
            *out = math::exp(x);
        }
        black_box(&mut out);
    });
}

#[divan::bench]
fn log_softmax(bencher: Bencher<'_, '_>) {
    let mut row = logits(3.0);
    bencher.counter(ItemsCount::new(VOCABULARY)).bench_local(|| math::log_softmax(black_box(&mut row)));
}

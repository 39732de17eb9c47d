//! Every forward kernel against f64, on sizes that no tile divides.

use cream_core::Sampling;
use cream_core::philox::Stream;
use pollster::block_on;

use super::random::Random;
use super::{assert_close, assert_close_by, largest, oracle, read, unwritten, widened};
use crate::tolerances::KERNEL;
use crate::{Adapted, Backend, Dtype, Heads, LlamaConfig, Lora, Matrix, Norm, Rope, Segment};

on_each_backend!(
    embed,
    store_rows,
    rms_norm,
    matmul,
    rope,
    attention,
    swiglu,
    token_logps,
    sample,
    linear,
    gated,
    project
);
on_small_bindings!(80 << 10; rms_norm, matmul, swiglu, token_logps);

fn embed<B: Backend>(backend: &B, random: &mut Random) {
    let (rows, width, count) = (random.pick(&[1, 50]), random.pick(&[1, 30, 64]), random.pick(&[1, 7, 200]));
    let (values, ids) = (random.normals(rows * width, 1.0), random.ids(count, rows));
    let mut out = unwritten(backend, count * width);
    backend.embed(&Matrix::dense(backend.upload(&values), rows, width), &backend.indices(&ids), &mut out);
    let expected: Vec<f32> = ids.iter().flat_map(|&id| &values[id as usize * width..][..width]).copied().collect();
    assert_eq!(read(backend, &out), expected);
}

fn store_rows<B: Backend>(backend: &B, random: &mut Random) {
    let (width, count) = (random.pick(&[1, 30, 64]), random.pick(&[1, 7, 40]));
    let (x, before) = (random.normals(count * width, 1.0), random.normals(100 * width, 1.0));
    let first = random.below(100 - 2 * count);
    let rows: Vec<u32> = (0..count).rev().map(|i| (first + 2 * i) as u32).collect();
    let mut out = backend.upload(&before);
    backend.store_rows(&backend.upload(&x), &backend.indices(&rows), &mut out);
    let mut expected = before;
    for (row, x) in rows.iter().zip(x.chunks_exact(width)) {
        expected[*row as usize * width..][..width].copy_from_slice(x);
    }
    assert_eq!(read(backend, &out), expected);
}

fn rms_norm<B: Backend>(backend: &B, random: &mut Random) {
    for scale in [1e-3, 1.0, 1e3] {
        let (rows, width) = (random.pick(&[1, 3, 33, 70]), random.pick(&[1, 7, 33, 64, 576]));
        let (x, weight, eps) =
            (random.normals(rows * width, scale), random.normals(width, 1.0), super::models::RMS_NORM_EPS);
        let mut out = unwritten(backend, rows * width);
        backend.rms_norm(&backend.upload(&x), &backend.upload(&weight), eps, &mut out);
        let expected = oracle::rms_norm(&x, &weight, eps);
        assert_close(&read(backend, &out), &expected, KERNEL, &format!("{rows} rows of {width}"));
    }
}

fn matmul<B: Backend>(backend: &B, random: &mut Random) {
    for rows in [1, 2, 5, 31, 64, 65, 130] {
        let (d_in, d_out) = (random.pick(&[1, 7, 33, 64, 300]), random.pick(&[1, 5, 95, 97, 250]));
        let what = format!("[{rows}, {d_in}] by [{d_out}, {d_in}]");
        let (x, weight) = (random.normals(rows * d_in, 1.0), random.normals(d_out * d_in, 1.0));
        let (before, alpha, accumulate) =
            (random.normals(rows * d_out, 1.0), random.pick(&[-1.5, 0.5, 2.0]), random.yes());
        let mut out = if accumulate { backend.upload(&before) } else { unwritten(backend, rows * d_out) };
        let matrix = Matrix::dense(backend.upload(&weight), d_out, d_in);
        backend.matmul(&backend.upload(&x), &matrix, alpha, accumulate, &mut out);
        let expected = oracle::scaled(&oracle::product(&x, &weight, d_in), alpha, accumulate.then_some(&before));
        let size = largest(&expected).max(oracle::product_size(&x, &weight, d_in));
        assert_close_by(&read(backend, &out), &expected, size, KERNEL, &what);
    }
}

fn rope<B: Backend>(backend: &B, random: &mut Random) {
    let (rows, heads, head_dim) = (random.pick(&[1, 17, 40]), random.pick(&[1, 3]), random.pick(&[2, 10, 64]));
    let frequencies = LlamaConfig { head_dim, ..super::models::config() }.rope_frequencies();
    let (x, positions) = (random.normals(rows * heads * head_dim, 1.0), random.ids(rows, 8192));
    for inverse in [false, true] {
        let mut out = backend.upload(&x);
        backend.rope(&mut out, &backend.indices(&positions), &backend.upload(&frequencies), inverse);
        let expected = oracle::rope(&x, &positions, &frequencies, inverse);
        assert_close(&read(backend, &out), &expected, KERNEL, &format!("inverse {inverse}"));
    }
}

/// Prompts, completions and decoding slots in one plan, over keys that are not the queries' own rows.
fn attention<B: Backend>(backend: &B, random: &mut Random) {
    let (key_rows, count) = (300, 1 + random.below(8));
    let mut segments: Vec<Segment> = Vec::new();
    let mut rows = 0;
    for _ in 0..count {
        let (query_len, own_past) = (random.pick(&[1, 1, 2, 31, 33, 70]), random.pick(&[0, 1, 40]));
        let (prefix_start, prefix_len) = random.pick(&[(0, 0), (0, 1), (7, 17), (100, 64)]);
        let own_start = random.below(key_rows - query_len - own_past) as u32;
        let [query_start, query_len, own_past] = [rows, query_len, own_past].map(|n| n as u32);
        segments.push(Segment { query_start, query_len, prefix_start, prefix_len, own_start, own_past });
        rows += query_len as usize;
    }
    let (query, key_value, dim) = random.pick(&[(1, 1, 2), (4, 2, 16), (6, 2, 10), (9, 3, 64), (3, 1, 20)]);
    let heads = Heads { query, key_value, dim };
    for scale in [1.0, 10.0] {
        let q = random.normals(rows * query * dim, scale);
        let [k, v] = [scale, 1.0].map(|scale| random.normals(key_rows * key_value * dim, scale));
        let (mut out, mut lse) = (unwritten(backend, q.len()), unwritten(backend, rows * query));
        let [q_there, k_there, v_there] = [&q, &k, &v].map(|values| backend.upload(values));
        backend.attention(&q_there, &k_there, &v_there, &backend.plan(&segments), heads, &mut out, &mut lse);
        let [expected_out, expected_lse] = oracle::attention(&q, &k, &v, &segments, heads);
        assert_close(&read(backend, &lse), &expected_lse, KERNEL, &format!("lse, {heads:?} {segments:?}"));
        // A weight is off by as much, relatively, as its score is off absolutely.
        let tolerance = KERNEL * largest(&expected_lse).max(1.0);
        assert_close(&read(backend, &out), &expected_out, tolerance, &format!("{heads:?} {segments:?}"));
    }
}

fn swiglu<B: Backend>(backend: &B, random: &mut Random) {
    let len = random.pick(&[1, 17, 1000, 40_001]);
    for scale in [1.0, 100.0] {
        let (gate, up) = (random.normals(len, scale), random.normals(len, 1.0));
        let mut out = unwritten(backend, len);
        backend.swiglu(&backend.upload(&gate), &backend.upload(&up), &mut out);
        assert_close(&read(backend, &out), &oracle::swiglu(&gate, &up), KERNEL, &format!("{len} numbers"));
    }
}

fn token_logps<B: Backend>(backend: &B, random: &mut Random) {
    for scale in [1.0, 100.0] {
        let (rows, width) = (random.pick(&[1, 9, 40]), random.pick(&[1, 33, 64]));
        let vocab = random.pick(&[2, 320, 1025, 2500, 8200]);
        let what = format!("{rows} rows of {width}, {vocab} tokens, logits to {scale}");
        let (h, head) = (random.normals(rows * width, scale), random.normals(vocab * width, 1.0));
        let mut targets = random.ids(rows, vocab);
        targets[0] = vocab as u32 - 1;
        let (mut logps, mut lse) = (unwritten(backend, rows), unwritten(backend, rows));
        let matrix = Matrix::dense(backend.upload(&head), vocab, width);
        backend.token_logps(&backend.upload(&h), &matrix, &backend.indices(&targets), &mut logps, &mut lse);
        let [expected, expected_lse] = oracle::token_logps(&h, &head, width, &targets);
        // Differences of numbers as large as the logits.
        let size = largest(&expected_lse).max(oracle::product_size(&h, &head, width));
        assert_close_by(&read(backend, &lse), &expected_lse, size, KERNEL, &format!("{what}: lse"));
        assert_close_by(&read(backend, &logps), &expected, size, KERNEL, &what);
    }
}

fn sample<B: Backend>(backend: &B, random: &mut Random) {
    let (rows, vocab) = (random.pick(&[1, 5, 64]), random.pick(&[1, 2, 320, 2500]));
    let logits = random.normals(rows * vocab, 3.0);
    let (streams, seed) = (random.words_of(4 * rows), u64::from(random.words_of(1)[0]) << 20);
    let settings = [
        Sampling::default(),
        Sampling { temperature: 0.0, ..Sampling::default() },
        Sampling { temperature: 1.3, top_k: 7, top_p: 1.0, ..Sampling::default() },
        Sampling { temperature: 1.0, top_p: 1.0, min_p: 0.05, ..Sampling::default() },
    ];
    for sampling in settings {
        let expected = |row: usize| {
            let counter = streams[4 * row..][..4].try_into().unwrap();
            let uniform = Stream { counter, key: [seed as u32, (seed >> 32) as u32] }.uniform();
            cream_core::sample(&logits[row * vocab..][..vocab], &sampling, uniform, &mut vec![0.0; 2 * vocab]).unwrap()
        };
        let expected: Vec<u32> = (0..rows).map(expected).collect();
        let mut out = backend.indices(&vec![u32::MAX; rows]);
        backend.sample(&backend.upload(&logits), &sampling, seed, &backend.indices(&streams), None, &mut out);
        assert_eq!(
            block_on(backend.read_indices(&[&out])).unwrap()[0],
            expected,
            "{rows} rows, {vocab} tokens, {sampling:?}"
        );
    }
}

fn linear<B: Backend>(backend: &B, random: &mut Random) {
    for accumulate in [false, true] {
        let (rows, r, scale) = (random.pick(&[1, 4, 33]), random.pick(&[1, 3, 16]), random.pick(&[-1.5, 0.5, 2.0]));
        let (d_in, d_out) = (random.pick(&[7, 64, 100]), random.pick(&[5, 64, 130]));
        let [x, weight, a, b, before] =
            [rows * d_in, d_out * d_in, r * d_in, d_out * r, rows * d_out].map(|len| random.normals(len, 1.0));
        let matrix = |values: &[f32], rows: usize, cols: usize| Matrix::dense(backend.upload(values), rows, cols);
        let lora = Lora { a: matrix(&a, r, d_in), b: matrix(&b, d_out, r), scale };
        let merged: Vec<f32> = oracle::product(&b, &oracle::transposed(&a, d_in), r)
            .iter()
            .zip(&weight)
            .map(|(ba, &weight)| (f64::from(weight) + f64::from(scale) * ba) as f32)
            .collect();
        for (lora, weights) in [(None, &weight), (Some(&lora), &merged)] {
            let mut out = if accumulate { backend.upload(&before) } else { unwritten(backend, rows * d_out) };
            let weight = matrix(&weight, d_out, d_in);
            backend.linear(&backend.upload(&x), &Adapted { weight: &weight, lora }, accumulate, &mut out);
            let expected = oracle::scaled(&oracle::product(&x, weights, d_in), 1.0, accumulate.then_some(&before));
            assert_close(&read(backend, &out), &expected, KERNEL, &format!("rank {r}, adapter {}", lora.is_some()));
        }
    }
}

/// Random matrices `[D_out, D_in]` of a type for one input, with pairs of a rank, or of several; their sums in f32.
struct Linears<B: Backend> {
    weights: Vec<Matrix<B>>,
    loras: Vec<Option<Lora<B>>>,
    merged: Vec<Vec<f32>>,
}

impl<B: Backend> Linears<B> {
    fn new(backend: &B, random: &mut Random, d_in: usize, d_outs: &[usize]) -> Self {
        let dtype = random.pick(&[Dtype::F32, Dtype::F16, Dtype::BF16, Dtype::Q8_0, Dtype::Q4_1]);
        let tensors: Vec<_> = d_outs.iter().map(|&d_out| random.tensor(dtype, d_out, d_in)).collect();
        let weights = Matrix::all_stored(backend, &tensors.iter().collect::<Vec<_>>(), false);
        // None has a pair, all have one, or one has none.
        let (pairs, r, scale) = (random.below(3), random.pick(&[3, 4, 16]), random.pick(&[-1.5, 0.5]));
        let pairs: Vec<bool> = (0..d_outs.len()).map(|i| pairs == 1 || (pairs == 2 && i > 0)).collect();
        let mut factors = |shape: fn(usize, usize, usize) -> usize| -> (Vec<Vec<f32>>, Vec<B::Buffer>) {
            let own = d_outs.iter().zip(&pairs).filter(|(_, has)| **has);
            let values: Vec<_> = own.map(|(&d_out, _)| random.normals(shape(d_out, d_in, r), 0.3)).collect();
            let buffers = backend.upload_all(&values.iter().map(Vec::as_slice).collect::<Vec<_>>());
            (values, buffers)
        };
        let ((a, a_there), (b, b_there)) = (factors(|_, d_in, r| r * d_in), factors(|d_out, _, r| d_out * r));
        let (mut there, mut values) = (a_there.into_iter().zip(b_there), a.iter().zip(&b));
        let (mut loras, mut merged) = (Vec::new(), Vec::new());
        for ((tensor, &d_out), has) in tensors.iter().zip(d_outs).zip(pairs) {
            let mut weight = tensor.to_f32();
            if has {
                let ((a, b), (a_there, b_there)) = (values.next().unwrap(), there.next().unwrap());
                let added = oracle::product(b, &oracle::transposed(a, d_in), r);
                weight.iter_mut().zip(added).for_each(|(weight, ba)| *weight += (f64::from(scale) * ba) as f32);
                let (a, b) = (Matrix::dense(a_there, r, d_in), Matrix::dense(b_there, d_out, r));
                loras.push(Some(Lora { a, b, scale }));
            } else {
                loras.push(None);
            }
            merged.push(weight);
        }
        Linears { weights, loras, merged }
    }

    fn adapted(&self) -> Vec<Adapted<'_, B>> {
        let pairs = self.weights.iter().zip(&self.loras);
        pairs.map(|(weight, lora)| Adapted { weight, lora: lora.as_ref() }).collect()
    }
}

impl<B: Backend> std::fmt::Display for Linears<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ranks: Vec<_> = self.loras.iter().map(|lora| lora.as_ref().map(|lora| lora.a.rows())).collect();
        write!(f, "ranks {ranks:?}")
    }
}

fn gated<B: Backend>(backend: &B, random: &mut Random) {
    for rows in [1, 3, 17, 33, 64, 65] {
        let (d_in, width) = (random.pick(&[32, 64, 288]), random.pick(&[7, 64, 128]));
        let linears = Linears::new(backend, random, d_in, &[width; 2]);
        let (x, gain) = (random.normals(rows * d_in, 3.0), random.normals(d_in, 1.0));
        let mut out = unwritten(backend, rows * width);
        let [gate, up] = &linears.adapted()[..] else { unreachable!() };
        let (h, norm) = (normed(&x, &gain), Norm { weight: &backend.upload(&gain), eps: super::models::RMS_NORM_EPS });
        backend.gated(&backend.upload(&x), &norm, [gate, up], &mut out);
        let [gate, up] = [0, 1].map(|i| narrowed(&oracle::product(&h, &linears.merged[i], d_in)));
        let size = largest(&oracle::swiglu(&gate, &up)).max(1.0);
        let what = format!("{rows} rows, {width} of {d_in}, {linears}");
        assert_close_by(&read(backend, &out), &oracle::swiglu(&gate, &up), size, KERNEL, &what);
    }
}

fn project<B: Backend>(backend: &B, random: &mut Random) {
    for rows in [1, 5, 64, 65] {
        let (heads, key_value, dim) = random.pick(&[(3, 1, 64), (2, 2, 32), (2, 1, 10)]);
        let (d_in, key_rows) = (random.pick(&[32, 64, 288]), 150);
        let linears = Linears::new(backend, random, d_in, &[heads, key_value, key_value].map(|n| n * dim));
        let frequencies = LlamaConfig { head_dim: dim, ..super::models::config() }.rope_frequencies();
        let (x, gain, positions) =
            (random.normals(rows * d_in, 0.3), random.normals(d_in, 1.0), random.ids(rows, 2000));
        let at: Vec<u32> = (0..rows).map(|row| 2 * row as u32 + 1).collect();
        let before = random.normals(key_rows * key_value * dim, 1.0);

        let mut q = unwritten(backend, rows * heads * dim);
        let [mut keys, mut values] = [(); 2].map(|()| backend.upload(&before));
        let (there, frequencies_there) = (backend.indices(&positions), backend.upload(&frequencies));
        let rope = Rope { positions: &there, frequencies: &frequencies_there };
        let [of_q, of_k, of_v] = &linears.adapted()[..] else { unreachable!() };
        let cache = [&mut keys, &mut values];
        let (h, norm) = (normed(&x, &gain), Norm { weight: &backend.upload(&gain), eps: super::models::RMS_NORM_EPS });
        let of_all = [of_q, of_k, of_v];
        backend.project(&backend.upload(&x), &norm, of_all, &rope, &backend.indices(&at), &mut q, cache);

        let projected = [0, 1, 2].map(|i| narrowed(&oracle::product(&h, &linears.merged[i], d_in)));
        let [q_expected, k] = [0, 1].map(|i| oracle::rope(&projected[i], &positions, &frequencies, false));
        let what = format!("{rows} rows, heads {heads} {key_value} {dim} of {d_in}, {linears}");
        assert_close(&read(backend, &q), &q_expected, KERNEL, &format!("{what}: q"));
        for (cache, rows) in [(keys, k), (values, widened(&projected[2]))] {
            let mut expected = widened(&before);
            for (row, values) in at.iter().zip(rows.chunks_exact(key_value * dim)) {
                expected[*row as usize * key_value * dim..][..key_value * dim].copy_from_slice(values);
            }
            assert_close(&read(backend, &cache), &expected, KERNEL, &what);
        }
    }
}

fn normed(x: &[f32], gain: &[f32]) -> Vec<f32> {
    narrowed(&oracle::rms_norm(x, gain, super::models::RMS_NORM_EPS))
}

fn narrowed(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

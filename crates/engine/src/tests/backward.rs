//! Every backward kernel against a central difference of its forward kernel, along a random direction.

use super::models::{RMS_NORM_EPS, groups};
use super::oracle::dot;
use super::random::Random;
use super::{norm, read, unwritten, widened};
use crate::tolerances::{DIFFERENCE, DIFFERENCE_STEP};
use crate::{Adapted, Backend, Batch, Group, Heads, LinearGradient, Lora, Matrix};

on_each_backend!(embed, rms_norm, matmul, rope, attention, swiglu, token_logps, linear, linear_with_an_adapter);

/// `gradient` is that of `f` at `x`. The error is measured by the gradient's norm, which is what a derivative along a
/// direction of unit variance amounts to.
fn assert_gradient(random: &mut Random, f: impl Fn(&[f32]) -> f64, x: &[f32], gradient: &[f32], what: &str) {
    assert_eq!(gradient.len(), x.len(), "{what}: length");
    let direction = random.normals(x.len(), DIFFERENCE_STEP);
    let moved = |sign: f32| x.iter().zip(&direction).map(|(x, d)| x + sign * d).collect::<Vec<f32>>();
    let (ahead, behind) = (moved(1.0), moved(-1.0));
    let steps = ahead.iter().zip(&behind).map(|(&a, &b)| f64::from(a) - f64::from(b));
    let got: f64 = steps.zip(gradient).map(|(step, &g)| step * f64::from(g)).sum();
    let expected = f(&ahead) - f(&behind);
    let size = 2.0 * f64::from(DIFFERENCE_STEP) * norm(widened(gradient));
    let error = (got - expected).abs() / size;
    assert!(error <= DIFFERENCE, "{what}: {got}, expected {expected}, off by {error:e}");
}

/// What a kernel that adds to `before` has added.
fn added<B: Backend>(backend: &B, after: &B::Buffer, before: &[f32]) -> Vec<f32> {
    read(backend, after).iter().zip(before).map(|(after, before)| after - before).collect()
}

fn embed<B: Backend>(backend: &B, random: &mut Random) {
    let (rows, width, count) = (random.pick(&[2, 50]), random.pick(&[1, 30, 64]), random.pick(&[1, 7, 200]));
    let (table, d_out) = (random.normals(rows * width, 1.0), random.normals(count * width, 1.0));
    let (ids, before) = (backend.indices(&random.ids(count, rows)), random.normals(rows * width, 1.0));
    let mut d_table = backend.upload(&before);
    backend.embed_backward(&backend.upload(&d_out), &ids, &mut d_table);
    let f = |table: &[f32]| {
        let mut out = unwritten(backend, count * width);
        backend.embed(&Matrix::dense(backend.upload(table), rows, width), &ids, &mut out);
        dot(&read(backend, &out), &d_out)
    };
    assert_gradient(random, f, &table, &added(backend, &d_table, &before), "d_table");
}

fn rms_norm<B: Backend>(backend: &B, random: &mut Random) {
    let (rows, width) = (random.pick(&[1, 3, 33, 70]), random.pick(&[7, 33, 64, 576]));
    let what = format!("{rows} rows of {width}");
    let [x, d_out, before_x] = [(); 3].map(|()| random.normals(rows * width, 1.0));
    let [weight, before_weight] = [(); 2].map(|()| random.normals(width, 1.0));
    let f = |x: &[f32], weight: &[f32]| {
        let mut out = unwritten(backend, x.len());
        backend.rms_norm(&backend.upload(x), &backend.upload(weight), RMS_NORM_EPS, &mut out);
        dot(&read(backend, &out), &d_out)
    };
    let backward = |d_weight: Option<&mut B::Buffer>| {
        let (mut d_x, d_out) = (backend.upload(&before_x), backend.upload(&d_out));
        let [x, weight] = [&x, &weight].map(|values| backend.upload(values));
        backend.rms_norm_backward(&x, &weight, RMS_NORM_EPS, &d_out, &mut d_x, d_weight);
        added(backend, &d_x, &before_x)
    };
    let mut d_weight = backend.upload(&before_weight);
    let d_x = backward(Some(&mut d_weight));
    assert_eq!(backward(None), d_x, "{what}: without d_weight");
    assert_gradient(random, |x| f(x, &weight), &x, &d_x, &format!("{what}: d_x"));
    let d_weight = added(backend, &d_weight, &before_weight);
    assert_gradient(random, |weight| f(&x, weight), &weight, &d_weight, &format!("{what}: d_weight"));
}

fn matmul<B: Backend>(backend: &B, random: &mut Random) {
    for rows in [1, 2, 5, 31, 130] {
        let (d_in, d_out_width) = (random.pick(&[1, 7, 33, 64, 300]), random.pick(&[1, 5, 95, 97, 250]));
        let what = format!("[{rows}, {d_in}] by [{d_out_width}, {d_in}]");
        let [x, before_x] = [(); 2].map(|()| random.normals(rows * d_in, 1.0));
        let [weight, before_weight] = [(); 2].map(|()| random.normals(d_out_width * d_in, 1.0));
        let (d_out, alpha) = (random.normals(rows * d_out_width, 1.0), random.pick(&[-1.5, 0.5, 2.0]));
        let f = |x: &[f32], weight: &[f32]| {
            let matrix = Matrix::dense(backend.upload(weight), d_out_width, d_in);
            let mut out = unwritten(backend, rows * d_out_width);
            backend.matmul(&backend.upload(x), &matrix, alpha, false, &mut out);
            dot(&read(backend, &out), &d_out)
        };
        let [x_there, d_out_there] = [&x, &d_out].map(|values| backend.upload(values));
        let matrix = Matrix::dense(backend.upload(&weight), d_out_width, d_in);
        for accumulate in [false, true] {
            let mut d_x = if accumulate { backend.upload(&before_x) } else { unwritten(backend, x.len()) };
            backend.matmul_backward_input(&d_out_there, &matrix, alpha, accumulate, &mut d_x);
            let d_x = if accumulate { added(backend, &d_x, &before_x) } else { read(backend, &d_x) };
            assert_gradient(random, |x| f(x, &weight), &x, &d_x, &format!("{what}: d_x, accumulate {accumulate}"));
        }
        let mut d_weight = backend.upload(&before_weight);
        backend.matmul_backward_weight(&d_out_there, &x_there, d_out_width, alpha, &mut d_weight);
        let d_weight = added(backend, &d_weight, &before_weight);
        assert_gradient(random, |weight| f(&x, weight), &weight, &d_weight, &format!("{what}: d_weight"));
    }
}

fn rope<B: Backend>(backend: &B, random: &mut Random) {
    let (rows, heads, half) = (random.pick(&[1, 17, 40]), random.pick(&[1, 3]), random.pick(&[1, 5, 32]));
    let [x, d_out] = [(); 2].map(|()| random.normals(rows * heads * 2 * half, 1.0));
    let positions = backend.indices(&random.ids(rows, 300));
    let frequencies = backend.upload(&random.normals(half, 1.0));
    let turned = |x: &[f32], inverse: bool| {
        let mut x = backend.upload(x);
        backend.rope(&mut x, &positions, &frequencies, inverse);
        read(backend, &x)
    };
    let f = |x: &[f32]| dot(&turned(x, false), &d_out);
    assert_gradient(random, f, &x, &turned(&d_out, true), "d_x");
}

/// Prompts that completions share, longer and shorter than a tile, with heads grouped and not.
fn attention<B: Backend>(backend: &B, random: &mut Random) {
    for (query, key_value, dim) in [(1, 1, 2), (4, 2, 16), (6, 2, 10), (3, 1, 20), (9, 3, 64)] {
        let heads = Heads { query, key_value, dim };
        // One group at least whose rows see more than themselves: elsewhere nothing depends on q and k.
        let long = Group { prompt: vec![0; 33], completions: vec![vec![0; 3]] };
        let batch = Batch::new(&[groups(random, 2), vec![long]].concat(), 2).unwrap();
        let (plan, rows) = (backend.plan(&batch.segments), batch.rows());
        let [q, d_out] = [(); 2].map(|()| random.normals(rows * query * dim, 1.0));
        let [k, v] = [(); 2].map(|()| random.normals(rows * key_value * dim, 1.0));
        let forward = |q: &[f32], k: &[f32], v: &[f32]| {
            let [q, k, v] = [q, k, v].map(|values| backend.upload(values));
            let (mut out, mut lse) = (unwritten(backend, d_out.len()), unwritten(backend, rows * query));
            backend.attention(&q, &k, &v, &plan, heads, &mut out, &mut lse);
            (out, lse)
        };
        let f = |q: &[f32], k: &[f32], v: &[f32]| dot(&read(backend, &forward(q, k, v).0), &d_out);
        let (out, lse) = forward(&q, &k, &v);
        let [mut d_q, mut d_k, mut d_v] = [&q, &k, &v].map(|like| unwritten(backend, like.len()));
        let [q_there, k_there, v_there, d_out_there] = [&q, &k, &v, &d_out].map(|values| backend.upload(values));
        backend.attention_backward(
            &q_there,
            &k_there,
            &v_there,
            &out,
            &lse,
            &d_out_there,
            &plan,
            heads,
            &mut d_q,
            &mut d_k,
            &mut d_v,
        );
        let what = format!("{heads:?}, {:?}", batch.segments);
        assert_gradient(random, |q| f(q, &k, &v), &q, &read(backend, &d_q), &format!("d_q, {what}"));
        assert_gradient(random, |k| f(&q, k, &v), &k, &read(backend, &d_k), &format!("d_k, {what}"));
        assert_gradient(random, |v| f(&q, &k, v), &v, &read(backend, &d_v), &format!("d_v, {what}"));
    }
}

fn swiglu<B: Backend>(backend: &B, random: &mut Random) {
    let len = random.pick(&[17, 1000, 40_001]);
    let [gate, up, d_out] = [2.0, 1.0, 1.0].map(|scale| random.normals(len, scale));
    let f = |gate: &[f32], up: &[f32]| {
        let mut out = unwritten(backend, len);
        backend.swiglu(&backend.upload(gate), &backend.upload(up), &mut out);
        dot(&read(backend, &out), &d_out)
    };
    let [mut d_gate, mut d_up, d_out_there] = [&gate, &up, &d_out].map(|values| backend.upload(values));
    backend.swiglu_backward(&mut d_gate, &mut d_up, &d_out_there);
    assert_gradient(random, |gate| f(gate, &up), &gate, &read(backend, &d_gate), &format!("d_gate, {len}"));
    assert_gradient(random, |up| f(&gate, up), &up, &read(backend, &d_up), &format!("d_up, {len}"));
}

fn token_logps<B: Backend>(backend: &B, random: &mut Random) {
    for vocab in [5, 320, 1025, 2500, 8200] {
        let (rows, width) = (random.pick(&[1, 9, 40]), random.pick(&[16, 33, 64]));
        let what = format!("{rows} rows of {width}, {vocab} tokens");
        // Logits of unit variance, to which both factors give the same share.
        let scale = (width as f32).powf(-0.25);
        let (h, d_logps) = (random.normals(rows * width, scale), random.normals(rows, 1.0));
        let [head, before] = [(); 2].map(|()| random.normals(vocab * width, scale));
        let targets = backend.indices(&random.ids(rows, vocab));
        let forward = |h: &[f32], head: &[f32]| {
            let (mut logps, mut lse) = (unwritten(backend, rows), unwritten(backend, rows));
            let head = Matrix::dense(backend.upload(head), vocab, width);
            backend.token_logps(&backend.upload(h), &head, &targets, &mut logps, &mut lse);
            (logps, lse)
        };
        let f = |h: &[f32], head: &[f32]| dot(&read(backend, &forward(h, head).0), &d_logps);
        let backward = |d_head: Option<&mut B::Buffer>| {
            let mut d_h = unwritten(backend, h.len());
            let matrix = Matrix::dense(backend.upload(&head), vocab, width);
            let [h_there, d_there] = [&h, &d_logps].map(|values| backend.upload(values));
            let lse = forward(&h, &head).1;
            backend.token_logps_backward(&h_there, &matrix, &targets, &lse, &d_there, &mut d_h, d_head);
            read(backend, &d_h)
        };
        let mut d_head = backend.upload(&before);
        let d_h = backward(Some(&mut d_head));
        assert_eq!(backward(None), d_h, "{what}: without d_head");
        assert_gradient(random, |h| f(h, &head), &h, &d_h, &format!("{what}: d_h"));
        let d_head = added(backend, &d_head, &before);
        assert_gradient(random, |head| f(&h, head), &head, &d_head, &format!("{what}: d_head"));
    }
}

fn linear<B: Backend>(backend: &B, random: &mut Random) {
    let (rows, d_in, d_out_width) = (random.pick(&[1, 4, 33]), random.pick(&[7, 64]), random.pick(&[5, 130]));
    let [x, weight, d_out, before] =
        [rows * d_in, d_out_width * d_in, rows * d_out_width, d_out_width * d_in].map(|len| random.normals(len, 1.0));
    let matrix = |weight: &[f32]| Matrix::dense(backend.upload(weight), d_out_width, d_in);
    let f = |x: &[f32], weight: &[f32]| {
        let mut out = unwritten(backend, d_out.len());
        let linear = Adapted { weight: &matrix(weight), lora: None };
        backend.linear(&backend.upload(x), &linear, false, &mut out);
        dot(&read(backend, &out), &d_out)
    };
    let backward = |gradient: LinearGradient<'_, B>| {
        let (mut d_x, [x, d_out]) = (unwritten(backend, x.len()), [&x, &d_out].map(|values| backend.upload(values)));
        backend.linear_backward(&x, &matrix(&weight), None, &d_out, false, &mut d_x, gradient);
        read(backend, &d_x)
    };
    let mut d_weight = backend.upload(&before);
    let d_x = backward(LinearGradient::Weight(&mut d_weight));
    assert_eq!(backward(LinearGradient::Frozen), d_x, "frozen");
    assert_gradient(random, |x| f(x, &weight), &x, &d_x, "d_x");
    let d_weight = added(backend, &d_weight, &before);
    assert_gradient(random, |weight| f(&x, weight), &weight, &d_weight, "d_weight");
}

fn linear_with_an_adapter<B: Backend>(backend: &B, random: &mut Random) {
    let (rows, r, scale) = (random.pick(&[1, 4, 33]), random.pick(&[1, 3, 16]), random.pick(&[-1.5, 0.5, 2.0]));
    let (d_in, d_out_width) = (random.pick(&[7, 64]), random.pick(&[5, 130]));
    let what = format!("{rows} rows, rank {r}, {d_in} to {d_out_width}");
    let [x, before_x] = [(); 2].map(|()| random.normals(rows * d_in, 1.0));
    let [a, before_a] = [(); 2].map(|()| random.normals(r * d_in, 1.0));
    let [b, before_b] = [(); 2].map(|()| random.normals(d_out_width * r, 1.0));
    let [weight, d_out] = [d_out_width * d_in, rows * d_out_width].map(|len| random.normals(len, 1.0));
    let weight = Matrix::dense(backend.upload(&weight), d_out_width, d_in);
    let lora = |a: &[f32], b: &[f32]| {
        let [a_there, b_there] = [a, b].map(|values| backend.upload(values));
        Lora { a: Matrix::dense(a_there, r, d_in), b: Matrix::dense(b_there, d_out_width, r), scale }
    };
    let f = |x: &[f32], a: &[f32], b: &[f32]| {
        let mut out = unwritten(backend, d_out.len());
        let linear = Adapted { weight: &weight, lora: Some(&lora(a, b)) };
        backend.linear(&backend.upload(x), &linear, false, &mut out);
        dot(&read(backend, &out), &d_out)
    };
    let backward = |accumulate: bool, gradient: LinearGradient<'_, B>| {
        let mut d_x = if accumulate { backend.upload(&before_x) } else { unwritten(backend, x.len()) };
        let [x, d_out] = [&x, &d_out].map(|values| backend.upload(values));
        backend.linear_backward(&x, &weight, Some(&lora(&a, &b)), &d_out, accumulate, &mut d_x, gradient);
        if accumulate { added(backend, &d_x, &before_x) } else { read(backend, &d_x) }
    };
    let [mut d_a, mut d_b] = [&before_a, &before_b].map(|values| backend.upload(values));
    let d_x = backward(true, LinearGradient::Lora { a: &mut d_a, b: &mut d_b });
    assert_gradient(random, |x| f(x, &a, &b), &x, &d_x, &format!("{what}: d_x"));
    assert_gradient(random, |a| f(&x, a, &b), &a, &added(backend, &d_a, &before_a), &format!("{what}: d_a"));
    assert_gradient(random, |b| f(&x, &a, b), &b, &added(backend, &d_b, &before_b), &format!("{what}: d_b"));
    let frozen = backward(false, LinearGradient::Frozen);
    assert_gradient(random, |x| f(x, &a, &b), &x, &frozen, &format!("{what}: d_x of a frozen adapter"));
}

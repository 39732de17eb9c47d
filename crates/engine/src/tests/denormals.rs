//! Kernels of the CPU neither read nor make denormal numbers, whichever thread runs them, and leave the threads as they
//! were.

use std::hint::black_box;

use half::{bf16, f16};

use super::read;
use crate::{AdamW, Backend, Cpu, Dtype, Heads, Matrix, Parameter, Segment, Tensor};

/// Denormal in f32 and bf16.
const DENORMAL: f32 = 1e-39;
/// Normal, and its square is denormal.
const SMALL: f32 = 1e-20;

fn stored(dtype: Dtype, [rows, cols]: [usize; 2], value: f32) -> Matrix<Cpu> {
    let one = match dtype {
        Dtype::F32 => value.to_le_bytes().to_vec(),
        Dtype::F16 => f16::from_f32(value).to_le_bytes().to_vec(),
        Dtype::BF16 => bf16::from_f32(value).to_le_bytes().to_vec(),
        other => unreachable!("{other:?}"),
    };
    Matrix::stored(&Cpu::new(), &Tensor { dtype, shape: vec![rows, cols], bytes: one.repeat(rows * cols).into() })
}

/// Every number of an output is what it is without denormal ones.
fn assert_all(cpu: &Cpu, out: &<Cpu as Backend>::Buffer, expected: f32, what: &str) {
    assert!(read(cpu, out).iter().all(|&value| value == expected), "{what}: {:?}, expected {expected}", &out[..1]);
}

#[test]
fn products() {
    let cpu = Cpu::new();
    for dtype in [Dtype::F32, Dtype::BF16] {
        for (rows, [d_out, d_in]) in [1, 3, 64, 65, 300].into_iter().flat_map(|rows| [(rows, [70, 64]), (rows, [5, 7])])
        {
            for (weight, x) in [(DENORMAL, 1e30), (SMALL, SMALL), (1e30, DENORMAL)] {
                let what = format!("{dtype:?}, {rows} rows, {d_out} by {d_in}, {weight:e} times {x:e}");
                let matrix = stored(dtype, [d_out, d_in], weight);
                let mut out = cpu.upload(&vec![f32::NAN; rows * d_out]);
                cpu.matmul(&cpu.upload(&vec![x; rows * d_in]), &matrix, 1.0, false, &mut out);
                assert_all(&cpu, &out, 0.0, &what);
                let mut d_x = cpu.upload(&vec![f32::NAN; rows * d_in]);
                cpu.matmul_backward_input(&cpu.upload(&vec![x; rows * d_out]), &matrix, 1.0, false, &mut d_x);
                assert_all(&cpu, &d_x, 0.0, &format!("{what}: d_x"));
            }
        }
    }
    let [d_out, x, mut d_weight] = [SMALL, SMALL, 0.0].map(|value| cpu.upload(&[value; 64]));
    cpu.matmul_backward_weight(&d_out, &x, 8, 1.0, &mut d_weight);
    assert_all(&cpu, &d_weight, 0.0, "d_weight");
}

/// Of f16, which are ordinary numbers of f32.
#[test]
fn small_halves_are_kept() {
    let cpu = Cpu::new();
    let half = 2.0_f32.powi(-20);
    for rows in [1, 3, 65] {
        let matrix = stored(Dtype::F16, [70, 64], half);
        let mut out = cpu.buffer(rows * 70);
        cpu.matmul(&cpu.upload(&vec![1.0; rows * 64]), &matrix, 1.0, false, &mut out);
        assert_all(&cpu, &out, 64.0 * half, &format!("{rows} rows"));
    }
}

/// A key seen with a weight of 1.4e-38 adds nothing to a value a thousand times smaller than 1.
#[test]
fn attention() {
    let cpu = Cpu::new();
    let heads = Heads { query: 2, key_value: 1, dim: 4 };
    for query_len in [1, 3] {
        // The first key's score is 87.2 less than those behind it, which have no value.
        let rows = query_len + 2;
        let q = vec![1.0; query_len * 8];
        let mut k = vec![87.2 / 2.0; rows * 4];
        k[..4].fill(0.0);
        let mut v = vec![0.0; rows * 4];
        v[..4].fill(1e-3);
        let segment = Segment { query_len: query_len as u32, own_past: 2, ..Segment::default() };
        let [q, k, v] = [q, k, v].map(|values| cpu.upload(&values));
        let [mut out, mut lse] = [8, 2].map(|width| cpu.buffer(query_len * width));
        cpu.attention(&q, &k, &v, &cpu.plan(&[segment]), heads, &mut out, &mut lse);
        assert_all(&cpu, &out, 0.0, &format!("{query_len} queries"));
    }
    let segment = Segment { query_len: 40, ..Segment::default() };
    let [q, k, v, out, d_out] = [1.0, 1.0, SMALL, SMALL, SMALL].map(|value| cpu.upload(&[value; 160]));
    let (lse, mut d) = (cpu.zeros(40), [(); 3].map(|()| cpu.buffer(160)));
    let heads = Heads { query: 1, key_value: 1, dim: 4 };
    let [d_q, d_k, d_v] = &mut d;
    cpu.attention_backward(&q, &k, &v, &out, &lse, &d_out, &cpu.plan(&[segment]), heads, d_q, d_k, d_v);
    assert_all(&cpu, &d[0], 0.0, "d_q");
    assert_all(&cpu, &d[1], 0.0, "d_k");
}

#[test]
fn single_numbers() {
    let cpu = Cpu::new();
    let (len, ids) = (40_000, cpu.indices(&[0; 4]));
    let of = |value: f32| cpu.upload(&vec![value; len]);
    let mut out = of(f32::NAN);
    cpu.swiglu(&of(SMALL), &of(SMALL), &mut out);
    assert_all(&cpu, &out, 0.0, "swiglu");
    let [mut gate, mut up] = [of(SMALL), of(1.0)];
    cpu.swiglu_backward(&mut gate, &mut up, &of(SMALL));
    assert_all(&cpu, &up, 0.0, "swiglu_backward");
    let weight = cpu.upload(&[DENORMAL; 8]);
    cpu.rms_norm(&of(1.0), &weight, 1e-5, &mut out);
    assert_all(&cpu, &out, 0.0, "rms_norm");
    let [mut d_x, mut d_weight] = [of(0.0), cpu.zeros(8)];
    cpu.rms_norm_backward(&of(1.0), &cpu.upload(&[1.0; 8]), 1e-5, &of(DENORMAL), &mut d_x, Some(&mut d_weight));
    assert_all(&cpu, &d_x, 0.0, "rms_norm_backward");
    assert_all(&cpu, &d_weight, 0.0, "rms_norm_backward of the weight");
    let mut d_table = cpu.zeros(len / 4);
    cpu.embed_backward(&of(DENORMAL), &ids, &mut d_table);
    assert_all(&cpu, &d_table, 0.0, "embed_backward");
    let mut x = cpu.upload(&[DENORMAL; 8]);
    cpu.rope(&mut x, &cpu.indices(&[0]), &cpu.upload(&[1.0; 4]), true);
    assert_all(&cpu, &x, 0.0, "rope");
    let mut norm_squared = cpu.zeros(1);
    cpu.sum_of_squares(&[&of(SMALL)], &mut norm_squared);
    assert_all(&cpu, &norm_squared, 0.0, "sum_of_squares");
    let [mut value, gradient, mut first, mut second] = [1.0, 1e-38, 0.0, 0.0].map(of);
    let parameter =
        Parameter { value: &mut value, gradient: &gradient, first: &mut first, second: &mut second, decayed: false };
    cpu.adamw(vec![parameter], &norm_squared, &AdamW::default(), 1.0, 1);
    assert_all(&cpu, &first, 0.0, "adamw");
}

/// Whether this thread keeps them: the smallest one times one.
fn kept() -> bool {
    black_box(f32::from_bits(1)) * black_box(1.0) != 0.0
}

#[test]
fn threads_are_left_as_they_were() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let cpu = Cpu::new();
    for inside in [false, true] {
        let product = || {
            let mut out = cpu.buffer(200 * 300);
            cpu.matmul(&cpu.upload(&[1.0; 200 * 64]), &stored(Dtype::F32, [300, 64], SMALL), SMALL, false, &mut out);
            assert_all(&cpu, &out, 0.0, "product");
        };
        if inside {
            pool.install(product)
        } else {
            product()
        }
        assert!(kept());
        assert_eq!(pool.broadcast(|_| kept()), [true; 3]);
        assert!(rayon::broadcast(|_| kept()).into_iter().all(|kept| kept));
    }
}

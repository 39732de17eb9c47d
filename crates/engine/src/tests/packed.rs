//! Stored matrices against the same numbers in f32, for every type a file may have.

use super::random::Random;
use super::{assert_close, assert_close_by, largest, oracle, read, unwritten, widened};
use crate::tolerances::KERNEL;
use crate::{Backend, Dtype, Matrix};

on_each_backend!(matmul, matmul_backward_input, a_weight_of_many_rows, embed, token_logps);
on_small_bindings!(384 << 10; matmul, matmul_backward_input, a_weight_of_many_rows, token_logps);

pub(super) const DTYPES: [Dtype; 11] = [
    Dtype::F32,
    Dtype::F16,
    Dtype::BF16,
    Dtype::Q8_0,
    Dtype::Q4_0,
    Dtype::Q4_1,
    Dtype::Q5_0,
    Dtype::Q5_1,
    Dtype::Q4_K,
    Dtype::Q5_K,
    Dtype::Q6_K,
];

/// A matrix of each type with `rows` rows and a random width, and its numbers.
fn each<B: Backend>(
    backend: &B,
    random: &mut Random,
    rows: usize,
    visit: impl Fn(&mut Random, &str, Matrix<B>, Vec<f32>),
) {
    for dtype in DTYPES {
        let cols = random.pick(&[1, 2, 3, 5]) * if dtype.block_len() == 1 { 33 } else { dtype.block_len() };
        let tensor = random.tensor(dtype, rows, cols);
        let what = format!("{dtype:?} [{rows}, {cols}]");
        visit(random, &what, Matrix::stored(backend, &tensor), tensor.to_f32());
    }
}

fn matmul<B: Backend>(backend: &B, random: &mut Random) {
    let d_out = random.pick(&[1, 5, 95, 97, 250]);
    each(backend, random, d_out, |random, what, matrix, values| {
        for rows in [1, 2, 3, 5, 9, 20, 60, 65] {
            let (x, alpha, accumulate) =
                (random.normals(rows * matrix.cols(), 1.0), random.pick(&[-1.5, 0.5, 2.0]), random.yes());
            let before = random.normals(rows * d_out, 1.0);
            let mut out = if accumulate { backend.upload(&before) } else { unwritten(backend, rows * d_out) };
            backend.matmul(&backend.upload(&x), &matrix, alpha, accumulate, &mut out);
            let product = oracle::product(&x, &values, matrix.cols());
            let expected = oracle::scaled(&product, alpha, accumulate.then_some(&before));
            let size = largest(&expected).max(oracle::product_size(&x, &values, matrix.cols()));
            assert_close_by(&read(backend, &out), &expected, size, KERNEL, &format!("{rows} rows by {what}"));
        }
    });
}

fn matmul_backward_input<B: Backend>(backend: &B, random: &mut Random) {
    let d_out_width = random.pick(&[1, 5, 95, 97, 250]);
    each(backend, random, d_out_width, |random, what, matrix, values| {
        for rows in [1, 5, 70] {
            check_backward_input(backend, random, rows, what, &matrix, &values);
        }
    });
}

/// More numbers than the CPU unpacks at a time.
fn a_weight_of_many_rows<B: Backend>(backend: &B, random: &mut Random) {
    let tensor = random.tensor(Dtype::Q8_0, 4100, 288);
    let matrix = Matrix::stored(backend, &tensor);
    check_backward_input(backend, random, 3, "Q8_0 [4100, 288]", &matrix, &tensor.to_f32());
}

fn check_backward_input<B: Backend>(
    backend: &B,
    random: &mut Random,
    rows: usize,
    what: &str,
    matrix: &Matrix<B>,
    values: &[f32],
) {
    let (cols, alpha, accumulate) = (matrix.cols(), random.pick(&[-1.5, 0.5, 2.0]), random.yes());
    let [d_out, before] = [matrix.rows(), cols].map(|width| random.normals(rows * width, 1.0));
    let mut d_x = if accumulate { backend.upload(&before) } else { unwritten(backend, rows * cols) };
    backend.matmul_backward_input(&backend.upload(&d_out), matrix, alpha, accumulate, &mut d_x);
    let product = oracle::product(&d_out, &oracle::transposed(values, cols), matrix.rows());
    let expected = oracle::scaled(&product, alpha, accumulate.then_some(&before));
    let size = largest(&expected).max(oracle::product_size(&d_out, values, matrix.rows()));
    assert_close_by(&read(backend, &d_x), &expected, size, KERNEL, &format!("{rows} rows by {what}"));
}

fn embed<B: Backend>(backend: &B, random: &mut Random) {
    each(backend, random, 50, |random, what, matrix, values| {
        let (ids, cols) = (random.ids(70, 50), matrix.cols());
        let mut out = unwritten(backend, ids.len() * cols);
        backend.embed(&matrix, &backend.indices(&ids), &mut out);
        let expected: Vec<f32> = ids.iter().flat_map(|&id| &values[id as usize * cols..][..cols]).copied().collect();
        assert_eq!(read(backend, &out), expected, "{what}");
    });
}

fn token_logps<B: Backend>(backend: &B, random: &mut Random) {
    each(backend, random, 1100, |random, what, matrix, values| {
        let (rows, cols) = (9, matrix.cols());
        // Logits of unit variance.
        let size = (oracle::dot(&values, &values) / matrix.rows() as f64).sqrt() as f32;
        let (h, targets) = (random.normals(rows * cols, 1.0 / size), random.ids(rows, matrix.rows()));
        let [h_there, d_logps] = [&h, &random.normals(rows, 1.0)].map(|values| backend.upload(values));
        let there = backend.indices(&targets);
        let run = |matrix: &Matrix<B>| {
            let [mut logps, mut lse] = [(); 2].map(|()| unwritten(backend, rows));
            let mut d_h = unwritten(backend, h.len());
            backend.token_logps(&h_there, matrix, &there, &mut logps, &mut lse);
            backend.token_logps_backward(&h_there, matrix, &there, &lse, &d_logps, &mut d_h, None);
            [logps, d_h].map(|buffer| read(backend, &buffer))
        };
        let [logps, d_h] = run(&matrix);
        assert_close(&logps, &oracle::token_logps(&h, &values, cols, &targets)[0], KERNEL, what);
        let [_, dense] = run(&Matrix::dense(backend.upload(&values), matrix.rows(), cols));
        assert_close(&d_h, &widened(&dense), KERNEL, &format!("{what}: d_h"));
    });
}

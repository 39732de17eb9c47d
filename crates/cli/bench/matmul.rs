//! The device's own product on the model's shapes: what the other stages are measured against.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use cream::engine::{Backend, Dtype, Matrix, Tensor};
use pollster::block_on;

use super::{Bench, Row, Stage};

/// Rows of the head's product: with more of them its result would be the largest thing in memory.
const HEAD_ROWS: usize = 512;

impl<B: Backend> Bench<B> {
    pub(super) fn matmul(&mut self) -> Result<()> {
        let mut best = 0.0_f64;
        let rows = super::stages::score_shape(self.args.quick).iter().product();
        for &(name, shape, dtype) in &self.weights {
            let rows = if name == "head" { HEAD_ROWS.min(rows) } else { rows };
            let row = self.product_of(name, &self.weight(shape, dtype)?, rows)?;
            best = best.max(row.gflops.unwrap_or(0.0));
            self.tell(Stage::Matmul, &row)?;
        }
        self.gflops = Some(best);
        self.tell(Stage::Matmul, &Row { shape: Some("best"), gflops: Some(best), ..Row::default() })
    }

    pub(super) fn weight(&self, shape: [usize; 2], dtype: Dtype) -> Result<Matrix<B>> {
        Ok(Matrix::stored(&self.backend, &tensor(shape, dtype)?))
    }

    fn product_of(&self, shape: &'static str, weight: &Matrix<B>, rows: usize) -> Result<Row> {
        let x = self.backend.upload(&vec![0.5; rows * weight.cols()]);
        let mut out = self.backend.buffer(rows * weight.rows());
        let seconds = fastest(|| {
            self.backend.matmul(&x, weight, 1.0, false, &mut out);
            // Waits for the device.
            block_on(self.backend.read(&self.backend.zeros(1)))?;
            Ok(())
        })?;
        let gflops = 2e-9 * (rows * weight.rows() * weight.cols()) as f64 / seconds;
        Ok(Row {
            shape: Some(shape),
            tokens: Some(rows),
            ms: Some(seconds * 1e3),
            gflops: Some(gflops),
            ..Row::default()
        })
    }
}

/// A weight of ordinary numbers: a GPU is faster on zeros, which cost it less power, and processors are slower on
/// denormal ones.
pub(super) fn tensor(shape: [usize; 2], dtype: Dtype) -> Result<Tensor<'static>> {
    let bytes = dtype.row_bytes(shape[1]).context("rows of whole blocks")? * shape[0];
    let mut bytes: Vec<u8> = (0..bytes).map(|i| (i % 61) as u8).collect();
    for (i, block) in bytes.chunks_exact_mut(dtype.block_bytes()).enumerate() {
        // The byte of sign and exponent: 1 or a little more in f16, 1/128 or a little more in the longer types.
        match (dtype.scales(), block) {
            ([], [.., last]) => *last = 0x3c | ((i % 2) << 7) as u8,
            (scales, block) => scales.iter().for_each(|at| block[at + 1] = 0x3c),
        }
    }
    Ok(Tensor { dtype, shape: shape.to_vec(), bytes: bytes.into() })
}

/// Seconds of the fastest call among those of a third of a second, and among five.
fn fastest(mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let (begin, mut calls, mut fastest) = (Instant::now(), 0, f64::INFINITY);
    while calls < 5 || begin.elapsed() < Duration::from_millis(333) {
        let start = Instant::now();
        work()?;
        fastest = fastest.min(start.elapsed().as_secs_f64());
        calls += 1;
    }
    Ok(fastest)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn weights_are_ordinary_numbers() {
        for dtype in [
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
        ] {
            let values = tensor([3, 512], dtype).unwrap().to_f32();
            let ordinary = |value: &f32| *value == 0.0 || (1e-3..1e5).contains(&value.abs());
            assert!(values.iter().all(ordinary), "{dtype:?}: {values:?}");
            let zeros = values.iter().filter(|value| **value == 0.0).count();
            assert!(zeros < values.len() / 10, "{dtype:?}: {zeros} of {}", values.len());
        }
        assert!(tensor([1, 33], Dtype::Q4_0).is_err());
    }
}

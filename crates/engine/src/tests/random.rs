//! Random inputs that a printed seed repeats.

use cream_core::philox::{Stream, normals, uniform};
use half::{bf16, f16};

use crate::{Dtype, Tensor};

const ROUNDS: u64 = 4;

/// Each with a seed of its own; `CREAM_TEST_SEED` sets the first, which is 0 otherwise.
pub(crate) fn rounds() -> impl Iterator<Item = Random> {
    let first = std::env::var("CREAM_TEST_SEED").map_or(0, |seed| seed.parse().unwrap());
    (first..first + ROUNDS).map(Random::seeded)
}

pub(crate) struct Random {
    seed: u64,
    used: u32,
}

impl Drop for Random {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("CREAM_TEST_SEED={} repeats this failure", self.seed);
        }
    }
}

impl Random {
    pub(crate) fn seeded(seed: u64) -> Self {
        Random { seed, used: 0 }
    }

    fn words(&mut self) -> [u32; 4] {
        self.used += 1;
        Stream::at(self.seed, 0, 0, self.used).random()
    }

    pub(crate) fn words_of(&mut self, len: usize) -> Vec<u32> {
        (0..len).map(|_| self.words()[0]).collect()
    }

    /// A whole number from 0 to `end - 1`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.words()[0] as usize % end
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub(crate) fn yes(&mut self) -> bool {
        self.below(2) == 1
    }

    /// Row or token numbers below `end`.
    pub(crate) fn ids(&mut self, len: usize, end: usize) -> Vec<u32> {
        (0..len).map(|_| self.below(end) as u32).collect()
    }

    /// Normal deviates times `scale`.
    pub(crate) fn normals(&mut self, len: usize, scale: f32) -> Vec<f32> {
        let mut out: Vec<f32> = (0..len.div_ceil(4)).flat_map(|_| normals(self.words())).map(|n| scale * n).collect();
        out.truncate(len);
        out
    }

    /// A stored matrix: random bytes, and scales of blocks that are neither huge nor NaN.
    pub(crate) fn tensor(&mut self, dtype: Dtype, rows: usize, cols: usize) -> Tensor<'static> {
        let values = self.normals(rows * cols, 1.0);
        let bytes: Vec<u8> = match dtype {
            Dtype::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Dtype::F16 => values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect(),
            Dtype::BF16 => values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect(),
            _ => {
                let mut bytes: Vec<u8> =
                    self.words_of(rows * dtype.row_bytes(cols).unwrap()).iter().map(|&w| w as u8).collect();
                for block in bytes.chunks_exact_mut(dtype.block_bytes()) {
                    for &at in dtype.scales() {
                        let scale = f16::from_f32(0.01 * (0.5 + uniform(self.words()[0])));
                        block[at..at + 2].copy_from_slice(&scale.to_le_bytes());
                    }
                }
                bytes
            }
        };
        Tensor { dtype, shape: vec![rows, cols], bytes: bytes.into() }
    }
}

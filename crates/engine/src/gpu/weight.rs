//! Matrices on the device in the format of their file, unpacked only inside the kernels.
//!
//! Each format has a file in shaders/lib that says how its blocks lie in words and defines `weight_at`, by which a kernel
//! reads four columns of a row.

use std::ops::Range;

use super::Gpu;
use super::buffer::{Binding, GpuIndices};
use super::dispatch::Device;
use super::shaders::library;
use crate::matrix::{Matrix, MatrixData};
use crate::tensor::{Dtype, Tensor};

/// A stored matrix on the device.
#[derive(Debug)]
pub struct GpuPacked {
    pub(super) words: GpuIndices,
    dtype: Dtype,
    /// Elements from one row to the next.
    stride: usize,
}

impl GpuPacked {
    /// Matrices as wide as each other, behind each other where they are of one type.
    pub(super) fn all(device: &Device, tensors: &[&Tensor<'_>]) -> Vec<Self> {
        // More than there are addresses is also more than a device has.
        let len = |tensor: &&Tensor<'_>| {
            usize::try_from(words(tensor.dtype, tensor.shape[0], tensor.shape[1])).unwrap_or(usize::MAX)
        };
        let arrays: Vec<GpuIndices> = device.unwritten(&tensors.iter().map(len).collect::<Vec<_>>());
        let packed = |(words, tensor): (GpuIndices, &&Tensor<'_>)| {
            let runs = Runs::of(tensor.dtype, tensor.shape[1]);
            runs.padded(&tensor.bytes, WRITTEN_AT_ONCE, |at, bytes| device.fill(&words, at, bytes));
            GpuPacked { words, dtype: tensor.dtype, stride: runs.stride }
        };
        arrays.into_iter().zip(tensors).map(packed).collect()
    }
}

/// Bytes of a matrix that are filled up and written at a time: no copy of a matrix is made beside its file's.
const WRITTEN_AT_ONCE: usize = 1 << 20;

/// Words that a matrix takes, padding included.
pub(super) fn words(dtype: Dtype, rows: usize, cols: usize) -> u64 {
    let Runs { len, padded_len, .. } = Runs::of(dtype, cols);
    let bytes = (rows as u64).saturating_mul(cols as u64) / dtype.block_len() as u64 * dtype.block_bytes() as u64;
    bytes / (len as u64).max(1) * padded_len as u64 / 4
}

/// How the bytes of a matrix become whole words.
struct Runs {
    /// Bytes that are filled up together: a block, or a row where a block is an element.
    len: usize,
    /// Where in them the filling goes.
    gap: usize,
    padded_len: usize,
    /// Elements from one row to the next.
    stride: usize,
}

impl Runs {
    fn of(dtype: Dtype, cols: usize) -> Self {
        match dtype {
            Dtype::F16 | Dtype::BF16 => {
                // Kernels read four columns at a time, and rows of these may have any width.
                let stride = cols.next_multiple_of(4);
                Runs { len: 2 * cols, gap: 2 * cols, padded_len: 2 * stride, stride }
            }
            dtype => {
                let len = dtype.block_bytes();
                Runs { len, gap: gap(dtype), padded_len: len.next_multiple_of(4), stride: cols }
            }
        }
    }

    /// Calls `write` with parts of a matrix of about so many bytes, each run filled up with zeros, and with the place of
    /// the part's first byte. What is whole already is one part, and no copy.
    fn padded(&self, bytes: &[u8], at_once: usize, mut write: impl FnMut(u64, &[u8])) {
        let &Runs { len, gap, padded_len, .. } = self;
        if len == padded_len || bytes.is_empty() {
            return write(0, bytes);
        }
        let runs = (at_once / padded_len).max(1);
        let (mut at, mut padded) = (0, vec![0; padded_len * runs.min(bytes.len() / len)]);
        for part in bytes.chunks(runs * len) {
            let filled = part.len() / len * padded_len;
            for (run, out) in part.chunks_exact(len).zip(padded.chunks_exact_mut(padded_len)) {
                out[..gap].copy_from_slice(&run[..gap]);
                // Between the two lie zeros, as they did.
                out[gap + padded_len - len..].copy_from_slice(&run[gap..]);
            }
            write(at, &padded[..filled]);
            at += filled as u64;
        }
    }
}

/// Where in a block the bytes go that fill its last word: behind the scale where that comes first, so that all after
/// it begins with a word.
fn gap(dtype: Dtype) -> usize {
    match dtype {
        Dtype::Q8_0 | Dtype::Q4_0 | Dtype::Q5_0 => 2,
        _ => dtype.block_bytes(),
    }
}

/// A matrix as kernels see it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weight<'a> {
    pub(super) storage: Binding<'a>,
    /// The file of shaders/lib that reads it.
    pub(super) library: &'static str,
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) stride: usize,
}

impl Weight<'_> {
    /// Matrices whose rows lie behind each other, as one.
    pub(super) fn joined(parts: &[Self]) -> Option<Self> {
        let (first, rest) = parts.split_first()?;
        rest.iter().try_fold(*first, |all, next| {
            let kind = |weight: &Self| (weight.library, weight.cols, weight.stride);
            let storage = all.storage.joined(next.storage)?;
            (kind(&all) == kind(next)).then_some(Weight { storage, rows: all.rows + next.rows, ..all })
        })
    }

    /// Words from one row to the next.
    pub(super) fn row_words(&self) -> usize {
        self.storage.bytes as usize / 4 / self.rows
    }

    /// Some of its rows, as a matrix of their own.
    pub(super) fn part(self, rows: &Range<usize>) -> Self {
        let words = self.row_words();
        Weight { storage: self.storage.part(rows.start * words, rows.len() * words), rows: rows.len(), ..self }
    }
}

impl<'a> From<&'a Matrix<Gpu>> for Weight<'a> {
    fn from(matrix: &'a Matrix<Gpu>) -> Self {
        let (rows, cols) = (matrix.rows(), matrix.cols());
        match matrix.data() {
            MatrixData::Dense(buffer) => {
                Weight { storage: buffer.storage(), library: reader(Dtype::F32), rows, cols, stride: cols }
            }
            MatrixData::Packed(GpuPacked { words, dtype, stride }) => {
                Weight { storage: words.storage(), library: reader(*dtype), rows, cols, stride: *stride }
            }
        }
    }
}

/// The text of shaders/lib that reads matrices of a type.
const fn reader(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::F32 => library!("f32"),
        Dtype::F16 => library!("f16"),
        Dtype::BF16 => library!("bf16"),
        Dtype::Q8_0 => library!("q8_0"),
        Dtype::Q4_0 => library!("q4_0"),
        Dtype::Q4_1 => library!("q4_1"),
        Dtype::Q5_0 => library!("q5_0"),
        Dtype::Q5_1 => library!("q5_1"),
        Dtype::Q4_K => library!("k_scales", "q4_k"),
        Dtype::Q5_K => library!("k_scales", "q5_k"),
        Dtype::Q6_K => library!("q6_k"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_filled_up_alike_in_parts_of_every_size() {
        for (dtype, cols) in
            [(Dtype::Q8_0, 64), (Dtype::Q6_K, 256), (Dtype::F16, 3), (Dtype::F16, 8), (Dtype::Q4_1, 32)]
        {
            let (rows, runs) = (7, Runs::of(dtype, cols));
            let bytes: Vec<u8> = (1..=(rows * dtype.row_bytes(cols).unwrap()) as u32).map(|i| i as u8 | 1).collect();
            let mut expected = Vec::new();
            for run in bytes.chunks(runs.len) {
                expected.extend(&run[..runs.gap]);
                expected.resize(expected.len() + runs.padded_len - runs.len, 0);
                expected.extend(&run[runs.gap..]);
            }
            assert_eq!(expected.len() as u64, 4 * words(dtype, rows, cols), "{dtype:?}");
            for at_once in [1, 100, 1 << 20] {
                let mut got: Vec<u8> = Vec::new();
                runs.padded(&bytes, at_once, |at, part| {
                    assert_eq!(at, got.len() as u64);
                    got.extend(part);
                });
                assert_eq!(got, expected, "{dtype:?}, {at_once} bytes at once");
            }
        }
    }
}

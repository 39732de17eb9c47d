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
        let words: Vec<Vec<u32>> = tensors.iter().map(|tensor| words_of(tensor)).collect();
        let arrays = device.write_all(&words.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let packed = |(words, tensor): (GpuIndices, &&Tensor<'_>)| {
            let stride = Runs::of(tensor.dtype, tensor.shape[1]).stride;
            GpuPacked { words, dtype: tensor.dtype, stride }
        };
        arrays.into_iter().zip(tensors).map(packed).collect()
    }
}

/// A matrix as words.
fn words_of(tensor: &Tensor<'_>) -> Vec<u32> {
    let (dtype, rows, cols) = (tensor.dtype, tensor.shape[0], tensor.shape[1]);
    let Runs { len, gap, padded_len, .. } = Runs::of(dtype, cols);
    let bytes = padded(&tensor.bytes, len, gap, padded_len);
    debug_assert_eq!(bytes.len(), 4 * words(dtype, rows, cols), "{dtype:?}: {rows} rows of {cols}");
    bytes.as_chunks().0.iter().map(|&word| u32::from_le_bytes(word)).collect()
}

/// Words that a matrix takes, padding included.
pub(super) fn words(dtype: Dtype, rows: usize, cols: usize) -> usize {
    let Runs { len, padded_len, .. } = Runs::of(dtype, cols);
    let bytes = rows * cols / dtype.block_len() * dtype.block_bytes();
    bytes / len * padded_len / 4
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
}

/// Where in a block the bytes go that fill its last word: behind the scale where that comes first, so that all after
/// it begins with a word.
fn gap(dtype: Dtype) -> usize {
    match dtype {
        Dtype::Q8_0 | Dtype::Q4_0 | Dtype::Q5_0 => 2,
        _ => dtype.block_bytes(),
    }
}

/// Each run of `len` bytes filled up to `padded_len` with zeros at `gap`.
fn padded(bytes: &[u8], len: usize, gap: usize, padded_len: usize) -> Vec<u8> {
    let mut out = vec![0; bytes.len() / len * padded_len];
    for (block, out) in bytes.chunks_exact(len).zip(out.chunks_exact_mut(padded_len)) {
        out[..gap].copy_from_slice(&block[..gap]);
        out[gap + padded_len - len..].copy_from_slice(&block[gap..]);
    }
    out
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

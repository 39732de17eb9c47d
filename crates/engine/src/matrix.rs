//! Matrices of a model: dense f32 on the device, or as their file packs them; and low-rank pairs.

use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::tensor::{Dtype, Tensor};

/// A row-major matrix, `[rows, cols]`.
#[derive(Debug)]
pub struct Matrix<B: Backend> {
    rows: usize,
    cols: usize,
    dtype: Dtype,
    data: MatrixData<B>,
}

/// The two ways a matrix is kept.
#[derive(Debug)]
pub enum MatrixData<B: Backend> {
    /// f32; can be trained.
    Dense(B::Buffer),
    /// As its file has it; frozen.
    Packed(B::Packed),
}

impl<B: Backend> Matrix<B> {
    /// A dense matrix over `buffer`, whose length is `rows * cols`.
    pub fn dense(buffer: B::Buffer, rows: usize, cols: usize) -> Self {
        Matrix { rows, cols, dtype: Dtype::F32, data: MatrixData::Dense(buffer) }
    }

    /// A matrix in the format of its file; f32 ones become dense.
    pub fn stored(backend: &B, tensor: &Tensor<'_>) -> Self {
        Self::all_stored(backend, &[tensor], false).swap_remove(0)
    }

    /// The same of all that take one input, which a device may lay behind each other; in f32 where they are `trainable`.
    pub fn all_stored(backend: &B, tensors: &[&Tensor<'_>], trainable: bool) -> Vec<Self> {
        let is_dense = |tensor: &&Tensor<'_>| trainable || tensor.dtype == Dtype::F32;
        let dense = tensors.iter().filter(|tensor| is_dense(tensor)).count();
        let data: Vec<MatrixData<B>> = if dense == 0 {
            backend.pack_all(tensors).into_iter().map(MatrixData::Packed).collect()
        } else if dense == tensors.len() {
            let values: Vec<Vec<f32>> = tensors.iter().map(|tensor| tensor.to_f32()).collect();
            let values: Vec<&[f32]> = values.iter().map(Vec::as_slice).collect();
            backend.upload_all(&values).into_iter().map(MatrixData::Dense).collect()
        } else {
            return tensors.iter().map(|tensor| Self::stored(backend, tensor)).collect();
        };
        let shaped = |(data, tensor): (_, &&Tensor<'_>)| {
            let dtype = if trainable { Dtype::F32 } else { tensor.dtype };
            Matrix { rows: tensor.shape[0], cols: tensor.shape[1], dtype, data }
        };
        data.into_iter().zip(tensors).map(shaped).collect()
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Its numbers, where it is dense.
    pub(crate) fn buffer(&self) -> Option<&B::Buffer> {
        match &self.data {
            MatrixData::Dense(buffer) => Some(buffer),
            MatrixData::Packed(_) => None,
        }
    }

    /// All of it as f32, `[rows, cols]`, with `lora` added: its rows are looked up as an embedding's are.
    pub(crate) fn to_dense(&self, backend: &B, lora: Option<&Lora<B>>) -> Result<B::Buffer> {
        let all: Vec<u32> = (0..self.rows as u32).collect();
        let mut out = backend.buffer(self.rows * self.cols);
        backend.embed(self, &backend.indices(&all), &mut out);
        if let Some(Lora { a, b, scale }) = lora {
            let MatrixData::Dense(b) = b.data() else { return Err(Error::Request("a packed adapter".into())) };
            backend.matmul_backward_input(b, a, *scale, true, &mut out);
        }
        Ok(out)
    }

    /// Bytes that it takes.
    pub(crate) fn bytes(&self, backend: &B) -> u64 {
        backend.matrix_bytes(self.dtype, self.rows, self.cols)
    }

    /// How it is kept.
    pub fn data(&self) -> &MatrixData<B> {
        &self.data
    }

    /// The numbers of a dense matrix, to be trained; `None` where it is packed.
    pub fn dense_mut(&mut self) -> Option<&mut B::Buffer> {
        match &mut self.data {
            MatrixData::Dense(buffer) => Some(buffer),
            MatrixData::Packed(_) => None,
        }
    }
}

/// A low-rank addition to a linear: `scale * B · A` (LoRA, arXiv 2106.09685).
#[derive(Debug)]
pub struct Lora<B: Backend> {
    /// `[R, D_in]`
    pub a: Matrix<B>,
    /// `[D_out, R]`, zero at the start
    pub b: Matrix<B>,
    /// alpha / R
    pub scale: f32,
}

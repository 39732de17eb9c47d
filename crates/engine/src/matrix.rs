//! Matrices of a model: dense f32 on the device, or as their file packs them; and low-rank pairs.

use crate::backend::Backend;
use crate::error::Result;
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
        let (rows, cols) = (tensor.shape[0], tensor.shape[1]);
        let data = match tensor.dtype {
            Dtype::F32 => MatrixData::Dense(backend.upload(&tensor.to_f32())),
            _ => MatrixData::Packed(backend.pack(tensor)),
        };
        Matrix { rows, cols, dtype: tensor.dtype, data }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
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

    /// A dense copy of a dense matrix; a packed one is never trained and has no copy.
    pub(crate) fn duplicate(&self, backend: &B) -> Self {
        match &self.data {
            MatrixData::Dense(buffer) => Matrix::dense(backend.duplicate(buffer), self.rows, self.cols),
            MatrixData::Packed(_) => unreachable!("adapters are dense"),
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

impl<B: Backend> Lora<B> {
    /// Both factors read back, A then B.
    pub(crate) async fn read(&self, backend: &B) -> Result<[Vec<f32>; 2]> {
        let mut out = [Vec::new(), Vec::new()];
        for (values, matrix) in out.iter_mut().zip([&self.a, &self.b]) {
            if let MatrixData::Dense(buffer) = matrix.data() {
                *values = backend.read(buffer).await?;
            }
        }
        Ok(out)
    }
}

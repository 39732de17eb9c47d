//! A named array as it lies in a model file: element type, shape, bytes.

use std::borrow::Cow;

/// Element type of a stored tensor. The quantised ones are GGUF's blocks, kept as they are in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, non_camel_case_types, reason = "the names are GGUF's own and say all there is")]
pub enum Dtype {
    F32,
    F16,
    BF16,
    Q8_0,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q4_K,
    Q5_K,
    Q6_K,
}

impl Dtype {
    /// Elements in one block; rows are whole numbers of blocks.
    pub const fn block_len(self) -> usize {
        match self {
            Dtype::F32 | Dtype::F16 | Dtype::BF16 => 1,
            Dtype::Q8_0 | Dtype::Q4_0 | Dtype::Q4_1 | Dtype::Q5_0 | Dtype::Q5_1 => 32,
            Dtype::Q4_K | Dtype::Q5_K | Dtype::Q6_K => 256,
        }
    }

    /// Bytes of one block.
    pub const fn block_bytes(self) -> usize {
        match self {
            Dtype::F32 => 4,
            Dtype::F16 | Dtype::BF16 => 2,
            Dtype::Q8_0 => 34,
            Dtype::Q4_0 => 18,
            Dtype::Q4_1 => 20,
            Dtype::Q5_0 => 22,
            Dtype::Q5_1 => 24,
            Dtype::Q4_K => 144,
            Dtype::Q5_K => 176,
            Dtype::Q6_K => 210,
        }
    }

    /// Where in a block the f16 numbers begin that scale it; none where a block is an element.
    pub const fn scales(self) -> &'static [usize] {
        match self {
            Dtype::F32 | Dtype::F16 | Dtype::BF16 => &[],
            Dtype::Q8_0 | Dtype::Q4_0 | Dtype::Q5_0 => &[0],
            Dtype::Q4_1 | Dtype::Q5_1 | Dtype::Q4_K | Dtype::Q5_K => &[0, 2],
            Dtype::Q6_K => &[208],
        }
    }

    /// Bytes of a row of `cols` elements, or `None` where `cols` is no whole number of blocks or the size overflows.
    pub const fn row_bytes(self, cols: usize) -> Option<usize> {
        if !cols.is_multiple_of(self.block_len()) {
            return None;
        }
        (cols / self.block_len()).checked_mul(self.block_bytes())
    }
}

/// One tensor of a model file, row-major, bytes little-endian. Readers have checked `bytes.len()` against the shape.
#[derive(Debug, Clone)]
pub struct Tensor<'a> {
    /// Element type.
    pub dtype: Dtype,
    /// `[rows, cols]`, or `[len]` for a vector.
    pub shape: Vec<usize>,
    /// The elements; borrowed from the file unless a reader had to reorder rows.
    pub bytes: Cow<'a, [u8]>,
}

impl Tensor<'_> {
    /// All elements as f32, row-major.
    pub fn to_f32(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.shape.iter().product()];
        crate::blocks::unpack(self.dtype, &self.bytes, &mut out);
        out
    }
}

//! A backend of sizes alone: buffers are taken, kept and counted, and kernels do nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use cream_core::Sampling;

use super::{Budget, Meter};
use crate::backend::{AdamW, Backend, Heads, Parameter, Segment};
use crate::error::Result;
use crate::matrix::Matrix;
use crate::tensor::{Dtype, Tensor};

/// Bytes that a pool takes for so many numbers.
pub(crate) fn pooled_bytes(numbers: u64) -> u64 {
    numbers.saturating_mul(4).clamp(1, u64::MAX / 2).next_multiple_of(256)
}

/// Something free of so many bytes, or of an eighth more at most, so that batches of nearly one shape share storage.
pub(crate) fn best_fit<T>(free: &mut BTreeMap<u64, Vec<T>>, bytes: u64) -> Option<T> {
    let (&found, fitting) = free.range_mut(bytes..=bytes + bytes / 8).next()?;
    let taken = fitting.pop();
    if fitting.is_empty() {
        free.remove(&found);
    }
    taken
}

/// Most numbers in a tile of logits: 20 MiB.
const TILE_NUMBERS: usize = 5 << 20;

/// Rows of the head in a tile of logits, for so many tokens.
pub(crate) fn logit_tile(tokens: usize, vocab: usize) -> usize {
    (TILE_NUMBERS / tokens.max(1)).clamp(256, 8192).min(vocab)
}

#[derive(Debug, Clone)]
pub(super) struct Sizes {
    pool: Arc<Pool>,
    steps_per_read: usize,
}

/// Bytes of free buffers, by themselves.
#[derive(Debug, Default)]
struct Pool {
    meter: Meter,
    free: Mutex<BTreeMap<u64, Vec<u64>>>,
}

#[derive(Debug)]
pub(super) struct Size {
    len: usize,
    bytes: u64,
    pool: Arc<Pool>,
}

impl Drop for Size {
    fn drop(&mut self) {
        let mut free = self.pool.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.entry(self.bytes).or_default().push(self.bytes);
    }
}

impl Sizes {
    pub(super) fn new(steps_per_read: usize) -> Self {
        Sizes { pool: Arc::default(), steps_per_read }
    }

    fn take(&self, len: usize) -> Size {
        let needed = pooled_bytes(len as u64);
        let mut free = self.pool.free.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = best_fit(&mut free, needed).unwrap_or_else(|| {
            self.pool.meter.take(needed);
            needed
        });
        Size { len, bytes, pool: self.pool.clone() }
    }
}

impl Backend for Sizes {
    type Buffer = Size;
    type Indices = Size;
    type Packed = Size;
    type Plan = Size;

    fn name(&self) -> String {
        "sizes".into()
    }

    fn steps_per_read(&self) -> usize {
        self.steps_per_read
    }

    fn meter(&self) -> &Meter {
        &self.pool.meter
    }

    fn budget(&self) -> Budget {
        Budget::default()
    }

    fn trim(&self) {
        let free = std::mem::take(&mut *self.pool.free.lock().unwrap_or_else(PoisonError::into_inner));
        self.pool.meter.give(free.into_values().flatten().sum());
    }

    fn buffer(&self, len: usize) -> Size {
        self.take(len)
    }

    fn zeros(&self, len: usize) -> Size {
        self.take(len)
    }

    fn upload(&self, data: &[f32]) -> Size {
        self.take(data.len())
    }

    fn len(&self, buffer: &Size) -> usize {
        buffer.len
    }

    fn matrix_bytes(&self, _: Dtype, rows: usize, cols: usize) -> u64 {
        pooled_bytes((rows as u64).saturating_mul(cols as u64))
    }

    fn duplicate(&self, source: &Size) -> Size {
        self.take(source.len)
    }

    fn indices(&self, data: &[u32]) -> Size {
        self.take(data.len())
    }

    fn pack(&self, tensor: &Tensor<'_>) -> Size {
        self.take(tensor.bytes.len() / 4)
    }

    fn plan(&self, segments: &[Segment]) -> Size {
        self.take(size_of_val(segments) / 4)
    }

    async fn read(&self, buffer: &Size) -> Result<Vec<f32>> {
        Ok(vec![0.0; buffer.len])
    }

    async fn read_indices(&self, indices: &[&Size]) -> Result<Vec<Vec<u32>>> {
        Ok(indices.iter().map(|indices| vec![0; indices.len]).collect())
    }

    fn embed(&self, _: &Matrix<Self>, _: &Size, _: &mut Size) {}

    fn embed_backward(&self, _: &Size, _: &Size, _: &mut Size) {}

    fn store_rows(&self, _: &Size, _: &Size, _: &mut Size) {}

    fn rms_norm(&self, _: &Size, _: &Size, _: f32, _: &mut Size) {}

    fn rms_norm_backward(&self, _: &Size, _: &Size, _: f32, _: &Size, _: &mut Size, _: Option<&mut Size>) {}

    fn matmul(&self, _: &Size, _: &Matrix<Self>, _: f32, _: bool, _: &mut Size) {}

    fn matmul_backward_input(&self, _: &Size, _: &Matrix<Self>, _: f32, _: bool, _: &mut Size) {}

    fn matmul_backward_weight(&self, _: &Size, _: &Size, _: usize, _: f32, _: &mut Size) {}

    fn rope(&self, _: &mut Size, _: &Size, _: &Size, _: bool) {}

    fn attention(&self, _: &Size, _: &Size, _: &Size, _: &Size, _: Heads, _: &mut Size, _: &mut Size) {}

    fn attention_backward(
        &self,
        _: &Size,
        _: &Size,
        _: &Size,
        _: &Size,
        lse: &Size,
        _: &Size,
        _: &Size,
        heads: Heads,
        d_q: &mut Size,
        _: &mut Size,
        _: &mut Size,
    ) {
        // Two numbers for each row of scores, and each query head's part of the gradients of keys and values.
        let parts = (heads.query > heads.key_value).then(|| [self.take(d_q.len), self.take(d_q.len)]);
        drop((self.take(2 * lse.len), parts));
    }

    fn swiglu(&self, _: &Size, _: &Size, _: &mut Size) {}

    fn swiglu_backward(&self, _: &mut Size, _: &mut Size, _: &Size) {}

    fn token_logps(&self, _: &Size, head: &Matrix<Self>, targets: &Size, _: &mut Size, _: &mut Size) {
        self.take(targets.len * logit_tile(targets.len, head.rows()));
    }

    fn token_logps_backward(
        &self,
        _: &Size,
        head: &Matrix<Self>,
        targets: &Size,
        _: &Size,
        _: &Size,
        _: &mut Size,
        _: Option<&mut Size>,
    ) {
        self.take(targets.len * logit_tile(targets.len, head.rows()));
    }

    fn sample(&self, _: &Size, _: &Sampling, _: u64, _: &Size, _: Option<&mut Size>, _: &mut Size) {}

    fn sum_of_squares(&self, _: &[&Size], _: &mut Size) {}

    fn adamw(&self, _: Vec<Parameter<'_, Self>>, _: &Size, _: &AdamW, _: f32, _: u32) {}
}

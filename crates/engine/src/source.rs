//! Where the tensors of a model come from: a checkpoint in memory, or a file of which only parts are read.

use std::borrow::Cow;
use std::future::Future;
use std::ops::Range;

use crate::checkpoint::Checkpoint;
use crate::config::LlamaConfig;
use crate::error::Result;
use crate::tensor::Tensor;

/// The tensors of one model, of which one is asked for at a time.
pub trait WeightSource {
    /// Name of the file, for messages.
    fn file(&self) -> &str;

    /// The model's shape.
    fn config(&self) -> &LlamaConfig;

    /// The tensor of this Hugging Face name.
    ///
    /// # Errors
    /// It is missing, has another shape, or cannot be read.
    fn tensor(&self, name: &str, shape: &[usize]) -> impl Future<Output = Result<Tensor<'_>>>;
}

impl WeightSource for Checkpoint<'_> {
    fn file(&self) -> &str {
        &self.file
    }

    fn config(&self) -> &LlamaConfig {
        &self.config
    }

    async fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor<'_>> {
        let Tensor { dtype, shape, bytes } = Checkpoint::tensor(self, name, shape)?;
        Ok(Tensor { dtype: *dtype, shape: shape.clone(), bytes: Cow::Borrowed(bytes) })
    }
}

/// A file of which parts can be read, wherever it lies.
pub trait Reader {
    /// Bytes of the whole file.
    fn len(&self) -> u64;

    /// Whether it has none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of `range`, which lies within the file.
    ///
    /// # Errors
    /// They cannot be read, or are fewer.
    fn read(&self, range: Range<u64>) -> impl Future<Output = Result<Vec<u8>>>;
}

impl Reader for &[u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    async fn read(&self, range: Range<u64>) -> Result<Vec<u8>> {
        Ok(self[range.start as usize..range.end as usize].to_vec())
    }
}

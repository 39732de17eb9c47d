//! Where the tensors of a model come from: a checkpoint in memory, or a file of which only parts are read.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Range;

use crate::checkpoint::Checkpoint;
use crate::config::LlamaConfig;
use crate::error::{Error, Result};
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

/// Most bytes of a file that are read to find out what a model is: those of a header, or of a tokenizer.
pub(crate) const MOST_BYTES: u64 = 1 << 28;
/// Most bytes of a tensor that decides what a model is: divisors of frequencies, biases.
pub(crate) const SMALL: u64 = 1 << 20;

/// The bytes of `range` of the file called `file`; `field` is what they are for.
pub(crate) async fn exactly(reader: &impl Reader, file: &str, field: &str, range: Range<u64>) -> Result<Vec<u8>> {
    let (expected, bytes) = (range.end - range.start, reader.read(range).await?);
    if bytes.len() as u64 != expected {
        let problem = format_args!("{} bytes could be read, expected {expected}", bytes.len());
        return Err(Error::file(file, field, problem));
    }
    Ok(bytes)
}

/// Where the bytes of a tensor lie.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) file: String,
    pub(crate) range: Range<u64>,
}

/// Makes of a tensor as its file holds it the one that Hugging Face's name stands for.
type Restore = fn(file: &str, name: &str, tensor: &mut Tensor<'_>, config: &LlamaConfig) -> Result<()>;

/// A model of which the tensors are read when they are asked for.
#[derive(Debug)]
pub struct Streamed<R> {
    readers: BTreeMap<String, R>,
    /// Its tensors are empty.
    outline: Checkpoint<'static>,
    /// By Hugging Face's names.
    places: BTreeMap<String, Place>,
    restore: Restore,
}

impl<R> Streamed<R> {
    /// `readers` has the files of `places`, which has the tensors of `outline`.
    pub(crate) fn new(
        readers: BTreeMap<String, R>,
        outline: Checkpoint<'_>,
        places: BTreeMap<String, Place>,
        restore: Restore,
    ) -> Self {
        let empty = |(name, tensor): (String, Tensor<'_>)| (name, Tensor { bytes: Cow::Owned(Vec::new()), ..tensor });
        let Checkpoint { file, config, tensors } = outline;
        let outline = Checkpoint { file, config, tensors: tensors.into_iter().map(empty).collect() };
        Streamed { readers, outline, places, restore }
    }

    /// The model without its weights: every tensor is empty.
    pub fn outline(&self) -> &Checkpoint<'static> {
        &self.outline
    }
}

impl<R: Reader> WeightSource for Streamed<R> {
    fn file(&self) -> &str {
        &self.outline.file
    }

    fn config(&self) -> &LlamaConfig {
        &self.outline.config
    }

    async fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor<'_>> {
        let Tensor { dtype, shape, .. } = self.outline.tensor(name, shape)?;
        let Place { file, range } = &self.places[name];
        let bytes = exactly(&self.readers[file], file, name, range.clone()).await?;
        let mut tensor = Tensor { dtype: *dtype, shape: shape.clone(), bytes: Cow::Owned(bytes) };
        (self.restore)(file, name, &mut tensor, &self.outline.config)?;
        Ok(tensor)
    }
}

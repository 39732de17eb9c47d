//! Models of which parts are read, against the same models read whole.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Range;
use std::rc::Rc;

use pollster::block_on;

use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::source::{Reader, Streamed, WeightSource};
use crate::tensor::Tensor;

/// Asserts that what is read of a model tensor by tensor is what was read of it whole, or refused in the same words.
pub(crate) fn assert_same_in_parts<R: Reader, T>(
    whole: &Result<(Checkpoint<'_>, T)>,
    parts: impl Future<Output = Result<(Streamed<R>, T)>>,
) {
    let parts = block_on(async {
        let (streamed, _) = parts.await?;
        let mut tensors = BTreeMap::new();
        for (name, Tensor { shape, .. }) in &streamed.outline().tensors {
            let Tensor { dtype, shape, bytes } = streamed.tensor(name, shape).await?;
            tensors.insert(name.clone(), (dtype, shape, bytes.into_owned()));
        }
        Ok((streamed.config().clone(), tensors))
    });
    let whole = whole.as_ref().map(|(Checkpoint { config, tensors, .. }, _)| {
        let own = |Tensor { dtype, shape, bytes }: &Tensor<'_>| (*dtype, shape.clone(), bytes.to_vec());
        (config.clone(), tensors.iter().map(|(name, tensor)| (name.clone(), own(tensor))).collect::<BTreeMap<_, _>>())
    });
    let shown = |error: &Error| error.to_string();
    assert_eq!(parts.as_ref().map_err(shown), whole.as_ref().map_err(|error| shown(error)));
}

/// A file that begins with `bytes`, goes on with zeros, and writes down what is asked of it.
#[derive(Clone)]
pub(crate) struct Recorded {
    pub(crate) bytes: Vec<u8>,
    pub(crate) len: u64,
    /// Starts and ends.
    pub(crate) asked: Rc<RefCell<Vec<(u64, u64)>>>,
}

impl Recorded {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Recorded { len: bytes.len() as u64, bytes, asked: Rc::default() }
    }
}

impl Reader for Recorded {
    fn len(&self) -> u64 {
        self.len
    }

    async fn read(&self, range: Range<u64>) -> Result<Vec<u8>> {
        assert!(range.end <= self.len, "{range:?} of {} bytes", self.len);
        self.asked.borrow_mut().push((range.start, range.end));
        let mut bytes = self.bytes.get(range.start as usize..).unwrap_or_default().to_vec();
        bytes.resize((range.end - range.start) as usize, 0);
        Ok(bytes)
    }
}

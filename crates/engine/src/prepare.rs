//! What a model will be used for, gone through once so that its device is ready for it.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use crate::adapter::Adapter;
use crate::backend::{AdamW, Backend};
use crate::batch::{Batch, Group};
use crate::error::{Error, Result};
use crate::generate::{GenerateOptions, Request};
use crate::llama::Llama;
use crate::train::{Trained, Trainer};

/// What a model is about to do. Shapes count, not contents.
#[derive(Debug, Clone, Default)]
pub struct Uses {
    /// How completions will be made, if any will be: of one slot up to all of them.
    pub generate: Option<GenerateOptions>,
    /// Tokens of the longest prompt, and of a batch that is scored or trained on.
    pub tokens: usize,
    /// Whether batches will be scored.
    pub score: bool,
    /// Whether the adapter or, without one, all weights will be trained, and if so whether activations are recomputed.
    pub train: Option<bool>,
}

impl<B: Backend> Llama<B> {
    /// Has all made that `uses` of this model and `adapter` will need, which else is made at its first use: on a GPU, every
    /// pipeline. `progress` is told how many are there, and of how many, and ends it by an error. Changes nothing else.
    ///
    /// # Errors
    /// What generation, scoring and training would say of such requests, a device that failed, or `progress`.
    pub async fn prepare(
        &mut self,
        mut adapter: Option<&mut Adapter<B>>,
        uses: &Uses,
        progress: impl FnMut(usize, usize) -> Result<()>,
    ) -> Result<()> {
        // A step over the limits of the device is an error here and not in what is only gone through.
        let (backend, mut outcome) = (self.backend().clone(), Ok(()));
        let work = || outcome = self.go_through(adapter.as_deref_mut(), uses);
        backend.prepare(work, progress).await?;
        outcome
    }

    fn go_through(&mut self, adapter: Option<&mut Adapter<B>>, uses: &Uses) -> Result<()> {
        let longest = uses.tokens.clamp(2, self.config().max_position_embeddings);
        if let Some(options) = &uses.generate {
            for slots in few_rows(options.slots) {
                for len in [slots, longest] {
                    let len = len.min(longest - 1);
                    let request = Request { id: String::new(), prompt: vec![0; len], completions: slots };
                    let max_new_tokens = options.max_new_tokens.min(longest - len);
                    let options = GenerateOptions { max_new_tokens, stop_tokens: Vec::new(), slots, ..options.clone() };
                    at_once(self.first_steps(adapter.as_deref(), &[request], &options))?;
                }
            }
        }
        let completion = longest.div_ceil(2);
        let group = Group { prompt: vec![0; longest - completion], completions: vec![vec![0; completion]; 2] };
        let batch = Batch::new(&[group], self.config().vocab_size)?;
        if uses.score {
            at_once(self.token_logps(adapter.as_deref(), &batch))?;
        }
        if let Some(recompute) = uses.train {
            let mut trainer = Trainer::new(self, adapter.as_deref(), AdamW::default(), recompute);
            let loss = |sums: &[f64]| -> Result<Vec<f64>> { Ok(vec![0.0; sums.len()]) };
            at_once(trainer.accumulate(self, adapter.as_deref(), &batch, loss))?;
            at_once(trainer.update(Trained::new(self, adapter), 0.0))?;
        }
        Ok(())
    }
}

/// Numbers of rows for which kernels of few rows have forms of their own: powers of two.
fn few_rows(most: usize) -> impl Iterator<Item = usize> {
    let powers = (0..usize::BITS).map(|bit| 1 << bit).take_while(move |&rows| rows < most);
    powers.chain(std::iter::once(most.max(1)))
}

/// The result of a future that has nothing to wait for, since nothing is done.
fn at_once<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        std::task::Poll::Ready(result) => result,
        std::task::Poll::Pending => Err(Error::Request("a device waited for what is not done".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_powers_of_two_and_all() {
        assert_eq!(few_rows(1).collect::<Vec<_>>(), [1]);
        assert_eq!(few_rows(5).collect::<Vec<_>>(), [1, 2, 4, 5]);
        assert_eq!(few_rows(64).collect::<Vec<_>>(), [1, 2, 4, 8, 16, 32, 64]);
    }
}

//! What a stage will take of a device's memory, known before it takes any.
//!
//! A plan is made by the model's own code, run on a backend that has sizes and no numbers: it cannot differ from what it
//! plans. Sizes are those of a pool that keeps what it has given out, as the backends' pools do.

mod meter;
mod outline;
mod sizes;

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

pub use meter::Meter;
pub use outline::Outline;
#[cfg(feature = "gpu")]
pub(crate) use sizes::{best_fit, logit_tile, pooled_bytes};

use crate::adapter::Adapter;
use crate::backend::{AdamW, Backend};
use crate::batch::Batch;
use crate::error::Result;
use crate::generate::{GenerateOptions, Request};
use crate::llama::Llama;
use crate::train::{Trained, Trainer};
use sizes::Sizes;

/// How much of a device's memory may be taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    /// Unknown: nothing is refused before the device itself does.
    pub bytes: Option<u64>,
    /// Whether a stage that does not fit may work in smaller pieces of its own accord. The result is the same up to
    /// rounding.
    pub adapt: bool,
}

/// Bytes by what they hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Name and bytes.
    pub parts: Vec<(&'static str, u64)>,
}

impl MemoryPlan {
    /// All bytes.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|(_, bytes)| bytes).sum()
    }

    /// [`Llama::generate`] of these requests, whatever is drawn.
    ///
    /// # Errors
    /// Those of [`Llama::generate`], and an adapter of no possible shape.
    pub fn generate(outline: &Outline, requests: &[Request], options: &GenerateOptions) -> Result<Self> {
        let mut planned = Planned::new(outline)?;
        // The longest prompts at once, until all slots are full: no other moment takes more.
        let mut longest: Vec<&Request> = requests.iter().filter(|request| request.completions > 0).collect();
        longest.sort_by_key(|request| std::cmp::Reverse(request.prompt.len()));
        let longest: Vec<Request> = longest.into_iter().take(options.slots.saturating_add(2)).cloned().collect();
        let options = GenerateOptions { stop_tokens: Vec::new(), ..options.clone() };
        let cache = ready(planned.model.first_steps(planned.adapter.as_ref(), &longest, &options))?;
        planned.parts.push(("keys and values", cache));
        Ok(planned.finish())
    }

    /// [`Llama::token_logps`] of this batch.
    ///
    /// # Errors
    /// An adapter of no possible shape.
    pub fn score(outline: &Outline, batch: &Batch) -> Result<Self> {
        let planned = Planned::new(outline)?;
        ready(planned.model.token_logps(planned.adapter.as_ref(), batch))?;
        Ok(planned.finish())
    }

    /// A [`Trainer`]'s steps on this batch: of the adapter or, without one, of all weights.
    ///
    /// # Errors
    /// Those of [`Trainer::accumulate`] and [`Trainer::update`], and an adapter of no possible shape.
    pub fn train(outline: &Outline, batch: &Batch, recompute: bool) -> Result<Self> {
        let mut planned = Planned::new(outline)?;
        let Planned { model, adapter, parts, start } = &mut planned;
        let mut trainer = Trainer::new(model, adapter.as_ref(), AdamW::default(), recompute);
        let state = model.backend().meter().held() - *start;
        // Its gradients have been there and gone: one number for each two of the moments.
        parts.extend([("gradients", state / 3), ("optimiser state", state - state / 3)]);
        let completions = batch.completion_lens.len();
        let loss = |_: &[f64]| -> Result<Vec<f64>> { Ok(vec![0.0; completions]) };
        ready(trainer.accumulate(model, adapter.as_ref(), batch, loss))?;
        ready(trainer.update(Trained::new(model, adapter.as_mut()), 0.0))?;
        Ok(planned.finish())
    }
}

/// A model of the same shape without numbers.
struct Planned {
    model: Llama<Sizes>,
    adapter: Option<Adapter<Sizes>>,
    parts: Vec<(&'static str, u64)>,
    /// Bytes held before the work began.
    start: u64,
}

impl Planned {
    fn new(outline: &Outline) -> Result<Self> {
        let Outline { config, lora, weight_bytes, steps_per_read, .. } = outline;
        let mut parts = vec![("weights", *weight_bytes)];
        let model = Llama::unwritten(Sizes::new(*steps_per_read), config);
        let held = || model.backend().meter().held();
        let weights = held();
        let adapter = lora.as_ref().map(|lora| Adapter::unwritten(model.backend(), config, lora)).transpose()?;
        parts.extend(adapter.as_ref().map(|_| ("adapter", held() - weights)));
        Ok(Planned { start: held(), model, adapter, parts })
    }

    /// What is not named yet is activations.
    fn finish(mut self) -> MemoryPlan {
        let named = self.parts.iter().filter(|(name, _)| !["weights", "adapter"].contains(name));
        let named: u64 = named.map(|(_, bytes)| bytes).sum();
        self.parts.push(("activations", self.model.backend().meter().peak() - self.start - named));
        MemoryPlan { parts: self.parts }
    }
}

/// The result of a future that has nothing to wait for.
pub(crate) fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("what lies in memory is there at once"),
    }
}

/// A line for each part and one for all.
impl fmt::Display for MemoryPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, bytes) in &self.parts {
            writeln!(f, "{name:<16} {bytes:>15}")?;
        }
        write!(f, "{:<16} {:>15} bytes", "in all", self.bytes())
    }
}

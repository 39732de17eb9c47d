//! The loss of CREAM (*Consistency Regularized Self-Rewarding Language Models*, arXiv 2410.12735) for [Burn] 0.22.
//!
//! [`CreamLoss`] is DPO's loss with a soft label for each pair, the consistency C; [`completion_logps`] makes the log-probs
//! that it takes from a model's logits. Both are plain tensor operations, so that every device of Burn runs and differentiates
//! them.
//!
//! What it does not do: it knows no model and no tokenizer, ranks nothing and measures no consistency. That is `cream-core`'s,
//! on plain slices; examples/round.rs uses both.
//!
//! [Burn]: https://burn.dev
#![no_std]

mod logps;
mod loss;

pub use logps::completion_logps;
pub use loss::{CreamLoss, CreamLossConfig, PairLogps};

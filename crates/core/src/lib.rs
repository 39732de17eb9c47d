//! The maths of CREAM, *Consistency Regularized Self-Rewarding Language Models* (Wang et al., arXiv 2410.12735),
//! on plain slices: rewards from log-probs, rankings and how far two of them agree, the choice of a pair, the
//! loss with its gradient; and, for the models that make those log-probs, the softmax family, the sampling of one
//! token, and a random stream that gives the same numbers on every target.
//!
//! It does *not* know tensors, models, tokenizers, files or threads, and it never allocates: the caller brings the
//! slices, scratch included. Log-probs, rewards and losses are `f64`; a row of logits is `f32`.
//!
//! Bad input (lengths that differ, too few values, a NaN, a beta that is not positive) is an [`Error`], never a
//! panic and never a silent number. A quantity that is not defined for good input, such as tau-b of a constant
//! ranking, is `None`.
//!
//! Letters in shapes: N completions of a prompt, T tokens, V vocabulary.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod check;
pub mod consistency;
#[cfg(test)]
mod doors;
mod error;
mod exp;
#[cfg(test)]
mod golden;
mod kendall;
mod lanes;
mod logps;
mod loss;
pub mod math;
mod pairs;
pub mod philox;
mod ranks;
mod sampling;
mod spearman;
#[cfg(test)]
mod tolerances;
mod top_order;
mod weights;

pub use error::Error;
pub use logps::{completion_logps, implicit_reward, length_normalised_reward, length_penalised_reward, mean_logps};
pub use loss::{Loss, PairLogps, PairLoss};
pub use pairs::{Pair, choose_anchored_pair, choose_pair};
pub use ranks::{Ties, ranks};
pub use sampling::{Sampling, penalise, sample, seen_words};

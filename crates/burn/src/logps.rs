//! Log-probs of completions.

use burn_core::tensor::activation::log_softmax;
use burn_core::tensor::{Bool, Int, Tensor, s};

/// Returns the log-prob of each sequence's completion, `[B]`, in nats: the sum over its tokens.
///
/// # Arguments
/// - `logits`: what the model says after each token, `[B, T, V]`: those at t are of token t + 1.
/// - `tokens`: the sequences, prompt and completion, `[B, T]`.
/// - `mask`: true where a token is of the completion, `[B, T]`; false in the prompt and in the padding. The first token of a
///   sequence is never counted: nothing comes before it.
///
/// # Panics
/// As all of Burn's operations: tensors of different shapes or devices. Sequences of fewer than two tokens.
pub fn completion_logps(logits: Tensor<3>, tokens: Tensor<2, Int>, mask: Tensor<2, Bool>) -> Tensor<1> {
    let [batch, length, vocabulary] = logits.dims();
    let logits = logits.slice(s![.., ..length - 1, ..vocabulary]);
    let targets: Tensor<3, Int> = tokens.slice(s![.., 1..]).unsqueeze_dim(2);
    let drawn = log_softmax(logits, 2).gather(2, targets).reshape([batch, length - 1]);
    // Filled rather than multiplied: the log-prob of padding may be -inf.
    let counted = drawn.mask_fill(mask.slice(s![.., 1..]).bool_not(), 0.0);
    counted.sum_dim(1).reshape([batch])
}

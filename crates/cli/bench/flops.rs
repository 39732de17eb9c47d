//! Floating-point operations that a pass over a batch cannot do without, a multiplication and an addition being two.
//!
//! Counted are the products: the linears (2 · rows · D_in · D_out), attention (scores and values, 4 · H · E for each query and
//! key it sees), the head (2 · n · D · V), low-rank pairs. Norms, rotations, activations and whatever is computed twice
//! to save memory are not.

use cream::engine::{Batch, Linear, LlamaConfig};

/// Parts of a forward pass.
struct Forward {
    linears: f64,
    attention: f64,
    head: f64,
    /// One of the two products of every low-rank pair of rank 1.
    low_rank: f64,
}

fn parts(config: &LlamaConfig, batch: &Batch) -> Forward {
    let (rows, layers) = (batch.rows() as f64, config.num_hidden_layers as f64);
    let shapes = Linear::ALL.map(|linear| linear.shape(config).map(|n| n as f64));
    let keys: f64 = batch
        .segments
        .iter()
        .map(|s| {
            let n = f64::from(s.query_len);
            n * f64::from(s.prefix_len + s.own_past) + n * (n + 1.0) / 2.0
        })
        .sum();
    let heads = (config.num_attention_heads * config.head_dim) as f64;
    Forward {
        linears: 2.0 * rows * layers * shapes.iter().map(|[out, into]| out * into).sum::<f64>(),
        attention: 4.0 * layers * heads * keys,
        head: 2.0 * (batch.targets.len() * config.hidden_size * config.vocab_size) as f64,
        low_rank: 2.0 * rows * layers * shapes.iter().map(|[out, into]| out + into).sum::<f64>(),
    }
}

/// A forward pass.
pub(super) fn forward(config: &LlamaConfig, batch: &Batch) -> f64 {
    let Forward { linears, attention, head, .. } = parts(config, batch);
    linears + attention + head
}

/// Forward and backward. Frozen weights have no gradient: with an adapter of rank `rank` a linear costs twice its forward
/// pass, not three times, and each low-rank product thrice.
pub(super) fn training(config: &LlamaConfig, batch: &Batch, rank: Option<usize>) -> f64 {
    let Forward { linears, attention, head, low_rank } = parts(config, batch);
    match rank {
        None => 3.0 * (linears + attention + head),
        Some(rank) => 2.0 * (linears + head) + 3.0 * (attention + rank as f64 * low_rank),
    }
}

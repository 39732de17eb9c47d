//! Models and batches small enough to run hundreds of times, and large enough that every part of them matters.

use pollster::block_on;

use super::random::Random;
use super::read;
use crate::adapter::Factor;
use crate::{
    AdamW, Adapter, Backend, Batch, Checkpoint, Dtype, Group, Llama, LlamaConfig, LoraConfig, Result, RopeScaling,
    Trained, Trainer,
};

pub(super) const RMS_NORM_EPS: f32 = 1e-5;

pub(crate) fn config() -> LlamaConfig {
    LlamaConfig {
        vocab_size: 320,
        hidden_size: 64,
        intermediate_size: 176,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 16,
        max_position_embeddings: 256,
        rms_norm_eps: RMS_NORM_EPS,
        rope_theta: 10_000.0,
        rope_scaling: None,
        tie_word_embeddings: true,
    }
}

/// [`config`] and one that differs from it in all that the model's code depends on.
pub(super) fn configs() -> [LlamaConfig; 2] {
    let scaling = RopeScaling::Llama3 {
        factor: 4.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 64,
    };
    let other = LlamaConfig {
        num_hidden_layers: 3,
        num_attention_heads: 6,
        num_key_value_heads: 2,
        head_dim: 10,
        rope_scaling: Some(scaling),
        tie_word_embeddings: false,
        ..config()
    };
    [config(), other]
}

/// Weights large enough that attention is far from even and logits far from flat.
pub(crate) fn checkpoint(random: &mut Random, config: &LlamaConfig, dtype: Dtype) -> Checkpoint<'static> {
    let fill = |name: &str, values: &mut [f32]| {
        let norm = name.ends_with("norm.weight");
        let deviates = random.normals(values.len(), 0.15);
        values.iter_mut().zip(deviates).for_each(|(value, n)| *value = if norm { 1.0 + n } else { n });
    };
    Checkpoint::from_fn(config.clone(), dtype, fill).unwrap()
}

pub(crate) fn model<B: Backend>(backend: &B, random: &mut Random, config: &LlamaConfig, trainable: bool) -> Llama<B> {
    Llama::new(backend.clone(), &checkpoint(random, config, Dtype::F32), trainable).unwrap()
}

/// An adapter that has been trained: B is not zero.
pub(super) fn adapter<B: Backend>(backend: &B, random: &mut Random, config: &LlamaConfig) -> Adapter<B> {
    let lora = LoraConfig { r: random.pick(&[3, 4, 8]), lora_alpha: 6.0, ..LoraConfig::default() };
    let trained = |factor: &Factor| random.normals(factor.shape.iter().product(), 0.1);
    Adapter::from_fn(backend, config, lora, trained).unwrap()
}

/// Prompts and completions of 1 to 70 tokens.
pub(crate) fn groups(random: &mut Random, vocab: usize) -> Vec<Group> {
    let sizes = [1, 2, 3, 17, 31, 32, 33, 34, 70];
    let group = |random: &mut Random| {
        let mut tokens = || {
            let len = random.pick(&sizes);
            random.ids(len, vocab)
        };
        let prompt = tokens();
        let completions = (0..1 + prompt.len() % 4).map(|_| tokens()).collect();
        Group { prompt, completions }
    };
    (0..1 + random.below(4)).map(|_| group(random)).collect()
}

/// Adds the gradient of `sum of d[i] * logp of completion i`.
pub(super) fn accumulate<B: Backend>(
    trainer: &mut Trainer<B>,
    model: &Llama<B>,
    adapter: Option<&Adapter<B>>,
    batch: &Batch,
    d: &[f64],
) {
    let loss = |_: &[f64]| -> Result<Vec<f64>> { Ok(d.to_vec()) };
    block_on(trainer.accumulate(model, adapter, batch, loss)).unwrap();
}

/// Gradients of `sum of d[i] * logp of completion i`, by name.
pub(crate) fn gradients<B: Backend>(
    model: &mut Llama<B>,
    adapter: Option<&mut Adapter<B>>,
    batches: &[(Batch, &[f64])],
    recompute: bool,
) -> Vec<(String, Vec<f32>)> {
    let backend = model.backend().clone();
    let mut trainer = Trainer::new(model, adapter.as_deref(), AdamW::default(), recompute);
    for (batch, d) in batches {
        accumulate(&mut trainer, model, adapter.as_deref(), batch, d);
    }
    let named = trainer.gradients(Trained::new(model, adapter));
    named.into_iter().map(|(name, buffer)| (name, read(&backend, buffer))).collect()
}

/// Log-probabilities of every token of the vocabulary after `tokens`.
pub(super) fn next_logps<B: Backend>(model: &Llama<B>, adapter: Option<&Adapter<B>>, tokens: &[u32]) -> Vec<f32> {
    let vocab = model.config().vocab_size as u32;
    let group = Group { prompt: tokens.to_vec(), completions: (0..vocab).map(|token| vec![token]).collect() };
    block_on(model.token_logps(adapter, &Batch::new(&[group], vocab as usize).unwrap())).unwrap()
}

pub(crate) fn batch(groups: &[Group]) -> Batch {
    Batch::new(groups, config().vocab_size).unwrap()
}

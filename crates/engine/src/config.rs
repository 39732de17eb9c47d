//! The model's shape, under Hugging Face's `config.json` names.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A Llama-family decoder: grouped-query attention, rotary positions, SwiGLU, RMS norm.
///
/// Letters used in shape comments everywhere: T tokens, V vocabulary, D width, H heads, K key-value heads,
/// E head width, F feed-forward width, R LoRA rank.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LlamaConfig {
    /// V
    pub vocab_size: usize,
    /// D
    pub hidden_size: usize,
    /// F
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// H
    pub num_attention_heads: usize,
    /// K
    pub num_key_value_heads: usize,
    /// E
    pub head_dim: usize,
    /// Longest sequence the model was trained for, in tokens.
    pub max_position_embeddings: usize,
    /// Added to the mean square in RMS norm.
    pub rms_norm_eps: f32,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Stretching of the rotary frequencies, if any.
    pub rope_scaling: Option<RopeScaling>,
    /// Whether the head is the embedding.
    pub tie_word_embeddings: bool,
}

/// How rotary frequencies are stretched for long contexts, as `rope_scaling` / `rope_parameters` say it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rope_type", rename_all = "lowercase")]
pub enum RopeScaling {
    /// All frequencies divided by `factor`.
    Linear {
        /// Divisor of every frequency.
        factor: f64,
    },
    /// Llama 3.1's: low frequencies divided by `factor`, high ones kept, a smooth band between.
    Llama3 {
        /// Divisor of the low frequencies.
        factor: f64,
        /// Wavelengths longer than `original / low_freq_factor` are divided.
        low_freq_factor: f64,
        /// Wavelengths shorter than `original / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// Context length before stretching.
        original_max_position_embeddings: usize,
    },
}

impl LlamaConfig {
    /// Refuses sizes that no Llama has: zero, above a cap that keeps every product of two within 2^53, or at odds with
    /// each other. The error names `file` and the key.
    pub fn check(&self, file: &str) -> Result<()> {
        for (key, value, cap) in [
            ("vocab_size", self.vocab_size, 1 << 24),
            ("hidden_size", self.hidden_size, 1 << 20),
            ("intermediate_size", self.intermediate_size, 1 << 22),
            ("num_hidden_layers", self.num_hidden_layers, 1 << 10),
            ("num_attention_heads", self.num_attention_heads, 1 << 12),
            ("num_key_value_heads", self.num_key_value_heads, 1 << 12),
            ("head_dim", self.head_dim, 1 << 12),
            ("max_position_embeddings", self.max_position_embeddings, 1 << 28),
        ] {
            if value == 0 || value > cap {
                return Err(Error::file(file, key, format_args!("{value}, expected 1 to {cap}")));
            }
        }
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads) {
            let (heads, shared) = (self.num_attention_heads, self.num_key_value_heads);
            return Err(Error::file(
                file,
                "num_key_value_heads",
                format_args!("{shared} does not divide {heads} heads"),
            ));
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(Error::file(file, "head_dim", format_args!("{}, expected an even number", self.head_dim)));
        }
        for (key, value) in [("rms_norm_eps", f64::from(self.rms_norm_eps)), ("rope_theta", self.rope_theta)] {
            if !(value.is_finite() && value > 0.0) {
                return Err(Error::file(file, key, format_args!("{value}, expected a positive number")));
            }
        }
        match self.rope_scaling {
            None => Ok(()),
            Some(RopeScaling::Linear { factor }) if factor.is_finite() && factor > 0.0 => Ok(()),
            Some(RopeScaling::Llama3 { factor, low_freq_factor: low, high_freq_factor: high, .. })
                if factor.is_finite() && factor > 0.0 && low.is_finite() && high.is_finite() && low < high =>
            {
                Ok(())
            }
            Some(scaling) => {
                let expected = "expected factor > 0 and low_freq_factor < high_freq_factor";
                Err(Error::file(file, "rope_scaling", format_args!("{scaling:?}, {expected}")))
            }
        }
    }

    /// Name and shape of every tensor of the model, as Hugging Face names them: what a checkpoint must hold.
    pub fn tensor_shapes(&self) -> Vec<(String, Vec<usize>)> {
        let (width, wide) = (self.hidden_size, self.intermediate_size);
        let queries = self.num_attention_heads * self.head_dim;
        let keys = self.num_key_value_heads * self.head_dim;
        let mut shapes = vec![
            ("model.embed_tokens.weight".to_owned(), vec![self.vocab_size, width]),
            ("model.norm.weight".to_owned(), vec![width]),
        ];
        if !self.tie_word_embeddings {
            shapes.push(("lm_head.weight".to_owned(), vec![self.vocab_size, width]));
        }
        for layer in 0..self.num_hidden_layers {
            for (part, shape) in [
                ("input_layernorm", vec![width]),
                ("self_attn.q_proj", vec![queries, width]),
                ("self_attn.k_proj", vec![keys, width]),
                ("self_attn.v_proj", vec![keys, width]),
                ("self_attn.o_proj", vec![width, queries]),
                ("post_attention_layernorm", vec![width]),
                ("mlp.gate_proj", vec![wide, width]),
                ("mlp.up_proj", vec![wide, width]),
                ("mlp.down_proj", vec![width, wide]),
            ] {
                shapes.push((format!("model.layers.{layer}.{part}.weight"), shape));
            }
        }
        shapes
    }

    /// Rotary frequencies, `[E / 2]`, radians per position, after scaling.
    pub fn rope_frequencies(&self) -> Vec<f32> {
        (0..self.head_dim / 2)
            .map(|i| self.scale_frequency(self.rope_theta.powf(-2.0 * i as f64 / self.head_dim as f64)) as f32)
            .collect()
    }

    fn scale_frequency(&self, frequency: f64) -> f64 {
        match self.rope_scaling {
            None => frequency,
            Some(RopeScaling::Linear { factor }) => frequency / factor,
            Some(RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings,
            }) => {
                let turns = original_max_position_embeddings as f64 * frequency / std::f64::consts::TAU;
                let kept = ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0.0, 1.0);
                frequency * (kept + (1.0 - kept) / factor)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::golden_file;

    fn config() -> LlamaConfig {
        LlamaConfig {
            vocab_size: 320,
            hidden_size: 64,
            intermediate_size: 176,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            head_dim: 16,
            max_position_embeddings: 256,
            rms_norm_eps: 1e-5,
            rope_theta: 10_000.0,
            rope_scaling: None,
            tie_word_embeddings: true,
        }
    }

    #[test]
    fn frequencies_are_those_of_transformers() {
        #[derive(Deserialize)]
        struct Golden {
            head_dim: usize,
            rope_theta: f64,
            rope_scaling: Option<RopeScaling>,
            frequencies: Vec<f32>,
        }
        let golden: Vec<Golden> = serde_json::from_slice(&golden_file("rope.json")).unwrap();
        assert_eq!(golden.len(), 5);
        for Golden { head_dim, rope_theta, rope_scaling, frequencies } in golden {
            let found = LlamaConfig { head_dim, rope_theta, rope_scaling, ..config() }.rope_frequencies();
            assert_eq!(found.len(), frequencies.len());
            for (found, expected) in found.iter().zip(&frequencies) {
                // transformers computes in f32: a few ulps.
                assert!((found - expected).abs() <= 1e-6 * expected, "{rope_scaling:?}: {found}, expected {expected}");
            }
        }
    }

    #[test]
    fn sizes_no_llama_has_are_refused_by_name() {
        assert!(config().check("f").is_ok());
        for (wrong, key) in [
            (LlamaConfig { vocab_size: 0, ..config() }, "vocab_size"),
            (LlamaConfig { hidden_size: usize::MAX, ..config() }, "hidden_size"),
            (LlamaConfig { num_key_value_heads: 3, ..config() }, "num_key_value_heads"),
            (LlamaConfig { head_dim: 15, ..config() }, "head_dim"),
            (LlamaConfig { rms_norm_eps: f32::NAN, ..config() }, "rms_norm_eps"),
            (LlamaConfig { rope_theta: 0.0, ..config() }, "rope_theta"),
            (LlamaConfig { rope_scaling: Some(RopeScaling::Linear { factor: 0.0 }), ..config() }, "rope_scaling"),
        ] {
            let message = wrong.check("f").unwrap_err().to_string();
            assert!(message.starts_with(&format!("f: {key}: ")), "{message}");
        }
    }
}

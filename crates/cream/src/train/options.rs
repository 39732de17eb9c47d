//! What can be set about training.

use cream_engine::AdamW;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::progress::Stage;

/// How a model is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrainOptions {
    /// Times that every row is seen. Unset: 1 for pairs, 5 for supervised data, as in the authors' code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<usize>,
    /// Peak of the schedule. Unset: for all weights 1e-6 for pairs and 5e-6 for supervised data, as in the authors'
    /// code; for an adapter ten times as much, since its few weights start at zero and have the same way to go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f32>,
    /// Share of the steps over which the learning rate rises; over the rest it falls to zero along a cosine.
    pub warmup_ratio: f32,
    /// Rows of one optimiser step. The authors' code has 32; few prompts need a smaller step to take more than one.
    pub batch_size: usize,
    /// Tokens in one forward and backward pass; a step is made of as many passes as it needs, with the same result.
    pub batch_tokens: usize,
    /// Steps between two savings of all that a resume needs.
    pub save_steps: usize,
    /// Activations are computed again in the backward pass instead of being kept: less memory, more time.
    pub recompute: bool,
    /// The optimiser's own options.
    pub adamw: AdamW,
}

impl Default for TrainOptions {
    fn default() -> Self {
        TrainOptions {
            epochs: None,
            learning_rate: None,
            warmup_ratio: 0.1,
            batch_size: 8,
            batch_tokens: 2048,
            save_steps: 10,
            recompute: false,
            adamw: AdamW::default(),
        }
    }
}

impl TrainOptions {
    /// Whether every option lies in its range.
    ///
    /// # Errors
    /// The first that does not.
    pub fn validate(&self) -> Result<()> {
        let counts = [
            ("epochs", self.epochs.unwrap_or(1)),
            ("batch_size", self.batch_size),
            ("batch_tokens", self.batch_tokens),
            ("save_steps", self.save_steps),
        ];
        for (field, value) in counts {
            if value == 0 {
                return Err(Error::setting(field, value, "at least 1"));
            }
        }
        let AdamW { beta1, beta2, eps, weight_decay, max_grad_norm } = self.adamw;
        let unit = |x: f32| (0.0..1.0).contains(&x);
        // Devices may take a denormal number for 0.
        let positive = |x: f32| x.is_normal() && x > 0.0;
        let not_negative = |x: f32| x.is_finite() && x >= 0.0;
        let rate = self.learning_rate.unwrap_or(1.0);
        for (field, value, good, expected) in [
            ("learning_rate", rate, positive(rate), "a positive number"),
            ("warmup_ratio", self.warmup_ratio, unit(self.warmup_ratio), "0 or more and less than 1"),
            ("adamw.beta1", beta1, unit(beta1), "0 or more and less than 1"),
            ("adamw.beta2", beta2, unit(beta2), "0 or more and less than 1"),
            ("adamw.eps", eps, positive(eps), "a positive number"),
            ("adamw.weight_decay", weight_decay, not_negative(weight_decay), "0 or a positive number"),
            ("adamw.max_grad_norm", max_grad_norm, not_negative(max_grad_norm), "0 or a positive number"),
        ] {
            if !good {
                return Err(Error::setting(field, value, expected));
            }
        }
        Ok(())
    }

    /// Times that every row is seen.
    pub(super) fn epochs(&self, stage: Stage) -> usize {
        self.epochs.unwrap_or(if stage == Stage::Sft { 5 } else { 1 })
    }

    /// Peak of the schedule, for an adapter or for all weights.
    pub(super) fn learning_rate(&self, stage: Stage, adapter: bool) -> f32 {
        let of_all_weights = if stage == Stage::Sft { 5e-6 } else { 1e-6 };
        self.learning_rate.unwrap_or(if adapter { 10.0 * of_all_weights } else { of_all_weights })
    }

    /// With the defaults of `stage` in place of what is unset.
    pub(crate) fn resolved(&self, stage: Stage, adapter: bool) -> Self {
        let (epochs, learning_rate) = (Some(self.epochs(stage)), Some(self.learning_rate(stage, adapter)));
        TrainOptions { epochs, learning_rate, ..self.clone() }
    }
}

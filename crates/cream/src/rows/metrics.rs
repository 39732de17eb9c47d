//! A line of metrics.jsonl: one optimiser step, under TRL's keys.

use serde::{Deserialize, Serialize};

/// What one step of training was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricsRow {
    /// Optimiser steps made, from 1.
    pub step: usize,
    /// Epochs made, a fraction within one.
    pub epoch: f64,
    /// Mean over the step's pairs; of supervised data, mean over its completion tokens, nats.
    pub loss: f64,
    /// Before clipping.
    pub grad_norm: f32,
    /// Of this step.
    pub learning_rate: f32,
    /// Tokens that went through the model so far; a shared prompt counts once.
    pub num_tokens: usize,
    /// Only where pairs are trained on.
    #[serde(flatten)]
    pub preference: Option<PreferenceMetrics>,
}

/// Means over the pairs of one step, before its update.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct PreferenceMetrics {
    /// beta * (log-prob less that of the training reference) of the chosen completions.
    #[serde(rename = "rewards/chosen")]
    pub rewards_chosen: f64,
    /// The same of the rejected.
    #[serde(rename = "rewards/rejected")]
    pub rewards_rejected: f64,
    /// Share of pairs with a positive margin.
    #[serde(rename = "rewards/accuracies")]
    pub rewards_accuracies: f64,
    /// z, chosen less rejected.
    #[serde(rename = "rewards/margins")]
    pub rewards_margins: f64,
    /// Summed over tokens, nats.
    #[serde(rename = "logps/chosen")]
    pub logps_chosen: f64,
    /// The same of the rejected.
    #[serde(rename = "logps/rejected")]
    pub logps_rejected: f64,
    /// C as it weighs in the loss: 1 with `dpo` and `ipo`, which take the labels as they are.
    pub consistency: f64,
}

impl PreferenceMetrics {
    /// Adds `share` of another's.
    pub(crate) fn add(&mut self, other: &PreferenceMetrics, share: f64) {
        self.rewards_chosen += share * other.rewards_chosen;
        self.rewards_rejected += share * other.rewards_rejected;
        self.rewards_accuracies += share * other.rewards_accuracies;
        self.rewards_margins += share * other.rewards_margins;
        self.logps_chosen += share * other.logps_chosen;
        self.logps_rejected += share * other.logps_rejected;
        self.consistency += share * other.consistency;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_trls() {
        let row = MetricsRow {
            step: 1,
            epoch: 0.5,
            loss: 0.7,
            grad_norm: 1.0,
            learning_rate: 0.0,
            num_tokens: 9,
            preference: None,
        };
        let line = serde_json::to_string(&row).unwrap();
        assert_eq!(
            line,
            "{\"step\":1,\"epoch\":0.5,\"loss\":0.7,\"grad_norm\":1.0,\"learning_rate\":0.0,\"num_tokens\":9}"
        );
        assert_eq!(serde_json::from_str::<MetricsRow>(&line).unwrap(), row);
        let row = MetricsRow { preference: Some(PreferenceMetrics::default()), ..row };
        let line = serde_json::to_string(&row).unwrap();
        for key in ["chosen", "rejected", "accuracies", "margins"].map(|key| format!("\"rewards/{key}\":0.0")) {
            assert!(line.contains(&key), "{line}");
        }
        assert!(line.contains("\"logps/chosen\":0.0,\"logps/rejected\":0.0,\"consistency\":0.0}"));
        assert_eq!(serde_json::from_str::<MetricsRow>(&line).unwrap(), row);
    }
}

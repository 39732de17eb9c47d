//! DPO's loss with a soft label for each pair.

use burn::config::Config;
use burn::module::{Content, DisplaySettings, Module, ModuleDisplay};
use burn::tensor::Tensor;
use burn::tensor::activation::log_sigmoid;
use burn_core as burn;

/// Log-probs of the two completions of each of P pairs under one model, summed over a completion's tokens, nats.
#[derive(Debug, Clone)]
pub struct PairLogps {
    /// log p(chosen|prompt) `[P]`
    pub chosen: Tensor<1>,
    /// log p(rejected|prompt) `[P]`
    pub rejected: Tensor<1>,
}

/// Configuration of a [`CreamLoss`].
#[derive(Config, Debug)]
pub struct CreamLossConfig {
    /// Scale of the rewards: how fast the policy may leave its reference.
    #[config(default = 0.1)]
    pub beta: f64,
}

impl CreamLossConfig {
    /// Makes the loss.
    ///
    /// # Panics
    /// `beta` is not a positive number.
    pub fn init(&self) -> CreamLoss {
        assert!(self.beta.is_finite() && self.beta > 0.0, "beta is {}, expected a positive number", self.beta);
        CreamLoss { beta: self.beta }
    }
}

/// The loss of CREAM (equation 10 of the paper): `-C log σ(z) - (1 - C) log σ(-z)` with the margin
/// `z = beta * ((chosen - ref_chosen) - (rejected - ref_rejected))` and the pair's consistency C. With C = 1 it is DPO's.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct CreamLoss {
    /// Scale of the rewards.
    pub beta: f64,
}

impl ModuleDisplay for CreamLoss {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new().with_new_line_after_attribute(false).optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        content.add("beta", &self.beta).optional()
    }
}

impl CreamLoss {
    /// Returns the mean of the pairs' losses, `[1]`.
    ///
    /// # Arguments
    /// - `policy`: log-probs under the model that learns.
    /// - `reference`: log-probs under the model that it is measured from; they carry no gradient unless the caller's tensors do.
    /// - `consistency`: C of each pair, from 0 to 1, `[P]`.
    ///
    /// # Panics
    /// As all of Burn's operations: tensors of different shapes or devices.
    pub fn forward(&self, policy: PairLogps, reference: PairLogps, consistency: Tensor<1>) -> Tensor<1> {
        self.forward_no_reduction(policy, reference, consistency).mean()
    }

    /// Returns the loss of each pair, `[P]`; see [`CreamLoss::forward`].
    ///
    /// # Panics
    /// As [`CreamLoss::forward`].
    pub fn forward_no_reduction(&self, policy: PairLogps, reference: PairLogps, consistency: Tensor<1>) -> Tensor<1> {
        let margin = self.margins(policy, reference);
        // -log σ(-z) is z - log σ(z): one logarithm, finite at the extremes.
        (-consistency + 1.0) * margin.clone() - log_sigmoid(margin)
    }

    /// Returns the margin z of each pair, `[P]`: the reward of the chosen less that of the rejected.
    ///
    /// # Panics
    /// As [`CreamLoss::forward`].
    pub fn margins(&self, policy: PairLogps, reference: PairLogps) -> Tensor<1> {
        ((policy.chosen - reference.chosen) - (policy.rejected - reference.rejected)) * self.beta
    }
}

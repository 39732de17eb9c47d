//! How far two rankings agree, by every measure in use.

use cream_core::consistency::Kind;
use serde::{Deserialize, Serialize};

/// Of two rewardings of the same completions. `None` where one of them is constant, as it is of fewer than two completions:
/// it ranks nothing, and to count it as tau-a does, as 0, or by position would be to measure the number of such prompts.
pub(super) fn agreement(kind: Kind, now: &[f64], before: &[f64]) -> Result<Option<f64>, cream_core::Error> {
    let is_constant = |rewards: &[f64]| rewards.windows(2).all(|pair| pair[0] == pair[1]);
    if is_constant(now) || is_constant(before) {
        return Ok(None);
    }
    kind.agreement(now, before, &mut vec![0; kind.scratch_len(now.len())])
}

/// How far the rankings by two successive models' implicit rewards agree, whatever reward and measure the pairs are made
/// with: means over the prompts where neither ranking is constant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Rankings {
    /// Kendall's tau-a.
    pub tau: Option<f64>,
    /// Spearman's rho.
    pub spearman: Option<f64>,
    /// Share of them with the same best and the same worst completion.
    pub top_order: Option<f64>,
}

/// Agreements by measure.
#[derive(Default)]
pub(super) struct RankingSums([Vec<f64>; 3]);

impl RankingSums {
    pub(super) fn add(&mut self, now: &[f64], before: &[f64]) -> Result<(), cream_core::Error> {
        for (values, kind) in self.0.iter_mut().zip([Kind::Kendall, Kind::Spearman, Kind::TopOrder]) {
            values.extend(agreement(kind, now, before)?);
        }
        Ok(())
    }

    pub(super) fn mean(&self) -> Rankings {
        let [tau, spearman, top_order] = self.0.each_ref().map(|values| average(values));
        Rankings { tau, spearman, top_order: top_order.map(|agreement| (agreement + 1.0) / 2.0) }
    }
}

pub(super) fn average(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

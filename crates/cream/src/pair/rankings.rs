//! How far two rankings agree, by every measure in use.

use cream_core::consistency::Kind;
use serde::{Deserialize, Serialize};

/// `None` where it is not defined, for fewer than two completions among others.
pub(super) fn agreement(kind: Kind, now: &[f64], before: &[f64]) -> Result<Option<f64>, cream_core::Error> {
    if now.len() < 2 {
        return Ok(None);
    }
    kind.agreement(now, before, &mut vec![0; kind.scratch_len(now.len())])
}

/// How far the rankings by two successive models' implicit rewards agree, whatever reward and measure the pairs are made
/// with: means over the prompts for which each is defined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Rankings {
    /// Kendall's tau-a.
    pub tau: Option<f64>,
    /// Spearman's rho.
    pub spearman: Option<f64>,
    /// Share of the prompts with the same best and the same worst completion.
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

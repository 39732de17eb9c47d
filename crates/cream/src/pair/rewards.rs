//! What ranks the completions: rewards from log-probs, or given ones.

use cream_core::{implicit_reward, length_normalised_reward, length_penalised_reward, mean_logps};

use super::Reward;
use crate::error::{Error, Result};
use crate::rows::{Rewards, Scores};

/// Rewards that one model implies, `[rows][completions]`.
pub(super) struct Implied {
    pub(super) rewards: Vec<Vec<f64>>,
    /// The log-probs are the reference's own, so that the log-ratio is 0 for all and the mean log-prob per token stands
    /// in for it.
    pub(super) is_mean_logps: bool,
}

impl Implied {
    pub(super) fn of(scores: &[Scores], reference: &[Scores], beta: f64) -> Result<Self> {
        let is_mean_logps = scores.iter().zip(reference).all(|(own, reference)| own.logps == reference.logps);
        let reward = |own: &Scores, reference: &Scores| -> Result<Vec<f64>, cream_core::Error> {
            if is_mean_logps {
                return own.logps.iter().zip(&own.tokens).map(|(&logps, &tokens)| mean_logps(logps, tokens)).collect();
            }
            own.logps.iter().zip(&reference.logps).map(|(&own, &base)| implicit_reward(beta, own, base)).collect()
        };
        let rows = scores.iter().zip(reference);
        let rewards = rows.map(|(own, base)| reward(own, base).map_err(|e| Error::prompt(&own.id, e)));
        Ok(Implied { rewards: rewards.collect::<Result<_>>()?, is_mean_logps })
    }

    /// By the length of the completions, as `reward` says.
    pub(super) fn by_length(&self, reward: Reward, scores: &[Scores]) -> Result<Vec<Vec<f64>>> {
        let shaped = |value: f64, tokens: usize| match reward {
            // The mean log-prob is per token already.
            Reward::LengthNormalised if !self.is_mean_logps => length_normalised_reward(value, tokens),
            Reward::LengthPenalised(alpha) => length_penalised_reward(value, alpha, tokens),
            _ => Ok(value),
        };
        let row = |(rewards, scores): (&Vec<f64>, &Scores)| {
            let values = rewards.iter().zip(&scores.tokens).map(|(&value, &tokens)| shaped(value, tokens));
            values.collect::<Result<_, _>>().map_err(|e| Error::prompt(&scores.id, e))
        };
        self.rewards.iter().zip(scores).map(row).collect()
    }
}

/// Given rewards belong to the scored completions, row by row.
pub(crate) fn check(given: &[Rewards], current: &[Scores], name: &str) -> Result<()> {
    let differ = |problem: String| Err(Error::file(name, problem));
    for (i, (given, current)) in given.iter().zip(current).enumerate() {
        let (row, id) = (i + 1, &current.id);
        if given.id != *id {
            return differ(format!("row {row} has id {:?}, expected {id:?} as in the current scores", given.id));
        }
        let (found, expected) = (given.rewards.len(), current.completions.len());
        if found != expected {
            return differ(format!(
                "row {row}, id {id:?}, has {found} rewards, expected one for each of {expected} completions"
            ));
        }
    }
    if given.len() != current.len() {
        return differ(format!("{} rows, expected {} as in the current scores", given.len(), current.len()));
    }
    Ok(())
}

//! What ranks the completions: rewards from log-probs, or given ones.

use cream_core::{implicit_reward, length_normalised_reward, length_penalised_reward, mean_logps};

use super::Reward;
use crate::error::{Error, Result};
use crate::rows::{Rewards, Scores};

/// Rewards that one model implies, `[rows][completions]`.
pub(super) struct Implied<'a> {
    pub(super) scores: &'a [Scores],
    pub(super) rewards: Vec<Vec<f64>>,
    /// They are mean log-probs per token, in nats.
    is_mean_logps: bool,
}

impl<'a> Implied<'a> {
    /// beta * (log-prob - log-prob under the reference).
    pub(super) fn log_ratios(scores: &'a [Scores], reference: &[Scores], beta: f64) -> Result<Self> {
        let row = |(own, base): (&Scores, &Scores)| {
            let logps = own.logps.iter().zip(&base.logps);
            let rewards = logps.map(|(&own, &base)| implicit_reward(beta, own, base));
            rewards.collect::<Result<_, _>>().map_err(|e| Error::prompt(&own.id, e))
        };
        let rewards = scores.iter().zip(reference).map(row).collect::<Result<_>>()?;
        Ok(Implied { scores, rewards, is_mean_logps: false })
    }

    /// Mean log-probs per token: of the reference, whose log-ratio is 0 for all.
    pub(super) fn mean_logps(scores: &'a [Scores]) -> Result<Self> {
        let row = |row: &Scores| {
            let rewards = row.logps.iter().zip(&row.tokens).map(|(&logps, &tokens)| mean_logps(logps, tokens));
            rewards.collect::<Result<_, _>>().map_err(|e| Error::prompt(&row.id, e))
        };
        let rewards = scores.iter().map(row).collect::<Result<_>>()?;
        Ok(Implied { scores, rewards, is_mean_logps: true })
    }

    /// By the length of the completions, as `reward` says. Mean log-probs stay as they are: they are per token already, and
    /// a price for every token, shared out among the tokens, is the same for all completions.
    pub(super) fn by_length(&self, reward: Reward) -> Result<Vec<Vec<Option<f64>>>> {
        let shaped = |value: f64, tokens: usize| match reward {
            Reward::LengthNormalised if !self.is_mean_logps => length_normalised_reward(value, tokens),
            Reward::LengthPenalised(alpha) if !self.is_mean_logps => length_penalised_reward(value, alpha, tokens),
            _ => Ok(value),
        };
        let row = |(rewards, scores): (&Vec<f64>, &Scores)| {
            let values = rewards.iter().zip(&scores.tokens).map(|(&value, &tokens)| shaped(value, tokens).map(Some));
            values.collect::<Result<_, _>>().map_err(|e| Error::prompt(&scores.id, e))
        };
        self.rewards.iter().zip(self.scores).map(row).collect()
    }
}

/// Given rewards of the scored completions.
pub(super) fn given(given: &[Rewards], scores: &[Scores], name: &str) -> Result<Vec<Vec<Option<f64>>>> {
    check(given, scores, name)?;
    Ok(given.iter().map(|row| row.rewards.clone()).collect())
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

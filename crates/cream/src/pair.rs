//! Steps 3 to 5: rewards, rankings and how far they agree, pairs (arXiv 2410.12735, algorithm 1).
//!
//! Departures from the authors' code:
//! * A prompt that gives no pair has no part in the mean consistency, and nothing after it is shifted.
//! * Ties are ties: the default measure is tau-a of the rewards, not tau of their positions.

use cream_core::consistency::{Kind, Map, mean};
use cream_core::{choose_pair, implicit_reward, mean_logps};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::rows::{Pair, Ranking, Scores};

/// Whether each prompt has a consistency of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// All pairs have the mean over the prompts: the paper's main setting.
    #[default]
    Mean,
    /// Each pair has its prompt's.
    PerPrompt,
}

/// How pairs are made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PairOptions {
    /// How the agreement of two rankings is measured.
    pub consistency: Kind,
    /// Whether each prompt has a consistency of its own.
    pub level: Level,
    /// Least difference between the rewards of a pair, in units of the reward: nats times beta, or nats per token where the
    /// mean log-prob takes the reward's place.
    pub min_margin: f64,
}

impl PairOptions {
    /// Whether every option lies in its range.
    ///
    /// # Errors
    /// The first that does not.
    pub fn validate(&self) -> Result<()> {
        if self.min_margin.is_finite() && self.min_margin >= 0.0 {
            return Ok(());
        }
        Err(Error::setting("min_margin", self.min_margin, "0 or a positive number"))
    }
}

/// A prompt without a pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Its id.
    pub id: String,
    /// Why.
    pub reason: String,
}

/// What ranking found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairReport {
    /// Prompts given.
    pub prompts: usize,
    /// Pairs made.
    pub pairs: usize,
    /// Mean agreement of the two rankings over the prompts that have one, in `[-1, 1]`.
    pub mean_tau: Option<f64>,
    /// Mean consistency over the same prompts, in `[0, 1]`.
    pub mean_consistency: Option<f64>,
    /// Mean over the pairs of the current model's reward of the chosen less that of the rejected.
    pub mean_reward_margin: Option<f64>,
    /// Prompts without a pair.
    pub skipped: Vec<Skipped>,
    /// Rules that were used in place of the general one.
    pub notes: Vec<String>,
}

/// Pairs, and what ranking found.
#[derive(Debug, Clone, PartialEq)]
pub struct Pairing {
    /// In the order of the prompts.
    pub pairs: Vec<Pair>,
    /// Of every prompt, with a pair or without.
    pub rankings: Vec<Ranking>,
    /// What ranking found.
    pub report: PairReport,
}

/// Ranks each prompt's completions by the current and by the previous model's reward, and pairs the best with the worst.
///
/// The reward is beta * (log-prob - log-prob under the reference, M0). Where a model's log-probs are the reference's own,
/// that is 0 for all, and the mean log-prob per token takes its place: for the previous model in round 1, as in the
/// authors' code; without supervised fine-tuning also for the current one, whose consistency with itself is then 1 and
/// whose round is plain DPO. The report says so.
///
/// # Errors
/// Scores of other prompts or completions; fewer than 2 completions; beta or the minimum margin out of range.
pub fn pair(
    current: &[Scores],
    previous: &[Scores],
    reference: &[Scores],
    beta: f64,
    options: &PairOptions,
) -> Result<Pairing> {
    options.validate()?;
    same_completions(current, previous, "previous")?;
    same_completions(current, reference, "reference")?;
    let mut notes = Vec::new();
    let rewarding = |name: &str, scores: &[Scores], notes: &mut Vec<String>| {
        let own = scores.iter().zip(reference).all(|(scores, reference)| scores.logps == reference.logps);
        if own {
            notes.push(format!("the {name} model is the reference: its reward is the mean log-prob per token"));
        }
        if own { Rewarding::MeanLogps } else { Rewarding::Implicit { beta } }
    };
    let rewarding_current = rewarding("current", current, &mut notes);
    let rewarding_previous = rewarding("previous", previous, &mut notes);

    let (mut pairs, mut skipped, mut margins) = (Vec::new(), Vec::new(), Vec::new());
    let mut rankings = Vec::with_capacity(current.len());
    let (mut agreements, mut consistencies) = (Vec::new(), Vec::new());
    for ((current, previous), reference) in current.iter().zip(previous).zip(reference) {
        let named = |e: cream_core::Error| Error::prompt(&current.id, e);
        let rewards = rewarding_current.of(current, reference).map_err(named)?;
        let previous_rewards = rewarding_previous.of(previous, reference).map_err(named)?;
        let widest = choose_pair(&rewards, 0.0).map_err(named)?;
        let mut scratch = vec![0; options.consistency.scratch_len(rewards.len())];
        let agreement = match widest {
            None => None,
            Some(_) => options.consistency.agreement(&rewards, &previous_rewards, &mut scratch).map_err(named)?,
        };
        let mut skip = |reason: String| skipped.push(Skipped { id: current.id.clone(), reason });
        let [now, before] = [&rewards, &previous_rewards].map(|rewards| rewards.iter().copied().map(Some).collect());
        rankings.push(Ranking { id: current.id.clone(), rewards: now, previous_rewards: before, agreement });
        let Some(widest) = widest else {
            skip(format!("all {} rewards are equal", rewards.len()));
            continue;
        };
        let Some(agreement) = agreement else {
            skip("all rewards under the previous model are equal, and this measure of agreement is not defined".into());
            continue;
        };
        // The linear map drops nothing.
        let Some(consistency) = Map::Linear.apply(agreement)? else { continue };
        agreements.push(agreement);
        consistencies.push(consistency);
        let Some(chosen) = choose_pair(&rewards, options.min_margin).map_err(named)? else {
            skip(format!("margin is {}, expected at least {}", widest.margin, options.min_margin));
            continue;
        };
        margins.push(chosen.margin);
        pairs.push(Pair {
            id: current.id.clone(),
            prompt: current.prompt.clone(),
            chosen: current.completions[chosen.chosen].clone(),
            rejected: current.completions[chosen.rejected].clone(),
            consistency,
            ref_chosen_logps: current.logps[chosen.chosen],
            ref_rejected_logps: current.logps[chosen.rejected],
        });
    }
    let mean_consistency = if consistencies.is_empty() { None } else { Some(mean(&consistencies)?) };
    if let (Level::Mean, Some(mean)) = (options.level, mean_consistency) {
        pairs.iter_mut().for_each(|pair| pair.consistency = mean);
    }
    let report = PairReport {
        prompts: current.len(),
        pairs: pairs.len(),
        mean_tau: average(&agreements),
        mean_consistency,
        mean_reward_margin: average(&margins),
        skipped,
        notes,
    };
    Ok(Pairing { pairs, rankings, report })
}

/// How a model rewards.
#[derive(Clone, Copy)]
enum Rewarding {
    Implicit { beta: f64 },
    MeanLogps,
}

impl Rewarding {
    /// Reward of each completion, `[N]`.
    fn of(self, scores: &Scores, reference: &Scores) -> Result<Vec<f64>, cream_core::Error> {
        let logps = scores.logps.iter();
        match self {
            Rewarding::Implicit { beta } => {
                logps.zip(&reference.logps).map(|(&own, &reference)| implicit_reward(beta, own, reference)).collect()
            }
            Rewarding::MeanLogps => logps.zip(&scores.tokens).map(|(&own, &tokens)| mean_logps(own, tokens)).collect(),
        }
    }
}

/// Both hold the same completions of the same prompts, row by row.
fn same_completions(current: &[Scores], other: &[Scores], name: &str) -> Result<()> {
    let differ = |problem: String| Err(Error::file(&format!("{name} scores"), problem));
    for (i, (current, other)) in current.iter().zip(other).enumerate() {
        let (row, id) = (i + 1, &current.id);
        if *id != other.id {
            return differ(format!("row {row} has id {:?}, expected {id:?} as in the current scores", other.id));
        }
        if current.prompt != other.prompt || current.completions != other.completions {
            return differ(format!("row {row}, id {id:?}, has another prompt or completions than the current scores"));
        }
    }
    if current.len() != other.len() {
        return differ(format!("{} rows, expected {} as in the current scores", other.len(), current.len()));
    }
    Ok(())
}

fn average(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests;

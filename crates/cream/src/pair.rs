//! Steps 3 to 5: rewards, rankings and how far they agree, pairs (arXiv 2410.12735, algorithm 1).
//!
//! Departures from the authors' code:
//! * A prompt that gives no pair has no part in the mean consistency, and nothing after it is shifted.
//! * Ties are ties: the default measure is tau-a of the rewards, not tau of their positions.

mod options;
mod rankings;
mod rewards;

use cream_core::consistency::mean;
use cream_core::{choose_anchored_pair, choose_pair};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::rows::{Pair, Ranking, Rewards, Scores};
use rankings::{RankingSums, agreement, average};
use rewards::Implied;

pub use options::{Level, PairOptions, RejectedFrom, Reward, TrainReference};
pub use rankings::Rankings;
pub(crate) use rewards::check as check_rewards;

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
    /// Mean over all completions of the current model of their tokens.
    pub mean_tokens: Option<f64>,
    /// How far the rankings of the two models agree by the measures in use.
    pub rankings: Rankings,
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

/// What pairs are made from. All hold the same completions of the same prompts, row by row.
#[derive(Debug, Clone, Copy)]
pub struct PairInputs<'a> {
    /// Scores under the current model.
    pub current: &'a [Scores],
    /// Under that of the iteration before.
    pub previous: &'a [Scores],
    /// Under the initial model, M0.
    pub reference: &'a [Scores],
    /// With the rewards `judge` and `external`: those of the current model.
    pub rewards: Option<&'a [Rewards]>,
    /// With the reward `judge` where the consistency is measured: those of the previous model.
    pub previous_rewards: Option<&'a [Rewards]>,
    /// How many of each row's completions, the last ones, are the initial model's: only with rejected ones from there.
    pub anchors: usize,
}

/// Ranks each prompt's completions by the current and by the previous model's reward, and pairs the best with the worst.
///
/// The implicit reward is beta * (log-prob - log-prob under the reference, M0). Where a model's log-probs are the
/// reference's own, that is 0 for all, and the mean log-prob per token takes its place: for the previous model in round 1,
/// as in the authors' code; without supervised fine-tuning also for the current one, whose consistency with itself is
/// then 1 and whose round is plain DPO. The report says so.
///
/// # Errors
/// Scores or rewards of other prompts or completions, or missing; fewer than 2 completions; beta or options out of range.
pub fn pair(inputs: &PairInputs<'_>, beta: f64, options: &PairOptions) -> Result<Pairing> {
    options.validate()?;
    let &PairInputs { current, previous, reference, anchors, .. } = inputs;
    same_completions(current, previous, "previous")?;
    same_completions(current, reference, "reference")?;
    if (anchors > 0) != (options.rejected_from == RejectedFrom::Initial) {
        let expected = "some with rejected_from initial, and none with rejected_from current";
        return Err(Error::setting("anchors", anchors, expected));
    }
    let implied = Implied::of(current, reference, beta)?;
    let implied_previous = Implied::of(previous, reference, beta)?;
    let mut notes = Vec::new();
    for (name, implied) in [("current", &implied), ("previous", &implied_previous)] {
        if implied.is_mean_logps && options.reward.is_implicit() {
            notes.push(format!("the {name} model is the reference: its reward is the mean log-prob per token"));
        }
    }
    let rewards = rewards(inputs.rewards, &implied, current, options, "rewards")?;
    let previous_rewards = match (inputs.previous_rewards, options.reward.is_implicit() || options.level.is_measured())
    {
        (None, false) => vec![Vec::new(); current.len()],
        (given, _) => self::rewards(given, &implied_previous, previous, options, "previous rewards")?,
    };

    let mut sums = RankingSums::default();
    let (mut pairs, mut skipped, mut margins) = (Vec::new(), Vec::new(), Vec::new());
    let mut rankings = Vec::with_capacity(current.len());
    let (mut agreements, mut consistencies) = (Vec::new(), Vec::new());
    for (i, row) in current.iter().enumerate() {
        let named = |e: cream_core::Error| Error::prompt(&row.id, e);
        let mut skip = |reason: String| skipped.push(Skipped { id: row.id.clone(), reason });
        let Some(own) = row.completions.len().checked_sub(anchors) else {
            return Err(Error::prompt(
                &row.id,
                format_args!("{} completions and {anchors} anchors", row.completions.len()),
            ));
        };
        sums.add(&implied.rewards[i][..own], &implied_previous.rewards[i][..own]).map_err(named)?;
        let mut before = previous_rewards[i].clone();
        before.resize(row.completions.len(), None);
        rankings.push(Ranking {
            id: row.id.clone(),
            rewards: rewards[i].clone(),
            previous_rewards: before,
            agreement: None,
        });
        // Those that have a reward, by their places in the row.
        let ranked: Vec<usize> = (0..row.completions.len()).filter(|&place| rewards[i][place].is_some()).collect();
        let (candidates, anchored) = ranked.split_at(ranked.partition_point(|&place| place < own));
        let needed = if anchors > 0 { 1 } else { 2 };
        if !options.reward.is_implicit() && (candidates.len() < needed || anchored.len() < anchors.min(1)) {
            skip(format!("{} of {} completions have a reward", ranked.len(), row.completions.len()));
            continue;
        }
        let of = |places: &[usize]| places.iter().filter_map(|&place| rewards[i][place]).collect::<Vec<f64>>();
        let (own_rewards, anchored_rewards) = (of(candidates), of(anchored));
        let choose = |min_margin| match anchors {
            0 => choose_pair(&own_rewards, min_margin),
            _ => choose_anchored_pair(&own_rewards, &anchored_rewards, min_margin),
        };
        let Some(widest) = choose(0.0).map_err(named)? else {
            skip(match anchors {
                0 => format!("all {} rewards are equal", own_rewards.len()),
                _ => "no completion is better than the worst of the initial model's".into(),
            });
            continue;
        };
        let both = |place: &usize| Some((rewards[i][*place]?, (*previous_rewards[i].get(*place)?)?));
        let (now, before): (Vec<f64>, Vec<f64>) = candidates.iter().filter_map(both).unzip();
        let agreement = agreement(options.consistency, &now, &before).map_err(named)?;
        agreements.extend(agreement);
        rankings[i].agreement = agreement;
        let consistency = match (options.level, agreement) {
            (Level::Off, _) => 1.0,
            (Level::Fixed(consistency), _) => consistency,
            (Level::Mean | Level::PerPrompt, None) => {
                skip("this measure of agreement is not defined for the previous model's ranking".into());
                continue;
            }
            (Level::Mean | Level::PerPrompt, Some(agreement)) => match options.map.apply(agreement)? {
                Some(consistency) => consistency,
                None => {
                    skip(format!("the two rankings agree by {agreement}, too little for map {}", options.map));
                    continue;
                }
            },
        };
        consistencies.push(consistency);
        let Some(chosen) = choose(options.min_margin).map_err(named)? else {
            skip(format!("margin is {}, expected at least {}", widest.margin, options.min_margin));
            continue;
        };
        margins.push(chosen.margin);
        let best = candidates[chosen.chosen];
        let worst = if anchors > 0 { anchored[chosen.rejected] } else { candidates[chosen.rejected] };
        let train_reference = match options.train_reference {
            TrainReference::Round => row,
            TrainReference::Initial => &reference[i],
        };
        pairs.push(Pair {
            id: row.id.clone(),
            prompt: row.prompt.clone(),
            chosen: row.completions[best].clone(),
            rejected: row.completions[worst].clone(),
            consistency,
            ref_chosen_logps: train_reference.logps[best],
            ref_rejected_logps: train_reference.logps[worst],
        });
    }
    let mean_consistency = if consistencies.is_empty() { None } else { Some(mean(&consistencies)?) };
    if let (Level::Mean, Some(mean)) = (options.level, mean_consistency) {
        pairs.iter_mut().for_each(|pair| pair.consistency = mean);
    }
    let own_tokens =
        |row: &Scores| row.tokens[..row.tokens.len() - anchors].iter().map(|&n| n as f64).collect::<Vec<_>>();
    let report = PairReport {
        prompts: current.len(),
        pairs: pairs.len(),
        mean_tau: average(&agreements),
        mean_consistency,
        mean_reward_margin: average(&margins),
        mean_tokens: average(&current.iter().flat_map(own_tokens).collect::<Vec<_>>()),
        rankings: sums.mean(),
        skipped,
        notes,
    };
    Ok(Pairing { pairs, rankings, report })
}

/// Rewards of all rows under one model: given, or implied.
fn rewards(
    given: Option<&[Rewards]>,
    implied: &Implied,
    scores: &[Scores],
    options: &PairOptions,
    name: &str,
) -> Result<Vec<Vec<Option<f64>>>> {
    match (given, options.reward.is_implicit()) {
        (None, true) => {
            let rows = implied.by_length(options.reward, scores)?;
            Ok(rows.into_iter().map(|row| row.into_iter().map(Some).collect()).collect())
        }
        (Some(given), false) => {
            rewards::check(given, scores, name)?;
            Ok(given.iter().map(|row| row.rewards.clone()).collect())
        }
        (None, false) => Err(Error::file(name, format_args!("none, expected some with reward {}", options.reward))),
        (Some(_), true) => Err(Error::file(name, format_args!("given, expected none with reward {}", options.reward))),
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

#[cfg(test)]
mod tests;

//! Steps 3 to 5: rewards, rankings and how far they agree, pairs (arXiv 2410.12735, algorithm 1).
//!
//! Departures from the authors' code:
//! * A prompt that gives no pair has no part in the mean consistency, and nothing after it is shifted.
//! * Ties are ties: the default measure is tau-a of the rewards, not tau of their positions.
//! * A ranking that tells no two completions apart agrees and disagrees with nothing. Whatever the measure, such a prompt
//!   has no agreement, no part in a mean, and no pair where the consistency is measured.
//! * A completion that was cut at the longest length is scored without an end, ranked, and not chosen, see [`Cut`].
//! * A first round without supervised fine-tuning has no former self: nothing is measured, and the round is plain DPO.
//!
//! What C does to a step depends on the optimiser. The loss's gradient at margin z is sigmoid(z) - C, at z = 0 thus
//! 2C - 1 = tau times plain DPO's. AdamW divides out a factor that all pairs share, so that one C for all (level `mean` or
//! `fixed:C`) changes a step's direction only where z = beta * h comes near logit(C), or below 1/2, where it turns
//! every pair round. A C for each pair (level `per-prompt`) keeps its weight relative to the others.

mod choices;
mod label;
mod options;
mod rankings;
mod rewards;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::rows::{Pair, Ranking, Rewards, Scores};
use crate::train::PreferenceLoss;
use choices::{Choice, Choices, Ranked, choose_pairs, pushed_the_other_way, some_cut};
use rankings::{RankingSums, average};
use rewards::Implied;

pub use label::{Labels, label};
pub use options::{Cut, Level, PairOptions, RejectedFrom, Reward, TrainReference};
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
    /// Completions of the current model that were cut at the longest length.
    #[serde(default)]
    pub cut: usize,
    /// Mean over the pairs of the agreement of the two rankings, in `[-1, 1]`; none where no pair has one.
    pub mean_tau: Option<f64>,
    /// Mean over the pairs of their consistency, in `[0, 1]`; none where it is not measured: with level `fixed:C` or `off`,
    /// or without a second ranking.
    pub mean_consistency: Option<f64>,
    /// Mean over the pairs of the current model's reward of the chosen less that of the rejected, in units of the reward, see
    /// [`PairOptions::min_margin`].
    pub mean_reward_margin: Option<f64>,
    /// Mean over all completions of the current model of their tokens.
    pub mean_tokens: Option<f64>,
    /// How far the rankings of the two models agree by the measures in use; none without a previous model.
    pub rankings: Option<Rankings>,
    /// Prompts without a pair.
    pub skipped: Vec<Skipped>,
    /// What is worth knowing: rules that were used in place of the general one, pairs that are pushed the other way.
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

/// The current model's former self, with whose ranking its own is compared.
#[derive(Debug, Clone, Copy)]
pub enum Previous<'a> {
    /// The model of the iteration before, by its scores.
    Model(&'a [Scores]),
    /// The reference, M0: in the first round after supervised fine-tuning.
    Reference,
    /// There is none yet, since the current model is the reference itself: in a first round without supervised fine-tuning.
    NoneYet,
}

/// What pairs are made from. All hold the same completions of the same prompts, row by row.
#[derive(Debug, Clone, Copy)]
pub struct PairInputs<'a> {
    /// Scores under the current model.
    pub current: &'a [Scores],
    /// The model of the iteration before.
    pub previous: Previous<'a>,
    /// Scores under the initial model, M0.
    pub reference: &'a [Scores],
    /// With the rewards `judge` and `external`: those of the current model.
    pub rewards: Option<&'a [Rewards]>,
    /// With the reward `judge` where the consistency is measured: those of the previous model. Where there is no previous
    /// model yet: a second ranking from elsewhere, if there is one, with which the consistency is then measured.
    pub previous_rewards: Option<&'a [Rewards]>,
    /// How many of each row's completions, the last ones, are the initial model's: only with rejected ones from there.
    pub anchors: usize,
}

/// Ranks each prompt's completions by the current and by the previous model's reward, and pairs the best with the worst.
///
/// The implicit reward is beta * (log-prob - log-prob under the reference, M0). For the reference itself that is 0 for
/// all, and its mean log-prob per token takes its place: for the previous model in the first round after supervised
/// fine-tuning, as in the authors' code, and for the current one where nothing was trained before. Then there is no former
/// self either: unless a second ranking is given, nothing is measured, and levels `mean` and `per-prompt` give C = 1, plain
/// DPO. The report says so.
///
/// A prompt's agreement is measured on the completions of the current model that both rank. It has none where one of the
/// rankings is constant, and then gives no pair where the consistency is measured.
///
/// # Errors
/// Scores or rewards of other prompts or completions, or missing; fewer than 2 completions; beta or options out of range.
pub fn pair(inputs: &PairInputs<'_>, beta: f64, options: &PairOptions) -> Result<Pairing> {
    options.validate()?;
    PreferenceLoss { beta, ..PreferenceLoss::default() }.validate()?;
    let &PairInputs { current, previous, reference, anchors, .. } = inputs;
    same_completions(current, reference, "reference")?;
    if (anchors > 0) != (options.rejected_from == RejectedFrom::Initial) {
        let expected = "some with rejected_from initial, and none with rejected_from current";
        return Err(Error::setting("anchors", anchors, expected));
    }
    let (implied, implied_previous) = match previous {
        Previous::Model(previous) => {
            same_completions(current, previous, "previous")?;
            let of = |scores| Implied::log_ratios(scores, reference, beta);
            (of(current)?, Some(of(previous)?))
        }
        Previous::Reference => (Implied::log_ratios(current, reference, beta)?, Some(Implied::mean_logps(reference)?)),
        Previous::NoneYet => {
            same_logps(current, reference)?;
            (Implied::mean_logps(current)?, None)
        }
    };
    let rewards = rewards(inputs.rewards, &implied, options, "rewards")?;
    let previous_rewards = match (inputs.previous_rewards, &implied_previous) {
        (None, Some(_)) if !options.reward.is_implicit() && !options.level.is_measured() => None,
        (given, Some(implied)) => Some(self::rewards(given, implied, options, "previous rewards")?),
        (Some(given), None) => Some(rewards::given(given, current, "previous rewards")?),
        (None, None) => None,
    };
    let is_measured = options.level.is_measured() && previous_rewards.is_some();

    let mut sums = RankingSums::default();
    let mut rows = Vec::with_capacity(current.len());
    for (i, row) in current.iter().enumerate() {
        let Some(own) = row.completions.len().checked_sub(anchors) else {
            let found = format_args!("{} completions and {anchors} anchors", row.completions.len());
            return Err(Error::prompt(&row.id, found));
        };
        if let Some(before) = &implied_previous {
            let added = sums.add(&implied.rewards[i][..own], &before.rewards[i][..own]);
            added.map_err(|e| Error::prompt(&row.id, e))?;
        }
        let (now, none) = (rewards[i].clone(), || vec![None; row.completions.len()]);
        let before = previous_rewards.as_ref().map_or_else(none, |rewards| rewards[i].clone());
        rows.push(Ranked { id: &row.id, completions: &row.completions, own, now, before });
    }
    let Choices { pairs, rankings, skipped, cut, all, mean_tau, mean_consistency, mean_reward_margin } =
        choose_pairs(rows, is_measured, options)?;
    let first_round = first_round(previous, previous_rewards.is_some(), options);
    let notes = [first_round, pushed_the_other_way(&pairs, options.level), some_cut(cut, all, options.cut)];
    let notes = notes.into_iter().flatten().collect();
    let made = |Choice { row, chosen, rejected, consistency }: &Choice| {
        let (scores, reference) = (&current[*row], &reference[*row]);
        let train_reference = match options.train_reference {
            TrainReference::Round => scores,
            TrainReference::Initial => reference,
        };
        Pair {
            id: scores.id.clone(),
            prompt: scores.prompt.clone(),
            chosen: scores.completions[*chosen].clone(),
            rejected: scores.completions[*rejected].clone(),
            consistency: *consistency,
            ref_chosen_logps: train_reference.logps[*chosen],
            ref_rejected_logps: train_reference.logps[*rejected],
        }
    };
    let pairs: Vec<Pair> = pairs.iter().map(made).collect();
    let own_tokens =
        |row: &Scores| row.tokens[..row.tokens.len() - anchors].iter().map(|&n| n as f64).collect::<Vec<_>>();
    let report = PairReport {
        prompts: current.len(),
        pairs: pairs.len(),
        cut,
        mean_tau,
        mean_consistency,
        mean_reward_margin,
        mean_tokens: average(&current.iter().flat_map(own_tokens).collect::<Vec<_>>()),
        rankings: implied_previous.is_some().then(|| sums.mean()),
        skipped,
        notes,
    };
    Ok(Pairing { pairs, rankings, report })
}

/// What is said of a round whose previous model is the reference, or that has none.
fn first_round(previous: Previous<'_>, has_second: bool, options: &PairOptions) -> Option<String> {
    let implicit = options.reward.is_implicit();
    match previous {
        Previous::Model(_) => None,
        Previous::Reference => {
            implicit.then(|| "the previous model is the reference: its reward is the mean log-prob per token".into())
        }
        Previous::NoneYet => {
            let ranks = "the current model is the reference, and its mean log-prob per token ranks the completions (the \
                         rewards judge and external rank by something else)";
            let weighs = if has_second {
                "the consistency is that with the previous rewards given"
            } else {
                "no consistency is measured, and the round is plain DPO (supervised data before it would make a former self)"
            };
            let says = [(implicit, ranks), (options.level.is_measured(), weighs)];
            let says: Vec<&str> = says.into_iter().filter_map(|(holds, words)| holds.then_some(words)).collect();
            (!says.is_empty()).then(|| format!("there is no former self yet: {}", says.join("; ")))
        }
    }
}

/// Rewards of all rows under one model: given, or implied.
fn rewards(
    given: Option<&[Rewards]>,
    implied: &Implied<'_>,
    options: &PairOptions,
    name: &str,
) -> Result<Vec<Vec<Option<f64>>>> {
    match (given, options.reward.is_implicit()) {
        (None, true) => implied.by_length(options.reward),
        (Some(given), false) => rewards::given(given, implied.scores, name),
        (None, false) => Err(Error::file(name, format_args!("none, expected some with reward {}", options.reward))),
        (Some(_), true) => Err(Error::file(name, format_args!("given, expected none with reward {}", options.reward))),
    }
}

/// The current model is the reference: its log-probs are.
fn same_logps(current: &[Scores], reference: &[Scores]) -> Result<()> {
    match current.iter().zip(reference).find(|(current, reference)| current.logps != reference.logps) {
        None => Ok(()),
        Some((row, _)) => {
            let problem = format!("id {:?} has other log-probs than in the current scores, of the same model", row.id);
            Err(Error::file("reference scores", problem))
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

#[cfg(test)]
mod tests;

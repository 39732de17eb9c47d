//! Pairs from rewards of any origin: no model takes part.

use std::collections::HashMap;

use super::choices::{Choices, Ranked, choose_pairs, pushed_the_other_way, some_cut};
use super::{PairOptions, PairReport, RejectedFrom, Reward};
use crate::error::{Error, Result};
use crate::rows::{Completion, GivenPair, Ranking, Rated, Turns};

/// Pairs without log-probs, and what ranking found.
#[derive(Debug, Clone, PartialEq)]
pub struct Labels {
    /// In the order in which their prompts were met first.
    pub pairs: Vec<GivenPair>,
    /// Of every prompt, with a pair or without.
    pub rankings: Vec<Ranking>,
    /// What ranking found; nothing of tokens and of models.
    pub report: PairReport,
}

/// A prompt's completions, gathered from its rows.
struct Gathered<'a> {
    id: String,
    prompt: &'a Turns,
    completions: Vec<Completion>,
    now: Vec<Option<f64>>,
    before: Vec<Option<f64>>,
}

/// Ranks each prompt's completions by their rewards, and pairs the best with the worst, weighed by how far the previous
/// rewards agree. Rows of one id, or without ids of one prompt, are of one prompt; without an id its number, from 0, is one.
///
/// Without any previous rewards nothing is measured, and the pairs are for plain DPO. The report says so. Options that are about
/// models, `reward` and `train_reference`, are not looked at.
///
/// # Errors
/// Rows of one id with several prompts; a prompt with fewer than 2 completions; options out of range; rejected completions of
/// the initial model.
pub fn label(rows: &[Rated], options: &PairOptions) -> Result<Labels> {
    PairOptions { reward: Reward::Implicit, ..options.clone() }.validate()?;
    if options.rejected_from != RejectedFrom::Current {
        return Err(Error::setting("rejected_from", "initial", "current: the rows are of no model"));
    }
    let gathered = gather(rows)?;
    let is_compared = rows.iter().any(|row| row.previous_rewards.is_some());
    let ranked = gathered.iter().map(|Gathered { id, completions, now, before, .. }| Ranked {
        id,
        completions,
        own: completions.len(),
        now: now.clone(),
        before: before.clone(),
    });
    let Choices { pairs, rankings, skipped, cut, all, mean_tau, mean_consistency, mean_reward_margin } =
        choose_pairs(ranked.collect(), options.level.is_measured() && is_compared, options)?;
    let plain = "no previous rewards are given: no consistency is measured, and the pairs are for plain DPO".to_owned();
    let notes = [
        (options.level.is_measured() && !is_compared).then_some(plain),
        pushed_the_other_way(&pairs, options.level),
        some_cut(cut, all, options.cut),
    ];
    let report = PairReport {
        prompts: gathered.len(),
        pairs: pairs.len(),
        cut,
        mean_tau,
        mean_consistency,
        mean_reward_margin,
        mean_tokens: None,
        rankings: None,
        skipped,
        notes: notes.into_iter().flatten().collect(),
    };
    let pairs = pairs.into_iter().map(|pair| {
        let Gathered { id, prompt, completions, .. } = &gathered[pair.row];
        GivenPair {
            id: Some(id.clone()),
            prompt: (*prompt).clone(),
            chosen: completions[pair.chosen].clone(),
            rejected: completions[pair.rejected].clone(),
            consistency: Some(pair.consistency),
            ref_logps: None,
        }
    });
    Ok(Labels { pairs: pairs.collect(), rankings, report })
}

fn gather(rows: &[Rated]) -> Result<Vec<Gathered<'_>>> {
    let mut gathered: Vec<Gathered<'_>> = Vec::new();
    let mut places = HashMap::new();
    for row in rows {
        let Rated { id, prompt, completions, rewards, previous_rewards } = row;
        let key = (id.as_deref(), id.is_none().then(|| prompt.texts()));
        let place = *places.entry(key).or_insert(gathered.len());
        if place == gathered.len() {
            let id = id.clone().unwrap_or_else(|| place.to_string());
            gathered.push(Gathered { id, prompt, completions: Vec::new(), now: Vec::new(), before: Vec::new() });
        }
        let of = &mut gathered[place];
        if of.prompt != prompt {
            return Err(Error::prompt(&of.id, "several prompts in the rows of this id, expected one"));
        }
        of.completions.extend_from_slice(completions);
        of.now.extend_from_slice(rewards);
        let none = || vec![None; completions.len()];
        of.before.extend(previous_rewards.clone().unwrap_or_else(none));
    }
    match gathered.iter().find(|row| row.completions.len() < 2) {
        Some(row) => Err(Error::prompt(&row.id, "1 completion, expected at least 2 with a reward each")),
        None => Ok(gathered),
    }
}

//! From two rankings of each prompt's completions to a pair and its consistency.

use cream_core::consistency::mean;
use cream_core::{choose_anchored_pair, choose_pair};

use super::rankings::{agreement, average};
use super::{Cut, Level, PairOptions, Skipped};
use crate::error::{Error, Result};
use crate::rows::{Completion, Ranking};

/// A prompt's completions, and what two rankings think of them.
pub(super) struct Ranked<'a> {
    pub(super) id: &'a str,
    pub(super) completions: &'a [Completion],
    /// So many of them, the first ones, are the current model's.
    pub(super) own: usize,
    /// The ranking that pairs are made by; none where a completion is not ranked. `[N]`
    pub(super) now: Vec<Option<f64>>,
    /// The one that it is compared with.
    pub(super) before: Vec<Option<f64>>,
}

/// A pair by the places of its completions.
pub(super) struct Choice {
    pub(super) row: usize,
    pub(super) chosen: usize,
    pub(super) rejected: usize,
    pub(super) consistency: f64,
}

/// Pairs of the rows that give one, and what was found on the way, under the names of [`super::PairReport`].
pub(super) struct Choices {
    pub(super) pairs: Vec<Choice>,
    pub(super) rankings: Vec<Ranking>,
    pub(super) skipped: Vec<Skipped>,
    /// Completions of the current model that were cut, and all of them.
    pub(super) cut: usize,
    pub(super) all: usize,
    pub(super) mean_tau: Option<f64>,
    pub(super) mean_consistency: Option<f64>,
    pub(super) mean_reward_margin: Option<f64>,
}

/// Chooses a pair of each row, and weighs it where the consistency `is_measured`.
pub(super) fn choose_pairs(rows: Vec<Ranked<'_>>, is_measured: bool, options: &PairOptions) -> Result<Choices> {
    let (mut pairs, mut rankings, mut skipped) = (Vec::new(), Vec::with_capacity(rows.len()), Vec::new());
    let (mut agreements, mut margins) = (Vec::new(), Vec::new());
    let (mut all, mut all_cut) = (0, 0);
    for (row, Ranked { id, completions, own, mut now, mut before }) in rows.into_iter().enumerate() {
        let named = |e: cream_core::Error| Error::prompt(id, e);
        let cut: Vec<bool> = completions.iter().map(Completion::is_cut).collect();
        all_cut += cut[..own].iter().filter(|&&cut| cut).count();
        all += own;
        if options.cut == Cut::Drop {
            let rewards = now.iter_mut().zip(&mut before).zip(&cut).filter(|(_, cut)| **cut);
            rewards.for_each(|((now, before), _)| (*now, *before) = (None, None));
        }
        let agreement = agree(&now[..own], &before[..own], options).map_err(named)?;
        let choice = choose(&now, own, &cut, options).map_err(named)?;
        let weighed = match choice {
            Ok(choice) => weigh(agreement, is_measured, options)?.map(|consistency| (choice, consistency)),
            Err(reason) => Err(reason),
        };
        rankings.push(Ranking { id: id.to_owned(), rewards: now, previous_rewards: before, agreement });
        match weighed {
            Ok((cream_core::Pair { chosen, rejected, margin }, consistency)) => {
                agreements.extend(agreement);
                margins.push(margin);
                pairs.push(Choice { row, chosen, rejected, consistency });
            }
            Err(reason) => skipped.push(Skipped { id: id.to_owned(), reason }),
        }
    }
    let mut mean_consistency = None;
    if is_measured && !pairs.is_empty() {
        let mean = mean(&pairs.iter().map(|pair| pair.consistency).collect::<Vec<_>>())?;
        mean_consistency = Some(mean);
        if options.level == Level::Mean {
            pairs.iter_mut().for_each(|pair| pair.consistency = mean);
        }
    }
    let (mean_tau, mean_reward_margin) = (average(&agreements), average(&margins));
    Ok(Choices { pairs, rankings, skipped, cut: all_cut, all, mean_tau, mean_consistency, mean_reward_margin })
}

/// How far two rankings agree on the completions that have a reward in both.
fn agree(now: &[Option<f64>], before: &[Option<f64>], options: &PairOptions) -> Result<Option<f64>, cream_core::Error> {
    let both = now.iter().zip(before).filter_map(|(&now, &before)| Some((now?, before?)));
    let (now, before): (Vec<f64>, Vec<f64>) = both.unzip();
    agreement(options.consistency, &now, &before)
}

/// The best and the worst of a prompt's completions, by their places, or why there is no pair. The first `own` are the
/// current model's; the rejected one is of the rest, if there are any. Those that were `cut` are not chosen, unless they are
/// kept.
fn choose(
    rewards: &[Option<f64>],
    own: usize,
    cut: &[bool],
    options: &PairOptions,
) -> Result<Result<cream_core::Pair, String>, cream_core::Error> {
    let ranked: Vec<usize> = (0..rewards.len()).filter(|&place| rewards[place].is_some()).collect();
    let (candidates, anchors) = ranked.split_at(ranked.partition_point(|&place| place < own));
    let of = |places: &[usize]| places.iter().filter_map(|&place| rewards[place]).collect::<Vec<f64>>();
    let anchored = own < rewards.len();
    let too_few = if anchored { candidates.is_empty() || anchors.is_empty() } else { candidates.len() < 2 };
    if too_few && ranked.len() < rewards.len() {
        return Ok(Err(format!("{} of {} completions have a reward", ranked.len(), rewards.len())));
    }
    let ended: Vec<usize> = candidates.iter().copied().filter(|&place| !cut[place]).collect();
    let best: &[usize] = if options.cut == Cut::Keep { candidates } else { &ended };
    if best.is_empty() && !candidates.is_empty() {
        return Ok(Err(format!(
            "all {} completions were cut, and none is chosen (sample.max_new_tokens, pair.cut)",
            candidates.len()
        )));
    }
    let (pair, rejected, equal) = if anchored {
        let pair = choose_anchored_pair(&of(best), &of(anchors), 0.0)?;
        (pair, anchors, "no completion is better than the worst of the initial model's".to_owned())
    } else if best.len() < candidates.len() {
        let pair = choose_anchored_pair(&of(best), &of(candidates), 0.0)?;
        (pair, candidates, "no completion that ended is better than the worst".to_owned())
    } else {
        (choose_pair(&of(candidates), 0.0)?, candidates, format!("all {} rewards are equal", candidates.len()))
    };
    Ok(match pair {
        None => Err(equal),
        Some(pair) if pair.margin < options.min_margin => {
            Err(format!("margin is {}, expected at least {}", pair.margin, options.min_margin))
        }
        Some(pair) => {
            Ok(cream_core::Pair { chosen: best[pair.chosen], rejected: rejected[pair.rejected], margin: pair.margin })
        }
    })
}

/// C of a prompt's pair, or why there is no pair.
fn weigh(agreement: Option<f64>, is_measured: bool, options: &PairOptions) -> Result<Result<f64, String>> {
    Ok(match (options.level, agreement) {
        (Level::Fixed(consistency), _) => Ok(consistency),
        _ if !is_measured => Ok(1.0),
        (_, None) => Err("one of the two rankings is constant, so that they have no agreement".into()),
        (_, Some(agreement)) => match options.map.apply(agreement)? {
            Some(consistency) => Ok(consistency),
            None => Err(format!("the two rankings agree by {agreement}, too little for map {}", options.map)),
        },
    })
}

/// What is said of completions that were cut.
pub(super) fn some_cut(cut: usize, all: usize, rule: Cut) -> Option<String> {
    let rule = match rule {
        Cut::Rank => "they are ranked, and none is chosen",
        Cut::Keep => "they count as those that ended",
        Cut::Drop => "they are dropped",
    };
    (cut > 0).then(|| format!("{cut} of {all} completions were cut at the longest length: {rule}"))
}

/// What is said where a C below 1/2 makes a pair's rejected completion the one that is learnt.
pub(super) fn pushed_the_other_way(pairs: &[Choice], level: Level) -> Option<String> {
    let pushed = pairs.iter().filter(|pair| pair.consistency < 0.5).count();
    let mean = average(&pairs.iter().map(|pair| pair.consistency).collect::<Vec<_>>())?;
    let other_way = "pushed the other way, the rejected completion over the chosen";
    match level {
        _ if pushed == 0 => None,
        Level::PerPrompt => {
            let on_average = if mean < 0.5 { ", as the pairs are on average" } else { "" };
            let count = pairs.len();
            Some(format!(
                "{pushed} of {count} pairs have a consistency below 1/2 (mean {mean:.3}) and are {other_way}{on_average}"
            ))
        }
        _ => Some(format!("the mean consistency is {mean:.3}, below 1/2: all pairs are {other_way}")),
    }
}

//! `cream-web/core`: the maths of CREAM for JavaScript, without engine, model or GPU. The functions are those of
//! `cream-core`, on numbers and typed arrays; what they refuse is an `Error` with the core's own sentence.
//!
//! It does *not* compute anything itself. Natively it is empty.
#![cfg(target_arch = "wasm32")]
#![forbid(unsafe_code)]

mod arguments;
mod loss;

use cream_core::consistency;
use wasm_bindgen::prelude::*;

pub use loss::{pair_loss, pair_losses};

use lol_alloc::{FreeListAllocator, LockedAllocator};

use arguments::{Measure, Result, Ties, count, error};

/// A tenth of the standard library's in size; a call has a handful of arrays.
#[global_allocator]
static ALLOCATOR: LockedAllocator<FreeListAllocator> = LockedAllocator::new(FreeListAllocator::new());

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** A preference pair, as indices into the completions. */
export interface Pair {
    /** The completion with the highest reward. */
    chosen: number;
    /** The completion with the lowest reward. */
    rejected: number;
    /** Reward of the chosen less reward of the rejected; positive. */
    margin: number;
}

/** From an agreement tau to a consistency C: `linear` is (tau + 1) / 2, the paper's; `clamped` is the same, at least 1/2;
 *  `threshold:C` drops what is below C, from 0 to 1. */
export type AgreementMap = "linear" | "clamped" | `threshold:${number}`;
"#;

/// Ranks from 1, the smallest value first. Equal values share the mean of the ranks that they span, or with `"ordinal"`
/// are told apart by position, the earlier ranking lower.
///
/// Throws where a value is not finite.
#[wasm_bindgen]
pub fn ranks(values: &[f64], ties: Option<Ties>) -> Result<Vec<f64>> {
    let (mut order, mut ranks) = (vec![0; values.len()], vec![0.0; values.len()]);
    let ties = ties.unwrap_or(Ties::Average).of_core()?;
    cream_core::ranks(values, ties, &mut order, &mut ranks).map_err(error)?;
    Ok(ranks)
}

/// How far two rewardings of the same N >= 2 completions agree, from -1 to 1: 1 for the same ranking without ties, -1 for
/// its reverse. `measure` is unset `"kendall"`, the paper's. `undefined` where the measure is, such as tau-b of a constant
/// ranking.
///
/// Throws where lengths differ, there are fewer than two, or a reward is not finite.
#[wasm_bindgen]
pub fn agreement(current: &[f64], previous: &[f64], measure: Option<Measure>) -> Result<Option<f64>> {
    let kind = measure.unwrap_or(Measure::Kendall).of_core()?;
    kind.agreement(current, previous, &mut vec![0; kind.scratch_len(current.len())]).map_err(error)
}

/// The consistency C of a prompt, the weight of its pair in the loss, from 0 to 1: the agreement of two rewardings of its
/// completions, through `map`, unset `"linear"`. `undefined` where the measure is, or the pair is to be dropped.
///
/// Throws as `agreement` does, and where a threshold is not from 0 to 1.
#[wasm_bindgen]
pub fn consistency(
    current: &[f64],
    previous: &[f64],
    #[wasm_bindgen(unchecked_optional_param_type = "Measure")] measure: Option<Measure>,
    #[wasm_bindgen(unchecked_optional_param_type = "AgreementMap")] map: Option<String>,
) -> Result<Option<f64>> {
    let map = arguments::map(map.as_deref().unwrap_or("linear"))?;
    match agreement(current, previous, measure)? {
        Some(agreement) => map.apply(agreement).map_err(error),
        None => Ok(None),
    }
}

/// The mean over prompts: one C for the whole set, the paper's main setting.
///
/// Throws where there is none, or one is not from 0 to 1.
#[wasm_bindgen(js_name = meanConsistency)]
pub fn mean_consistency(consistencies: &[f64]) -> Result<f64> {
    consistency::mean(consistencies).map_err(error)
}

/// log p(y|x), the sum over the completion's tokens, the end-of-turn token among them.
///
/// Throws where there is no token, or a log-prob is not finite.
#[wasm_bindgen(js_name = completionLogps)]
pub fn completion_logps(#[wasm_bindgen(js_name = tokenLogps)] token_logps: &[f32]) -> Result<f64> {
    cream_core::completion_logps(token_logps).map_err(error)
}

/// log p(y|x) per token.
///
/// Throws where there is no token, or the log-prob is not finite.
#[wasm_bindgen(js_name = meanLogps)]
pub fn mean_logps(logps: f64, tokens: f64) -> Result<f64> {
    cream_core::mean_logps(logps, count("tokens", tokens)?).map_err(error)
}

/// beta * (log p_policy(y|x) - log p_reference(y|x)), the implicit reward of DPO.
///
/// Throws where beta is not positive, or a log-prob is not finite.
#[wasm_bindgen(js_name = implicitReward)]
pub fn implicit_reward(
    beta: f64,
    #[wasm_bindgen(js_name = policyLogps)] policy_logps: f64,
    #[wasm_bindgen(js_name = referenceLogps)] reference_logps: f64,
) -> Result<f64> {
    cream_core::implicit_reward(beta, policy_logps, reference_logps).map_err(error)
}

/// The implicit reward of each completion.
///
/// Throws as `implicitReward` does, and where lengths differ.
#[wasm_bindgen(js_name = implicitRewards)]
pub fn implicit_rewards(
    beta: f64,
    #[wasm_bindgen(js_name = policyLogps)] policy_logps: &[f64],
    #[wasm_bindgen(js_name = referenceLogps)] reference_logps: &[f64],
) -> Result<Vec<f64>> {
    arguments::same_length(policy_logps.len(), reference_logps.len())?;
    let mut rewards = Vec::with_capacity(policy_logps.len());
    for (i, (&policy, &reference)) in policy_logps.iter().zip(reference_logps).enumerate() {
        let reward = cream_core::implicit_reward(beta, policy, reference);
        rewards.push(reward.map_err(|error| arguments::of_row("completion", i, error))?);
    }
    Ok(rewards)
}

/// The reward per token, so that a completion gains nothing by its length alone.
///
/// Throws where there is no token, or the reward is not finite.
#[wasm_bindgen(js_name = lengthNormalisedReward)]
pub fn length_normalised_reward(reward: f64, tokens: f64) -> Result<f64> {
    cream_core::length_normalised_reward(reward, count("tokens", tokens)?).map_err(error)
}

/// The reward less `alpha` for every token.
///
/// Throws where the reward is not finite, or alpha is negative.
#[wasm_bindgen(js_name = lengthPenalisedReward)]
pub fn length_penalised_reward(reward: f64, alpha: f64, tokens: f64) -> Result<f64> {
    cream_core::length_penalised_reward(reward, alpha, count("tokens", tokens)?).map_err(error)
}

/// Best and worst of the rewards of N >= 2 completions, the first of equals. `undefined`, no pair, where all are equal or
/// the margin is less than `minimumMargin`, unset 0.
///
/// Throws where there are fewer than two, a reward is not finite or the minimum margin is negative.
#[wasm_bindgen(js_name = choosePair)]
pub fn choose_pair(
    rewards: &[f64],
    #[wasm_bindgen(js_name = minimumMargin)] minimum_margin: Option<f64>,
) -> Result<Option<arguments::Pair>> {
    let pair = cream_core::choose_pair(rewards, minimum_margin.unwrap_or(0.0)).map_err(error)?;
    Ok(pair.map(arguments::Pair::of))
}

/// Best of the rewards and worst of the anchors' (completions of the initial model), into which `rejected` is then an
/// index. `undefined`, no pair, where the best is not better than the worst anchor or the margin is less than
/// `minimumMargin`, unset 0.
///
/// Throws where there is nothing to choose from, a reward is not finite or the minimum margin is negative.
#[wasm_bindgen(js_name = chooseAnchoredPair)]
pub fn choose_anchored_pair(
    rewards: &[f64],
    anchors: &[f64],
    #[wasm_bindgen(js_name = minimumMargin)] minimum_margin: Option<f64>,
) -> Result<Option<arguments::Pair>> {
    let pair = cream_core::choose_anchored_pair(rewards, anchors, minimum_margin.unwrap_or(0.0)).map_err(error)?;
    Ok(pair.map(arguments::Pair::of))
}

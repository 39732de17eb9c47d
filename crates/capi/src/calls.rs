//! The functions of the header, each one of the core's over pointers.
//!
//! # Safety
//! Of every function: each pointer is NULL or points to as many initialised elements as its text says; outputs overlap
//! nothing else that is handed over.
#![allow(clippy::missing_safety_doc)]

use core::ffi::{CStr, c_char};

use cream_core::consistency;

use crate::pointers::{one, one_mut, slice, slice_mut};
use crate::status::{CreamError, CreamStatus, Failure, Result};
use crate::types::{self, CreamLoss, CreamMap, CreamMeasure, CreamPair, CreamPairLogps, CreamPairLoss, CreamTies};

/// Runs the call's work, and tells C what became of it.
unsafe fn answer(error: *mut CreamError, work: impl FnOnce() -> Result) -> CreamStatus {
    #[cfg(not(target_os = "none"))]
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
        .unwrap_or(Err(Failure::text(CreamStatus::Internal, "a fault of this library")));
    #[cfg(target_os = "none")]
    let done = work();
    let Err(failure) = done else { return CreamStatus::Ok };
    if failure.status != CreamStatus::Undefined && !error.is_null() && error.is_aligned() {
        // SAFETY: it points to a CreamError by the caller's word.
        unsafe { &mut *error }.set(&failure.message);
    }
    failure.status
}

/// The version of this library, such as "0.1.0".
#[unsafe(no_mangle)]
pub extern "C" fn cream_version() -> *const c_char {
    const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"",
    };
    VERSION.as_ptr()
}

/// Ranks from 1, the smallest value first, of `values` `[n]` into `ranks` `[n]`. `order` `[n]` is scratch.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cream_ranks(
    values: *const f64,
    n: usize,
    ties: CreamTies,
    order: *mut usize,
    ranks: *mut f64,
    error: *mut CreamError,
) -> CreamStatus {
    unsafe {
        answer(error, || {
            let (values, order, ranks) = (slice(values, n)?, slice_mut(order, n)?, slice_mut(ranks, n)?);
            Ok(cream_core::ranks(values, types::ties(ties)?, order, ranks)?)
        })
    }
}

/// How many elements of scratch `cream_agreement` needs for n completions; 0 up to 64 of them.
#[unsafe(no_mangle)]
pub extern "C" fn cream_agreement_scratch(measure: CreamMeasure, n: usize) -> usize {
    types::measure(measure).map_or(0, |measure| measure.scratch_len(n))
}

/// How far two rewardings of the same N >= 2 completions agree, from -1 to 1: 1 for the same ranking without ties, -1 for
/// its reverse. `current` `[n]`, `previous` `[n]`; `scratch` `[scratch_len]`, see `cream_agreement_scratch`.
/// CREAM_STATUS_UNDEFINED where the measure is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cream_agreement(
    measure: CreamMeasure,
    current: *const f64,
    previous: *const f64,
    n: usize,
    scratch: *mut usize,
    scratch_len: usize,
    agreement: *mut f64,
    error: *mut CreamError,
) -> CreamStatus {
    unsafe {
        answer(error, || {
            let (current, previous) = (slice(current, n)?, slice(previous, n)?);
            let (scratch, output) = (slice_mut(scratch, scratch_len)?, one_mut(agreement)?);
            let agreement = types::measure(measure)?.agreement(current, previous, scratch)?;
            *output = agreement.ok_or_else(Failure::undefined)?;
            Ok(())
        })
    }
}

/// The consistency C of a prompt, from 0 to 1, of an agreement from -1 to 1. `threshold`, from 0 to 1, is that of
/// CREAM_MAP_THRESHOLD. CREAM_STATUS_UNDEFINED where the prompt's pair is to be dropped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cream_consistency(
    map: CreamMap,
    threshold: f64,
    agreement: f64,
    consistency: *mut f64,
    error: *mut CreamError,
) -> CreamStatus {
    unsafe {
        answer(error, || {
            let output = one_mut(consistency)?;
            let consistency = types::map(map, threshold)?.apply(agreement)?;
            *output = consistency.ok_or_else(Failure::undefined)?;
            Ok(())
        })
    }
}

/// The mean of `consistencies` `[n]` over prompts, n >= 1: one C for the whole set, the paper's main setting.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cream_mean_consistency(
    consistencies: *const f64,
    n: usize,
    mean: *mut f64,
    error: *mut CreamError,
) -> CreamStatus {
    unsafe {
        answer(error, || {
            let (consistencies, output) = (slice(consistencies, n)?, one_mut(mean)?);
            *output = consistency::mean(consistencies)?;
            Ok(())
        })
    }
}

/// log p(y|x): the sum of `token_logps` `[tokens]` over the completion's tokens, the end-of-turn token among them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cream_completion_logps(
    token_logps: *const f32,
    tokens: usize,
    logps: *mut f64,
    error: *mut CreamError,
) -> CreamStatus {
    unsafe {
        answer(error, || {
            let (token_logps, output) = (slice(token_logps, tokens)?, one_mut(logps)?);
            *output = cream_core::completion_logps(token_logps)?;
            Ok(())
        })
    }
}

/// log p(y|x) per token.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cream_mean_logps(
    logps: f64,
    tokens: usize,
    mean: *mut f64,
    error: *mut CreamError,
) -> CreamStatus {
    unsafe {
        answer(error, || {
            let output = one_mut(mean)?;
            *output = cream_core::mean_logps(logps, tokens)?;
            Ok(())
        })
    }
}

/// beta * (log p_policy(y|x) - log p_reference(y|x)), the implicit reward of DPO.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cream_implicit_reward(
    beta: f64,
    policy_logps: f64,
    reference_logps: f64,
    reward: *mut f64,
    error: *mut CreamError,
) -> CreamStatus {
    unsafe {
        answer(error, || {
            let output = one_mut(reward)?;
            *output = cream_core::implicit_reward(beta, policy_logps, reference_logps)?;
            Ok(())
        })
    }
}

/// A reward per token, so that a completion gains nothing by its length alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cream_length_normalised_reward(
    reward: f64,
    tokens: usize,
    normalised: *mut f64,
    error: *mut CreamError,
) -> CreamStatus {
    unsafe {
        answer(error, || {
            let output = one_mut(normalised)?;
            *output = cream_core::length_normalised_reward(reward, tokens)?;
            Ok(())
        })
    }
}

/// A reward less `alpha` for each token.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cream_length_penalised_reward(
    reward: f64,
    alpha: f64,
    tokens: usize,
    penalised: *mut f64,
    error: *mut CreamError,
) -> CreamStatus {
    unsafe {
        answer(error, || {
            let output = one_mut(penalised)?;
            *output = cream_core::length_penalised_reward(reward, alpha, tokens)?;
            Ok(())
        })
    }
}

/// Best and worst of `rewards` `[n]`, n >= 2, the first of equals. CREAM_STATUS_UNDEFINED, no pair, where all are equal or the
/// margin is less than `minimum_margin` (0 asks for nothing more).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cream_choose_pair(
    rewards: *const f64,
    n: usize,
    minimum_margin: f64,
    pair: *mut CreamPair,
    error: *mut CreamError,
) -> CreamStatus {
    unsafe {
        answer(error, || {
            let (rewards, output) = (slice(rewards, n)?, one_mut(pair)?);
            *output = found(cream_core::choose_pair(rewards, minimum_margin)?)?;
            Ok(())
        })
    }
}

/// Best of `rewards` `[n]` and worst of `anchors` `[m]`, n and m >= 1: completions of the initial model, which stay as bad as
/// they are while the policy's get better. `rejected` is then an index into the anchors.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cream_choose_anchored_pair(
    rewards: *const f64,
    n: usize,
    anchors: *const f64,
    m: usize,
    minimum_margin: f64,
    pair: *mut CreamPair,
    error: *mut CreamError,
) -> CreamStatus {
    unsafe {
        answer(error, || {
            let (rewards, anchors, output) = (slice(rewards, n)?, slice(anchors, m)?, one_mut(pair)?);
            *output = found(cream_core::choose_anchored_pair(rewards, anchors, minimum_margin)?)?;
            Ok(())
        })
    }
}

fn found(pair: Option<cream_core::Pair>) -> Result<CreamPair> {
    let cream_core::Pair { chosen, rejected, margin } = pair.ok_or_else(Failure::undefined)?;
    Ok(CreamPair { chosen, rejected, margin })
}

/// The loss of one pair of consistency C, from 0 to 1, with its gradient with respect to the log-probs.
///
/// `sft_weight`: 0, or so many times the negative log-likelihood per token of the chosen completion, of `chosen_tokens` >= 1
/// tokens, is added.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cream_pair_loss(
    loss: CreamLoss,
    beta: f64,
    consistency: f64,
    logps: *const CreamPairLogps,
    sft_weight: f64,
    chosen_tokens: usize,
    pair_loss: *mut CreamPairLoss,
    error: *mut CreamError,
) -> CreamStatus {
    unsafe {
        answer(error, || {
            let (logps, output) = (one(logps)?, one_mut(pair_loss)?);
            let pair = types::loss(loss)?.evaluate(beta, consistency, &logps.of_core())?;
            *output = pair.with_sft(sft_weight, logps.chosen, chosen_tokens)?.into();
            Ok(())
        })
    }
}

/// The losses of n pairs: `consistencies` `[n]`, `logps` `[n]`, `pair_losses` `[n]`. Gradients are those of each pair's own loss,
/// not of the mean. The first pair that is refused ends the work and is named; those before it are written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cream_pair_losses(
    loss: CreamLoss,
    beta: f64,
    consistencies: *const f64,
    logps: *const CreamPairLogps,
    n: usize,
    pair_losses: *mut CreamPairLoss,
    error: *mut CreamError,
) -> CreamStatus {
    unsafe {
        answer(error, || {
            let (consistencies, logps) = (slice(consistencies, n)?, slice(logps, n)?);
            let (loss, outputs) = (types::loss(loss)?, slice_mut(pair_losses, n)?);
            for (i, ((output, &consistency), logps)) in outputs.iter_mut().zip(consistencies).zip(logps).enumerate() {
                let pair = loss.evaluate(beta, consistency, &logps.of_core());
                *output = pair.map_err(|error| Failure::of_pair(i, error))?.into();
            }
            Ok(())
        })
    }
}

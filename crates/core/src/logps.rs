//! Log-probs of completions and the reward that a model implies by them.

use crate::{Error, check};

/// log p(y|x): the sum over the completion's tokens `[T]`, the end-of-turn token among them, the prompt's and the chat
/// header's not (the mask of the authors' code includes the header).
///
/// # Errors
/// No token; a token log-prob that is not finite.
///
/// ```
/// assert_eq!(cream_core::completion_logps(&[-1.5, -0.25]), Ok(-1.75));
/// ```
pub fn completion_logps(token_logps: &[f32]) -> Result<f64, Error> {
    if token_logps.is_empty() {
        return Err(Error::TooFew { what: "token log-probs", needed: 1, given: 0 });
    }
    match token_logps.iter().position(|logp| !logp.is_finite()) {
        Some(index) => Err(Error::NotFinite { what: "token log-prob", index, value: f64::from(token_logps[index]) }),
        None => Ok(token_logps.iter().map(|&logp| f64::from(logp)).sum()),
    }
}

/// log p(y|x) per token, from the completion's log-prob and its number of tokens.
///
/// The previous model's reward in round 1, where the previous model is M0 itself and its log-ratio is 0 for all.
///
/// # Errors
/// No token; a log-prob that is not finite.
///
/// ```
/// assert_eq!(cream_core::mean_logps(-12.0, 4), Ok(-3.0));
/// ```
pub fn mean_logps(logps: f64, tokens: usize) -> Result<f64, Error> {
    if tokens == 0 {
        return Err(Error::TooFew { what: "tokens", needed: 1, given: 0 });
    }
    Ok(check::finite_number("log-prob", logps)? / tokens as f64)
}

/// beta * (log p_policy(y|x) - log p_reference(y|x)), the implicit reward of DPO (arXiv 2305.18290).
///
/// # Errors
/// A beta that is not positive; a log-prob that is not finite.
///
/// ```
/// assert_eq!(cream_core::implicit_reward(0.5, -10.0, -14.0), Ok(2.0));
/// assert!(cream_core::implicit_reward(0.0, -10.0, -14.0).is_err());
/// ```
pub fn implicit_reward(beta: f64, policy_logps: f64, reference_logps: f64) -> Result<f64, Error> {
    let policy = check::finite_number("policy log-prob", policy_logps)?;
    let reference = check::finite_number("reference log-prob", reference_logps)?;
    check::finite_number("reward", check::beta(beta)? * (policy - reference))
}

/// r / tokens: the reward per token, so that a completion gains nothing by its length alone.
///
/// # Errors
/// No token; a reward that is not finite.
///
/// ```
/// assert_eq!(cream_core::length_normalised_reward(2.0, 8), Ok(0.25));
/// ```
pub fn length_normalised_reward(reward: f64, tokens: usize) -> Result<f64, Error> {
    if tokens == 0 {
        return Err(Error::TooFew { what: "tokens", needed: 1, given: 0 });
    }
    Ok(check::finite_number("reward", reward)? / tokens as f64)
}

/// r - alpha * tokens: the reward less a price for every token.
///
/// # Errors
/// A reward that is not finite; an alpha that is negative or not finite.
///
/// ```
/// assert_eq!(cream_core::length_penalised_reward(2.0, 0.125, 8), Ok(1.0));
/// ```
pub fn length_penalised_reward(reward: f64, alpha: f64, tokens: usize) -> Result<f64, Error> {
    if !(alpha.is_finite() && alpha >= 0.0) {
        return Err(Error::InvalidPenalty(alpha));
    }
    check::finite_number("reward", check::finite_number("reward", reward)? - alpha * tokens as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_means_and_rewards() {
        assert_eq!(completion_logps(&[-0.5, -1.0, -0.25]), Ok(-1.75));
        assert_eq!(mean_logps(-1.75, 7), Ok(-0.25));
        assert_eq!(implicit_reward(0.5, -3.0, -5.0), Ok(1.0));
        assert_eq!(length_normalised_reward(1.5, 6), Ok(0.25));
        assert_eq!(length_penalised_reward(1.5, 0.25, 8), Ok(-0.5));
    }

    #[test]
    fn the_sum_is_made_in_f64() {
        // In f32 the small terms vanish beside the large one.
        let mut token_logps = [-1.0 / 4096.0; 4097];
        token_logps[0] = -65_536.0;
        assert_eq!(completion_logps(&token_logps), Ok(-65_537.0));
    }

    #[test]
    fn bad_input_is_an_error() {
        assert_eq!(completion_logps(&[]), Err(Error::TooFew { what: "token log-probs", needed: 1, given: 0 }));
        assert!(matches!(completion_logps(&[-1.0, f32::NAN]), Err(Error::NotFinite { index: 1, .. })));
        assert!(matches!(completion_logps(&[f32::NEG_INFINITY]), Err(Error::NotFinite { index: 0, .. })));
        assert!(matches!(mean_logps(-1.0, 0), Err(Error::TooFew { .. })));
        assert!(matches!(mean_logps(f64::NAN, 1), Err(Error::NotFiniteNumber { .. })));
        assert!(matches!(length_normalised_reward(1.0, 0), Err(Error::TooFew { .. })));
        assert!(matches!(length_normalised_reward(f64::NAN, 1), Err(Error::NotFiniteNumber { .. })));
        assert!(matches!(length_penalised_reward(f64::INFINITY, 0.1, 1), Err(Error::NotFiniteNumber { .. })));
        for alpha in [-0.1, f64::NAN, f64::INFINITY] {
            assert!(matches!(length_penalised_reward(1.0, alpha, 1), Err(Error::InvalidPenalty(_))), "{alpha}");
        }
        for beta in [0.0, -0.1, f64::NAN, f64::INFINITY] {
            assert!(matches!(implicit_reward(beta, -1.0, -1.0), Err(Error::InvalidBeta(_))), "{beta}");
        }
        assert!(matches!(implicit_reward(0.1, f64::NAN, -1.0), Err(Error::NotFiniteNumber { .. })));
        assert!(matches!(implicit_reward(0.1, -1.0, f64::NEG_INFINITY), Err(Error::NotFiniteNumber { .. })));
        assert!(matches!(implicit_reward(1.0, f64::MAX, f64::MIN), Err(Error::NotFiniteNumber { what: "reward", .. })));
    }
}

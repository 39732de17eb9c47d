//! Which two of a prompt's completions become a preference pair.

use crate::{Error, check};

/// A preference pair, as indices into the completions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// The completion with the highest reward.
    pub chosen: usize,
    /// The completion with the lowest reward.
    pub rejected: usize,
    /// Reward of the chosen less reward of the rejected; positive.
    pub margin: f64,
}

/// Best and worst of the rewards `[N]`, N >= 2 (arXiv 2410.12735). Of several equal to the best or to the
/// worst the first is taken.
///
/// `None`, no pair, where all rewards are equal or the margin is less than `minimum_margin` (0 asks for nothing more).
///
/// # Errors
/// N < 2; a reward that is not finite; a minimum margin that is negative or not finite.
///
/// ```
/// let pair = cream_core::choose_pair(&[0.25, -0.5, 1.0], 0.0)?.expect("they differ");
/// assert_eq!((pair.chosen, pair.rejected, pair.margin), (2, 1, 1.5));
/// assert_eq!(cream_core::choose_pair(&[0.5, 0.5], 0.0)?, None);
/// # Ok::<(), cream_core::Error>(())
/// ```
pub fn choose_pair(rewards: &[f64], minimum_margin: f64) -> Result<Option<Pair>, Error> {
    if rewards.len() < 2 {
        return Err(Error::TooFew { what: "completions", needed: 2, given: rewards.len() });
    }
    choose_anchored_pair(rewards, rewards, minimum_margin)
}

/// Best of the rewards `[N]` and worst of the anchors' `[M]`, N and M >= 1, the first of equals: temporal anchoring, where
/// the anchors are completions of the initial model, which stay as bad as they are while the policy's get better.
/// [`Pair::rejected`] is an index into the anchors.
///
/// `None`, no pair, where the best is not better than the worst anchor or the margin is less than `minimum_margin`.
///
/// # Errors
/// Nothing to choose from; a reward that is not finite; a minimum margin that is negative or not finite.
///
/// ```
/// let pair = cream_core::choose_anchored_pair(&[0.25, 1.0], &[0.0, -1.0, -0.5], 0.0)?.expect("the best is better");
/// assert_eq!((pair.chosen, pair.rejected, pair.margin), (1, 1, 2.0));
/// # Ok::<(), cream_core::Error>(())
/// ```
pub fn choose_anchored_pair(rewards: &[f64], anchors: &[f64], minimum_margin: f64) -> Result<Option<Pair>, Error> {
    for (what, values) in [("reward", rewards), ("anchor's reward", anchors)] {
        if values.is_empty() {
            return Err(Error::TooFew { what: "completions", needed: 1, given: 0 });
        }
        check::finite(what, values)?;
    }
    if !(minimum_margin.is_finite() && minimum_margin >= 0.0) {
        return Err(Error::InvalidMinimumMargin(minimum_margin));
    }
    let first = |values: &[f64], before: fn(f64, f64) -> bool| {
        (1..values.len()).fold(0, |first, i| if before(values[i], values[first]) { i } else { first })
    };
    let (chosen, rejected) = (first(rewards, |a, b| a > b), first(anchors, |a, b| a < b));
    let margin = rewards[chosen] - anchors[rejected];
    Ok((margin > 0.0 && margin >= minimum_margin).then_some(Pair { chosen, rejected, margin }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn best_and_worst_the_first_of_equals() {
        let expected = Pair { chosen: 1, rejected: 2, margin: 3.0 };
        assert_eq!(choose_pair(&[0.0, 2.0, -1.0, 2.0, -1.0], 0.0), Ok(Some(expected)));
    }

    #[test]
    fn no_pair_without_a_margin() {
        assert_eq!(choose_pair(&[1.0, 1.0, 1.0], 0.0), Ok(None));
        assert_eq!(choose_pair(&[0.0, -0.0], 0.0), Ok(None));
        assert_eq!(choose_pair(&[0.0, 0.5], 0.6), Ok(None));
        assert!(matches!(choose_pair(&[0.0, 0.5], 0.5), Ok(Some(_))));
    }

    #[test]
    fn the_rejected_may_come_from_anchors() {
        let expected = Pair { chosen: 1, rejected: 2, margin: 5.0 };
        assert_eq!(choose_anchored_pair(&[0.0, 2.0], &[1.0, 2.0, -3.0], 0.0), Ok(Some(expected)));
        assert_eq!(choose_anchored_pair(&[0.0], &[0.0, 1.0], 0.0), Ok(None));
        assert_eq!(choose_anchored_pair(&[-1.0], &[0.0], 0.0), Ok(None));
        assert!(matches!(choose_anchored_pair(&[0.0], &[], 0.0), Err(Error::TooFew { needed: 1, .. })));
        assert!(matches!(choose_anchored_pair(&[0.0], &[f64::NAN], 0.0), Err(Error::NotFinite { .. })));
    }

    #[test]
    fn bad_input_is_an_error() {
        assert!(matches!(choose_pair(&[], 0.0), Err(Error::TooFew { given: 0, .. })));
        assert!(matches!(choose_pair(&[1.0], 0.0), Err(Error::TooFew { given: 1, .. })));
        assert!(matches!(choose_pair(&[1.0, f64::NAN], 0.0), Err(Error::NotFinite { index: 1, .. })));
        assert_eq!(choose_pair(&[1.0, 2.0], -1.0), Err(Error::InvalidMinimumMargin(-1.0)));
        assert!(matches!(choose_pair(&[1.0, 2.0], f64::NAN), Err(Error::InvalidMinimumMargin(_))));
    }
}

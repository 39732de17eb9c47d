//! The loss of one preference pair, and its gradient.
//!
//! With h = (chosen - reference_chosen) - (rejected - reference_rejected), log-probs summed over completion tokens, and
//! the margin z = beta * h:
//!
//! * CREAM: `C * -log sigmoid(z) + (1 - C) * -log sigmoid(-z)` (arXiv 2410.12735), so that
//!   dL/dz = sigmoid(z) - C. Its minimum is at z = log(C / (1 - C)). At z = 0 its step is (2C - 1) = tau times that of
//!   DPO: it vanishes at C = 1/2 and turns the other way below.
//! * DPO: the same with C = 1.
//! * IPO: `(h - 1 / (2 beta))^2` (arXiv 2310.12036, eq. 17). TRL feeds its IPO log-probs *per token*; give those
//!   instead of sums to get its numbers.
//!
//! To any of them a supervised term may be added, `weight * -log p(chosen) / tokens` (arXiv 2404.19733, and TRL's
//! `rpo_alpha`): it keeps the chosen completion's own probability from falling while the margin grows.

use core::fmt;

use crate::math::{log_sigmoid, sigmoid};
use crate::{Error, check, mean_logps};

/// A loss on preference pairs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum Loss {
    /// DPO, weighed by the consistency against its reverse.
    #[default]
    Cream,
    /// Plain DPO, whatever the consistency: the self-rewarding baseline.
    Dpo,
    /// Identity preference optimisation, whatever the consistency.
    Ipo,
}

/// Log-probs of a pair's completions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairLogps {
    /// Of the chosen completion under the policy.
    pub chosen: f64,
    /// Of the rejected completion under the policy.
    pub rejected: f64,
    /// Of the chosen completion under the training reference.
    pub reference_chosen: f64,
    /// Of the rejected completion under the training reference.
    pub reference_rejected: f64,
}

/// A pair's loss, what training logs of it, and its gradient with respect to [`PairLogps`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairLoss {
    /// The loss, in nats (IPO: in squared nats).
    pub loss: f64,
    /// z: reward of the chosen less reward of the rejected.
    pub margin: f64,
    /// beta * (chosen - reference_chosen).
    pub reward_chosen: f64,
    /// beta * (rejected - reference_rejected).
    pub reward_rejected: f64,
    /// dL / d chosen.
    pub d_chosen: f64,
    /// dL / d rejected.
    pub d_rejected: f64,
    /// dL / d reference_chosen.
    pub d_reference_chosen: f64,
    /// dL / d reference_rejected.
    pub d_reference_rejected: f64,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cream => "cream",
            Self::Dpo => "dpo",
            Self::Ipo => "ipo",
        })
    }
}

impl Loss {
    /// The loss of one pair of consistency C with its gradient.
    ///
    /// # Errors
    /// A beta that is not positive; a consistency outside `[0, 1]`, also where the loss makes no use of it; a log-prob
    /// that is not finite; log-probs so far apart that the loss is not.
    ///
    /// ```
    /// use cream_core::{Loss, PairLogps};
    ///
    /// let logps = PairLogps { chosen: -11.0, rejected: -15.0, reference_chosen: -12.0, reference_rejected: -14.0 };
    /// let certain = Loss::Cream.evaluate(0.5, 1.0, &logps)?;
    /// assert_eq!(certain, Loss::Dpo.evaluate(0.5, 1.0, &logps)?);
    /// assert_eq!(certain.margin, 1.0);
    /// // At C = 1/2 a margin is nothing but too large.
    /// assert!(certain.d_chosen < 0.0 && Loss::Cream.evaluate(0.5, 0.5, &logps)?.d_chosen > 0.0);
    /// # Ok::<(), cream_core::Error>(())
    /// ```
    pub fn evaluate(self, beta: f64, consistency: f64, logps: &PairLogps) -> Result<PairLoss, Error> {
        let beta = check::beta(beta)?;
        let consistency = check::consistency(consistency)?;
        let chosen = check::finite_number("chosen log-prob", logps.chosen)?;
        let rejected = check::finite_number("rejected log-prob", logps.rejected)?;
        let reference_chosen = check::finite_number("reference chosen log-prob", logps.reference_chosen)?;
        let reference_rejected = check::finite_number("reference rejected log-prob", logps.reference_rejected)?;

        let reward_chosen = beta * (chosen - reference_chosen);
        let reward_rejected = beta * (rejected - reference_rejected);
        let margin = reward_chosen - reward_rejected;
        let (loss, d_margin) = match self {
            Self::Cream => cream(margin, consistency),
            Self::Dpo => cream(margin, 1.0),
            Self::Ipo => ipo(margin, beta),
        };
        let loss = check::finite_number("loss", loss)?;
        let d_log_ratio = check::finite_number("gradient", beta * d_margin)?;
        Ok(PairLoss {
            loss,
            margin,
            reward_chosen,
            reward_rejected,
            d_chosen: d_log_ratio,
            d_rejected: -d_log_ratio,
            d_reference_chosen: -d_log_ratio,
            d_reference_rejected: d_log_ratio,
        })
    }
}

impl PairLoss {
    /// Its numbers in the order of their declaration, for bindings to other languages.
    ///
    /// ```
    /// use cream_core::{Loss, PairLogps};
    ///
    /// let logps = PairLogps { chosen: -8.0, rejected: -9.0, reference_chosen: -8.0, reference_rejected: -8.0 };
    /// let pair = Loss::Dpo.evaluate(0.5, 1.0, &logps)?;
    /// assert_eq!(pair.numbers()[..2], [pair.loss, pair.margin]);
    /// # Ok::<(), cream_core::Error>(())
    /// ```
    pub fn numbers(&self) -> [f64; 8] {
        let &Self {
            loss,
            margin,
            reward_chosen,
            reward_rejected,
            d_chosen,
            d_rejected,
            d_reference_chosen,
            d_reference_rejected,
        } = self;
        [loss, margin, reward_chosen, reward_rejected, d_chosen, d_rejected, d_reference_chosen, d_reference_rejected]
    }

    /// With `weight` times the negative log-likelihood per token of the chosen completion, of so many tokens, added.
    /// `chosen`: its log-prob, summed.
    ///
    /// # Errors
    /// A weight that is negative or not finite; no token; a log-prob that is not finite.
    ///
    /// ```
    /// use cream_core::{Loss, PairLogps};
    ///
    /// let logps = PairLogps { chosen: -8.0, rejected: -8.0, reference_chosen: -8.0, reference_rejected: -8.0 };
    /// let pair = Loss::Dpo.evaluate(0.5, 1.0, &logps)?;
    /// assert_eq!(pair.with_sft(0.5, logps.chosen, 4)?.loss, pair.loss + 1.0);
    /// # Ok::<(), cream_core::Error>(())
    /// ```
    pub fn with_sft(self, weight: f64, chosen: f64, tokens: usize) -> Result<Self, Error> {
        if !(weight.is_finite() && weight >= 0.0) {
            return Err(Error::InvalidSftWeight(weight));
        }
        let loss = check::finite_number("loss", self.loss - weight * mean_logps(chosen, tokens)?)?;
        Ok(Self { loss, d_chosen: self.d_chosen - weight / tokens as f64, ..self })
    }
}

/// Loss and dL/dz.
fn cream(margin: f64, consistency: f64) -> (f64, f64) {
    let loss = -(consistency * log_sigmoid(margin) + (1.0 - consistency) * log_sigmoid(-margin));
    (loss, sigmoid(margin) - consistency)
}

/// Loss and dL/dz.
fn ipo(margin: f64, beta: f64) -> (f64, f64) {
    let distance = margin / beta - 0.5 / beta;
    (distance * distance, 2.0 * distance / beta)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tolerances::{F64, FINITE_DIFFERENCE, FINITE_DIFFERENCE_STEP};
    use proptest::prelude::*;

    const ALL: [Loss; 3] = [Loss::Cream, Loss::Dpo, Loss::Ipo];

    /// A pair of which the margin is z at any beta.
    fn pair(beta: f64, z: f64) -> PairLogps {
        PairLogps { chosen: z / beta, rejected: 0.0, reference_chosen: 0.0, reference_rejected: 0.0 }
    }

    /// The loss as a function of one log-prob.
    fn nudged(loss: Loss, beta: f64, consistency: f64, logps: PairLogps, which: usize, by: f64) -> f64 {
        let mut logps = logps;
        *[&mut logps.chosen, &mut logps.rejected, &mut logps.reference_chosen, &mut logps.reference_rejected][which] +=
            by;
        loss.evaluate(beta, consistency, &logps).unwrap().loss
    }

    prop_compose! {
        fn logps()(chosen in -90.0..-1.0, rejected in -90.0..-1.0, a in -5.0..5.0, b in -5.0..5.0) -> PairLogps {
            PairLogps { chosen, rejected, reference_chosen: chosen + a, reference_rejected: rejected + b }
        }
    }

    proptest! {
        #[test]
        fn gradients_are_finite_differences(logps in logps(), beta in 0.05f64..1.0, consistency in 0.0..=1.0) {
            for loss in ALL {
                let value = loss.evaluate(beta, consistency, &logps).unwrap();
                let analytic =
                    [value.d_chosen, value.d_rejected, value.d_reference_chosen, value.d_reference_rejected];
                for (which, analytic) in analytic.into_iter().enumerate() {
                    let nudge = |by| nudged(loss, beta, consistency, logps, which, by);
                    let h = FINITE_DIFFERENCE_STEP;
                    let numeric = (nudge(h) - nudge(-h)) / (2.0 * h);
                    let close = (numeric - analytic).abs() <= FINITE_DIFFERENCE * analytic.abs().max(1.0);
                    prop_assert!(close, "{:?} {}: {} and {}", loss, which, numeric, analytic);
                }
            }
        }

        #[test]
        fn the_value_is_the_definition(logps in logps(), beta in 0.05f64..1.0, consistency in 0.0..=1.0) {
            let h = (logps.chosen - logps.reference_chosen) - (logps.rejected - logps.reference_rejected);
            let z = beta * h;
            let minus_log_sigmoid = |z: f64| (1.0 + (-z).exp()).ln();
            let expected = [
                consistency * minus_log_sigmoid(z) + (1.0 - consistency) * minus_log_sigmoid(-z),
                minus_log_sigmoid(z),
                (h - 1.0 / (2.0 * beta)).powi(2),
            ];
            for (loss, expected) in ALL.into_iter().zip(expected) {
                let value = loss.evaluate(beta, consistency, &logps).unwrap();
                prop_assert!((value.loss - expected).abs() <= F64 * expected.max(1.0), "{:?}", loss);
                prop_assert!((value.margin - z).abs() <= F64);
                prop_assert!((value.reward_chosen - value.reward_rejected - z).abs() <= F64);
            }
        }

        #[test]
        fn slopes_in_the_margin_are_finite_differences(beta in 0.05f64..1.0, z in -9.0..9.0, c in 0.0..=1.0) {
            for loss in ALL {
                let at = |z| loss.evaluate(beta, c, &pair(beta, z)).unwrap();
                let h = FINITE_DIFFERENCE_STEP;
                let (numeric, analytic) = ((at(z + h).loss - at(z - h).loss) / (2.0 * h), at(z).d_chosen / beta);
                let close = (numeric - analytic).abs() <= FINITE_DIFFERENCE * analytic.abs().max(1.0);
                prop_assert!(close, "{:?}: {} and {}", loss, numeric, analytic);
            }
        }

        #[test]
        fn the_supervised_term_is_the_mean_log_prob(
            logps in logps(), beta in 0.05f64..1.0, weight in 0.0..2.0, tokens in 1usize..50,
        ) {
            for loss in ALL {
                let with = |logps: &PairLogps| {
                    let own = loss.evaluate(beta, 0.7, logps).unwrap();
                    (own, own.with_sft(weight, logps.chosen, tokens).unwrap())
                };
                let (own, both) = with(&logps);
                let expected = own.loss - weight * logps.chosen / tokens as f64;
                prop_assert!((both.loss - expected).abs() <= F64 * expected.abs().max(1.0));
                let h = FINITE_DIFFERENCE_STEP;
                let at = |by| with(&PairLogps { chosen: logps.chosen + by, ..logps }).1.loss;
                let numeric = (at(h) - at(-h)) / (2.0 * h);
                let close = (numeric - both.d_chosen).abs() <= FINITE_DIFFERENCE * both.d_chosen.abs().max(1.0);
                prop_assert!(close, "{:?}: {} and {}", loss, numeric, both.d_chosen);
                prop_assert_eq!((both.margin, both.d_rejected), (own.margin, own.d_rejected));
            }
        }

        #[test]
        fn slope_in_the_margin_is_sigmoid_less_consistency(beta in 0.05f64..1.0, z in -9.0..9.0, c in 0.0..=1.0) {
            let value = Loss::Cream.evaluate(beta, c, &pair(beta, z)).unwrap();
            prop_assert!((value.d_chosen / beta - (1.0 / (1.0 + f64::exp(-z)) - c)).abs() <= F64);
        }

        #[test]
        fn the_minimum_is_at_the_logit(beta in 0.05f64..1.0, c in 0.01..0.99) {
            let at = |z| Loss::Cream.evaluate(beta, c, &pair(beta, z)).unwrap();
            let z = (c / (1.0 - c)).ln();
            prop_assert!(at(z).d_chosen.abs() <= F64);
            prop_assert!(at(z).loss < at(z + 0.1).loss && at(z).loss < at(z - 0.1).loss);
        }

        #[test]
        fn at_0_the_step_is_tau_times_that_of_dpo(beta in 0.05f64..1.0, tau in -1.0f64..=1.0) {
            let step = |loss: Loss| loss.evaluate(beta, (tau + 1.0) / 2.0, &pair(beta, 0.0)).unwrap().d_chosen;
            prop_assert!((step(Loss::Cream) - tau * step(Loss::Dpo)).abs() <= F64);
        }
    }

    #[test]
    fn full_consistency_is_dpo_and_none_its_reverse() {
        let logps = PairLogps { chosen: -3.0, rejected: -4.0, reference_chosen: -3.5, reference_rejected: -2.0 };
        let swapped = PairLogps { chosen: -4.0, rejected: -3.0, reference_chosen: -2.0, reference_rejected: -3.5 };
        let cream = |c| Loss::Cream.evaluate(0.3, c, &logps).unwrap();
        assert_eq!(cream(1.0), Loss::Dpo.evaluate(0.3, 0.2, &logps).unwrap());
        let reverse = Loss::Dpo.evaluate(0.3, 1.0, &swapped).unwrap();
        assert_eq!((cream(0.0).loss, cream(0.0).d_chosen), (reverse.loss, reverse.d_rejected));
    }

    #[test]
    fn finite_far_out() {
        for (z, loss) in [(1e4, 0.25e4), (-1e4, 0.75e4)] {
            let value = Loss::Cream.evaluate(0.1, 0.75, &pair(0.1, z)).unwrap();
            assert!((value.loss - loss).abs() <= F64 * loss);
        }
    }

    #[test]
    fn bad_input_is_an_error() {
        let good = pair(0.1, 1.0);
        for loss in ALL {
            for beta in [0.0, -0.1, f64::NAN, f64::INFINITY] {
                assert!(matches!(loss.evaluate(beta, 0.5, &good), Err(Error::InvalidBeta(_))), "{beta}");
            }
            for consistency in [-0.1, 1.1, f64::NAN] {
                assert!(matches!(loss.evaluate(0.1, consistency, &good), Err(Error::InvalidConsistency(_))));
            }
            for bad in [f64::NAN, f64::NEG_INFINITY] {
                for logps in [
                    PairLogps { chosen: bad, ..good },
                    PairLogps { rejected: bad, ..good },
                    PairLogps { reference_chosen: bad, ..good },
                    PairLogps { reference_rejected: bad, ..good },
                ] {
                    assert!(matches!(loss.evaluate(0.1, 0.5, &logps), Err(Error::NotFiniteNumber { .. })));
                }
            }
        }
        let value = Loss::Cream.evaluate(0.1, 0.5, &good).unwrap();
        assert!(matches!(value.with_sft(-1.0, -2.0, 3), Err(Error::InvalidSftWeight(_))));
        assert!(matches!(value.with_sft(1.0, -2.0, 0), Err(Error::TooFew { .. })));
        assert!(matches!(value.with_sft(1.0, f64::NAN, 3), Err(Error::NotFiniteNumber { .. })));
        let apart = PairLogps { chosen: f64::MAX, rejected: f64::MIN, ..good };
        assert!(matches!(Loss::Ipo.evaluate(1.0, 0.5, &apart), Err(Error::NotFiniteNumber { what: "loss", .. })));
        assert!(matches!(Loss::Cream.evaluate(1.0, 0.5, &apart), Err(Error::NotFiniteNumber { what: "loss", .. })));
    }
}

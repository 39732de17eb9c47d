//! One token from one row of logits.
//!
//! The algorithm, exactly, so that a shader can do the same. V logits l, temperature T > 0, uniform deviate u in
//! `[0, 1)`:
//!
//! 1. m = max l; weights w_i = exp((l_i - m) / T), with [`math::exp`](crate::math::exp): in `[0, 1]`, the largest 1.
//! 2. Each filter is a least weight that a token must have; ties at a cut-off are all kept, and the order of the
//!    tokens decides nothing. A filter sees what the ones before it kept, as in Hugging Face's transformers:
//!    * top-k: the largest t with at least k weights >= t;
//!    * top-p: the largest t with sum(w >= t) >= p * sum(w kept by top-k);
//!    * min-p: t = p, for the largest weight is 1.
//! 3. t = the largest of these and the smallest normal f32 (below which `exp` gives 0). The token is the first i in
//!    order at which the running sum of the weights >= t exceeds u times their sum.
//!
//! A temperature of 0 is greedy: the first i with l_i = m, whatever the filters and u.
//!
//! Nothing is sorted. A cut-off can be found bit by bit, from high to low, since the bits of non-negative floats order
//! as they do: a bit stays set if the weights at or above still reach the target. The sums are rounded as they come (here
//! in blocks of f32), so that where one lands within rounding of a target, devices may differ by a token.

use crate::math::{exp, max_logit};
use crate::weights::{cut_off, draw, sum};
use crate::{Error, check};

/// How to turn logits into a token. The default is that of the authors' code.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Sampling {
    /// Divides the logits; 0 takes the most probable token.
    pub temperature: f32,
    /// Keeps the k most probable tokens; 0 keeps all.
    pub top_k: u32,
    /// Keeps the most probable tokens that together have this probability; 1 keeps all.
    pub top_p: f32,
    /// Keeps the tokens with at least this share of the largest probability; 0 keeps all.
    pub min_p: f32,
    /// Divides the positive logits of tokens that are there already and multiplies the negative ones; 1 does nothing.
    /// Not [`sample`] but [`penalise`] does it, before.
    pub repetition_penalty: f32,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 0.8, top_k: 0, top_p: 0.95, min_p: 0.0, repetition_penalty: 1.0 }
    }
}

impl Sampling {
    /// Whether every option lies in its range.
    ///
    /// # Errors
    /// The first that does not.
    ///
    /// ```
    /// use cream_core::Sampling;
    ///
    /// assert!(Sampling::default().validate().is_ok());
    /// assert!(Sampling { top_p: 0.0, ..Sampling::default() }.validate().is_err());
    /// ```
    pub fn validate(&self) -> Result<(), Error> {
        let Self { temperature, top_k: _, top_p, min_p, repetition_penalty } = *self;
        let invalid = |field, value, expected| Err(Error::InvalidSampling { field, value, expected });
        // A subnormal temperature has no finite reciprocal.
        if !(temperature == 0.0 || temperature.is_normal() && temperature > 0.0) {
            return invalid("temperature", temperature, "0 or a positive finite number");
        }
        if !(top_p > 0.0 && top_p <= 1.0) {
            return invalid("top_p", top_p, "more than 0 and at most 1");
        }
        if !(0.0..=1.0).contains(&min_p) {
            return invalid("min_p", min_p, "0 to 1");
        }
        // Neither has one that overflows, which the logits are multiplied by.
        if !(repetition_penalty.is_normal() && repetition_penalty > 0.0 && (1.0 / repetition_penalty).is_normal()) {
            return invalid("repetition_penalty", repetition_penalty, "a positive finite number");
        }
        Ok(())
    }
}

/// Words of the set that [`penalise`] reads, for a vocabulary of so many tokens.
///
/// ```
/// assert_eq!(cream_core::seen_words(33), 2);
/// ```
pub const fn seen_words(vocabulary: usize) -> usize {
    vocabulary.div_ceil(32)
}

/// Penalises repetition (CTRL, arXiv 1909.05858, as in Hugging Face's transformers): the logits of `seen` tokens, bit
/// `i % 32` of word `i / 32` for token i, are divided by `penalty` where positive and multiplied by it where negative.
/// Divided means multiplied by the reciprocal, which every device rounds alike.
///
/// ```
/// let mut logits = [2.0, -2.0, 2.0];
/// // Tokens 0 and 1 are there already.
/// cream_core::penalise(&mut logits, &[0b011], 2.0);
/// assert_eq!(logits, [1.0, -4.0, 2.0]);
/// ```
pub fn penalise(logits: &mut [f32], seen: &[u32], penalty: f32) {
    let reciprocal = 1.0 / penalty;
    for (logits, &word) in logits.chunks_mut(32).zip(seen) {
        for (bit, logit) in logits.iter_mut().enumerate() {
            if word >> bit & 1 == 1 {
                *logit *= if *logit < 0.0 { penalty } else { reciprocal };
            }
        }
    }
}

/// Samples a token from a row of logits `[V]`, of which negative infinity masks a token.
///
/// `uniform` in `[0, 1)` decides, see [`Stream::uniform`](crate::philox::Stream::uniform); `scratch` is `[2 * V]`. The
/// algorithm is that of the module's text: filters by a least weight, ties kept, first index whose running sum exceeds
/// `uniform` times the sum. A token of probability 0 is never returned.
///
/// # Errors
/// An option or `uniform` out of range; scratch too small; an empty row; a logit that is NaN or positive infinity; all
/// tokens masked.
///
/// ```
/// use cream_core::philox::{Stream, prompt_hash};
/// use cream_core::{Sampling, sample};
///
/// let logits = [1.0, 3.0, f32::NEG_INFINITY];
/// let mut scratch = [0.0; 6];
/// let uniform = Stream::at(7, prompt_hash(b"question 1"), 0, 0).uniform();
/// assert!(sample(&logits, &Sampling::default(), uniform, &mut scratch)? < 2);
/// let greedy = Sampling { temperature: 0.0, ..Sampling::default() };
/// assert_eq!(sample(&logits, &greedy, uniform, &mut scratch)?, 1);
/// # Ok::<(), cream_core::Error>(())
/// ```
pub fn sample(logits: &[f32], sampling: &Sampling, uniform: f32, scratch: &mut [f32]) -> Result<u32, Error> {
    sampling.validate()?;
    if !(0.0..1.0).contains(&uniform) {
        return Err(Error::InvalidUniform(uniform));
    }
    let scratch = check::scratch(scratch, 2 * logits.len())?;
    let max = max_logit(logits)?;
    if max == f32::NEG_INFINITY {
        return Err(Error::NoToken { vocabulary: logits.len() });
    }
    let token = if sampling.temperature == 0.0 {
        logits.iter().take_while(|&&logit| logit < max).count()
    } else {
        let (weights, candidates) = scratch.split_at_mut(logits.len());
        let inverse_temperature = 1.0 / sampling.temperature;
        for (weight, &logit) in weights.iter_mut().zip(logits) {
            *weight = exp((logit - max) * inverse_temperature);
        }
        draw(weights, least_weight(weights, sampling, candidates), uniform)
    };
    Ok(token as u32)
}

/// The least weight that all filters keep, positive.
fn least_weight(weights: &[f32], sampling: &Sampling, candidates: &mut [f32]) -> f32 {
    let mut keep = f32::MIN_POSITIVE;
    if sampling.top_k > 0 && (sampling.top_k as usize) < weights.len() {
        keep = cut_off(weights, candidates, keep, f64::from(sampling.top_k), |_| 1.0);
    }
    if sampling.top_p < 1.0 {
        let top_p = f64::from(sampling.top_p);
        let total = sum(weights, |w| if w >= keep { w } else { 0.0 });
        // V weights below this sum to less than the share that top-p drops, so that the cut-off lies above: a quick
        // filter that changes nothing. Half, for the rounding.
        let negligible = (0.5 * (1.0 - top_p) * total / weights.len() as f64) as f32;
        keep = cut_off(weights, candidates, keep.max(negligible), top_p * total, |w| w);
    }
    keep.max(sampling.min_p)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tolerances::{MASS, PENALTY};
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    /// Filters as in the module's text, by sorting, in f64; with whether a sum came within rounding of a target.
    fn least_weight_oracle(weights: &[f32], sampling: &Sampling) -> (f32, bool) {
        let mut sorted: Vec<f32> = weights.iter().copied().filter(|&w| w > 0.0).collect();
        sorted.sort_by(|a, b| b.total_cmp(a));
        if sampling.top_k > 0 {
            let cut = sorted[(sampling.top_k as usize).min(sorted.len()) - 1];
            sorted.retain(|&w| w >= cut);
        }
        let mut close = false;
        if sampling.top_p < 1.0 {
            let target = f64::from(sampling.top_p) * sorted.iter().map(|&w| f64::from(w)).sum::<f64>();
            let mut running = 0.0;
            let mut cut = None;
            for &w in &sorted {
                running += f64::from(w);
                close |= (running - target).abs() <= MASS * target;
                if running >= target && cut.is_none() {
                    cut = Some(w);
                }
            }
            sorted.retain(|&w| w >= cut.unwrap());
        }
        (sorted.last().unwrap().max(sampling.min_p), close)
    }

    fn weights_of(logits: &[f32], temperature: f32) -> Vec<f32> {
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        logits.iter().map(|l| exp((l - max) * (1.0 / temperature))).collect()
    }

    prop_compose! {
        /// Rows from peaked to flat, some of few distinct values, some with masked tokens, up to three blocks long.
        fn row()(
            values in prop::collection::vec(-1.0f32..1.0, 1..3000),
            scale in 0.0f32..20.0,
            steps in prop::option::of(1.0f32..8.0),
            masked in prop::bool::ANY,
        ) -> Vec<f32> {
            let level = |value: f32| steps.map_or(value, |steps| (value * steps).round() / steps);
            let mask = |i: usize, logit| if masked && i % 3 == 1 { f32::NEG_INFINITY } else { logit };
            values.iter().enumerate().map(|(i, &value)| mask(i, scale * level(value))).collect()
        }
    }

    prop_compose! {
        fn options()(
            temperature in 0.1f32..3.0,
            top_k in prop_oneof![Just(0u32), 1u32..50, 1u32..4000],
            top_p in prop_oneof![Just(1.0f32), 0.01f32..1.0],
            min_p in prop_oneof![Just(0.0f32), 0.0f32..1.0],
        ) -> Sampling {
            Sampling { temperature, top_k, top_p, min_p, repetition_penalty: 1.0 }
        }
    }

    proptest! {
        #[test]
        fn the_filters_keep_what_sorting_keeps(row in row(), options in options()) {
            let weights = weights_of(&row, options.temperature);
            let (expected, close) = least_weight_oracle(&weights, &options);
            prop_assume!(!close);
            let keep = least_weight(&weights, &options, &mut vec![0.0; row.len()]);
            // Where a filter keeps every token the bound may lie below the least weight: compare what they keep.
            let kept = |least: f32| weights.iter().filter(|&&w| w >= least).count();
            prop_assert_eq!(kept(keep), kept(expected), "{} and {}", keep, expected);
            prop_assert!(keep > 0.0);
        }

        #[test]
        fn the_token_is_where_the_running_sum_passes(row in row(), options in options(), uniform in 0.0f32..1.0) {
            let weights = weights_of(&row, options.temperature);
            let keep = least_weight(&weights, &options, &mut vec![0.0; row.len()]);
            let token = sample(&row, &options, uniform, &mut vec![0.0; 2 * row.len()]).unwrap() as usize;
            let mass = |tokens: &[f32]| tokens.iter().filter(|&&w| w >= keep).map(|&w| f64::from(w)).sum::<f64>();
            let (before, total) = (mass(&weights[..token]), mass(&weights));
            let target = f64::from(uniform) * total;
            prop_assert!(weights[token] >= keep);
            prop_assert!(before <= target + MASS * total, "{} {}", before, target);
            prop_assert!(before + f64::from(weights[token]) > target - MASS * total, "{} {}", before, target);
        }
    }

    /// How often each token comes, over an even grid of deviates.
    fn frequencies(logits: &[f32], options: &Sampling) -> Vec<f64> {
        let draws = 1 << 12;
        let mut frequencies = vec![0.0; logits.len()];
        for i in 0..draws {
            let uniform = (i as f32 + 0.5) / draws as f32;
            frequencies[sample(logits, options, uniform, &mut vec![0.0; 2 * logits.len()]).unwrap() as usize] += 1.0;
        }
        frequencies.iter().map(|count| count / f64::from(draws)).collect()
    }

    const ALL_TOKENS: Sampling =
        Sampling { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0 };

    #[test]
    fn by_hand() {
        // Probabilities 1/8, 1/2, 0, 1/4, 1/8.
        let row = [0.125f32, 0.5, 0.0, 0.25, 0.125].map(f32::ln);
        let expect = |options: Sampling, expected: [f64; 5]| {
            for (got, expected) in frequencies(&row, &options).into_iter().zip(expected) {
                assert!((got - expected).abs() <= 1.0 / f64::from(1 << 11), "{options:?}: {got} and {expected}");
            }
        };
        expect(ALL_TOKENS, [0.125, 0.5, 0.0, 0.25, 0.125]);
        expect(Sampling { temperature: 0.5, ..ALL_TOKENS }, [1.0, 16.0, 0.0, 4.0, 1.0].map(|w| w / 22.0));
        expect(Sampling { top_k: 2, ..ALL_TOKENS }, [0.0, 2.0 / 3.0, 0.0, 1.0 / 3.0, 0.0]);
        // The tie at the cut-off is kept whole.
        expect(Sampling { top_k: 3, ..ALL_TOKENS }, [0.125, 0.5, 0.0, 0.25, 0.125]);
        expect(Sampling { top_p: 0.7, ..ALL_TOKENS }, [0.0, 2.0 / 3.0, 0.0, 1.0 / 3.0, 0.0]);
        expect(Sampling { top_p: 0.8, ..ALL_TOKENS }, [0.125, 0.5, 0.0, 0.25, 0.125]);
        // Top-p of what top-k left: 0.6 of 3/4 is less than 1/2.
        expect(Sampling { top_k: 2, top_p: 0.6, ..ALL_TOKENS }, [0.0, 1.0, 0.0, 0.0, 0.0]);
        expect(Sampling { min_p: 0.4, ..ALL_TOKENS }, [0.0, 2.0 / 3.0, 0.0, 1.0 / 3.0, 0.0]);
        expect(Sampling { temperature: 0.0, ..ALL_TOKENS }, [0.0, 1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn the_running_sum_must_exceed_the_target() {
        for (uniform, token) in [(0.0, 0), (0.5f32.next_down(), 0), (0.5, 1), (1.0f32.next_down(), 1)] {
            assert_eq!(sample(&[2.0, 2.0], &ALL_TOKENS, uniform, &mut [0.0; 4]), Ok(token), "{uniform}");
        }
    }

    #[test]
    fn greedy_takes_the_first_maximum() {
        let greedy = Sampling { temperature: 0.0, ..Sampling::default() };
        assert_eq!(sample(&[1.0, 3.0, 2.0, 3.0], &greedy, 0.99, &mut [0.0; 8]), Ok(1));
        assert_eq!(sample(&[f32::NEG_INFINITY, -5.0], &greedy, 0.0, &mut [0.0; 4]), Ok(1));
    }

    proptest! {
        /// RepetitionPenaltyLogitsProcessor of transformers: `torch.where(score < 0, score * penalty, score / penalty)`
        /// of the scores gathered at the tokens so far, scattered back.
        #[test]
        fn repetition_is_penalised_as_in_transformers(
            row in row(), tokens in prop::collection::vec(0usize..3000, 0..100), penalty in 0.1f32..5.0,
        ) {
            let tokens: Vec<usize> = tokens.into_iter().filter(|&token| token < row.len()).collect();
            let mut seen = vec![0; seen_words(row.len())];
            tokens.iter().for_each(|token| seen[token / 32] |= 1 << (token % 32));
            let mut got = row.clone();
            penalise(&mut got, &seen, penalty);
            let mut expected: Vec<f64> = row.iter().map(|&logit| f64::from(logit)).collect();
            for &token in &tokens {
                let (score, penalty) = (f64::from(row[token]), f64::from(penalty));
                expected[token] = if score < 0.0 { score * penalty } else { score / penalty };
            }
            for (got, expected) in got.into_iter().zip(expected) {
                let close = (f64::from(got) - expected).abs() <= PENALTY * expected.abs();
                prop_assert!(f64::from(got) == expected || close, "{} and {}", got, expected);
            }
        }
    }

    #[test]
    fn never_a_token_of_probability_zero() {
        // Masked, or so improbable that the weight is 0, at both ends and in blocks of their own.
        for zero in [f32::NEG_INFINITY, -1e4] {
            let mut row = vec![zero; 5000];
            row[2100..2110].copy_from_slice(&[0.3; 10]);
            for uniform in [0.0, 0.5, 1.0f32.next_down()] {
                for options in [ALL_TOKENS, Sampling::default(), Sampling { top_k: 4000, ..ALL_TOKENS }] {
                    let token = sample(&row, &options, uniform, &mut vec![0.0; 10_000]).unwrap();
                    assert!((2100..2110).contains(&token), "{token}");
                }
            }
        }
    }

    #[test]
    fn a_tiny_temperature_is_greedy_too() {
        let cold = Sampling { temperature: f32::MIN_POSITIVE, ..ALL_TOKENS };
        assert_eq!(sample(&[-1e4, 1e4, 9e3], &cold, 0.9, &mut [0.0; 6]), Ok(1));
    }

    #[test]
    fn bad_input_is_an_error() {
        let options = Sampling::default();
        let sample_row = |row: &[f32]| sample(row, &options, 0.5, &mut vec![0.0; 2 * row.len()]);
        assert!(matches!(sample_row(&[]), Err(Error::TooFew { .. })));
        assert!(matches!(sample_row(&[0.0, f32::NAN]), Err(Error::NotFinite { index: 1, .. })));
        assert!(matches!(sample_row(&[f32::INFINITY, 0.0]), Err(Error::NotFinite { index: 0, .. })));
        assert_eq!(sample_row(&[f32::NEG_INFINITY; 3]), Err(Error::NoToken { vocabulary: 3 }));
        let short = sample(&[0.0; 4], &options, 0.5, &mut [0.0; 7]);
        assert_eq!(short, Err(Error::ScratchTooSmall { needed: 8, given: 7 }));
        for uniform in [-0.1, 1.0, f32::NAN] {
            assert!(matches!(sample(&[0.0], &options, uniform, &mut [0.0; 2]), Err(Error::InvalidUniform(_))));
        }
        for (field, bad) in [
            ("temperature", Sampling { temperature: -1.0, ..options }),
            ("temperature", Sampling { temperature: f32::NAN, ..options }),
            ("temperature", Sampling { temperature: f32::INFINITY, ..options }),
            ("temperature", Sampling { temperature: 1e-40, ..options }),
            ("top_p", Sampling { top_p: 0.0, ..options }),
            ("top_p", Sampling { top_p: 1.1, ..options }),
            ("top_p", Sampling { top_p: f32::NAN, ..options }),
            ("min_p", Sampling { min_p: -0.1, ..options }),
            ("min_p", Sampling { min_p: 1.1, ..options }),
            ("min_p", Sampling { min_p: f32::NAN, ..options }),
            ("repetition_penalty", Sampling { repetition_penalty: 0.0, ..options }),
            ("repetition_penalty", Sampling { repetition_penalty: -1.0, ..options }),
            ("repetition_penalty", Sampling { repetition_penalty: f32::INFINITY, ..options }),
            ("repetition_penalty", Sampling { repetition_penalty: f32::NAN, ..options }),
        ] {
            let error = sample(&[0.0], &bad, 0.5, &mut [0.0; 2]);
            assert!(matches!(error, Err(Error::InvalidSampling { field: f, .. }) if f == field), "{bad:?}");
        }
    }
}

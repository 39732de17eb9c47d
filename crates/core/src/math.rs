//! The logistic and softmax families, finite wherever the exact value is.

pub use crate::exp::exp;
use crate::lanes::fold;
use crate::{Error, weights};

/// 1 / (1 + e^-x), in `[0, 1]`.
///
/// ```
/// assert_eq!(cream_core::math::sigmoid(0.0), 0.5);
/// ```
pub fn sigmoid(x: f64) -> f64 {
    // The exponential of a negative number cannot overflow.
    let e = libm::exp(-x.abs());
    if x >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
}

/// log(sigmoid(x)): about x far below 0, about -e^-x far above.
///
/// ```
/// use cream_core::math::log_sigmoid;
///
/// assert_eq!(log_sigmoid(0.0), -core::f64::consts::LN_2);
/// // Where the exponential alone would be 0.
/// assert_eq!(log_sigmoid(-1000.0), -1000.0);
/// ```
pub fn log_sigmoid(x: f64) -> f64 {
    x.min(0.0) - libm::log1p(libm::exp(-x.abs()))
}

/// log of the sum of e^l over a row of logits `[V]`.
///
/// Negative infinity is allowed (a masked token) and is the result where every logit is masked.
///
/// # Errors
/// An empty row; a logit that is NaN or positive infinity.
///
/// ```
/// assert_eq!(cream_core::math::logsumexp(&[3.0, f32::NEG_INFINITY]), Ok(3.0));
/// ```
pub fn logsumexp(logits: &[f32]) -> Result<f32, Error> {
    let max = max_logit(logits)?;
    Ok(if max == f32::NEG_INFINITY { max } else { max + log_sum_exp_above(logits, max) })
}

/// Turns a row of logits `[V]` into log-probs, in place. A masked token (negative infinity) stays one.
///
/// # Errors
/// An empty row; a logit that is NaN or positive infinity; a row with all tokens masked. The row is then unchanged.
///
/// ```
/// let mut logits = [1.0, 1.0];
/// cream_core::math::log_softmax(&mut logits)?;
/// assert_eq!(logits, [-core::f32::consts::LN_2; 2]);
/// # Ok::<(), cream_core::Error>(())
/// ```
pub fn log_softmax(logits: &mut [f32]) -> Result<(), Error> {
    let max = max_logit(logits)?;
    if max == f32::NEG_INFINITY {
        return Err(Error::NoToken { vocabulary: logits.len() });
    }
    let log_sum = log_sum_exp_above(logits, max);
    for logit in logits {
        // Two subtractions: max + log_sum would round away the small part where max is large.
        *logit = (*logit - max) - log_sum;
    }
    Ok(())
}

/// log of the sum of e^(l - max).
fn log_sum_exp_above(logits: &[f32], max: f32) -> f32 {
    libm::log(weights::sum(logits, |logit| exp(logit - max))) as f32
}

/// The largest of a row of logits, negative infinity where all are.
pub(crate) fn max_logit(logits: &[f32]) -> Result<f32, Error> {
    if logits.is_empty() {
        return Err(Error::TooFew { what: "logits", needed: 1, given: 0 });
    }
    // A NaN stays once it is met.
    let larger = |max: f32, logit: f32| if (logit <= max) | max.is_nan() { max } else { logit };
    let max = fold(logits, f32::NEG_INFINITY, larger).into_iter().fold(f32::NEG_INFINITY, larger);
    if max < f32::INFINITY {
        return Ok(max);
    }
    let index = logits.iter().take_while(|&&logit| logit < f32::INFINITY).count();
    Err(Error::NotFinite { what: "logit", index, value: f64::from(logits[index]) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tolerances::{F32_ROW, F64};
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    /// The obvious form, in f64.
    fn logsumexp_oracle(logits: &[f32]) -> f64 {
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        f64::from(max) + logits.iter().map(|&l| (f64::from(l) - f64::from(max)).exp()).sum::<f64>().ln()
    }

    #[test]
    fn finite_far_out() {
        assert_eq!((log_sigmoid(1e4), log_sigmoid(-1e4)), (0.0, -1e4));
        assert_eq!((sigmoid(1e4), sigmoid(-1e4), sigmoid(0.0)), (1.0, 0.0, 0.5));
        assert_eq!(logsumexp(&[1e4, -1e4]), Ok(1e4));
        assert_eq!(logsumexp(&[-1e4, -1e4]), Ok(-1e4 + core::f32::consts::LN_2));
        let mut row = [1e4, -1e4, f32::NEG_INFINITY];
        log_softmax(&mut row).unwrap();
        assert_eq!(row, [0.0, -2e4, f32::NEG_INFINITY]);
    }

    #[test]
    fn bad_rows_are_errors() {
        assert_eq!(logsumexp(&[]), Err(Error::TooFew { what: "logits", needed: 1, given: 0 }));
        assert_eq!(log_softmax(&mut [f32::NEG_INFINITY; 20]), Err(Error::NoToken { vocabulary: 20 }));
        assert_eq!(logsumexp(&[f32::NEG_INFINITY; 2]), Ok(f32::NEG_INFINITY));
        for bad in [f32::NAN, f32::INFINITY] {
            for at in [0, 17, 32] {
                let mut row = [0.0; 33];
                row[at] = bad;
                assert!(matches!(log_softmax(&mut row), Err(Error::NotFinite { index, .. }) if index == at), "{at}");
                assert!(logsumexp(&row).is_err());
            }
        }
    }

    proptest! {
        #[test]
        fn sigmoids_are_their_definitions(x in -30.0f64..30.0) {
            let direct = 1.0 / (1.0 + (-x).exp());
            prop_assert!((sigmoid(x) - direct).abs() <= F64 * direct);
            prop_assert!((log_sigmoid(x) - direct.ln()).abs() <= F64);
        }

        #[test]
        fn rows_match_the_oracle(mut row in prop::collection::vec(-40.0f32..40.0, 1..3000)) {
            let exact = logsumexp_oracle(&row);
            prop_assert!((f64::from(logsumexp(&row).unwrap()) - exact).abs() <= F32_ROW * exact.abs().max(1.0));
            let expected: Vec<f64> = row.iter().map(|&l| f64::from(l) - exact).collect();
            log_softmax(&mut row).unwrap();
            for (got, expected) in row.iter().zip(expected) {
                prop_assert!((f64::from(*got) - expected).abs() <= F32_ROW * expected.abs().max(1.0));
            }
        }
    }

    #[test]
    fn a_long_even_row_loses_nothing() {
        let exact = f64::from(49_152.0f32).ln();
        assert!((f64::from(logsumexp(&vec![3.0; 49_152]).unwrap()) - 3.0 - exact).abs() <= F32_ROW * exact);
    }
}

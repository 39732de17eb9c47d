//! Checks that several modules make of their input.

use crate::Error;

/// Every value is finite; `what` names one of them in the error.
pub(crate) fn finite(what: &'static str, values: &[f64]) -> Result<(), Error> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(Error::NotFinite { what, index, value: values[index] }),
        None => Ok(()),
    }
}

/// The number is finite.
pub(crate) fn finite_number(what: &'static str, value: f64) -> Result<f64, Error> {
    if value.is_finite() { Ok(value) } else { Err(Error::NotFiniteNumber { what, value }) }
}

/// Two rewardings of the same N >= 2 completions.
pub(crate) fn rankings(current: &[f64], previous: &[f64]) -> Result<(), Error> {
    if current.len() != previous.len() {
        return Err(Error::LengthMismatch { left: current.len(), right: previous.len() });
    }
    if current.len() < 2 {
        return Err(Error::TooFew { what: "completions", needed: 2, given: current.len() });
    }
    finite("current reward", current)?;
    finite("previous reward", previous)
}

/// Beta, the scale of the implicit reward, is positive.
pub(crate) fn beta(beta: f64) -> Result<f64, Error> {
    if beta.is_finite() && beta > 0.0 { Ok(beta) } else { Err(Error::InvalidBeta(beta)) }
}

/// C, or a threshold on it, is a probability.
pub(crate) fn consistency(consistency: f64) -> Result<f64, Error> {
    if (0.0..=1.0).contains(&consistency) { Ok(consistency) } else { Err(Error::InvalidConsistency(consistency)) }
}

/// The first `needed` elements of a scratch slice.
pub(crate) fn scratch<T>(scratch: &mut [T], needed: usize) -> Result<&mut [T], Error> {
    let given = scratch.len();
    scratch.get_mut(..needed).ok_or(Error::ScratchTooSmall { needed, given })
}

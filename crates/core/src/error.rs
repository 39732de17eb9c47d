//! What can be wrong with an input.

use core::fmt;

/// Why a function of this crate refused its input. The message carries the offending values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Error {
    /// Two slices that belong together have different lengths.
    LengthMismatch {
        /// Length of the first slice.
        left: usize,
        /// Length of the second slice.
        right: usize,
    },
    /// Fewer values than the quantity is defined for.
    TooFew {
        /// What there are too few of, in the plural.
        what: &'static str,
        /// The smallest number that is enough.
        needed: usize,
        /// How many there are.
        given: usize,
    },
    /// A value of a slice is NaN or infinite.
    NotFinite {
        /// What the slice holds, in the singular.
        what: &'static str,
        /// Where the first such value stands.
        index: usize,
        /// The value.
        value: f64,
    },
    /// A single number, given or computed, is NaN or infinite.
    NotFiniteNumber {
        /// What the number is.
        what: &'static str,
        /// The number.
        value: f64,
    },
    /// A scratch slice is shorter than its documented length.
    ScratchTooSmall {
        /// The documented length.
        needed: usize,
        /// The length of the slice.
        given: usize,
    },
    /// Beta is not a positive finite number.
    InvalidBeta(f64),
    /// A consistency, or a threshold on it, lies outside `[0, 1]`.
    InvalidConsistency(f64),
    /// An agreement between two rankings lies outside `[-1, 1]`.
    InvalidAgreement(f64),
    /// The price of a token in a reward is negative or not finite.
    InvalidPenalty(f64),
    /// The weight of the supervised term in a loss is negative or not finite.
    InvalidSftWeight(f64),
    /// A minimum margin between two rewards is negative or not finite.
    InvalidMinimumMargin(f64),
    /// A sampling option lies outside its range.
    InvalidSampling {
        /// The field of [`Sampling`](crate::Sampling).
        field: &'static str,
        /// Its value.
        value: f32,
        /// The range.
        expected: &'static str,
    },
    /// The uniform deviate lies outside `[0, 1)`.
    InvalidUniform(f32),
    /// Every logit of a row is negative infinity, so that no token has any probability.
    NoToken {
        /// Length of the row.
        vocabulary: usize,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::LengthMismatch { left, right } => write!(f, "lengths differ: {left} and {right}"),
            Self::TooFew { what, needed, given } => write!(f, "{given} {what}, at least {needed} needed"),
            Self::NotFinite { what, index, value } => write!(f, "{what} {index} is {value}, not a finite number"),
            Self::NotFiniteNumber { what, value } => write!(f, "{what} is {value}, not a finite number"),
            Self::ScratchTooSmall { needed, given } => write!(f, "scratch holds {given} elements, {needed} needed"),
            Self::InvalidBeta(beta) => write!(f, "beta is {beta}, expected a positive finite number"),
            Self::InvalidConsistency(value) => write!(f, "consistency is {value}, expected 0 to 1"),
            Self::InvalidAgreement(value) => write!(f, "agreement is {value}, expected -1 to 1"),
            Self::InvalidPenalty(value) => write!(f, "price of a token is {value}, expected 0 or a positive number"),
            Self::InvalidSftWeight(value) => write!(f, "SFT weight is {value}, expected 0 or a positive number"),
            Self::InvalidMinimumMargin(value) => {
                write!(f, "minimum margin is {value}, expected 0 or a positive number")
            }
            Self::InvalidSampling { field, value, expected } => write!(f, "{field} is {value}, expected {expected}"),
            Self::InvalidUniform(value) => write!(f, "uniform deviate is {value}, expected 0 or more and less than 1"),
            Self::NoToken { vocabulary } => write!(f, "all {vocabulary} logits are negative infinity"),
        }
    }
}

impl core::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn the_message_holds_the_offending_values() {
        let error = Error::NotFinite { what: "token log-prob", index: 3, value: f64::NAN };
        assert_eq!(error.to_string(), "token log-prob 3 is NaN, not a finite number");
        let error = Error::InvalidSampling { field: "top_p", value: 1.5, expected: "more than 0 and at most 1" };
        assert_eq!(error.to_string(), "top_p is 1.5, expected more than 0 and at most 1");
    }
}

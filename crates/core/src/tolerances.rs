//! Every tolerance of this crate's tests.

/// f64 against f64 by another formula, absolute for values of about 1, relative above: a few dozen roundings.
pub(crate) const F64: f64 = 1e-13;

/// A row function in f32 against f64, relative, absolute below 1: rounding of the result and of `exp`.
pub(crate) const F32_ROW: f64 = 3e-7;

/// `exp`, in units of the last place: the bound that its text promises.
pub(crate) const EXP_ULP: f64 = 1.0;

/// Half the width of a central difference of the loss: cancellation (1e-16 * loss / step) and curvature balance here.
pub(crate) const FINITE_DIFFERENCE_STEP: f64 = 1e-4;

/// The difference against the gradient, relative, absolute below 1. IPO's losses reach 1e4 at small beta.
pub(crate) const FINITE_DIFFERENCE: f64 = 1e-6;

/// Sums of weights against f64, relative: blocks of 64 f32 additions in each lane.
pub(crate) const MASS: f64 = 1e-5;

/// Box-Muller by hand: rounding of 2 pi u in the sine and cosine.
pub(crate) const NORMAL: f32 = 1e-6;

/// Moments of 400,000 normal deviates: three standard errors of the fourth (sqrt(96 / 400,000) = 0.0155).
pub(crate) const MOMENT: f64 = 0.046;

/// Golden numbers of torch, scipy and mpmath in f64, absolute, relative above 1: summed in another order.
pub(crate) const GOLDEN: f64 = 1e-12;

/// Golden DPO numbers from token log-probs that were rounded to f32 on the way in, absolute.
pub(crate) const GOLDEN_F32: f64 = 1e-6;

/// A penalised logit against transformers' quotient, relative: the reciprocal's rounding and the product's.
pub(crate) const PENALTY: f64 = 1.5e-7;

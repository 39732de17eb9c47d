//! e to the power of an `f32`, made to be vectorised.

/// Below this e^x is subnormal.
const LOW: f32 = -87.336_54;
/// Some x with n = 128, of which 2^n is the infinity.
const OVERFLOW: f32 = 89.0;
/// Adding 1.5 * 2^23 leaves no fraction bits: the sum is rounded to an integer, which stands in its low bits.
const ROUND: f32 = 12_582_912.0;
/// ln 2 in two parts; the first has nine bits, so that its product with the integer is exact.
const LN_2_HIGH: f32 = 355.0 / 512.0;
const LN_2_LOW: f32 = -2.121_944_4e-4;
/// Minimax for (e^r - 1 - r) / r^2 on |r| <= ln(2) / 2, weighted for the relative error of e^r, which is 3.1e-9.
const Q: [f32; 5] = [0.499_999_93, 0.166_665_21, 0.041_668_387, 0.008_368_71, 0.001_381_460_9];

/// e^x, within 1 ulp. Below -87.33654 it is 0 (no subnormal results), above 88.37626 it is infinity, of NaN it is NaN.
///
/// No call, no branch, no table, no `f64` and no fused multiply-add: over a slice, LLVM turns it into vector code on
/// every target that has vectors, and scalar and vector code give the same bits.
///
/// ```
/// assert_eq!(cream_core::math::exp(0.0), 1.0);
/// ```
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Written so that a NaN passes.
    let bounded = if x > OVERFLOW { OVERFLOW } else { x };
    let rounded = bounded * core::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (bounded - n * LN_2_HIGH) - n * LN_2_LOW;
    let q = Q[0] + r * (Q[1] + r * (Q[2] + r * (Q[3] + r * Q[4])));
    let two_to_n = f32::from_bits((rounded.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    let e_x = (1.0 + (r + r * r * q)) * two_to_n;
    if x < LOW { 0.0 } else { e_x }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tolerances::EXP_ULP;

    /// The largest with n = 127; e^x is here 2.4e38.
    const HIGH: f32 = 88.376_26;

    /// Distance in units of the last place of the correctly rounded value.
    fn ulps(got: f32, exact: f64) -> f64 {
        let rounded = exact as f32;
        let ulp = f64::from(f32::from_bits(rounded.to_bits() + 1)) - f64::from(rounded);
        (f64::from(got) - exact).abs() / ulp
    }

    #[test]
    fn dense_sweep_stays_within_the_bound() {
        let mut worst = (0.0, 0.0);
        let mut seen = 0;
        for start in [0.0f32, -0.0] {
            // A prime stride meets every exponent and all low bits.
            for bits in (start.to_bits()..).step_by(499) {
                let x = f32::from_bits(bits);
                if !(LOW..=HIGH).contains(&x) {
                    break;
                }
                let error = ulps(exp(x), libm::exp(f64::from(x)));
                worst = if error > worst.0 { (error, x) } else { worst };
                seen += 1;
            }
        }
        assert!(seen > 4_000_000, "{seen} values");
        assert!(worst.0 <= EXP_ULP, "{} ulp at {}", worst.0, worst.1);
    }

    #[test]
    fn the_ends_follow_the_rule() {
        assert_eq!(exp(0.0), 1.0);
        for x in [LOW, HIGH] {
            assert!(ulps(exp(x), libm::exp(f64::from(x))) <= EXP_ULP, "{x}");
        }
        for x in [LOW.next_down(), -88.0, -1e4, f32::MIN, f32::NEG_INFINITY] {
            assert_eq!(exp(x), 0.0, "{x}");
        }
        for x in [HIGH.next_up(), 89.0, 1e4, f32::MAX, f32::INFINITY] {
            assert_eq!(exp(x), f32::INFINITY, "{x}");
        }
        // NaNs of other bit patterns too.
        for bits in [f32::NAN.to_bits(), 0x7f80_0001, 0xffff_ffff] {
            assert!(exp(f32::from_bits(bits)).is_nan(), "{bits:x}");
        }
    }
}

//! Ranks of values, with a policy for ties.

use crate::{Error, check};
use core::cmp::Ordering;

/// What becomes of equal values. Completions of one prompt are often identical, so that ties are common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum Ties {
    /// Equal values stay equal: they share the mean of the ranks that they span.
    Average,
    /// Equal values are told apart by position, the earlier ranking lower (scipy's "ordinal").
    ///
    /// This is what the authors' code does before it correlates; two identical completions then count as agreement.
    Ordinal,
}

impl Ties {
    /// How values i and j of a list without NaN compare. Zeros of either sign are equal, as in scipy.
    pub(crate) fn compare(self, values: &[f64], i: usize, j: usize) -> Ordering {
        let by_value = values[i].partial_cmp(&values[j]).unwrap_or(Ordering::Equal);
        match self {
            Self::Average => by_value,
            Self::Ordinal => by_value.then(i.cmp(&j)),
        }
    }
}

/// Ranks from 1, the smallest value first, into `out` `[N]`; `order` is scratch `[N]`.
///
/// # Errors
/// `out` of another length than `values`; `order` shorter; a value that is not finite.
///
/// ```
/// use cream_core::{Ties, ranks};
///
/// let (mut order, mut out) = ([0; 3], [0.0; 3]);
/// ranks(&[5.0, 7.0, 5.0], Ties::Average, &mut order, &mut out)?;
/// assert_eq!(out, [1.5, 3.0, 1.5]);
/// ranks(&[5.0, 7.0, 5.0], Ties::Ordinal, &mut order, &mut out)?;
/// assert_eq!(out, [1.0, 3.0, 2.0]);
/// # Ok::<(), cream_core::Error>(())
/// ```
pub fn ranks(values: &[f64], ties: Ties, order: &mut [usize], out: &mut [f64]) -> Result<(), Error> {
    if out.len() != values.len() {
        return Err(Error::LengthMismatch { left: values.len(), right: out.len() });
    }
    let order = check::scratch(order, values.len())?;
    check::finite("value", values)?;
    for_each_rank(values, ties, order, |index, doubled| out[index] = doubled as f64 / 2.0);
    Ok(())
}

/// Calls `visit(index, 2 * rank)` for every value, in ascending order; twice a rank is an integer under either policy.
///
/// `values` `[N]` hold no NaN; `order` `[N]` is scratch.
pub(crate) fn for_each_rank(values: &[f64], ties: Ties, order: &mut [usize], mut visit: impl FnMut(usize, usize)) {
    for (i, slot) in order.iter_mut().enumerate() {
        *slot = i;
    }
    order.sort_unstable_by(|&i, &j| Ties::Ordinal.compare(values, i, j));
    let mut before = 0;
    for group in order.chunk_by(|&i, &j| ties.compare(values, i, j).is_eq()) {
        // The group spans the ranks before + 1 ..= before + len.
        let doubled = 2 * before + group.len() + 1;
        for &index in group {
            visit(index, doubled);
        }
        before += group.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    /// By counting: O(N^2).
    fn ranks_oracle(values: &[f64], ties: Ties) -> Vec<f64> {
        let count = |predicate: &dyn Fn(usize) -> bool| (0..values.len()).filter(|&j| predicate(j)).count() as f64;
        (0..values.len())
            .map(|i| {
                let below = count(&|j| values[j] < values[i]);
                below
                    + match ties {
                        Ties::Average => (count(&|j| values[j] == values[i]) + 1.0) / 2.0,
                        Ties::Ordinal => count(&|j| values[j] == values[i] && j <= i),
                    }
            })
            .collect()
    }

    proptest! {
        #[test]
        fn ranks_match_counting(integers in prop::collection::vec(-4i32..4, 0..40)) {
            let values: Vec<f64> = integers.into_iter().map(f64::from).collect();
            for ties in [Ties::Average, Ties::Ordinal] {
                let (mut order, mut out) = (vec![7; values.len()], vec![0.0; values.len()]);
                ranks(&values, ties, &mut order, &mut out).unwrap();
                prop_assert_eq!(&out, &ranks_oracle(&values, ties));
            }
        }
    }

    #[test]
    fn signed_zeros_tie() {
        let mut out = [0.0; 2];
        ranks(&[0.0, -0.0], Ties::Average, &mut [0; 2], &mut out).unwrap();
        assert_eq!(out, [1.5, 1.5]);
        ranks(&[0.0, -0.0], Ties::Ordinal, &mut [0; 2], &mut out).unwrap();
        assert_eq!(out, [1.0, 2.0]);
    }

    #[test]
    fn bad_input_is_an_error() {
        let ranks = |values: &[f64], scratch: usize, out: usize| {
            ranks(values, Ties::Average, &mut vec![0; scratch], &mut vec![0.0; out])
        };
        assert!(matches!(ranks(&[1.0, f64::NAN], 2, 2), Err(Error::NotFinite { index: 1, .. })));
        assert_eq!(ranks(&[1.0, 2.0], 1, 2), Err(Error::ScratchTooSmall { needed: 2, given: 1 }));
        assert_eq!(ranks(&[1.0, 2.0], 2, 3), Err(Error::LengthMismatch { left: 2, right: 3 }));
    }
}

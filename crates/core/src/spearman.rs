//! Spearman's rho: Pearson's correlation of the ranks.

use crate::Ties;
use crate::ranks::for_each_rank;

/// Rho of N >= 2 completions, `None` where one of the rankings is constant; scratch `[2 * N]`.
pub(crate) fn spearman(current: &[f64], previous: &[f64], ties: Ties, scratch: &mut [usize]) -> Option<f64> {
    let (order, previous_ranks) = scratch.split_at_mut(current.len());
    for_each_rank(previous, ties, order, |index, doubled| previous_ranks[index] = doubled);
    // Under either policy the ranks' mean is (N + 1) / 2; all here is doubled, which cancels.
    let mean = (current.len() + 1) as f64;
    let (mut covariance, mut variance, mut previous_variance) = (0.0, 0.0, 0.0);
    for_each_rank(current, ties, order, |index, doubled| {
        let (now, before) = (doubled as f64 - mean, previous_ranks[index] as f64 - mean);
        covariance += now * before;
        variance += now * now;
        previous_variance += before * before;
    });
    let divisor = libm::sqrt(variance * previous_variance);
    (divisor > 0.0).then(|| (covariance / divisor).clamp(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tolerances::F64;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn ordinal_rho_is_the_textbook_formula(rows in prop::collection::vec((-9i32..9, -9i32..9), 2..100)) {
            // Without ties: 1 - 6 sum(d^2) / (n (n^2 - 1)).
            let n = rows.len();
            let current: Vec<f64> = rows.iter().map(|row| f64::from(row.0)).collect();
            let previous: Vec<f64> = rows.iter().map(|row| f64::from(row.1)).collect();
            let position = |values: &[f64], i: usize| {
                (0..n).filter(|&j| values[j] < values[i] || (values[j] == values[i] && j < i)).count() as f64
            };
            let squares: f64 = (0..n).map(|i| (position(&current, i) - position(&previous, i)).powi(2)).sum();
            let expected = 1.0 - 6.0 * squares / (n as f64 * (n as f64 * n as f64 - 1.0));
            let rho = spearman(&current, &previous, Ties::Ordinal, &mut vec![0; 2 * n]).unwrap();
            prop_assert!((rho - expected).abs() <= F64);
        }
    }
}

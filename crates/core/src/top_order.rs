//! Top-order: whether two rankings would choose the same pair (arXiv 2410.12735, the ablation of the measure).

use crate::Ties;

/// 1 where both rankings have the same best and the same worst completion, -1 otherwise: on tau's scale, so that the
/// consistency is the paper's 1 or 0.
///
/// With [`Ties::Average`] all that share the extreme reward are best (or worst), and the two sets must be equal;
/// `None` where a ranking is constant and has neither. With [`Ties::Ordinal`] the best is the last of equals and the
/// worst the first. The authors' code compares the ranks of the first and the last *position* instead: not done here.
pub(crate) fn top_order(current: &[f64], previous: &[f64], ties: Ties) -> Option<f64> {
    let (worst, best) = extremes(current, ties);
    let (previous_worst, previous_best) = extremes(previous, ties);
    let tied = |values: &[f64], i, j| ties.compare(values, i, j).is_eq();
    if tied(current, worst, best) || tied(previous, previous_worst, previous_best) {
        return None;
    }
    let same = (0..current.len()).all(|i| {
        tied(current, i, best) == tied(previous, i, previous_best)
            && tied(current, i, worst) == tied(previous, i, previous_worst)
    });
    Some(if same { 1.0 } else { -1.0 })
}

/// Indices of a worst and of a best value.
fn extremes(values: &[f64], ties: Ties) -> (usize, usize) {
    (1..values.len()).fold((0, 0), |(worst, best), i| {
        (
            if ties.compare(values, i, worst).is_lt() { i } else { worst },
            if ties.compare(values, i, best).is_gt() { i } else { best },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// Indices that hold the extreme value.
    fn set(values: &[f64], pick: fn(f64, f64) -> f64) -> Vec<usize> {
        let extreme = values.iter().copied().reduce(pick).unwrap();
        (0..values.len()).filter(|&i| values[i] == extreme).collect()
    }

    proptest! {
        #[test]
        fn compares_best_and_worst(rows in prop::collection::vec((0i32..4, 0i32..4), 2..6)) {
            let current: Vec<f64> = rows.iter().map(|row| f64::from(row.0)).collect();
            let previous: Vec<f64> = rows.iter().map(|row| f64::from(row.1)).collect();
            let (best, worst) = (set(&current, f64::max), set(&current, f64::min));
            let (previous_best, previous_worst) = (set(&previous, f64::max), set(&previous, f64::min));
            let tau = |same| if same { 1.0 } else { -1.0 };
            let expected = (best != worst && previous_best != previous_worst)
                .then(|| tau(best == previous_best && worst == previous_worst));
            prop_assert_eq!(top_order(&current, &previous, Ties::Average), expected);
            let by_position = tau(best.last() == previous_best.last() && worst[0] == previous_worst[0]);
            prop_assert_eq!(top_order(&current, &previous, Ties::Ordinal), Some(by_position));
        }
    }

    #[test]
    fn positions_do_not_matter() {
        // First and last keep their ranks; best and worst, in the middle, change places.
        assert_eq!(top_order(&[2.0, 1.0, 4.0, 3.0], &[2.0, 4.0, 1.0, 3.0], Ties::Average), Some(-1.0));
        // First and last change places; best and worst stay.
        assert_eq!(top_order(&[2.0, 1.0, 4.0, 3.0], &[3.0, 1.0, 4.0, 2.0], Ties::Average), Some(1.0));
    }
}

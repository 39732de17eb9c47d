//! Kendall's tau: how many of the N(N-1)/2 pairs two rankings order alike (arXiv 2410.12735).

use crate::Ties;

/// The pairs of N >= 2 completions, counted by how two rankings order them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PairCounts {
    /// N(N-1)/2.
    pairs: i64,
    /// Pairs that both rankings order alike, less those that they order in opposite ways.
    concordant_less_discordant: i64,
    /// Pairs that the current ranking does not order.
    tied_current: i64,
    /// Pairs that the previous ranking does not order.
    tied_previous: i64,
}

impl PairCounts {
    /// From every pair: O(N^2), without scratch. The faster for a few dozen completions.
    pub(crate) fn direct(current: &[f64], previous: &[f64], ties: Ties) -> Self {
        let mut counts = Self { pairs: 0, concordant_less_discordant: 0, tied_current: 0, tied_previous: 0 };
        for i in 0..current.len() {
            for j in 0..i {
                let (now, before) = (ties.compare(current, i, j), ties.compare(previous, i, j));
                counts.pairs += 1;
                counts.concordant_less_discordant += now as i64 * before as i64;
                counts.tied_current += i64::from(now.is_eq());
                counts.tied_previous += i64::from(before.is_eq());
            }
        }
        counts
    }

    /// By sorting: O(N log N), with scratch `[2 * N]`.
    ///
    /// Knight (1966): sorted by the current reward, the discordant pairs are the exchanges of a merge sort by the
    /// previous one.
    pub(crate) fn sorted(current: &[f64], previous: &[f64], ties: Ties, scratch: &mut [usize]) -> Self {
        let n = current.len();
        let (order, buffer) = scratch.split_at_mut(n);
        for (i, slot) in order.iter_mut().enumerate() {
            *slot = i;
        }
        let compare_current = |i, j| ties.compare(current, i, j);
        let compare_previous = |i, j| ties.compare(previous, i, j);
        // Within a tie of the current ranking the previous one ascends, so that none of its pairs is exchanged.
        order.sort_unstable_by(|&i, &j| compare_current(i, j).then(compare_previous(i, j)));
        let tied_current = tied_pairs(order, |i, j| compare_current(i, j).is_eq());
        let tied_both = tied_pairs(order, |i, j| compare_current(i, j).is_eq() && compare_previous(i, j).is_eq());
        let discordant = merge_sort(order, buffer, |i, j| compare_previous(i, j).is_gt());
        let tied_previous = tied_pairs(order, |i, j| compare_previous(i, j).is_eq());
        let pairs = pairs(n);
        let ordered_by_both = pairs - tied_current - tied_previous + tied_both;
        Self { pairs, concordant_less_discordant: ordered_by_both - 2 * discordant, tied_current, tied_previous }
    }

    /// Tau-a: (concordant - discordant) / pairs; a tied pair counts 0. The paper's, with sign(0) = 0.
    pub(crate) fn tau_a(&self) -> f64 {
        self.concordant_less_discordant as f64 / self.pairs as f64
    }

    /// Tau-b: the divisor is the geometric mean of the pairs that each ranking orders. `None` where one orders none.
    pub(crate) fn tau_b(&self) -> Option<f64> {
        let divisor = (self.pairs - self.tied_current) as f64 * (self.pairs - self.tied_previous) as f64;
        (divisor > 0.0).then(|| (self.concordant_less_discordant as f64 / libm::sqrt(divisor)).clamp(-1.0, 1.0))
    }
}

/// n(n-1)/2.
fn pairs(n: usize) -> i64 {
    n as i64 * (n as i64 - 1) / 2
}

/// Pairs within runs of equal neighbours.
fn tied_pairs(order: &[usize], tied: impl Fn(usize, usize) -> bool) -> i64 {
    order.chunk_by(|&i, &j| tied(i, j)).map(|run| pairs(run.len())).sum()
}

/// Sorts `order`, from the bottom up, and returns how many pairs stood the wrong way round.
fn merge_sort(order: &mut [usize], buffer: &mut [usize], after: impl Fn(usize, usize) -> bool) -> i64 {
    let n = order.len();
    let mut exchanges = 0;
    let mut width = 1;
    while width < n {
        for (run, merged) in order.chunks_mut(2 * width).zip(buffer.chunks_mut(2 * width)) {
            let (left, right) = run.split_at(width.min(run.len()));
            let (mut l, mut r) = (0, 0);
            for slot in merged.iter_mut() {
                let take_right = r < right.len() && (l == left.len() || after(left[l], right[r]));
                if take_right {
                    *slot = right[r];
                    r += 1;
                    exchanges += (left.len() - l) as i64;
                } else {
                    *slot = left[l];
                    l += 1;
                }
            }
            run.copy_from_slice(merged);
        }
        width *= 2;
    }
    exchanges
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn sorting_counts_as_every_pair_does(
            rows in prop::collection::vec((-9i32..9, -9i32..9), 2..300),
            coarse in 1i32..10,
        ) {
            let current: Vec<f64> = rows.iter().map(|row| f64::from(row.0 / coarse)).collect();
            let previous: Vec<f64> = rows.iter().map(|row| f64::from(row.1)).collect();
            let mut scratch = vec![0; 2 * rows.len()];
            for ties in [Ties::Average, Ties::Ordinal] {
                let sorted = PairCounts::sorted(&current, &previous, ties, &mut scratch);
                prop_assert_eq!(sorted, PairCounts::direct(&current, &previous, ties));
            }
        }
    }

    #[test]
    fn counts_by_hand() {
        // Pairs: (0,1) tied now; (0,2) and (1,2) alike; (0,3) opposite, (1,3) opposite, (2,3) opposite.
        let (current, previous) = ([1.0, 1.0, 2.0, 3.0], [5.0, 6.0, 7.0, 0.0]);
        let counts = PairCounts::direct(&current, &previous, Ties::Average);
        let expected = PairCounts { pairs: 6, concordant_less_discordant: -1, tied_current: 1, tied_previous: 0 };
        assert_eq!(counts, expected);
    }

    #[test]
    fn identical_completions_agree_only_by_position() {
        // The trap: one tie in both rankings raises tau when it is broken by position.
        let rewards = [1.0, 1.0, 0.0];
        assert_eq!(PairCounts::direct(&rewards, &rewards, Ties::Average).tau_a(), 2.0 / 3.0);
        assert_eq!(PairCounts::direct(&rewards, &rewards, Ties::Ordinal).tau_a(), 1.0);
    }
}

//! Consistency C: how far the current model's ranking of a prompt's completions agrees with the previous model's
//! (arXiv 2410.12735), the weight of the pair in the loss.

use core::fmt;
use core::str::FromStr;

use crate::kendall::PairCounts;
use crate::spearman::spearman;
use crate::top_order::top_order;
use crate::{Error, Ties, check};

/// Up to here every pair is counted, which is then no slower than sorting, and no scratch is needed.
const SMALL: usize = 64;

/// A measure of agreement between two rankings.
///
/// Those named `Ordinal` break ties by position first, as the authors' code does. Two identical completions then count
/// as agreement and raise C, which is why the others leave ties as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum Kind {
    /// Kendall's tau-a: a tied pair counts 0. The paper's.
    #[default]
    Kendall,
    /// Kendall's tau-b, corrected for ties; undefined where a ranking is constant.
    KendallB,
    /// Kendall's tau of ordinal ranks. The authors' code's.
    KendallOrdinal,
    /// Spearman's rho of average ranks; undefined where a ranking is constant.
    Spearman,
    /// Spearman's rho of ordinal ranks.
    SpearmanOrdinal,
    /// 1 where the best and the worst are the same (all of them, if several share the reward), else -1; undefined
    /// where a ranking is constant. *Not* as in the authors' code, which compares the first and last by position.
    TopOrder,
    /// The same with ties broken by position; the earlier of equals ranks lower.
    TopOrderOrdinal,
}

impl Kind {
    /// Agreement of two rewardings `[N]` of the same completions, N >= 2, in `[-1, 1]`: 1 for the same ranking without
    /// ties, -1 for its reverse. `None` where the measure is undefined.
    ///
    /// O(N log N), and `scratch` needs [`scratch_len`](Self::scratch_len) elements; up to N = 64 it may be empty.
    ///
    /// # Errors
    /// Lengths that differ; N < 2; a reward that is not finite; scratch too small.
    ///
    /// ```
    /// use cream_core::consistency::Kind;
    ///
    /// let (current, previous) = ([3.0, 1.0, 2.0], [2.0, 1.0, 3.0]);
    /// assert_eq!(Kind::TopOrder.agreement(&current, &previous, &mut [])?, Some(-1.0));
    /// assert_eq!(Kind::Spearman.agreement(&current, &previous, &mut [])?, Some(0.5));
    /// // Of a constant ranking some measures are not defined.
    /// assert_eq!(Kind::KendallB.agreement(&[1.0; 3], &previous, &mut [])?, None);
    /// # Ok::<(), cream_core::Error>(())
    /// ```
    pub fn agreement(self, current: &[f64], previous: &[f64], scratch: &mut [usize]) -> Result<Option<f64>, Error> {
        check::rankings(current, previous)?;
        let n = current.len();
        let ties = self.ties();
        let scratch = check::scratch(scratch, self.scratch_len(n))?;
        let counts = |scratch| match n {
            ..=SMALL => PairCounts::direct(current, previous, ties),
            _ => PairCounts::sorted(current, previous, ties, scratch),
        };
        Ok(match self {
            Self::Kendall | Self::KendallOrdinal => Some(counts(scratch).tau_a()),
            Self::KendallB => counts(scratch).tau_b(),
            Self::Spearman | Self::SpearmanOrdinal if n <= SMALL => {
                spearman(current, previous, ties, &mut [0; 2 * SMALL][..2 * n])
            }
            Self::Spearman | Self::SpearmanOrdinal => spearman(current, previous, ties, scratch),
            Self::TopOrder | Self::TopOrderOrdinal => top_order(current, previous, ties),
        })
    }

    /// Scratch that [`agreement`](Self::agreement) needs for N completions.
    ///
    /// ```
    /// use cream_core::consistency::Kind;
    ///
    /// assert_eq!(Kind::Kendall.scratch_len(5), 0);
    /// assert_eq!(Kind::Kendall.scratch_len(100), 200);
    /// ```
    pub fn scratch_len(self, n: usize) -> usize {
        match self {
            Self::TopOrder | Self::TopOrderOrdinal => 0,
            _ if n <= SMALL => 0,
            _ => 2 * n,
        }
    }

    fn ties(self) -> Ties {
        match self {
            Self::Kendall | Self::KendallB | Self::Spearman | Self::TopOrder => Ties::Average,
            Self::KendallOrdinal | Self::SpearmanOrdinal | Self::TopOrderOrdinal => Ties::Ordinal,
        }
    }
}

/// From an agreement tau in `[-1, 1]` to a consistency C in `[0, 1]`. As text: `linear`, `clamped`, `threshold:C`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Map {
    /// (tau + 1) / 2. The paper's. Below 1/2 a pair is pushed the other way.
    #[default]
    Linear,
    /// (tau + 1) / 2, at least 1/2: a disputed pair pulls the margin to 0, and none is pushed the other way.
    Clamped,
    /// (tau + 1) / 2, and a pair below this consistency is dropped.
    Threshold(f64),
}

impl Map {
    /// C of a prompt, or `None` where its pair is to be dropped.
    ///
    /// # Errors
    /// An agreement outside `[-1, 1]`; a threshold outside `[0, 1]`.
    ///
    /// ```
    /// use cream_core::consistency::Map;
    ///
    /// assert_eq!(Map::Linear.apply(0.5)?, Some(0.75));
    /// assert_eq!(Map::Clamped.apply(-0.5)?, Some(0.5));
    /// assert_eq!("threshold:0.5".parse::<Map>()?.apply(-0.5)?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn apply(self, agreement: f64) -> Result<Option<f64>, Error> {
        if !(-1.0..=1.0).contains(&agreement) {
            return Err(Error::InvalidAgreement(agreement));
        }
        let consistency = (agreement + 1.0) / 2.0;
        Ok(match self {
            Self::Linear => Some(consistency),
            Self::Clamped => Some(consistency.max(0.5)),
            Self::Threshold(threshold) => (consistency >= check::consistency(threshold)?).then_some(consistency),
        })
    }
}

impl fmt::Display for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Linear => f.write_str("linear"),
            Self::Clamped => f.write_str("clamped"),
            Self::Threshold(threshold) => write!(f, "threshold:{threshold}"),
        }
    }
}

impl FromStr for Map {
    type Err = &'static str;

    /// The error says what was expected. A threshold's range is for [`Map::apply`] to check.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "linear" => Ok(Self::Linear),
            "clamped" => Ok(Self::Clamped),
            _ => text
                .strip_prefix("threshold:")
                .and_then(|threshold| threshold.parse().ok())
                .map(Self::Threshold)
                .ok_or("expected linear, clamped or threshold:C with C from 0 to 1"),
        }
    }
}

/// The mean over prompts: one C for the whole set, the paper's main setting. A prompt that was skipped has no entry here
/// (in the authors' code its absence shifts the consistencies of all that follow).
///
/// # Errors
/// No prompt; a consistency outside `[0, 1]`.
///
/// ```
/// assert_eq!(cream_core::consistency::mean(&[0.5, 1.0]), Ok(0.75));
/// ```
pub fn mean(consistencies: &[f64]) -> Result<f64, Error> {
    if consistencies.is_empty() {
        return Err(Error::TooFew { what: "consistencies", needed: 1, given: 0 });
    }
    let mut sum = 0.0;
    for &consistency in consistencies {
        sum += check::consistency(consistency)?;
    }
    Ok(sum / consistencies.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tolerances::F64;
    use proptest::prelude::*;
    use std::string::ToString;
    use std::vec;
    use std::vec::Vec;

    const ALL: [Kind; 7] = [
        Kind::Kendall,
        Kind::KendallB,
        Kind::KendallOrdinal,
        Kind::Spearman,
        Kind::SpearmanOrdinal,
        Kind::TopOrder,
        Kind::TopOrderOrdinal,
    ];

    /// Distinct rewards in some order, N on both sides of `SMALL`.
    fn distinct() -> impl Strategy<Value = Vec<f64>> {
        (2usize..150).prop_flat_map(|n| Just((0..n).map(|i| i as f64 - 3.0).collect::<Vec<_>>()).prop_shuffle())
    }

    proptest! {
        #[test]
        fn with_itself_1_with_its_reverse_0(rewards in distinct()) {
            let reverse: Vec<f64> = rewards.iter().map(|reward| -reward).collect();
            for kind in ALL {
                let mut scratch = vec![0; kind.scratch_len(rewards.len())];
                let itself = kind.agreement(&rewards, &rewards, &mut scratch).unwrap().unwrap();
                let reversed = kind.agreement(&rewards, &reverse, &mut scratch).unwrap().unwrap();
                prop_assert_eq!(Map::Linear.apply(itself), Ok(Some(1.0)), "{:?}", kind);
                prop_assert_eq!(Map::Linear.apply(reversed), Ok(Some(0.0)), "{:?}", kind);
            }
        }

        /// The authors' code ranks by position first (scipy's `rankdata(method="ordinal")`) and correlates the ranks.
        #[test]
        fn ordinal_kinds_are_the_plain_ones_of_the_authors_ranks(
            rows in prop::collection::vec((-2i32..3, -2i32..3), 2..9),
        ) {
            let ranks_of = |column: fn(&(i32, i32)) -> i32| -> Vec<f64> {
                let values: Vec<i32> = rows.iter().map(column).collect();
                let mut order: Vec<usize> = (0..values.len()).collect();
                // A stable sort: the first of equals ranks lower.
                order.sort_by_key(|&i| values[i]);
                let rank = |i: usize| order.iter().position(|&j| j == i).unwrap() as f64 + 1.0;
                (0..values.len()).map(rank).collect()
            };
            let (now, before) = (ranks_of(|row| row.0), ranks_of(|row| row.1));
            let n = rows.len();
            // Without ties the three measures need no rule for them.
            let mut signs = 0.0;
            for i in 0..n {
                for j in 0..i {
                    signs += ((now[i] - now[j]) * (before[i] - before[j])).signum();
                }
            }
            let squares: f64 = now.iter().zip(&before).map(|(now, before)| (now - before) * (now - before)).sum();
            let cubed = n as f64 * (n as f64 * n as f64 - 1.0);
            let at = |ranks: &[f64], rank: usize| ranks.iter().position(|&r| r == rank as f64).unwrap();
            let same = at(&now, 1) == at(&before, 1) && at(&now, n) == at(&before, n);
            let current: Vec<f64> = rows.iter().map(|row| f64::from(row.0)).collect();
            let previous: Vec<f64> = rows.iter().map(|row| f64::from(row.1)).collect();
            for (kind, expected) in [
                (Kind::KendallOrdinal, 2.0 * signs / (n * (n - 1)) as f64),
                (Kind::SpearmanOrdinal, 1.0 - 6.0 * squares / cubed),
                (Kind::TopOrderOrdinal, if same { 1.0 } else { -1.0 }),
            ] {
                let got = kind.agreement(&current, &previous, &mut []).unwrap().unwrap();
                prop_assert!((got - expected).abs() <= F64, "{:?}: {} and {}", kind, got, expected);
            }
        }

        #[test]
        fn symmetric_and_in_range(rows in prop::collection::vec((-3i32..3, -3i32..3), 2..100)) {
            let current: Vec<f64> = rows.iter().map(|row| f64::from(row.0)).collect();
            let previous: Vec<f64> = rows.iter().map(|row| f64::from(row.1)).collect();
            for kind in ALL {
                let mut scratch = vec![0; kind.scratch_len(rows.len())];
                let one = kind.agreement(&current, &previous, &mut scratch).unwrap();
                let other = kind.agreement(&previous, &current, &mut scratch).unwrap();
                prop_assert_eq!(one.is_some(), other.is_some(), "{:?}", kind);
                if let (Some(one), Some(other)) = (one, other) {
                    prop_assert!((one - other).abs() <= F64, "{:?}", kind);
                    prop_assert!(Map::Linear.apply(one).is_ok(), "{:?}: {}", kind, one);
                }
            }
        }
    }

    #[test]
    fn the_measures_on_a_ranking_with_one_tie() {
        // Six pairs: one tied now, of the other five one is discordant.
        let (current, previous) = ([1.0, 1.0, 2.0, 3.0], [1.0, 2.0, 4.0, 3.0]);
        let value = |kind: Kind| kind.agreement(&current, &previous, &mut []).unwrap().unwrap();
        assert_eq!(value(Kind::Kendall), 3.0 / 6.0);
        assert!((value(Kind::KendallB) - 3.0 / f64::sqrt(30.0)).abs() <= F64);
        assert_eq!(value(Kind::KendallOrdinal), 4.0 / 6.0);
        // Ranks 1.5 1.5 3 4 and 1 2 4 3: covariance 3.5, squares 4.5 and 5.
        assert!((value(Kind::Spearman) - 3.5 / f64::sqrt(22.5)).abs() <= F64);
        assert!((value(Kind::SpearmanOrdinal) - 0.8).abs() <= F64);
        assert_eq!((value(Kind::TopOrder), value(Kind::TopOrderOrdinal)), (-1.0, -1.0));
    }

    #[test]
    fn a_constant_ranking_is_undefined_or_0_but_no_nan() {
        let value = |kind: Kind| kind.agreement(&[2.0; 3], &[1.0, 2.0, 3.0], &mut []).unwrap();
        assert_eq!(value(Kind::Kendall), Some(0.0));
        for kind in [Kind::KendallB, Kind::Spearman, Kind::TopOrder] {
            assert_eq!(value(kind), None, "{kind:?}");
        }
        for kind in [Kind::KendallOrdinal, Kind::SpearmanOrdinal, Kind::TopOrderOrdinal] {
            assert_eq!(value(kind), Some(1.0), "{kind:?}");
        }
    }

    #[test]
    fn maps() {
        assert_eq!(Map::Linear.apply(-0.5), Ok(Some(0.25)));
        assert_eq!(Map::Clamped.apply(-0.5), Ok(Some(0.5)));
        assert_eq!(Map::Clamped.apply(0.5), Ok(Some(0.75)));
        assert_eq!(Map::Threshold(0.6).apply(0.0), Ok(None));
        assert_eq!(Map::Threshold(0.5).apply(0.0), Ok(Some(0.5)));
        assert_eq!(mean(&[1.0, 0.5, 0.0, 0.5]), Ok(0.5));
    }

    #[test]
    fn maps_as_text() {
        for (text, map) in [("linear", Map::Linear), ("clamped", Map::Clamped), ("threshold:0.6", Map::Threshold(0.6))]
        {
            assert_eq!(text.parse(), Ok(map));
            assert_eq!(map.to_string(), text);
        }
        for wrong in ["", "threshold", "threshold:", "threshold:x", "clamp"] {
            assert!(wrong.parse::<Map>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn bad_input_is_an_error() {
        for kind in ALL {
            let agreement = |current: &[f64], previous: &[f64]| kind.agreement(current, previous, &mut []);
            assert_eq!(agreement(&[1.0; 2], &[1.0; 3]), Err(Error::LengthMismatch { left: 2, right: 3 }));
            assert_eq!(agreement(&[1.0], &[1.0]), Err(Error::TooFew { what: "completions", needed: 2, given: 1 }));
            assert!(matches!(agreement(&[0.0, f64::NAN], &[0.0; 2]), Err(Error::NotFinite { index: 1, .. })));
            assert!(matches!(agreement(&[0.0; 2], &[f64::INFINITY; 2]), Err(Error::NotFinite { index: 0, .. })));
            let large = agreement(&[1.0; SMALL + 1], &[1.0; SMALL + 1]);
            let expected = Error::ScratchTooSmall { needed: 2 * SMALL + 2, given: 0 };
            assert_eq!(large.err(), (kind.scratch_len(SMALL + 1) > 0).then_some(expected));
        }
        assert!(matches!(Map::Linear.apply(f64::NAN), Err(Error::InvalidAgreement(_))));
        assert_eq!(Map::Linear.apply(1.5), Err(Error::InvalidAgreement(1.5)));
        assert_eq!(Map::Threshold(-0.1).apply(0.0), Err(Error::InvalidConsistency(-0.1)));
        assert!(matches!(mean(&[]), Err(Error::TooFew { .. })));
        assert_eq!(mean(&[0.5, 1.5]), Err(Error::InvalidConsistency(1.5)));
        assert!(mean(&[f64::NAN]).is_err());
    }

    #[cfg(feature = "serde")]
    #[test]
    fn names_in_config_files() {
        let names: Vec<_> = ALL.iter().map(|kind| serde_json::to_value(kind).unwrap()).collect();
        let expected = [
            "kendall",
            "kendall-b",
            "kendall-ordinal",
            "spearman",
            "spearman-ordinal",
            "top-order",
            "top-order-ordinal",
        ];
        assert_eq!(names, expected);
    }
}

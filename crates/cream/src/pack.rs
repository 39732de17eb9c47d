//! Which groups go through the model together.

use std::cmp::Reverse;
use std::ops::Range;

use cream_engine::{Batch, Group};

use crate::error::Result;

/// Cuts `groups`, in order, into ranges of at most `batch_tokens` rows; a group with more stands alone.
pub(crate) fn pack(groups: &[Group], batch_tokens: usize) -> Vec<Range<usize>> {
    let (mut ranges, mut start, mut rows) = (Vec::new(), 0, 0);
    for (i, group) in groups.iter().enumerate() {
        if i > start && rows + group.rows() > batch_tokens {
            ranges.push(start..i);
            (start, rows) = (i, 0);
        }
        rows += group.rows();
    }
    if start < groups.len() {
        ranges.push(start..groups.len());
    }
    ranges
}

/// Of batches of groups in any order, one that is at least as large as the largest of [`pack`]: the longest groups
/// together.
///
/// # Errors
/// Those of [`Batch::new`].
pub(crate) fn largest_batch(groups: &[Group], batch_tokens: usize, vocab_size: usize) -> Result<Batch> {
    let mut longest: Vec<&Group> = groups.iter().collect();
    longest.sort_by_key(|group| Reverse(group.rows()));
    let (mut rows, mut taken) = (0, Vec::new());
    for group in longest {
        rows += group.rows();
        if rows > batch_tokens && !taken.is_empty() {
            break;
        }
        taken.push(group.clone());
    }
    Ok(Batch::new(&taken, vocab_size)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_but_not_over() {
        let group = |rows: usize| Group { prompt: vec![0; rows], completions: vec![vec![0]] };
        let groups = [3, 3, 2, 9, 1, 8].map(group);
        assert_eq!(pack(&groups, 8), [0..3, 3..4, 4..5, 5..6]);
        assert_eq!(pack(&groups, 1), [0..1, 1..2, 2..3, 3..4, 4..5, 5..6]);
        assert!(pack(&[], 8).is_empty());
    }
}

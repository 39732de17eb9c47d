//! Which groups go through the model together.

use std::ops::Range;

use cream_engine::Group;

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

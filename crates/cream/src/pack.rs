//! Which groups go through the model together.

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

/// Of batches of at most `most` groups in any order, one that is at least as large as the largest of [`pack`]: as many as
/// fit of the shortest groups, but the longest ones, and the last of them cut to `batch_tokens`.
///
/// # Errors
/// Those of [`Batch::new`].
pub(crate) fn largest_batch(groups: &[Group], most: usize, batch_tokens: usize, vocab_size: usize) -> Result<Batch> {
    let mut by_rows: Vec<&Group> = groups.iter().collect();
    by_rows.sort_by_key(|group| group.rows());
    let mut rows = 0;
    let mut fits = |group: &Group| {
        rows += group.rows();
        rows <= batch_tokens
    };
    let count = by_rows.iter().take_while(|group| fits(group)).count().clamp(1, most.max(1));
    let (mut room, mut taken) = (batch_tokens, Vec::new());
    for group in by_rows.into_iter().rev().take(count) {
        if taken.is_empty() {
            taken.push(group.clone());
        } else if room > 0 {
            taken.push(cut(group, room));
        }
        room = room.saturating_sub(group.rows());
    }
    Ok(Batch::new(&taken, vocab_size)?)
}

/// A group without as many tokens as it takes to have `rows` rows, those of the prompt first: the others are scored too.
fn cut(group: &Group, rows: usize) -> Group {
    let mut group = group.clone();
    let mut over = group.rows().saturating_sub(rows);
    for tokens in std::iter::once(&mut group.prompt).chain(group.completions.iter_mut().rev()) {
        let kept = tokens.len().saturating_sub(over).max(1);
        over -= tokens.len() - kept;
        tokens.truncate(kept);
    }
    group
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn full_but_not_over() {
        let group = |rows: usize| Group { prompt: vec![0; rows], completions: vec![vec![0]] };
        let groups = [3, 3, 2, 9, 1, 8].map(group);
        assert_eq!(pack(&groups, 8), [0..3, 3..4, 4..5, 5..6]);
        assert_eq!(pack(&groups, 1), [0..1, 1..2, 2..3, 3..4, 4..5, 5..6]);
        assert!(pack(&[], 8).is_empty());
    }
    proptest! {
        #[test]
        fn the_largest_batch_is_none_that_is_packed_smaller(
            sizes in proptest::collection::vec((1usize..9, proptest::collection::vec(1usize..6, 1..4)), 1..12),
            most in 1usize..5, batch_tokens in 1usize..30,
        ) {
            let tokens = |len: usize| vec![0; len];
            let group = |(prompt, completions): &(usize, Vec<usize>)| Group {
                prompt: tokens(*prompt),
                completions: completions.iter().copied().map(tokens).collect(),
            };
            let groups: Vec<Group> = sizes.iter().map(group).collect();
            let largest = largest_batch(&groups, most, batch_tokens, 1).unwrap().rows();
            let rows = |groups: &[Group]| groups.iter().map(Group::rows).sum::<usize>();
            let packed = groups.chunks(most).flat_map(|step| pack(step, batch_tokens).into_iter().map(|range| rows(&step[range])));
            prop_assert!(packed.max().unwrap() <= largest);
            let longest = groups.iter().map(Group::rows).max().unwrap();
            prop_assert!(largest <= longest.max(batch_tokens) && largest >= longest, "{} rows", largest);
        }
    }
}

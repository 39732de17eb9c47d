//! In which order rows are learnt: a shuffle of each epoch that depends on the seed alone.

use cream_core::philox::{Stream, prompt_hash};

/// Rows of every optimiser step; an epoch's last step may have fewer than `batch_size`.
pub(super) fn steps(seed: u64, epochs: usize, rows: usize, batch_size: usize) -> Vec<Vec<usize>> {
    (0..epochs)
        .flat_map(|epoch| shuffle(seed, epoch, rows).chunks(batch_size).map(<[_]>::to_vec).collect::<Vec<_>>())
        .collect()
}

/// Fisher and Yates' shuffle of 0, 1, …, rows - 1.
fn shuffle(seed: u64, epoch: usize, rows: usize) -> Vec<usize> {
    // A stream of its own, as if it were a prompt's.
    let name = prompt_hash(b"order of training");
    let mut order: Vec<usize> = (0..rows).collect();
    for i in (1..rows).rev() {
        let [low, high, ..] = Stream::at(seed, name, epoch as u32, i as u32).random();
        let random = u64::from(high) << 32 | u64::from(low);
        // The high word of the product: uniform below i + 1, to 1 in 2^64 / i.
        order.swap(i, ((u128::from(random) * (i as u128 + 1)) >> 64) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_has_every_row_once_in_an_order_of_its_own() {
        let steps = steps(1, 2, 10, 4);
        assert_eq!(steps.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2, 4, 4, 2]);
        let epochs: Vec<Vec<usize>> = steps.chunks(3).map(|epoch| epoch.concat()).collect();
        assert_ne!(epochs[0], epochs[1]);
        for mut epoch in epochs {
            epoch.sort_unstable();
            assert_eq!(epoch, (0..10).collect::<Vec<_>>());
        }
        assert_ne!(shuffle(1, 0, 10), shuffle(2, 0, 10));
        assert_eq!(shuffle(1, 0, 10), shuffle(1, 0, 10));
    }

    #[test]
    fn all_orders_are_as_frequent() {
        let mut counts = std::collections::BTreeMap::new();
        for seed in 0..6000 {
            *counts.entry(shuffle(seed, 0, 3)).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 6);
        // 1000 each, with a standard deviation of 29.
        assert!(counts.values().all(|count| (880..1120).contains(count)), "{counts:?}");
    }
}

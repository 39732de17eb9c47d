//! A share of the rows, so that several machines can work on one file.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// Rows whose number, from 0, leaves the remainder `index` when divided by `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: usize,
    count: usize,
}

impl Shard {
    /// The rows of this share, in order.
    pub fn select<T: Clone>(&self, rows: &[T]) -> Vec<T> {
        rows.iter().skip(self.index).step_by(self.count).cloned().collect()
    }
}

impl FromStr for Shard {
    type Err = Error;

    /// Reads `i/n`, i from 0.
    fn from_str(text: &str) -> Result<Self> {
        let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match parts {
            Some((index, count)) if index < count => Ok(Shard { index, count }),
            _ => Err(Error::setting("shard", format_args!("{text:?}"), "i/n with i from 0 to n - 1, such as 0/4")),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_share_all_rows() {
        let rows = [0, 1, 2, 3, 4, 5, 6];
        let mut all: Vec<_> =
            ["0/3", "1/3", "2/3"].iter().flat_map(|text| text.parse::<Shard>().unwrap().select(&rows)).collect();
        assert_eq!(all[..3], [0, 3, 6]);
        all.sort_unstable();
        assert_eq!(all, rows);
        assert_eq!("1/3".parse::<Shard>().unwrap().to_string(), "1/3");
        for wrong in ["3/3", "0/0", "1", "-1/2", "a/b", ""] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}

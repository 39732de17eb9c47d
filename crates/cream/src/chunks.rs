//! Work by chunks of rows, of which a killed call loses one at most.
//!
//! Finished chunks are appended to `NAME.KEY.partial`, which becomes `NAME` at the end. Chunks begin at the same rows
//! in every call, so that each holds the same batches whether the work was cut short or not: on the CPU the results are
//! equal bit for bit.

use serde::Serialize;

use crate::error::Result;
use crate::jsonl::{Row, parse, to_jsonl};
use crate::store::{Output, Store};

/// Makes `output` from `items`, `chunk` of them at a time; `make` is given the number of the first and the items.
/// `key` names all that the rows depend on.
pub(crate) async fn by_chunks<I, R: Row + Serialize>(
    output: Output<'_>,
    key: &str,
    items: &[I],
    chunk: usize,
    mut make: impl AsyncFnMut(usize, &[I]) -> Result<Vec<R>>,
) -> Result<Vec<R>> {
    let partial = format!("{}.{}.partial", output.name, &key[..8]);
    let mut rows = take_up(output.store, &partial, items.len(), chunk)?;
    // Told even where nothing is left to do, so that a bar stands at its end.
    make(rows.len(), &[]).await?;
    while rows.len() < items.len() {
        let end = items.len().min(rows.len() + chunk);
        let made = make(rows.len(), &items[rows.len()..end]).await?;
        output.store.append(&partial, &to_jsonl(&made))?;
        rows.extend(made);
    }
    if items.is_empty() {
        // The share of a shard may be nothing.
        output.store.write(output.name, &[])?;
    } else {
        output.store.rename(&partial, output.name)?;
    }
    Ok(rows)
}

/// The rows of whole chunks that an earlier call left; anything after them is cut off.
fn take_up<R: Row>(store: &mut dyn Store, partial: &str, total: usize, chunk: usize) -> Result<Vec<R>> {
    let bytes = store.read(partial)?.unwrap_or_default();
    let lines = || bytes.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n"));
    // A line that does not parse is one that a crash left: the rest is not to be trusted.
    let mut rows: Vec<R> = lines().map_while(|line| parse(line).ok().flatten()).take(total).collect();
    if rows.len() < total {
        rows.truncate(rows.len() / chunk * chunk);
    }
    let len = lines().take(rows.len()).map(<[u8]>::len).sum();
    if len < bytes.len() {
        store.truncate(partial, len)?;
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::rows::{Prompt, Turns};
    use crate::store::Memory;
    use proptest::prelude::*;

    const KEY: &str = "0123456789";

    /// Works over `count` rows; stops with an error before the chunk at row `stop`. Returns the rows worked on.
    fn work(store: &mut Memory, count: usize, chunk: usize, stop: usize) -> Result<Vec<usize>> {
        let items: Vec<usize> = (0..count).collect();
        let mut worked = Vec::new();
        let output = Output { store, name: "out" };
        let rows = pollster::block_on(by_chunks(output, KEY, &items, chunk, async |first, items: &[usize]| {
            if first >= stop && !items.is_empty() {
                return Err(Error::file("test", "stopped"));
            }
            worked.extend(items);
            Ok(items.iter().map(|i| Prompt { id: i.to_string(), prompt: Turns::Text("é".into()) }).collect())
        }))?;
        assert_eq!(rows.len(), count);
        Ok(worked)
    }

    proptest! {
        #[test]
        fn cut_anywhere_it_ends_the_same(
            count in 1usize..20, chunk in 1usize..6, stop in 0usize..20, keep in 0.0..1.0,
        ) {
            let mut whole = Memory::default();
            work(&mut whole, count, chunk, usize::MAX).unwrap();
            let mut cut = Memory::default();
            if work(&mut cut, count, chunk, stop).is_err() {
                // A kill in the middle of an append.
                let mut done = 0;
                for bytes in cut.files.values_mut() {
                    bytes.truncate((bytes.len() as f64 * keep) as usize);
                    done = bytes.iter().filter(|&&byte| byte == b'\n').count() / chunk * chunk;
                }
                let worked = work(&mut cut, count, chunk, usize::MAX).unwrap();
                prop_assert_eq!(worked, (done..count).collect::<Vec<_>>());
            }
            prop_assert_eq!(whole.files.keys().collect::<Vec<_>>(), ["out"]);
            prop_assert_eq!(whole, cut);
        }
    }

    #[test]
    fn a_broken_line_ends_what_is_taken_up() {
        let mut store = Memory::default();
        store.files.insert(
            "out.01234567.partial".into(),
            b"{\"id\":\"0\",\"prompt\":\"x\"}\n\0\0\0\n{\"id\":\"2\",\"prompt\":\"x\"}\n".into(),
        );
        assert_eq!(work(&mut store, 3, 1, usize::MAX).unwrap(), [1, 2]);
    }
}

//! Work by chunks of rows, of which a killed call loses one at most.
//!
//! Finished chunks are appended to `NAME.KEY.partial`, which becomes `NAME` at the end. Chunks begin at the same rows
//! in every call, so that each holds the same batches whether the work was cut short or not: on the CPU the results are
//! equal bit for bit. What calls with other settings left of the same `NAME` goes when it is made; what failed for good
//! leaves nothing.

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
    let partial = partial_name(output.name, &key[..KEY_CHARS]);
    let mut rows = take_up(output.store, &partial, items.len(), chunk).await?;
    // Told even where nothing is left to do, so that a bar stands at its end.
    make(rows.len(), &[]).await?;
    while rows.len() < items.len() {
        let end = items.len().min(rows.len() + chunk);
        let made = match make(rows.len(), &items[rows.len()..end]).await {
            Err(error) if !error.may_pass() => {
                output.store.remove(&partial).await?;
                return Err(error);
            }
            made => made?,
        };
        output.store.append(&partial, &to_jsonl(&made)).await?;
        rows.extend(made);
    }
    for name in output.store.names(&format!("{}.", output.name)).await? {
        if name != partial && is_partial(&name, output.name) {
            output.store.remove(&name).await?;
        }
    }
    // Whole and from memory: another call of the same command may have appended meanwhile, and the share of a shard may be
    // nothing.
    output.store.write(&partial, &to_jsonl(&rows)).await?;
    output.store.rename(&partial, output.name).await?;
    Ok(rows)
}

/// Of a key, in the name of what is unfinished.
const KEY_CHARS: usize = 8;

fn partial_name(output: &str, key: &str) -> String {
    format!("{output}.{key}.partial")
}

/// Whether `name` is what a call with some settings left unfinished of `output`.
fn is_partial(name: &str, output: &str) -> bool {
    let key = name.strip_prefix(output).and_then(|rest| rest.strip_prefix('.')?.strip_suffix(".partial"));
    key.is_some_and(|key| key.len() == KEY_CHARS && key.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The rows of whole chunks that an earlier call left; anything after them is cut off.
async fn take_up<R: Row>(store: &mut dyn Store, partial: &str, total: usize, chunk: usize) -> Result<Vec<R>> {
    let bytes = store.read(partial).await?.unwrap_or_default();
    let lines = || bytes.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n"));
    // A line that does not parse is one that a crash left: the rest is not to be trusted.
    let mut rows: Vec<R> = lines().map_while(|line| parse(line).ok().flatten()).take(total).collect();
    if rows.len() < total {
        rows.truncate(rows.len() / chunk * chunk);
    }
    let len = lines().take(rows.len()).map(<[u8]>::len).sum();
    if len < bytes.len() {
        store.truncate(partial, len).await?;
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
                return Err(Error::Caller("stopped".into()));
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
    fn what_other_settings_left_goes_when_the_work_is_done_and_nothing_else_does() {
        let mut store = Memory::default();
        let others =
            ["out.89abcdef.partial", "out.1.partial", "out.old", "other.89abcdef.partial", "sub/out.89abcdef.partial"];
        for name in others {
            store.files.insert(name.into(), b"x".into());
        }
        work(&mut store, 5, 2, 2).unwrap_err();
        assert!(store.exists("out.89abcdef.partial"), "another call may still take it up");
        work(&mut store, 5, 2, usize::MAX).unwrap();
        let left: Vec<&str> = store.files.keys().map(String::as_str).collect();
        assert_eq!(left, ["other.89abcdef.partial", "out", "out.1.partial", "out.old", "sub/out.89abcdef.partial"]);
    }

    #[test]
    fn a_failure_that_would_come_again_leaves_nothing() {
        let mut store = Memory::default();
        let output = Output { store: &mut store, name: "out" };
        let done = pollster::block_on(by_chunks(output, KEY, &[0, 1], 1, async |first, items: &[usize]| match first {
            1 if !items.is_empty() => Err(Error::prompt("1", "not finite")),
            _ => Ok(items.iter().map(|i| Prompt { id: i.to_string(), prompt: Turns::Text("x".into()) }).collect()),
        }));
        done.unwrap_err();
        assert_eq!(store, Memory::default());
    }

    #[test]
    fn rows_that_another_call_appends_do_not_get_in() {
        let mut store = Memory::default();
        store.files.insert("out.01234567.partial".into(), b"{\"id\":\"0\",\"prompt\":\"x\"}\n".into());
        let output = Output { store: &mut Doubling(&mut store), name: "out" };
        let make = async |_: usize, items: &[usize]| {
            Ok(items.iter().map(|i| Prompt { id: i.to_string(), prompt: Turns::Text("x".into()) }).collect())
        };
        let rows = pollster::block_on(by_chunks(output, KEY, &[0, 1, 2], 1, make)).unwrap();
        assert_eq!(store.files["out"], to_jsonl(&rows));
    }

    /// Two calls of one command: each append comes twice.
    struct Doubling<'a>(&'a mut Memory);

    impl Doubling<'_> {
        fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
            self.0.read(name)
        }
        fn exists(&self, name: &str) -> bool {
            self.0.exists(name)
        }
        fn names(&self, start: &str) -> Result<Vec<String>> {
            self.0.names(start)
        }
        fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
            self.0.write(name, bytes)
        }
        fn append(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
            self.0.append(name, &[bytes, bytes].concat())
        }
        fn truncate(&mut self, name: &str, len: usize) -> Result<()> {
            self.0.truncate(name, len)
        }
        fn rename(&mut self, from: &str, to: &str) -> Result<()> {
            self.0.rename(from, to)
        }
        fn remove(&mut self, name: &str) -> Result<()> {
            self.0.remove(name)
        }
    }

    crate::store_at_once!(Doubling<'_>);

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

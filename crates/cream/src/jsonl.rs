//! JSON lines: reading with errors that name file, line, field, value and what was expected; writing.

mod foreign;
mod unique;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{BufRead, Read};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::columns::is_nothing;
use crate::error::{Error, Result};
pub use unique::Unique;

/// Longest line that is read, in bytes, so that a file without line ends cannot take all memory.
pub const MAX_LINE_BYTES: usize = 16 << 20;

/// What one line of a file holds.
pub trait Row: Sized {
    /// Takes what it needs out of the line's object; further fields are left alone, but for those that belong to the
    /// question ([`Fields::refuse_rest`]).
    ///
    /// # Errors
    /// A sentence that names the field, its value and what was expected.
    fn from_fields(fields: &mut Fields) -> Result<Self, String>;

    /// What must be unique within a file, if anything.
    fn id(&self) -> Option<&str> {
        None
    }
}

/// Reads all rows. Blank lines are passed over; a byte-order mark at the start is too.
///
/// # Errors
/// No rows; a file of another kind (parquet, compressed, UTF-16); a line that is too long, not UTF-8, not a JSON object
/// (NaN is not JSON), or not a row; an id seen before; a failing reader.
pub fn read_jsonl<R: Row>(name: &str, reader: impl BufRead) -> Result<Vec<R>> {
    Ok(read_numbered(name, reader, &mut Err)?.into_iter().map(|(_, row)| row).collect())
}

/// [`read_jsonl`] with the number of each row's line. `bad` is given every line's error: what it returns ends the
/// reading, `Ok` passes the line over.
///
/// # Errors
/// What `bad` returns; no rows; a file of another kind; a failing reader.
pub fn read_numbered<R: Row>(
    name: &str,
    mut reader: impl BufRead,
    bad: &mut dyn FnMut(Error) -> Result<()>,
) -> Result<Vec<(usize, R)>> {
    let failed = |source| Error::Io { path: name.into(), action: "read", source };
    let (mut rows, mut lines_of_ids, mut buffer) = (Vec::new(), HashMap::new(), Vec::new());
    for line in 1.. {
        let wrong = |problem: String| Error::Row { file: name.into(), line, problem };
        buffer.clear();
        let read = reader.by_ref().take(MAX_LINE_BYTES as u64 + 1).read_until(b'\n', &mut buffer).map_err(failed)?;
        if read == 0 {
            break;
        }
        if line == 1
            && let Some(problem) = foreign::named(&buffer)
        {
            return Err(Error::file(name, problem));
        }
        if read > MAX_LINE_BYTES {
            bad(wrong(format!("longer than {MAX_LINE_BYTES} bytes")))?;
            if !buffer.ends_with(b"\n") {
                reader.skip_until(b'\n').map_err(failed)?;
            }
            continue;
        }
        let bytes = if line == 1 { buffer.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&buffer) } else { &buffer };
        let row: R = match parse(bytes) {
            Err(problem) => {
                bad(wrong(problem))?;
                continue;
            }
            Ok(None) => continue,
            Ok(Some(row)) => row,
        };
        if let Some(id) = row.id() {
            match lines_of_ids.entry(id.to_owned()) {
                Entry::Vacant(entry) => _ = entry.insert(line),
                Entry::Occupied(entry) => {
                    bad(wrong(format!("id {id:?} was seen before, on line {}", entry.get())))?;
                    continue;
                }
            }
        }
        rows.push((line, row));
    }
    if rows.is_empty() {
        return Err(Error::file(name, "no rows, expected at least one"));
    }
    Ok(rows)
}

/// One line; `None` where it is blank.
pub(crate) fn parse<R: Row>(line: &[u8]) -> Result<Option<R>, String> {
    let text = std::str::from_utf8(line).map_err(|e| {
        let at = e.valid_up_to();
        let surrogate = matches!(line[at..], [0xed, 0xa0..=0xbf, ..]);
        format!("not UTF-8 at byte {}{}", at + 1, if surrogate { ": half of a surrogate pair" } else { "" })
    })?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    // Without the line's end, behind which the parser would count columns anew.
    match serde_json::from_str(text.trim_end()) {
        Ok(Unique(Value::Object(map))) => R::from_fields(&mut Fields(map)).map(Some),
        Ok(Unique(other)) => Err(format!("{}, expected a JSON object", shown(&other))),
        // The parser's own "line 1" would contradict ours.
        Err(e) => Err(format!("column {}: {}", e.column(), not_json(&e))),
    }
}

/// What a parser found, without the place.
pub fn not_json(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let what = message.split(" at line ").next().unwrap_or(&message);
    if what.ends_with("is there twice") {
        return what.to_owned();
    }
    if what.contains("surrogate") || what.contains("end of hex escape") {
        return "a lone surrogate (an escape such as \\ud800 without its other half), which is no character".into();
    }
    format!("not JSON: {what}")
}

/// Rows as lines.
pub fn to_jsonl<R: Serialize>(rows: &[R]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut bytes, row).expect("rows have string keys, and memory takes every byte");
        bytes.push(b'\n');
    }
    bytes
}

/// The fields of one line.
#[derive(Debug)]
pub struct Fields(Map<String, Value>);

impl Fields {
    /// Takes a field out; `get` answers `None` where the value is not what is expected.
    ///
    /// # Errors
    /// The field is missing or not what is expected.
    pub fn take<T>(&mut self, key: &str, expected: &str, get: impl FnOnce(&Value) -> Option<T>) -> Result<T, String> {
        match self.0.remove(key) {
            None => Err(format!("no {key:?}, expected {expected}; the line has {}", self.names())),
            Some(value) => get(&value).ok_or_else(|| format!("{key:?} is {}, expected {expected}", shown(&value))),
        }
    }

    /// Takes a string out.
    ///
    /// # Errors
    /// As [`Fields::take`].
    pub fn string(&mut self, key: &str) -> Result<String, String> {
        self.take(key, "a string", |value| value.as_str().map(str::to_owned))
    }

    /// Takes a number out.
    ///
    /// # Errors
    /// As [`Fields::take`].
    pub fn number(&mut self, key: &str) -> Result<f64, String> {
        self.take(key, "a number", Value::as_f64)
    }

    /// Takes a list out; `get` answers `None` where an element is not what is expected.
    ///
    /// # Errors
    /// As [`Fields::take`].
    pub fn list<T>(&mut self, key: &str, expected: &str, get: impl Fn(&Value) -> Option<T>) -> Result<Vec<T>, String> {
        self.take(key, expected, |value| value.as_array()?.iter().map(get).collect())
    }

    /// Takes the id out: a string, or an integer, which becomes one.
    ///
    /// # Errors
    /// As [`Fields::take`].
    pub fn id(&mut self) -> Result<String, String> {
        self.take("id", "a string or an integer", |value| match value {
            Value::String(id) => Some(id.clone()),
            Value::Number(id) if id.is_i64() || id.is_u64() => Some(id.to_string()),
            _ => None,
        })
    }

    /// Whether a field is there and not null.
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// A field that stays where it is; none where it is null.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// Puts a field in the place of another of the same name.
    pub fn put(&mut self, key: &str, value: Value) {
        self.0.insert(key.to_owned(), value);
    }

    /// The fields that are left and say something: not null, not empty.
    pub fn left(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().filter(|(_, value)| !is_nothing(value)).map(|(name, value)| (name.as_str(), value))
    }

    /// The names of the fields that are left, quoted.
    pub fn names(&self) -> String {
        let names: Vec<String> = self.0.keys().map(|key| format!("{key:?}")).collect();
        if names.is_empty() { "no other field".into() } else { names.join(", ") }
    }
}

/// A value as an error shows it: its beginning.
pub(crate) fn shown(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

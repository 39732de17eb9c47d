//! JSON lines, a JSON array or parquet: all of them as JSON lines.

use std::fs::File;
use std::io::{BufRead, Cursor, Seek};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

use anyhow::{Context, Result, bail};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::Type;
use serde_json::Value;

use super::source::KEYS;
use crate::files::open;

/// The rows of a file, a line each; blank lines may be among them.
pub(super) fn lines(path: &Path) -> Result<Box<dyn BufRead>> {
    let name = path.display().to_string();
    let mut reader = open(path)?;
    let start = reader.fill_buf().with_context(|| format!("cannot read {name}"))?;
    if start.starts_with(b"PAR1") {
        return without_panic(|| of_parquet(reader.into_inner())).with_context(|| name);
    }
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let bom = start.len() - text.len();
    if text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        reader.consume(bom);
        let rows: Vec<Value> =
            serde_json::from_reader(reader).with_context(|| format!("{name}: expected a JSON array of rows"))?;
        return Ok(Box::new(Cursor::new(cream::to_jsonl(&rows))));
    }
    Ok(Box::new(reader))
}

/// The parquet crate panics on some damaged files where it should say what is wrong.
fn without_panic<T>(read: impl FnOnce() -> Result<T>) -> Result<T> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let result = panic::catch_unwind(AssertUnwindSafe(read));
    panic::set_hook(hook);
    result.unwrap_or_else(|_| bail!("damaged, expected a parquet file"))
}

/// Columns that no shape has are not read.
fn of_parquet(mut file: File) -> Result<Box<dyn BufRead>> {
    file.rewind()?;
    let reader = SerializedFileReader::new(file)?;
    let schema = reader.metadata().file_metadata().schema();
    let known: Vec<_> = schema.get_fields().iter().filter(|field| KEYS.contains(&field.name())).cloned().collect();
    if known.is_empty() {
        let columns: Vec<&str> = schema.get_fields().iter().map(|field| field.name()).collect();
        bail!("columns {}, expected some of {}", columns.join(", "), KEYS.join(", "));
    }
    let known = Type::group_type_builder(schema.name()).with_fields(known).build()?;
    let mut rows = Vec::new();
    for row in reader.get_row_iter(Some(known))? {
        rows.push(row?.to_json_value());
    }
    Ok(Box::new(Cursor::new(cream::to_jsonl(&rows))))
}

//! JSON lines, a JSON array, parquet or CSV: all of them as JSON lines.

use std::fs::File;
use std::io::{BufRead, Cursor};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use cream::Unique;
use parquet::basic::{ConvertedType, Type as PhysicalType};
use parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};
use parquet::schema::types::Type;
use serde_json::{Map, Value};

use crate::files::{STANDARD, name, open};

/// The rows of a file, a line each (blank lines may be among them), and the columns of parquet that were left out of them,
/// since they are none of those that are `read`.
pub(crate) fn lines(path: &Path, read: fn(&str) -> bool) -> Result<(Box<dyn BufRead>, Vec<String>)> {
    let name = name(path);
    let mut reader = open(path)?;
    let start = reader.fill_buf().with_context(|| format!("cannot read {name}"))?;
    if start.starts_with(b"PAR1") {
        // Its end is read first: of a file there, of a pipe in memory.
        let rows = || {
            if path != Path::new(STANDARD) && path.is_file() {
                return of_parquet(File::open(path)?, read);
            }
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes)?;
            of_parquet(Bytes::from(bytes), read)
        };
        return without_panic(rows).with_context(|| name);
    }
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let bom = start.len() - text.len();
    // With a zero behind it the bracket is of UTF-16, which the reader of lines names.
    if matches!(text.trim_ascii_start(), [b'[', rest @ ..] if rest.first() != Some(&0)) {
        reader.consume(bom);
        let rows: Vec<Unique> = serde_json::from_reader(reader).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            anyhow!("{name}: expected a JSON array of rows: {place}: {}", cream::not_json(&error))
        })?;
        let rows: Vec<Value> = rows.into_iter().map(|Unique(row)| row).collect();
        return Ok((Box::new(Cursor::new(cream::to_jsonl(&rows))), Vec::new()));
    }
    Ok((Box::new(reader), Vec::new()))
}

/// The parquet crate panics on some damaged files where it should say what is wrong.
fn without_panic<T>(read: impl FnOnce() -> Result<T>) -> Result<T> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let result = panic::catch_unwind(AssertUnwindSafe(read));
    panic::set_hook(hook);
    result.unwrap_or_else(|_| bail!("damaged, expected a parquet file"))
}

/// Columns that are not read, embeddings among them, may hold anything.
fn of_parquet(file: impl ChunkReader + 'static, is_read: fn(&str) -> bool) -> Result<(Box<dyn BufRead>, Vec<String>)> {
    let reader = SerializedFileReader::new(file)?;
    let schema = reader.metadata().file_metadata().schema();
    let (read, left): (Vec<_>, Vec<_>) = schema.get_fields().iter().cloned().partition(|field| is_read(field.name()));
    let left: Vec<String> = left.iter().map(|field| field.name().to_owned()).collect();
    if read.is_empty() {
        bail!("no column that is used here; the columns are {}", left.join(", "));
    }
    if let Some(bytes) = read.iter().find(|field| has_bytes(field)) {
        bail!("column {:?} holds bytes, expected text: mark it as such (in pyarrow, cast it to string)", bytes.name());
    }
    let read = Type::group_type_builder(schema.name()).with_fields(read).build()?;
    let mut rows = Vec::new();
    for row in reader.get_row_iter(Some(read))? {
        rows.push(row?.to_json_value());
    }
    Ok((Box::new(Cursor::new(cream::to_jsonl(&rows))), left))
}

/// The rows of a CSV file with a line of names, a line of JSON each. All values are texts, but for those of columns that
/// `are_numbers`, where nothing is null, and lists in columns that `are_lists`, in JSON's form.
pub(crate) fn of_csv(path: &Path, are_numbers: &[&str], are_lists: &[&str]) -> Result<Box<dyn BufRead>> {
    let name = || name(path);
    let mut reader = csv::Reader::from_reader(open(path)?);
    let columns = reader.headers().with_context(name)?.clone();
    let mut rows: Vec<Map<String, Value>> = Vec::new();
    for row in reader.records() {
        let row = row.with_context(name)?;
        let value = |column: &str, text: &str| match text {
            "" if are_numbers.contains(&column) => Value::Null,
            _ if are_numbers.contains(&column) => text.trim().parse::<f64>().map_or_else(|_| text.into(), Value::from),
            _ if are_lists.contains(&column) => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
            _ => text.into(),
        };
        rows.push(columns.iter().zip(&row).map(|(column, text)| (column.to_owned(), value(column, text))).collect());
    }
    Ok(Box::new(Cursor::new(cream::to_jsonl(&rows))))
}

/// Whether bytes that no one calls text are in a column: they would come out as base64.
fn has_bytes(column: &Type) -> bool {
    match column {
        Type::GroupType { fields, .. } => fields.iter().any(|field| has_bytes(field)),
        Type::PrimitiveType { basic_info, physical_type, .. } => {
            *physical_type == PhysicalType::BYTE_ARRAY
                && matches!(basic_info.converted_type(), ConvertedType::NONE | ConvertedType::BSON)
        }
    }
}

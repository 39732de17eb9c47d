//! The GGUF container: metadata of typed values by key, tensors by name.
//!
//! After the specification in the ggml repository, `docs/gguf.md`; versions 2 and 3, little-endian. Every length in the
//! file is compared with the bytes that remain before anything is made of it, and nothing is copied.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::Range;

use crate::error::{Error, Result};
use crate::stand_in;
use crate::tensor::{Dtype, Tensor};

/// A metadata value. Strings are checked for UTF-8 when they are asked for: most are never used.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    String(&'a [u8]),
    Array(Array<'a>),
}

/// `len` values of one type, encoded in `bytes`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Array<'a> {
    kind: u32,
    len: u64,
    bytes: &'a [u8],
}

/// A file's whole content.
#[derive(Debug)]
pub(super) struct Container<'a> {
    pub(super) file: String,
    metadata: BTreeMap<&'a str, Value<'a>>,
    /// The same values as they lie in the file, each behind its type.
    encoded: BTreeMap<&'a str, &'a [u8]>,
    pub(super) tensors: BTreeMap<String, Tensor<'a>>,
    /// Where in the file their bytes lie.
    pub(super) places: BTreeMap<String, Range<u64>>,
    /// What is wrong with the types of tensors that cannot be read, by name.
    pub(super) unreadable: BTreeMap<String, String>,
}

impl<'a> Container<'a> {
    /// Reads the file called `file`, whose first bytes these are and which has `len` of them: header, metadata, and where each
    /// tensor lies. Tensors that lie behind these bytes are empty.
    pub(super) fn read(file: &str, bytes: &'a [u8], len: u64) -> Result<Self, Failure> {
        let mut reader = Reader { file, bytes, len, at: 0, asked: 0 };
        Container::parse(&mut reader).map_err(|error| Failure { error, asked: reader.asked })
    }

    fn parse(reader: &mut Reader<'_, 'a>) -> Result<Self> {
        let Reader { file, bytes, len, .. } = *reader;
        if !bytes.starts_with(b"GGUF") {
            // After eight bytes of length, the header of a safetensors file is an object.
            let problem = if bytes.get(6..10) == Some(b"\0\0{\"") {
                "a safetensors file: give the folder that holds it, with config.json and tokenizer.json".to_owned()
            } else {
                let start = &bytes[..bytes.len().min(4)];
                stand_in::or(bytes, format_args!("bytes {start:02x?}, expected \"GGUF\""))
            };
            return Err(Error::file(file, "magic", problem));
        }
        reader.array::<4>("magic")?;
        match reader.u32("version")? {
            2 | 3 => {}
            version if [1, 2, 3].contains(&version.swap_bytes()) => {
                return Err(Error::file(file, "version", "big-endian, only little-endian files are supported"));
            }
            version => {
                let problem = format!("{version}, expected 2 or 3: convert the model anew with llama.cpp");
                return Err(Error::file(file, "version", problem));
            }
        }
        let tensor_count = reader.count("tensor count", TENSOR_MIN_BYTES)?;
        let key_count = reader.count("metadata count", PAIR_MIN_BYTES)?;

        let (mut metadata, mut encoded) = (BTreeMap::new(), BTreeMap::new());
        for index in 0..key_count {
            let key = reader.utf8(format_args!("key of metadata {index}"))?;
            let start = reader.at;
            let kind = reader.u32(key)?;
            let value = reader.value(key, kind)?;
            encoded.insert(key, &bytes[start..reader.at]);
            if metadata.insert(key, value).is_some() {
                return Err(Error::file(file, key, "appears twice in the metadata"));
            }
        }
        let mut container = Container {
            file: file.to_owned(),
            metadata,
            encoded,
            tensors: BTreeMap::new(),
            places: BTreeMap::new(),
            unreadable: BTreeMap::new(),
        };

        let infos = (0..tensor_count).map(|index| TensorInfo::read(reader, index)).collect::<Result<Vec<_>>>()?;
        let alignment = container.size("general.alignment")?.unwrap_or(32);
        if !alignment.is_power_of_two() {
            let problem = format!("{alignment}, expected a power of two");
            return Err(Error::file(file, "general.alignment", problem));
        }
        let start = reader.at.checked_next_multiple_of(alignment).unwrap_or(usize::MAX);
        let data = Data { bytes: bytes.get(start..).unwrap_or_default(), len: len.saturating_sub(start as u64) };
        for info in infos {
            let name = info.name.to_owned();
            let twice = match &info.dtype {
                Ok(dtype) => {
                    let (tensor, at) = info.locate(*dtype, file, &data, alignment)?;
                    container.places.insert(name.clone(), start as u64 + at.start..start as u64 + at.end);
                    container.tensors.insert(name.clone(), tensor).is_some()
                }
                Err(problem) => container.unreadable.insert(name.clone(), problem.clone()).is_some(),
            };
            if twice || container.tensors.contains_key(&name) && container.unreadable.contains_key(&name) {
                return Err(Error::file(file, name, "this tensor appears twice"));
            }
        }
        Ok(container)
    }

    /// All metadata whose keys begin with `prefix`, by the rest of the key.
    pub(super) fn under<'s>(&'s self, prefix: &'s str) -> impl Iterator<Item = (&'a str, Value<'a>)> + 's {
        self.metadata.iter().filter_map(move |(key, &value)| Some((key.strip_prefix(prefix)?, value)))
    }

    /// All metadata whose keys begin with `prefix`, by the whole key: values as they lie in the file, each behind its type.
    pub(super) fn encoded_under(&self, prefix: &str) -> BTreeMap<String, Vec<u8>> {
        let under = self.encoded.iter().filter(|(key, _)| key.starts_with(prefix));
        under.map(|(&key, &bytes)| (key.to_owned(), bytes.to_owned())).collect()
    }

    pub(super) fn wrong(&self, key: &str, value: Value, expected: &str) -> Error {
        Error::file(&self.file, key, format_args!("{}, expected {expected}", value.describe()))
    }

    /// A whole number that is not negative; of an array (one number a layer) all must agree.
    pub(super) fn size(&self, key: &str) -> Result<Option<usize>> {
        let Some(&value) = self.metadata.get(key) else { return Ok(None) };
        let number = match value {
            Value::Array(array) => match array.integers() {
                Some(mut numbers) => {
                    let first = numbers.next();
                    first.filter(|&first| numbers.all(|number| number == first))
                }
                None => None,
            },
            single => single.integer(),
        };
        match number.and_then(|number| usize::try_from(number).ok()) {
            Some(size) => Ok(Some(size)),
            None => Err(self.wrong(key, value, "one whole number that is not negative")),
        }
    }

    /// A number.
    pub(super) fn float(&self, key: &str) -> Result<Option<f64>> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(&Value::Float(number)) => Ok(Some(number)),
            Some(&other) => Err(self.wrong(key, other, "a floating-point number")),
        }
    }

    /// True or false.
    pub(super) fn bool(&self, key: &str) -> Result<Option<bool>> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(&Value::Bool(value)) => Ok(Some(value)),
            Some(&other) => Err(self.wrong(key, other, "true or false")),
        }
    }

    /// A string, or `None` where there is no such key.
    pub(super) fn optional_string(&self, key: &str) -> Result<Option<&'a str>> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(&Value::String(bytes)) => match std::str::from_utf8(bytes) {
                Ok(string) => Ok(Some(string)),
                Err(error) => Err(Error::file(&self.file, key, error)),
            },
            Some(&other) => Err(self.wrong(key, other, "a string")),
        }
    }

    /// A string that has to be there.
    pub(super) fn string(&self, key: &str) -> Result<&'a str> {
        self.optional_string(key)?.ok_or_else(|| Error::file(&self.file, key, "missing, expected a string"))
    }

    /// An array of strings.
    pub(super) fn strings(&self, key: &str) -> Result<Option<Vec<&'a str>>> {
        let Some(&value) = self.metadata.get(key) else { return Ok(None) };
        let Value::Array(array @ Array { kind: STRING, .. }) = value else {
            return Err(self.wrong(key, value, "an array of strings"));
        };
        let mut reader =
            Reader { file: &self.file, bytes: array.bytes, len: array.bytes.len() as u64, at: 0, asked: 0 };
        (0..array.len).map(|index| reader.utf8(format_args!("{key}[{index}]"))).collect::<Result<_>>().map(Some)
    }

    /// An array of whole numbers.
    pub(super) fn integers(&self, key: &str) -> Result<Option<Vec<i64>>> {
        let Some(&value) = self.metadata.get(key) else { return Ok(None) };
        match value {
            Value::Array(array) => array.integers().map(Iterator::collect),
            _ => None,
        }
        .map_or_else(|| Err(self.wrong(key, value, "an array of whole numbers")), |numbers| Ok(Some(numbers)))
    }

    /// An array of f32.
    pub(super) fn floats(&self, key: &str) -> Result<Option<Vec<f32>>> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Array(Array { kind: FLOAT32, bytes, .. })) => {
                Ok(Some(bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect()))
            }
            Some(&other) => Err(self.wrong(key, other, "an array of 32-bit floating-point numbers")),
        }
    }
}

impl Value<'_> {
    fn integer(self) -> Option<i64> {
        match self {
            Value::Unsigned(value) => i64::try_from(value).ok(),
            Value::Signed(value) => Some(value),
            _ => None,
        }
    }

    /// As a number, where it is one.
    pub(super) fn number(self) -> Option<f64> {
        match self {
            Value::Float(value) => Some(value),
            other => other.integer().map(|value| value as f64),
        }
    }

    /// Whether there is nothing in it: no flag, no text, no elements, or numbers that are all 0 or −1.
    pub(super) fn is_nothing(self) -> bool {
        match self {
            Value::Bool(set) => !set,
            Value::String(text) => text.is_empty(),
            Value::Array(array) => {
                array.len == 0 || array.scalars().is_some_and(|mut values| values.all(Value::is_nothing))
            }
            // The largest u32 is −1 to the writers of GGUF.
            number => [0.0, -1.0, f64::from(u32::MAX)].map(Some).contains(&number.number()),
        }
    }

    fn describe(self) -> String {
        match self {
            Value::Unsigned(value) => value.to_string(),
            Value::Signed(value) => value.to_string(),
            Value::Float(value) => value.to_string(),
            Value::Bool(value) => value.to_string(),
            Value::String(text) if text.len() <= 80 => format!("{:?}", String::from_utf8_lossy(text)),
            Value::String(text) => format!("a string of {} bytes", text.len()),
            Value::Array(array) => format!("an array of {} values of type {}", array.len, array.kind),
        }
    }
}

impl<'a> Array<'a> {
    fn scalars(self) -> Option<impl Iterator<Item = Value<'a>> + use<'a>> {
        let width = scalar_bytes(self.kind)?;
        Some(self.bytes.chunks_exact(width).filter_map(move |bytes| scalar(self.kind, bytes)))
    }

    fn integers(self) -> Option<impl Iterator<Item = i64> + use<'a>> {
        let integers = !matches!(self.kind, FLOAT32 | FLOAT64 | BOOL);
        Some(self.scalars().filter(|_| integers)?.filter_map(Value::integer))
    }
}

const UINT8: u32 = 0;
const INT8: u32 = 1;
const UINT16: u32 = 2;
const INT16: u32 = 3;
pub(super) const UINT32: u32 = 4;
pub(super) const INT32: u32 = 5;
pub(super) const FLOAT32: u32 = 6;
pub(super) const BOOL: u32 = 7;
pub(super) const STRING: u32 = 8;
pub(super) const ARRAY: u32 = 9;
const UINT64: u32 = 10;
const INT64: u32 = 11;
const FLOAT64: u32 = 12;

/// Key length, value type, one byte of value.
const PAIR_MIN_BYTES: u64 = 8 + 4 + 1;
/// Name length, dimension count, one dimension, type, offset.
const TENSOR_MIN_BYTES: u64 = 8 + 4 + 8 + 4 + 8;

/// Bytes of a value of this type, or `None` for strings, arrays and unknown types.
fn scalar_bytes(kind: u32) -> Option<usize> {
    match kind {
        UINT8 | INT8 | BOOL => Some(1),
        UINT16 | INT16 => Some(2),
        UINT32 | INT32 | FLOAT32 => Some(4),
        UINT64 | INT64 | FLOAT64 => Some(8),
        _ => None,
    }
}

/// The value of a scalar type, from exactly [`scalar_bytes`] bytes.
fn scalar<'a>(kind: u32, bytes: &[u8]) -> Option<Value<'a>> {
    Some(match kind {
        UINT8 => Value::Unsigned(u8::from_le_bytes(bytes.try_into().ok()?).into()),
        UINT16 => Value::Unsigned(u16::from_le_bytes(bytes.try_into().ok()?).into()),
        UINT32 => Value::Unsigned(u32::from_le_bytes(bytes.try_into().ok()?).into()),
        UINT64 => Value::Unsigned(u64::from_le_bytes(bytes.try_into().ok()?)),
        INT8 => Value::Signed(i8::from_le_bytes(bytes.try_into().ok()?).into()),
        INT16 => Value::Signed(i16::from_le_bytes(bytes.try_into().ok()?).into()),
        INT32 => Value::Signed(i32::from_le_bytes(bytes.try_into().ok()?).into()),
        INT64 => Value::Signed(i64::from_le_bytes(bytes.try_into().ok()?)),
        FLOAT32 => Value::Float(f32::from_le_bytes(bytes.try_into().ok()?).into()),
        FLOAT64 => Value::Float(f64::from_le_bytes(bytes.try_into().ok()?)),
        BOOL => Value::Bool(bytes != [0]),
        _ => return None,
    })
}

/// Why the beginning of a file could not be read.
pub(super) struct Failure {
    pub(super) error: Error,
    /// How many of the file's first bytes were asked for where there were fewer, else 0.
    pub(super) asked: u64,
}

/// A position in the file.
struct Reader<'f, 'a> {
    file: &'f str,
    /// Its first ones.
    bytes: &'a [u8],
    /// How many bytes it has in all.
    len: u64,
    at: usize,
    /// As in [`Failure`].
    asked: u64,
}

impl<'f, 'a> Reader<'f, 'a> {
    fn take(&mut self, len: u64, field: impl Display) -> Result<&'a [u8]> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        match usize::try_from(len).ok().and_then(|len| rest.get(..len)) {
            Some(taken) => {
                self.at += taken.len();
                Ok(taken)
            }
            None => {
                self.asked = (self.at as u64).saturating_add(len);
                let problem = format!("needs {len} bytes at byte {}, {} remain", self.at, self.remaining());
                Err(Error::file(self.file, field, problem))
            }
        }
    }

    fn remaining(&self) -> u64 {
        self.len.saturating_sub(self.at as u64)
    }

    fn array<const N: usize>(&mut self, field: impl Display) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N as u64, field)?);
        Ok(bytes)
    }

    fn u32(&mut self, field: impl Display) -> Result<u32> {
        self.array(field).map(u32::from_le_bytes)
    }

    fn u64(&mut self, field: impl Display) -> Result<u64> {
        self.array(field).map(u64::from_le_bytes)
    }

    /// A number of things of at least `min_bytes` each, that the rest of the file can hold.
    fn count(&mut self, field: &str, min_bytes: u64) -> Result<u64> {
        let count = self.u64(field)?;
        let most = self.remaining() / min_bytes;
        if count > most {
            return Err(Error::file(self.file, field, format_args!("{count}, the file has room for {most} at most")));
        }
        Ok(count)
    }

    fn string(&mut self, field: impl Display) -> Result<&'a [u8]> {
        let len = self.u64(&field)?;
        self.take(len, field)
    }

    fn utf8(&mut self, field: impl Display) -> Result<&'a str> {
        let bytes = self.string(&field)?;
        std::str::from_utf8(bytes).map_err(|error| Error::file(self.file, field, error))
    }

    fn value(&mut self, key: &str, kind: u32) -> Result<Value<'a>> {
        match kind {
            STRING => self.string(key).map(Value::String),
            ARRAY => self.values(key).map(Value::Array),
            kind => {
                let unknown = || Error::file(self.file, key, format_args!("value of unknown type {kind}"));
                let width = scalar_bytes(kind).ok_or_else(unknown)?;
                let bytes = self.take(width as u64, key)?;
                scalar(kind, bytes).ok_or_else(|| Error::file(self.file, key, "value of the wrong size"))
            }
        }
    }

    fn values(&mut self, key: &str) -> Result<Array<'a>> {
        let kind = self.u32(key)?;
        let len = self.u64(key)?;
        let start = self.at;
        if let Some(width) = scalar_bytes(kind) {
            self.take(len.saturating_mul(width as u64), key)?;
        } else if kind == STRING {
            for index in 0..len {
                self.string(format_args!("{key}[{index}]"))?;
            }
        } else {
            return Err(Error::file(self.file, key, format_args!("array of type {kind}, which is nested or unknown")));
        }
        Ok(Array { kind, len, bytes: &self.bytes[start..self.at] })
    }
}

/// What follows the header: its first bytes, and how many there are in all.
struct Data<'a> {
    bytes: &'a [u8],
    len: u64,
}

/// A tensor as the file's table describes it.
struct TensorInfo<'a> {
    name: &'a str,
    shape: Vec<usize>,
    /// Or what is wrong with the type, which matters only where the tensor is needed.
    dtype: Result<Dtype, String>,
    offset: u64,
}

impl<'a> TensorInfo<'a> {
    fn read(reader: &mut Reader<'_, 'a>, index: u64) -> Result<Self> {
        let name = reader.utf8(format_args!("name of tensor {index}"))?;
        let file = reader.file;
        let dimensions = reader.u32(name)?;
        if !(1..=4).contains(&dimensions) {
            return Err(Error::file(file, name, format_args!("{dimensions} dimensions, expected 1 to 4")));
        }
        let mut shape = Vec::with_capacity(dimensions as usize);
        for _ in 0..dimensions {
            let size = reader.u64(name)?;
            match usize::try_from(size) {
                Ok(size @ 1..) => shape.push(size),
                _ => {
                    return Err(Error::file(
                        file,
                        name,
                        format_args!("dimension {size}, expected 1 to {}", usize::MAX),
                    ));
                }
            }
        }
        shape.reverse();
        let dtype = dtype(reader.u32(name)?).map_err(|found| {
            let supported = "supported are F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K";
            format!("element type {found}; {supported}")
        });
        Ok(TensorInfo { name, shape, dtype, offset: reader.u64(name)? })
    }

    /// The tensor, and where in the data it lies.
    fn locate(&self, dtype: Dtype, file: &str, data: &Data<'a>, alignment: usize) -> Result<(Tensor<'a>, Range<u64>)> {
        let TensorInfo { name, shape, .. } = self;
        let offset = self.offset;
        let (cols, rows) = shape.split_last().unwrap_or((&0, &[]));
        let size = rows.iter().try_fold(dtype.row_bytes(*cols), |size, &rows| Some(size?.checked_mul(rows))).flatten();
        let Some(size) = size else {
            let problem = format!("shape {shape:?} does not fit {dtype:?} blocks of {} elements", dtype.block_len());
            return Err(Error::file(file, name, problem));
        };
        if !offset.is_multiple_of(alignment as u64) {
            return Err(Error::file(file, name, format_args!("offset {offset}, expected a multiple of {alignment}")));
        }
        let Some(end) = offset.checked_add(size as u64).filter(|&end| end <= data.len) else {
            let problem = format!("needs {size} bytes at offset {offset} of the data, which is {} long", data.len);
            return Err(Error::file(file, name, problem));
        };
        let rest = usize::try_from(offset).ok().and_then(|offset| data.bytes.get(offset..));
        let bytes = rest.and_then(|rest| rest.get(..size)).unwrap_or_default();
        Ok((Tensor { dtype, shape: shape.clone(), bytes: Cow::Borrowed(bytes) }, offset..end))
    }
}

/// `ggml_type` by number.
const TYPES: [(u32, Dtype); 11] = [
    (0, Dtype::F32),
    (1, Dtype::F16),
    (2, Dtype::Q4_0),
    (3, Dtype::Q4_1),
    (6, Dtype::Q5_0),
    (7, Dtype::Q5_1),
    (8, Dtype::Q8_0),
    (12, Dtype::Q4_K),
    (13, Dtype::Q5_K),
    (14, Dtype::Q6_K),
    (30, Dtype::BF16),
];

/// The number of a type.
pub(super) fn number(dtype: Dtype) -> u32 {
    TYPES.iter().find(|(_, known)| *known == dtype).map_or(u32::MAX, |(number, _)| *number)
}

/// The type of a number; the error names a type that is not supported.
fn dtype(kind: u32) -> Result<Dtype, String> {
    const OTHERS: [(u32, &str); 22] = [
        (9, "Q8_1"),
        (10, "Q2_K"),
        (11, "Q3_K"),
        (15, "Q8_K"),
        (16, "IQ2_XXS"),
        (17, "IQ2_XS"),
        (18, "IQ3_XXS"),
        (19, "IQ1_S"),
        (20, "IQ4_NL"),
        (21, "IQ3_S"),
        (22, "IQ2_S"),
        (23, "IQ4_XS"),
        (24, "I8"),
        (25, "I16"),
        (26, "I32"),
        (27, "I64"),
        (28, "F64"),
        (29, "IQ1_M"),
        (34, "TQ1_0"),
        (35, "TQ2_0"),
        (39, "MXFP4"),
        (40, "NVFP4"),
    ];
    if let Some((_, dtype)) = TYPES.iter().find(|(number, _)| *number == kind) {
        return Ok(*dtype);
    }
    let known = OTHERS.iter().find(|(number, _)| *number == kind);
    Err(known.map_or_else(|| format!("number {kind}"), |(_, name)| (*name).to_owned()))
}

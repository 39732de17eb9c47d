//! The GGUF container, written: version 3, little-endian, tensors at multiples of 32 bytes.

use super::container::{ARRAY, BOOL, FLOAT32, INT32, STRING, UINT32, number};
use crate::tensor::Dtype;

/// Where tensors lie unless `general.alignment` says otherwise.
const ALIGNMENT: usize = 32;

/// Metadata in the order in which it is given.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    count: u64,
    bytes: Vec<u8>,
}

impl Metadata {
    /// A value as a file has it, behind its type.
    pub(super) fn encoded(&mut self, key: &str, value: &[u8]) {
        self.count += 1;
        text(&mut self.bytes, key);
        self.bytes.extend(value);
    }

    fn scalar(&mut self, key: &str, kind: u32, value: &[u8]) {
        self.encoded(key, &[&kind.to_le_bytes(), value].concat());
    }

    fn array(&mut self, key: &str, kind: u32, len: usize, values: &[u8]) {
        let start = [&ARRAY.to_le_bytes()[..], &kind.to_le_bytes(), &(len as u64).to_le_bytes()].concat();
        self.encoded(key, &[&start, values].concat());
    }

    pub(super) fn string(&mut self, key: &str, value: &str) {
        let mut bytes = Vec::new();
        text(&mut bytes, value);
        self.scalar(key, STRING, &bytes);
    }

    pub(super) fn u32(&mut self, key: &str, value: u32) {
        self.scalar(key, UINT32, &value.to_le_bytes());
    }

    pub(super) fn f32(&mut self, key: &str, value: f32) {
        self.scalar(key, FLOAT32, &value.to_le_bytes());
    }

    pub(super) fn bool(&mut self, key: &str, value: bool) {
        self.scalar(key, BOOL, &[value.into()]);
    }

    pub(super) fn strings<'a>(&mut self, key: &str, values: impl ExactSizeIterator<Item = &'a str>) {
        let (len, mut bytes) = (values.len(), Vec::new());
        values.for_each(|value| text(&mut bytes, value));
        self.array(key, STRING, len, &bytes);
    }

    pub(super) fn i32s(&mut self, key: &str, values: impl ExactSizeIterator<Item = i32>) {
        let len = values.len();
        self.array(key, INT32, len, &values.flat_map(i32::to_le_bytes).collect::<Vec<_>>());
    }

    pub(super) fn f32s(&mut self, key: &str, values: impl ExactSizeIterator<Item = f32>) {
        let len = values.len();
        self.array(key, FLOAT32, len, &values.flat_map(f32::to_le_bytes).collect::<Vec<_>>());
    }
}

/// A tensor that will be written.
#[derive(Debug)]
pub(super) struct Info {
    /// GGUF's.
    pub(super) name: String,
    pub(super) dtype: Dtype,
    /// `[rows, cols]`, or `[len]`; rows are whole numbers of blocks.
    pub(super) shape: Vec<usize>,
}

impl Info {
    fn bytes(&self) -> usize {
        self.shape.iter().product::<usize>() / self.dtype.block_len() * self.dtype.block_bytes()
    }
}

/// A file up to its tensors, with room for them: they follow by [`push`] in this order.
pub(super) fn begin<'a>(metadata: &Metadata, tensors: impl Iterator<Item = &'a Info> + Clone) -> Vec<u8> {
    let mut file = b"GGUF".to_vec();
    file.extend(3u32.to_le_bytes());
    file.extend((tensors.clone().count() as u64).to_le_bytes());
    file.extend(metadata.count.to_le_bytes());
    file.extend(&metadata.bytes);
    let mut offset = 0;
    for tensor in tensors {
        text(&mut file, &tensor.name);
        file.extend((tensor.shape.len() as u32).to_le_bytes());
        file.extend(tensor.shape.iter().rev().flat_map(|&size| (size as u64).to_le_bytes()));
        file.extend(number(tensor.dtype).to_le_bytes());
        file.extend((offset as u64).to_le_bytes());
        offset += tensor.bytes().next_multiple_of(ALIGNMENT);
    }
    file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
    file.reserve_exact(offset);
    file
}

/// Adds the elements of a tensor.
pub(super) fn push(file: &mut Vec<u8>, tensor: &Info, bytes: &[u8]) {
    assert_eq!(bytes.len(), tensor.bytes(), "{tensor:?}");
    file.extend(bytes);
    file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
}

fn text(bytes: &mut Vec<u8>, value: &str) {
    bytes.extend((value.len() as u64).to_le_bytes());
    bytes.extend(value.as_bytes());
}

//! Vectors that start on a cache line: one that starts elsewhere makes every vector load touch two lines, which halves
//! the rate of a product whose operands lie in the nearest cache.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use bytemuck::{Pod, Zeroable};

/// Bytes of one line, and of the widest vector.
const LINE: usize = 64;

#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

/// Like a `Vec<T>`.
#[derive(Debug)]
pub(super) struct Aligned<T> {
    lines: Vec<Line>,
    len: usize,
    of: PhantomData<T>,
}

impl<T> Default for Aligned<T> {
    fn default() -> Self {
        Aligned { lines: Vec::new(), len: 0, of: PhantomData }
    }
}

impl<T: Pod> Aligned<T> {
    const EACH: usize = LINE / size_of::<T>();

    /// A copy.
    pub(super) fn from_slice(values: &[T]) -> Self {
        let mut out = Self::default();
        out.resize(values.len());
        out.copy_from_slice(values);
        out
    }

    /// Makes it `len` long; what is new is arbitrary.
    pub(super) fn resize(&mut self, len: usize) {
        self.lines.resize(len.div_ceil(Self::EACH), Line::zeroed());
        self.len = len;
    }

    /// How long it can become without moving.
    pub(super) fn capacity(&self) -> usize {
        self.lines.capacity() * Self::EACH
    }
}

impl<T: Pod> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }
}

impl<T: Pod> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}

//! Buffers that go back to a pool when dropped: a layer's activations reuse the memory of the layer before, and
//! fresh pages, which the system has to zero, are rare.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use super::aligned::Aligned;
use crate::memory::Meter;

/// Most bytes kept for reuse.
const KEPT_BYTES: usize = 512 << 20;

/// Free vectors by capacity.
#[derive(Debug, Default)]
pub(super) struct Pool {
    pub(super) meter: Meter,
    free: Mutex<Free>,
}

#[derive(Debug, Default)]
struct Free {
    by_capacity: BTreeMap<usize, Vec<Aligned<f32>>>,
    bytes: usize,
}

/// f32 numbers on the CPU.
#[derive(Debug)]
pub struct CpuBuffer {
    values: Aligned<f32>,
    pool: Arc<Pool>,
}

impl CpuBuffer {
    /// `len` numbers with arbitrary contents.
    pub(super) fn new(pool: &Arc<Pool>, len: usize) -> Self {
        let mut values = pool.take(len).unwrap_or_default();
        let before = values.capacity();
        values.resize(len);
        pool.meter.take(4 * (values.capacity() - before) as u64);
        CpuBuffer { values, pool: pool.clone() }
    }
}

impl Pool {
    /// A vector that holds `len` numbers without growing and wastes at most an eighth.
    fn take(&self, len: usize) -> Option<Aligned<f32>> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let (&capacity, vectors) = free.by_capacity.range_mut(len..=len + len / 8).next()?;
        let taken = vectors.pop();
        if vectors.is_empty() {
            free.by_capacity.remove(&capacity);
        }
        free.bytes -= 4 * capacity;
        taken
    }

    /// Gives all free vectors back to the system.
    pub(super) fn trim(&self) {
        let free = std::mem::take(&mut *self.free.lock().unwrap_or_else(PoisonError::into_inner));
        self.meter.give(free.bytes as u64);
    }

    fn give(&self, values: Aligned<f32>) {
        let (capacity, bytes) = (values.capacity(), 4 * values.capacity());
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if capacity > 0 && free.bytes + bytes <= KEPT_BYTES {
            free.bytes += bytes;
            free.by_capacity.entry(capacity).or_default().push(values);
        } else {
            self.meter.give(bytes as u64);
        }
    }
}

impl Drop for CpuBuffer {
    fn drop(&mut self) {
        self.pool.give(std::mem::take(&mut self.values));
    }
}

impl Deref for CpuBuffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values
    }
}

impl DerefMut for CpuBuffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }
}

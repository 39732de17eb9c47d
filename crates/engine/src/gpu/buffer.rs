//! Numbers on the device, in storage that goes back to a pool when dropped.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::memory::{Meter, best_fit, pooled_bytes};

/// `len` numbers of four bytes on the device: all that its storage holds, or a part of it.
#[derive(Debug)]
pub struct Array<T> {
    storage: Arc<Storage>,
    /// First number within the storage.
    start: usize,
    len: usize,
    kind: PhantomData<T>,
}

/// A buffer of the device.
#[derive(Debug)]
struct Storage {
    buffer: wgpu::Buffer,
    /// Whose it is; none where it stands in for one that is not there.
    pool: Option<Arc<Pool>>,
    epoch: Epoch,
    /// Filled by the queue, not by a recorded kernel.
    for_queue: bool,
}

/// The time between two reads, and whether the device failed in it.
pub(super) type Epoch = Arc<AtomicBool>;

/// What a kernel sees of a buffer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Binding<'a> {
    pub(super) buffer: &'a wgpu::Buffer,
    /// In bytes, a multiple of [`ALIGNMENT`] numbers.
    pub(super) offset: u64,
    pub(super) bytes: u64,
    /// Whether what should have filled it may not have run, since the device failed.
    pub(super) is_lost: bool,
}

/// Numbers between the places where a binding may begin, on every adapter.
pub(super) const ALIGNMENT: usize = 64;

impl<'a> Binding<'a> {
    /// `len` numbers from `start` on.
    pub(super) fn part(self, start: usize, len: usize) -> Self {
        debug_assert!(start.is_multiple_of(ALIGNMENT), "a binding from number {start} on");
        Binding { offset: self.offset + 4 * start as u64, bytes: 4 * len as u64, ..self }
    }

    /// This and the next one, where it begins as this one ends.
    pub(super) fn joined(self, next: Self) -> Option<Self> {
        let follows = self.buffer == next.buffer && self.offset + self.bytes == next.offset;
        follows.then_some(Binding { bytes: self.bytes + next.bytes, ..self })
    }
}

/// f32 numbers on the device.
pub type GpuBuffer = Array<f32>;
/// u32 numbers on the device.
pub type GpuIndices = Array<u32>;

/// Free storage by size in bytes.
///
/// What a recorded kernel may still read cannot be written by the queue before the recording is submitted, but another
/// recorded kernel may write it, since kernels run in order. So storage is `recent` until the next submission, then
/// `settled`. Neither may it be destroyed earlier.
#[derive(Debug, Default)]
pub(super) struct Pool {
    pub(super) meter: Meter,
    free: Mutex<Free>,
}

#[derive(Debug, Default)]
struct Free {
    recent: BySize,
    settled: BySize,
    /// To be destroyed at the next submission.
    given_up: Vec<wgpu::Buffer>,
    epoch: Epoch,
}

type BySize = BTreeMap<u64, Vec<wgpu::Buffer>>;

impl Pool {
    fn free(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Storage for `len` numbers; `for_queue` where the queue will write it before the recording runs.
    pub(super) fn take<T>(self: &Arc<Self>, device: &wgpu::Device, len: usize, for_queue: bool) -> Array<T> {
        let size = pooled_bytes(len as u64);
        let mut free = self.free();
        let recent = if for_queue { None } else { best_fit(&mut free.recent, size) };
        let storage = recent.or_else(|| best_fit(&mut free.settled, size));
        let epoch = free.epoch.clone();
        let buffer = storage.unwrap_or_else(|| {
            self.meter.take(size);
            device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size,
                usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        });
        let storage = Arc::new(Storage { buffer, pool: Some(self.clone()), epoch, for_queue });
        Array { storage, start: 0, len, kind: PhantomData }
    }

    /// Gives settled storage back to the device: at once, since in a browser nothing else frees it.
    pub(super) fn trim(&self) {
        let mut free = self.free();
        let settled = std::mem::take(&mut free.settled);
        self.destroy(settled);
    }

    fn destroy(&self, buffers: BySize) {
        for (size, buffers) in buffers {
            self.meter.give(size * buffers.len() as u64);
            buffers.iter().for_each(wgpu::Buffer::destroy);
        }
    }

    /// After a submission.
    pub(super) fn settle(&self) {
        let mut free = self.free();
        for (size, buffers) in std::mem::take(&mut free.recent) {
            free.settled.entry(size).or_default().extend(buffers);
        }
        free.given_up.drain(..).for_each(|buffer| buffer.destroy());
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.free().epoch.clone()
    }

    /// Begins an epoch and returns the one before it: what is taken from now on is not of a read that is under way.
    pub(super) fn next_epoch(&self) -> Epoch {
        std::mem::take(&mut self.free().epoch)
    }

    /// After a failure, and with nothing recorded. Storage taken in the epoch that has come to its end with it, or in
    /// `earlier`, may be none: it is not lent again.
    pub(super) fn fail(&self, earlier: Option<&AtomicBool>) {
        let mut free = self.free();
        earlier.into_iter().for_each(|epoch| epoch.store(true, Relaxed));
        std::mem::take(&mut free.epoch).store(true, Relaxed);
        let free = &mut *free;
        for buffers in [&mut free.recent, &mut free.settled] {
            self.destroy(std::mem::take(buffers));
        }
        free.given_up.drain(..).for_each(|buffer| buffer.destroy());
    }
}

impl Drop for Pool {
    /// All that was lent is back.
    fn drop(&mut self) {
        self.fail(None);
    }
}

/// The same numbers, not a copy of them.
impl<T> Clone for Array<T> {
    fn clone(&self) -> Self {
        Array { storage: self.storage.clone(), ..*self }
    }
}

impl<T> Array<T> {
    /// As long as it should be, over a buffer that is not: nothing that is submitted sees it. Where it is `lost`, whatever
    /// would see it fails.
    pub(super) fn stand_in(buffer: &wgpu::Buffer, len: usize, lost: bool) -> Self {
        let epoch = Arc::new(AtomicBool::new(lost));
        let storage = Storage { buffer: buffer.clone(), pool: None, epoch, for_queue: false };
        Array { storage: Arc::new(storage), start: 0, len, kind: PhantomData }
    }

    /// How many numbers it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Rows of `width` numbers each, as an array of their own over the same storage.
    pub(super) fn rows(&self, rows: &Range<usize>, width: usize) -> Self {
        let (start, len) = (self.start + rows.start * width, rows.len() * width);
        debug_assert!(rows.end * width <= self.len, "rows {rows:?} of {width} in {} numbers", self.len);
        Array { storage: self.storage.clone(), start, len, kind: PhantomData }
    }

    /// This and the next one, where it begins as this one ends.
    pub(super) fn joined(&self, next: &Self) -> Option<Self> {
        let follows = Arc::ptr_eq(&self.storage, &next.storage) && self.start + self.len == next.start;
        follows.then(|| Array { len: self.len + next.len, ..self.clone() })
    }

    pub(super) fn storage(&self) -> Binding<'_> {
        let Storage { buffer, epoch, for_queue, .. } = &*self.storage;
        let whole = Binding { buffer, offset: 0, bytes: 0, is_lost: !for_queue && epoch.load(Relaxed) };
        whole.part(self.start, self.len)
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        let Some(pool) = &self.pool else { return };
        let (size, mut free) = (self.buffer.size(), pool.free());
        if self.epoch.load(Relaxed) {
            pool.meter.give(size);
            // What is recorded may see it.
            free.given_up.push(self.buffer.clone());
        } else {
            free.recent.entry(size).or_default().push(self.buffer.clone());
        }
    }
}

/// Runs of things that `join` makes one, as one each.
pub(super) fn joined<T>(things: impl IntoIterator<Item = T>, join: impl Fn(&T, &T) -> Option<T>) -> Vec<T> {
    let mut runs: Vec<T> = Vec::new();
    for next in things {
        match runs.last().and_then(|last| join(last, &next)) {
            Some(longer) => *runs.last_mut().expect("it was joined") = longer,
            None => runs.push(next),
        }
    }
    runs
}

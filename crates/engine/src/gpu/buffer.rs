//! Numbers on the device, in storage that goes back to a pool when dropped.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

/// `len` numbers of four bytes on the device.
#[derive(Debug)]
pub struct Array<T> {
    storage: Option<wgpu::Buffer>,
    len: usize,
    pool: Arc<Pool>,
    kind: PhantomData<T>,
}

/// f32 numbers on the device.
pub type GpuBuffer = Array<f32>;
/// u32 numbers on the device.
pub type GpuIndices = Array<u32>;

/// Free storage by size in bytes.
///
/// What a recorded kernel may still read cannot be written by the queue before the recording is submitted, but another
/// recorded kernel may write it, since kernels run in order. So storage is `recent` until the next submission, then
/// `settled`.
#[derive(Debug, Default)]
pub(super) struct Pool {
    free: Mutex<Free>,
}

#[derive(Debug, Default)]
struct Free {
    recent: BySize,
    settled: BySize,
}

type BySize = BTreeMap<u64, Vec<wgpu::Buffer>>;

/// A storage buffer's size for `len` numbers: rounded up, so that batches of nearly one shape share storage.
fn size_for(len: usize) -> u64 {
    let bytes = (4 * len as u64).max(256);
    let step = (bytes.next_power_of_two() / 16).max(256);
    bytes.div_ceil(step) * step
}

impl Pool {
    /// Storage for `len` numbers; `for_queue` where the queue will write it before the recording runs.
    pub(super) fn take<T>(self: &Arc<Self>, device: &wgpu::Device, len: usize, for_queue: bool) -> Array<T> {
        let size = size_for(len);
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = if for_queue { None } else { free.recent.get_mut(&size).and_then(Vec::pop) };
        let storage = recent.or_else(|| free.settled.get_mut(&size).and_then(Vec::pop));
        let storage = storage.unwrap_or_else(|| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size,
                usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        });
        Array { storage: Some(storage), len, pool: self.clone(), kind: PhantomData }
    }

    /// After a submission.
    pub(super) fn settle(&self) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        for (size, buffers) in std::mem::take(&mut free.recent) {
            free.settled.entry(size).or_default().extend(buffers);
        }
    }
}

impl<T> Array<T> {
    /// How many numbers it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn storage(&self) -> &wgpu::Buffer {
        self.storage.as_ref().expect("only taken by drop")
    }
}

impl<T> Drop for Array<T> {
    fn drop(&mut self) {
        if let Some(storage) = self.storage.take() {
            let mut free = self.pool.free.lock().unwrap_or_else(PoisonError::into_inner);
            free.recent.entry(storage.size()).or_default().push(storage);
        }
    }
}

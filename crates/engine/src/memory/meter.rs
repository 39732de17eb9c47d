//! Bytes that a backend's buffers hold.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts bytes as they are taken from a device and given back to it.
#[derive(Debug, Default)]
pub struct Meter {
    held: AtomicU64,
    peak: AtomicU64,
}

impl Meter {
    /// Now, free storage that is kept for reuse included.
    pub fn held(&self) -> u64 {
        self.held.load(Relaxed)
    }

    /// Most at once.
    pub fn peak(&self) -> u64 {
        self.peak.load(Relaxed)
    }

    pub(crate) fn take(&self, bytes: u64) {
        self.peak.fetch_max(self.held.fetch_add(bytes, Relaxed) + bytes, Relaxed);
    }

    pub(crate) fn give(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Relaxed);
    }
}

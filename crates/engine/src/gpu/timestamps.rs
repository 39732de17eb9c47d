//! The device's own clock.

use wgpu::Features;

use super::buffer::{Binding, GpuIndices};
use super::dispatch::{Device, Own};
use crate::error::Result;

/// What the clock needs.
const CLOCK: Features = Features::TIMESTAMP_QUERY.union(Features::TIMESTAMP_QUERY_INSIDE_ENCODERS);
/// Bytes of two timestamps.
const BYTES: u64 = 16;

/// What to ask a device for, of what its adapter has.
pub(super) fn features(adapter: Features) -> Features {
    if adapter.contains(CLOCK) { CLOCK } else { Features::empty() }
}

impl Device {
    /// Does `work`, waits, and tells the seconds between its first and last kernel, where there is a clock.
    pub(super) async fn seconds(&self, work: impl FnOnce()) -> Result<Option<f64>> {
        if !self.device.features().contains(CLOCK) {
            work();
            self.read(&self.unread::<u32>()).await?;
            return Ok(None);
        }
        let (ty, count) = (wgpu::QueryType::Timestamp, 2);
        let queries = self.device.create_query_set(&wgpu::QuerySetDescriptor { label: None, ty, count });
        // Kernels cannot bind what queries are resolved into, on every adapter.
        let resolved = Own(self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("timestamps"),
            size: BYTES,
            usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        }));
        let words: GpuIndices = self.indices(&[0; BYTES as usize / 4]);
        self.record(|encoder| encoder.write_timestamp(&queries, 0));
        work();
        self.record(|encoder| {
            encoder.write_timestamp(&queries, 1);
            encoder.resolve_query_set(&queries, 0..count, &resolved.0, 0);
            let Binding { buffer, offset, .. } = words.storage();
            encoder.copy_buffer_to_buffer(&resolved.0, 0, buffer, offset, BYTES);
        });
        let words = self.read(&words).await?;
        let ticks = |i: usize| u64::from(words[2 * i]) | u64::from(words[2 * i + 1]) << 32;
        let nanoseconds = ticks(1).saturating_sub(ticks(0)) as f64 * f64::from(self.queue.get_timestamp_period());
        Ok(Some(nanoseconds * 1e-9))
    }
}

#[cfg(test)]
mod tests {
    use pollster::block_on;

    use crate::Backend;
    use crate::gpu::testing::gpu;
    use crate::tests::read;

    /// More work takes longer, and is done.
    #[test]
    fn the_clock_goes_on_while_the_device_works() {
        let Some(gpu) = gpu() else { return };
        let x = gpu.upload(&vec![0.5; 1 << 16]);
        let mut out = gpu.buffer(1 << 16);
        let mut seconds = |times: usize| {
            let work = || (0..times).for_each(|_| gpu.swiglu(&x, &x, &mut out));
            block_on(gpu.device_seconds(work)).unwrap()
        };
        seconds(1);
        let (few, many) = (seconds(1), seconds(100));
        assert!(many.is_none() || many > few, "{few:?} for one kernel, {many:?} for a hundred");
        assert!(read(&gpu, &out).iter().all(|&number| number > 0.0));
    }
}

//! What the device itself says of its memory.

use pollster::block_on;

use crate::gpu::Gpu;
use crate::gpu::testing::gpu;
use crate::{Backend, Matrix};

/// Free storage is kept by the pool and by the bind groups of the kernels that saw it.
#[test]
fn trimmed_storage_goes_back_to_the_device() {
    if gpu().is_none() {
        return;
    }
    // Of its own, whose memory no other test takes.
    let gpu = block_on(Gpu::new(0)).unwrap();
    let Some(before) = allocated(&gpu) else { return eprintln!("skipped: this device does not tell") };
    let (rows, width) = (4096, 4096);
    let x = gpu.zeros(width);
    let used = {
        let weight = Matrix::dense(gpu.zeros(rows * width), rows, width);
        let mut out = gpu.buffer(rows);
        gpu.matmul(&x, &weight, 1.0, false, &mut out);
        block_on(gpu.read(&out)).unwrap();
        allocated(&gpu).unwrap() - before
    };
    assert!(used >= 4 * (rows * width) as u64, "{used} bytes");
    assert!(allocated(&gpu).unwrap() - before >= used, "free storage is kept");
    gpu.trim();
    let left = allocated(&gpu).unwrap().saturating_sub(before);
    assert!(left < used / 16, "{left} of {used} bytes are left");
    assert_eq!(gpu.meter().held(), 4 * width as u64);
    // What is in use stays.
    assert_eq!(block_on(gpu.read(&x)).unwrap(), vec![0.0; width]);
}

/// Bytes that are in use of the device's memory, where its allocator tells.
fn allocated(gpu: &Gpu) -> Option<u64> {
    gpu.0.device.generate_allocator_report().map(|report| report.total_allocated_bytes)
}

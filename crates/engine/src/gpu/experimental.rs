//! The one `unsafe` of this backend: wgpu gives cooperative matrices, as all of its experimental features, only to a
//! caller who takes it on himself that they may have bugs.
//!
//! They are used by the kernels of this crate alone, whose indices stay inside their buffers, and a device is asked for
//! them only where its adapter lists the very shapes that these kernels use.

#![allow(unsafe_code, reason = "wgpu's token for experimental features; see above")]

/// Leave to ask a device for experimental features.
pub(super) fn experimental_features() -> wgpu::ExperimentalFeatures {
    // SAFETY: see above; nothing else is asked of the caller.
    unsafe { wgpu::ExperimentalFeatures::enabled() }
}

//! The `unsafe` of this backend: what wgpu does only for a caller who vouches for something.
//!
//! Cooperative matrices, as all of its experimental features, may have bugs. They are used by the kernels of this crate
//! alone, whose indices stay inside their buffers, and a device is asked for them only where its adapter lists the very
//! shapes that these kernels use.
//!
//! Loops get a counter of 64 bits against endless ones, which also keeps compilers from unrolling them. The loops of this
//! crate's shaders count to a number that is fixed before them, or halve a range. Indices are checked as ever.

#![allow(unsafe_code, reason = "see above")]

/// Leave to ask a device for experimental features.
pub(super) fn experimental_features() -> wgpu::ExperimentalFeatures {
    // SAFETY: see above; nothing else is asked of the caller.
    unsafe { wgpu::ExperimentalFeatures::enabled() }
}

/// A module of one of this crate's shaders.
pub(super) fn shader_module(device: &wgpu::Device, name: &str, source: String) -> wgpu::ShaderModule {
    let source = wgpu::ShaderSource::Wgsl(source.into());
    let descriptor = wgpu::ShaderModuleDescriptor { label: Some(name), source };
    let checks = wgpu::ShaderRuntimeChecks { force_loop_bounding: false, ..wgpu::ShaderRuntimeChecks::checked() };
    // SAFETY: none of the shaders has an endless loop.
    unsafe { device.create_shader_module_trusted(descriptor, checks) }
}

//! Which devices there are, and which to take.

use std::sync::Arc;

use super::Gpu;
use super::dispatch::Device;
use super::forms::Forms;
use super::timestamps;
use super::trust::experimental_features;
use crate::error::{Error, Result};
use crate::memory::Budget;

/// A device that wgpu sees.
#[derive(Debug, Clone)]
pub struct AdapterInfo {
    /// Its own name and its driver's interface.
    pub name: String,
    /// Discrete, integrated, virtual, software or other.
    pub kind: &'static str,
    /// Whether it is a program on the CPU (llvmpipe, SwiftShader): far slower than the CPU backend.
    pub software: bool,
    /// Whether its memory is a part of the system's.
    pub shares_memory: bool,
    /// Which forms of the kernels it runs.
    pub forms: &'static str,
    /// Most bytes of one storage binding.
    pub max_binding_bytes: u64,
}

fn instance() -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    descriptor.backends = wgpu::Backends::PRIMARY;
    wgpu::Instance::new(descriptor)
}

/// The fastest kind first.
fn rank(kind: wgpu::DeviceType) -> (u8, &'static str) {
    match kind {
        wgpu::DeviceType::DiscreteGpu => (0, "discrete"),
        wgpu::DeviceType::IntegratedGpu => (1, "integrated"),
        wgpu::DeviceType::VirtualGpu => (2, "virtual"),
        wgpu::DeviceType::Other => (3, "other"),
        wgpu::DeviceType::Cpu => (4, "software"),
    }
}

fn describe(adapter: &wgpu::Adapter) -> AdapterInfo {
    let info = adapter.get_info();
    AdapterInfo {
        name: format!("{} ({})", info.name, info.backend),
        kind: rank(info.device_type).1,
        software: info.device_type == wgpu::DeviceType::Cpu,
        shares_memory: matches!(info.device_type, wgpu::DeviceType::IntegratedGpu | wgpu::DeviceType::Cpu),
        forms: Forms::of(adapter).describe(),
        max_binding_bytes: adapter.limits().max_storage_buffer_binding_size,
    }
}

/// Discrete GPUs first, software last.
pub(super) async fn sorted() -> Vec<(AdapterInfo, wgpu::Adapter)> {
    let mut found: Vec<_> = instance().enumerate_adapters(wgpu::Backends::PRIMARY).await;
    found.sort_by_key(|adapter| rank(adapter.get_info().device_type).0);
    found.into_iter().map(|adapter| (describe(&adapter), adapter)).collect()
}

/// All devices, the fastest kind first.
pub async fn adapters() -> Vec<AdapterInfo> {
    sorted().await.into_iter().map(|(info, _)| info).collect()
}

impl Gpu {
    /// The `index`-th of [`adapters`].
    ///
    /// # Errors
    /// No such adapter, or one that gives no device.
    pub async fn new(index: usize) -> Result<Self> {
        Gpu::open(index, |limits| limits, |forms| forms).await
    }

    /// As [`Gpu::new`], under the limits and with the forms that are made of the adapter's.
    pub(super) async fn open(
        index: usize,
        limits: impl FnOnce(wgpu::Limits) -> wgpu::Limits,
        choose: impl FnOnce(Forms) -> Forms,
    ) -> Result<Self> {
        let failed = |problem: String| Error::Device { device: format!("gpu:{index}"), problem };
        let (info, adapter) = sorted().await.into_iter().nth(index).ok_or_else(|| failed("no such adapter".into()))?;
        let forms = choose(Forms::of(&adapter));
        let mut descriptor = wgpu::DeviceDescriptor {
            required_features: forms.features() | timestamps::features(adapter.features()),
            required_limits: limits(adapter.limits()),
            ..Default::default()
        };
        if forms.features().intersects(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
            descriptor.experimental_features = experimental_features();
        }
        let (device, queue) = adapter.request_device(&descriptor).await.map_err(|e| failed(e.to_string()))?;
        let memory_bytes = super::heap::bytes(&adapter);
        Ok(Gpu(Arc::new(Device::new(info.name, forms, memory_bytes, device, queue)), Budget::default()))
    }
}

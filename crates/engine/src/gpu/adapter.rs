//! Which devices there are, and which to take.

use std::sync::Arc;

use super::Gpu;
use super::dispatch::Device;
use super::experimental::experimental_features;
use super::forms::Forms;
use crate::error::{Error, Result};

/// A device that wgpu sees.
#[derive(Debug, Clone)]
pub struct AdapterInfo {
    /// Its own name, its driver's interface and its kind.
    pub name: String,
    /// Whether it is a program on the CPU (llvmpipe, SwiftShader): far slower than the CPU backend.
    pub software: bool,
    /// Which forms of the kernels it runs.
    pub forms: &'static str,
}

fn instance() -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    descriptor.backends = wgpu::Backends::PRIMARY;
    wgpu::Instance::new(descriptor)
}

/// Discrete GPUs first, software last.
async fn sorted() -> Vec<(AdapterInfo, wgpu::Adapter)> {
    let mut found: Vec<_> = instance().enumerate_adapters(wgpu::Backends::PRIMARY).await;
    let rank = |adapter: &wgpu::Adapter| match adapter.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    };
    found.sort_by_key(rank);
    let describe = |adapter: wgpu::Adapter| {
        let info = adapter.get_info();
        let name = format!("{} ({}, {:?})", info.name, info.backend, info.device_type);
        let software = info.device_type == wgpu::DeviceType::Cpu;
        (AdapterInfo { name, software, forms: Forms::of(&adapter).describe() }, adapter)
    };
    found.into_iter().map(describe).collect()
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
        Gpu::open(index, |forms| forms).await
    }

    /// As [`Gpu::new`], with the forms that `choose` makes of the adapter's.
    pub(super) async fn open(index: usize, choose: impl FnOnce(Forms) -> Forms) -> Result<Self> {
        let failed = |problem: String| Error::Device { device: format!("gpu:{index}"), problem };
        let (info, adapter) = sorted().await.into_iter().nth(index).ok_or_else(|| failed("no such adapter".into()))?;
        let forms = choose(Forms::of(&adapter));
        let mut descriptor = wgpu::DeviceDescriptor {
            required_features: forms.features(),
            required_limits: adapter.limits(),
            ..Default::default()
        };
        if forms.features().intersects(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
            descriptor.experimental_features = experimental_features();
        }
        let (device, queue) = adapter.request_device(&descriptor).await.map_err(|e| failed(e.to_string()))?;
        Ok(Gpu(Arc::new(Device::new(info.name, forms, device, queue))))
    }
}

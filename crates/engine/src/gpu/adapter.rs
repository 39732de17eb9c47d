//! Which devices there are, and which to take.

use std::sync::Arc;

use super::Gpu;
use super::buffer::ALIGNMENT;
use super::dispatch::{Device, MOST_GROUPS};
use super::forms::{ENOUGH, Forms, WORKGROUP_BYTES};
use super::recording::{PARAMETER_STRIDE, STAGED};
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

fn describe(info: &wgpu::AdapterInfo, limits: &wgpu::Limits, forms: Forms) -> AdapterInfo {
    AdapterInfo {
        name: format!("{} ({})", info.name, info.backend).trim_start().into(),
        kind: rank(info.device_type).1,
        software: info.device_type == wgpu::DeviceType::Cpu,
        shares_memory: matches!(info.device_type, wgpu::DeviceType::IntegratedGpu | wgpu::DeviceType::Cpu),
        forms: forms.describe(),
        max_binding_bytes: limits.max_storage_buffer_binding_size,
    }
}

/// What the kernels need of a device, all of which WebGPU grants: the name of the limit, what it is, and what it must be
/// at least or at most.
fn check(limits: &wgpu::Limits) -> Result<(), String> {
    let least = [
        ("maxComputeInvocationsPerWorkgroup", u64::from(limits.max_compute_invocations_per_workgroup), 256),
        ("maxComputeWorkgroupSizeX", limits.max_compute_workgroup_size_x.into(), 256),
        ("maxComputeWorkgroupStorageSize", limits.max_compute_workgroup_storage_size.into(), 16 << 10),
        ("maxComputeWorkgroupsPerDimension", limits.max_compute_workgroups_per_dimension.into(), MOST_GROUPS.into()),
        ("maxStorageBuffersPerShaderStage", limits.max_storage_buffers_per_shader_stage.into(), 8),
        ("maxDynamicUniformBuffersPerPipelineLayout", limits.max_dynamic_uniform_buffers_per_pipeline_layout.into(), 1),
        ("maxUniformBufferBindingSize", limits.max_uniform_buffer_binding_size, PARAMETER_STRIDE as u64),
        ("maxStorageBufferBindingSize", limits.max_storage_buffer_binding_size, 4 * ALIGNMENT as u64),
        ("maxBufferSize", limits.max_buffer_size, STAGED),
    ];
    let most = [
        ("minUniformBufferOffsetAlignment", limits.min_uniform_buffer_offset_alignment, PARAMETER_STRIDE),
        ("minStorageBufferOffsetAlignment", limits.min_storage_buffer_offset_alignment, 4 * ALIGNMENT),
    ];
    if let Some((name, found, needed)) = least.into_iter().find(|(_, found, needed)| found < needed) {
        return Err(format!("its limit {name} is {found}, expected at least {needed}"));
    }
    match most.into_iter().find(|&(_, found, needed)| found as usize > needed) {
        Some((name, found, needed)) => Err(format!("its limit {name} is {found}, expected at most {needed}")),
        None => Ok(()),
    }
}

/// The forms that an adapter runs and a device on it was asked for.
fn forms_of_device(adapter: &wgpu::Adapter, device: &wgpu::Device) -> Forms {
    let forms = Forms::of(adapter);
    let workgroup_bytes = device.limits().max_compute_workgroup_storage_size;
    let asked = device.features().contains(forms.features()) && workgroup_bytes >= WORKGROUP_BYTES;
    if asked { forms } else { Forms { fragments: None, ..forms } }
}

/// Who is told of the errors of a device that somebody else opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errors {
    /// The [`Gpu`], which takes the place of whoever was told of the device's uncaptured errors and of its loss.
    Taken,
    /// Its owner, who passes on those of its own handlers: [`Gpu::report`], [`Gpu::report_lost`].
    Reported,
}

/// Discrete GPUs first, software last.
pub(super) async fn sorted() -> Vec<(AdapterInfo, wgpu::Adapter)> {
    let mut found: Vec<_> = instance().enumerate_adapters(wgpu::Backends::PRIMARY).await;
    found.sort_by_key(|adapter| rank(adapter.get_info().device_type).0);
    let described =
        |adapter: wgpu::Adapter| (describe(&adapter.get_info(), &adapter.limits(), Forms::of(&adapter)), adapter);
    found.into_iter().map(described).collect()
}

/// All devices, the fastest kind first; in a browser at most the one that it would give.
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

    /// The fastest device, as a browser gives it: there adapters cannot be listed.
    ///
    /// # Errors
    /// No WebGPU, no adapter, one whose limits are too small for the kernels, or one that gives no device.
    pub async fn request() -> Result<Self> {
        let failed = |problem: String| Error::Device { device: "gpu".into(), problem };
        #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
        if !has_webgpu() {
            let problem =
                "there is no WebGPU here: this browser has none, it is switched off, or the page is not secure";
            return Err(failed(problem.into()));
        }
        let power_preference = wgpu::PowerPreference::HighPerformance;
        let options = wgpu::RequestAdapterOptions { power_preference, ..Default::default() };
        let adapter = instance().request_adapter(&options).await;
        let adapter = adapter.map_err(|error| match error {
            wgpu::RequestAdapterError::NotFound { .. } => failed("no adapter is offered for WebGPU".into()),
            other => failed(format!("no adapter: {other}")),
        })?;
        let info = describe(&adapter.get_info(), &adapter.limits(), Forms::of(&adapter));
        Gpu::of(&adapter, info, |limits| limits, |forms| forms).await
    }

    /// As [`Gpu::new`], under the limits and with the forms that are made of the adapter's.
    pub(super) async fn open(
        index: usize,
        limits: impl FnOnce(wgpu::Limits) -> wgpu::Limits,
        choose: impl FnOnce(Forms) -> Forms,
    ) -> Result<Self> {
        let missing = || Error::Device { device: format!("gpu:{index}"), problem: "no such adapter".into() };
        let (info, adapter) = sorted().await.into_iter().nth(index).ok_or_else(missing)?;
        Gpu::of(&adapter, info, limits, choose).await
    }

    async fn of(
        adapter: &wgpu::Adapter,
        info: AdapterInfo,
        limits: impl FnOnce(wgpu::Limits) -> wgpu::Limits,
        choose: impl FnOnce(Forms) -> Forms,
    ) -> Result<Self> {
        let name = info.name.clone();
        let failed = |problem: String| Error::Device { device: name.clone(), problem };
        let (forms, required_limits) = (choose(Forms::of(adapter)), limits(adapter.limits()));
        check(&required_limits).map_err(failed)?;
        let mut descriptor = wgpu::DeviceDescriptor {
            required_features: forms.features() | timestamps::features(adapter.features()),
            required_limits,
            ..Default::default()
        };
        if forms.features().intersects(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
            descriptor.experimental_features = experimental_features();
        }
        let (device, queue) = adapter.request_device(&descriptor).await.map_err(|e| failed(e.to_string()))?;
        let memory_bytes = super::heap::bytes(adapter);
        Ok(Gpu(Arc::new(Device::new(info, forms, memory_bytes, device, queue, true)), Budget::default()))
    }

    /// A device that somebody else opened, with its queue: it may be used for other work as well, in between. Its own
    /// limits count, whatever its adapter would have given; kernels run in their portable form where `adapter`, whose it
    /// is, is not given or the device was not asked for more. How much memory there is, is not known without `adapter`.
    ///
    /// Reads wait for all that was submitted to the queue. The device is not destroyed with the last [`Gpu`] over it.
    ///
    /// # Errors
    /// Limits too small for the kernels.
    pub fn from_device(
        device: wgpu::Device,
        queue: wgpu::Queue,
        adapter: Option<&wgpu::Adapter>,
        errors: Errors,
    ) -> Result<Self> {
        let portable = Forms { fragments: None, enough_large_tiles: ENOUGH };
        let forms = adapter.map_or(portable, |adapter| forms_of_device(adapter, &device));
        let info = describe(&device.adapter_info(), &device.limits(), forms);
        check(&device.limits()).map_err(|problem| Error::Device { device: info.name.clone(), problem })?;
        let (memory_bytes, taken) = (adapter.and_then(super::heap::bytes), errors == Errors::Taken);
        Ok(Gpu(Arc::new(Device::new(info, forms, memory_bytes, device, queue, taken)), Budget::default()))
    }
}

/// Whether the page or worker has `navigator.gpu`.
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
fn has_webgpu() -> bool {
    let member = |of: &js_sys::wasm_bindgen::JsValue, name: &str| js_sys::Reflect::get(of, &name.into()).ok();
    let gpu = member(&js_sys::global(), "navigator").and_then(|navigator| member(&navigator, "gpu"));
    gpu.is_some_and(|gpu| !gpu.is_undefined() && !gpu.is_null())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_too_small_is_named() {
        assert_eq!(check(&wgpu::Limits::default()), Ok(()));
        let small = wgpu::Limits { max_storage_buffers_per_shader_stage: 4, ..Default::default() };
        let problem = check(&small).unwrap_err();
        assert_eq!(problem, "its limit maxStorageBuffersPerShaderStage is 4, expected at least 8");
        let coarse = wgpu::Limits { min_storage_buffer_offset_alignment: 512, ..Default::default() };
        let problem = check(&coarse).unwrap_err();
        assert_eq!(problem, "its limit minStorageBufferOffsetAlignment is 512, expected at most 256");
    }
}

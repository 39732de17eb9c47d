//! The device itself: pipelines made once, kernels recorded, results read back.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytemuck::Pod;

use super::buffer::{ALIGNMENT, Array, Binding, GpuBuffer, GpuIndices, Pool, joined};
use super::forms::Forms;
use super::recording::{CAPACITY, PARAMETER_STRIDE, Recording};
use super::shaders::Shader;
use super::trust;
use crate::error::{Error, Result};
use crate::memory::Meter;

/// Most workgroups along one dimension of a dispatch, on every adapter.
pub(super) const MOST_GROUPS: u32 = 65_535;

/// A kernel's shader with its `override` constants.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Kernel {
    pub(super) shader: Shader,
    pub(super) constants: Vec<(&'static str, u32)>,
}

#[derive(Debug)]
struct Pipeline {
    pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
}

#[derive(Debug)]
pub(super) struct Device {
    pub(super) name: String,
    pub(super) forms: Forms,
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    /// Most bytes of a buffer.
    buffer_bytes: u64,
    /// Where the driver tells.
    pub(super) memory_bytes: Option<u64>,
    /// Most bytes of a buffer that a kernel may see.
    pub(super) binding_bytes: u64,
    pool: Arc<Pool>,
    parameters: wgpu::Buffer,
    pipelines: Mutex<HashMap<Kernel, Arc<Pipeline>>>,
    bind_groups: Mutex<HashMap<(Kernel, Vec<BoundRange>), wgpu::BindGroup>>,
    recording: Mutex<Recording>,
    /// The first error the device reported outside a call: out of memory, lost.
    failure: Arc<Mutex<Option<String>>>,
}

/// A buffer, and the offset and number of the bytes that are bound.
type BoundRange = (wgpu::Buffer, u64, u64);

/// Bind groups kept; each keeps its buffers alive.
const KEPT_BIND_GROUPS: usize = 8192;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Workgroups for `count` of them in one line, folded into two dimensions; a kernel's line number is
/// `group.x + group.y * groups.x`, and it returns where that is `count` or more.
pub(super) fn line(count: usize) -> [u32; 3] {
    let count = u32::try_from(count).expect("fewer workgroups than 2^32").max(1);
    let rows = count.div_ceil(MOST_GROUPS);
    [count.div_ceil(rows), rows, 1]
}

/// Workgroups for one invocation a number.
pub(super) fn each(numbers: usize) -> [u32; 3] {
    line(numbers.div_ceil(256))
}

impl Device {
    pub(super) fn new(
        name: String,
        forms: Forms,
        memory_bytes: Option<u64>,
        device: wgpu::Device,
        queue: wgpu::Queue,
    ) -> Self {
        let failure = Arc::new(Mutex::new(None));
        let (on_error, on_lost) = (failure.clone(), failure.clone());
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            lock(&on_error).get_or_insert(error.to_string());
        }));
        // Whatever failed for that reason is not worth saying.
        device.set_device_lost_callback(move |reason, message| {
            *lock(&on_lost) = Some(format!("device lost ({reason:?}): {message}"));
        });
        let parameters = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("parameters"),
            size: (CAPACITY * PARAMETER_STRIDE) as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        Device {
            name,
            forms,
            buffer_bytes: device.limits().max_buffer_size,
            memory_bytes,
            binding_bytes: device.limits().max_storage_buffer_binding_size,
            device,
            queue,
            pool: Arc::default(),
            parameters,
            pipelines: Mutex::default(),
            bind_groups: Mutex::default(),
            recording: Mutex::default(),
            failure,
        }
    }

    /// Remembers what went wrong; the next read says it.
    pub(super) fn fail(&self, problem: String) {
        lock(&self.failure).get_or_insert(problem);
    }

    pub(super) fn meter(&self) -> &Meter {
        &self.pool.meter
    }

    pub(super) fn buffer(&self, len: usize) -> GpuBuffer {
        self.take(len, false)
    }

    fn take<T>(&self, len: usize, for_queue: bool) -> Array<T> {
        let most = self.buffer_bytes;
        if 4 * len as u64 > most {
            self.fail(format!("an array of {} bytes is needed, and this device's largest has {most}", 4 * len));
        }
        self.pool.take(&self.device, len, for_queue)
    }

    pub(super) fn upload(&self, data: &[f32]) -> GpuBuffer {
        self.write(data)
    }

    pub(super) fn indices(&self, data: &[u32]) -> GpuIndices {
        self.write(data)
    }

    /// For a binding that a kernel has and does not read.
    pub(super) fn unread<T>(&self) -> Array<T> {
        self.take(1, false)
    }

    fn write<T: Pod>(&self, data: &[T]) -> Array<T> {
        self.write_all(&[data]).swap_remove(0)
    }

    /// Arrays behind each other in one buffer, where each can be bound and all of them fit.
    pub(super) fn write_all<T: Pod>(&self, data: &[&[T]]) -> Vec<Array<T>> {
        let lens: Vec<usize> = data.iter().map(|data| data.len()).collect();
        let arrays = self.take_all(&lens, true);
        for (array, data) in arrays.iter().zip(data) {
            let Binding { buffer, offset, .. } = array.storage();
            self.queue.write_buffer(buffer, offset, bytemuck::cast_slice(data));
        }
        arrays
    }

    fn take_all<T>(&self, lens: &[usize], for_queue: bool) -> Vec<Array<T>> {
        let mut runs: Vec<Vec<Range<usize>>> = Vec::new();
        for &len in lens {
            let follows = |&end: &usize| end.is_multiple_of(ALIGNMENT) && 4 * (end + len) as u64 <= self.buffer_bytes;
            match runs.last_mut().and_then(|run| Some((run.last()?.end, run))).filter(|(end, _)| follows(end)) {
                Some((end, run)) => run.push(end..end + len),
                None => runs.push(std::iter::once(0..len).collect()),
            }
        }
        let arrays = |run: &Vec<Range<usize>>| {
            let whole = self.take(run.last().map_or(0, |last| last.end), for_queue);
            run.iter().map(|range| whole.rows(range, 1)).collect::<Vec<_>>()
        };
        runs.iter().flat_map(arrays).collect()
    }

    /// Copies, behind each other as [`Device::write_all`] does.
    pub(super) fn duplicate_all(&self, sources: &[&GpuBuffer]) -> Vec<GpuBuffer> {
        let lens: Vec<usize> = sources.iter().map(|source| source.len()).collect();
        let copies = self.take_all(&lens, false);
        sources.iter().zip(&copies).for_each(|(source, copy)| self.copy(source, copy));
        copies
    }

    /// Of zeros, behind each other as [`Device::write_all`] lays them.
    pub(super) fn zeros_all(&self, lens: &[usize]) -> Vec<GpuBuffer> {
        let arrays = self.take_all(lens, false);
        for run in joined(arrays.iter().cloned(), Array::joined) {
            let Binding { buffer, offset, bytes } = run.storage();
            self.record(|encoder| encoder.clear_buffer(buffer, offset, Some(bytes)));
        }
        arrays
    }

    /// Copies all of `from` to the start of `to`.
    pub(super) fn copy<T>(&self, from: &Array<T>, to: &Array<T>) {
        let (from, to) = (from.storage(), to.storage());
        self.record(|encoder| {
            encoder.copy_buffer_to_buffer(from.buffer, from.offset, to.buffer, to.offset, from.bytes)
        });
    }

    /// Records what is no kernel.
    pub(super) fn record(&self, what: impl FnOnce(&mut wgpu::CommandEncoder)) {
        what(lock(&self.recording).encoder(&self.device));
    }

    /// Records one kernel: `bindings` in the order of the shader's, then its parameters as the last one.
    pub(super) fn run(&self, kernel: Kernel, bindings: &[Binding<'_>], parameters: &[u32], groups: [u32; 3]) {
        let pipeline = self.pipeline(&kernel, bindings.len());
        let group = self.bind_group(kernel, &pipeline, bindings);
        let mut recording = lock(&self.recording);
        let offset = recording.parameters.len();
        recording.parameters.extend_from_slice(bytemuck::cast_slice(parameters));
        recording.parameters.resize(offset + PARAMETER_STRIDE, 0);
        let pass = recording.pass(&self.device);
        pass.set_pipeline(&pipeline.pipeline);
        pass.set_bind_group(0, &group, &[offset as u32]);
        pass.dispatch_workgroups(groups[0], groups[1], groups[2]);
        #[cfg(test)]
        {
            recording.kernels += 1;
        }
        if recording.is_full() {
            self.submit(&mut recording);
        }
    }

    fn pipeline(&self, kernel: &Kernel, bindings: usize) -> Arc<Pipeline> {
        let mut pipelines = lock(&self.pipelines);
        if let Some(pipeline) = pipelines.get(kernel) {
            return pipeline.clone();
        }
        let source = kernel.shader.source();
        let access = super::shaders::access(&source);
        assert_eq!(access.len(), bindings, "{:?}: bindings of the shader and of its caller", kernel.shader);
        let mut entries: Vec<_> = access
            .iter()
            .enumerate()
            .map(|(binding, &read_only)| entry(binding, wgpu::BufferBindingType::Storage { read_only }, false))
            .collect();
        entries.push(entry(bindings, wgpu::BufferBindingType::Uniform, true));
        let device = &self.device;
        let layout =
            device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries });
        let module = trust::shader_module(device, kernel.shader.name(), source);
        let constants: Vec<(&str, f64)> = kernel.constants.iter().map(|&(n, v)| (n, f64::from(v))).collect();
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(kernel.shader.name()),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            // Every kernel writes what it reads of workgroup memory.
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &constants,
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        let made = Arc::new(Pipeline { pipeline, layout });
        pipelines.insert(kernel.clone(), made.clone());
        made
    }

    fn bind_group(&self, kernel: Kernel, pipeline: &Pipeline, bindings: &[Binding<'_>]) -> wgpu::BindGroup {
        let mut groups = lock(&self.bind_groups);
        if groups.len() >= KEPT_BIND_GROUPS {
            groups.clear();
        }
        // A whole buffer where it may be bound, so that arrays of nearly one length share the group.
        let range = |&Binding { buffer, offset, bytes }: &Binding<'_>| {
            let whole = offset == 0 && buffer.size() <= self.binding_bytes;
            (buffer.clone(), offset, if whole { buffer.size() } else { bytes })
        };
        let ranges: Vec<BoundRange> = bindings.iter().map(range).collect();
        let make = |(_, ranges): &(Kernel, Vec<BoundRange>)| {
            let parameters = (self.parameters.clone(), 0, PARAMETER_STRIDE as u64);
            let entries: Vec<_> = ranges.iter().chain([&parameters]).enumerate().map(bound).collect();
            let layout = &pipeline.layout;
            self.device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries })
        };
        groups.entry((kernel, ranges)).or_insert_with_key(make).clone()
    }

    /// Kernels recorded so far.
    #[cfg(test)]
    pub(super) fn kernels(&self) -> usize {
        lock(&self.recording).kernels
    }

    fn submit(&self, recording: &mut Recording) {
        recording.encoder(&self.device);
        if let Some(encoder) = recording.encoder.take() {
            self.queue.write_buffer(&self.parameters, 0, &recording.parameters);
            self.queue.submit([encoder.finish()]);
            recording.parameters.clear();
            self.pool.settle();
        }
    }

    /// Gives free storage back to the device, once nothing that runs there uses it.
    pub(super) fn trim(&self) {
        self.submit(&mut lock(&self.recording));
        // These keep buffers alive too.
        lock(&self.bind_groups).clear();
        self.pool.trim();
        if let Err(error) = self.device.poll(wgpu::PollType::wait_indefinitely()) {
            self.fail(error.to_string());
        }
    }

    /// Submits what is recorded, waits, and copies the numbers back.
    pub(super) async fn read<T: Pod>(&self, source: &Array<T>) -> Result<Vec<T>> {
        Ok(self.read_all(&[source]).await?.swap_remove(0))
    }

    /// The same of several arrays, waiting once.
    pub(super) async fn read_all<T: Pod>(&self, sources: &[&Array<T>]) -> Result<Vec<Vec<T>>> {
        let size: u64 = sources.iter().map(|source| source.storage().bytes).sum();
        if size == 0 {
            return Ok(sources.iter().map(|_| Vec::new()).collect());
        }
        let target = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("read back"),
            size,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mapped = {
            let mut recording = lock(&self.recording);
            let encoder = recording.encoder(&self.device);
            let mut at = 0;
            for Binding { buffer, offset, bytes } in sources.iter().map(|source| source.storage()) {
                encoder.copy_buffer_to_buffer(buffer, offset, &target, at, bytes);
                at += bytes;
            }
            self.submit(&mut recording);
            let (done, mapped) = super::oneshot::oneshot();
            target.map_async(wgpu::MapMode::Read, .., move |result| done.send(result.map_err(|e| e.to_string())));
            mapped
        };
        let failed = |what: String| Error::Device { device: self.name.clone(), problem: what };
        // In the browser this does nothing, and the page's event loop resolves the mapping.
        self.device.poll(wgpu::PollType::wait_indefinitely()).map_err(|e| failed(e.to_string()))?;
        let result = mapped.await;
        if let Some(failure) = lock(&self.failure).clone() {
            return Err(failed(failure));
        }
        result.map_err(failed)?;
        let view = target.get_mapped_range(..).map_err(|e| failed(e.to_string()))?;
        let mut rest: &[u8] = &view;
        let mut next = |source: &&Array<T>| {
            let (own, others) = rest.split_at(4 * source.len());
            rest = others;
            bytemuck::allocation::pod_collect_to_vec(own)
        };
        Ok(sources.iter().map(&mut next).collect())
    }
}

fn bound<'a>((i, (buffer, offset, bytes)): (usize, &'a BoundRange)) -> wgpu::BindGroupEntry<'a> {
    let binding = wgpu::BufferBinding { buffer, offset: *offset, size: wgpu::BufferSize::new(*bytes) };
    wgpu::BindGroupEntry { binding: i as u32, resource: wgpu::BindingResource::Buffer(binding) }
}

fn entry(binding: usize, ty: wgpu::BufferBindingType, has_dynamic_offset: bool) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding: binding as u32,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset, min_binding_size: None },
        count: None,
    }
}

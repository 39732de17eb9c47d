//! The device itself: pipelines made once, kernels recorded, results read back.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytemuck::Pod;

use super::adapter::AdapterInfo;
use super::buffer::{ALIGNMENT, Array, Binding, Epoch, GpuBuffer, GpuIndices, Pool, joined};
use super::failure::Failure;
use super::forms::Forms;
use super::prepare;
use super::recording::{CAPACITY, LONGEST_UPLOAD, PARAMETER_STRIDE, Recording, STAGED, Upload, WORTH};
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
pub(super) struct Pipeline {
    pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
    /// When it was made.
    epoch: Epoch,
}

#[derive(Debug)]
pub(super) struct Device {
    pub(super) info: AdapterInfo,
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
    /// Parameters of the kernels of a submission, then the arrays that are copied to their places before these.
    staged: wgpu::Buffer,
    pipelines: Mutex<HashMap<Kernel, Arc<Pipeline>>>,
    bind_groups: Mutex<HashMap<(Kernel, Vec<BoundRange>), wgpu::BindGroup>>,
    recording: Mutex<Recording>,
    pub(super) failure: Arc<Failure>,
    counters: Counters,
}

/// What a device was given to do since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Kernels recorded.
    pub kernels: u64,
    /// Lists of commands sent.
    pub submissions: u64,
    /// Writes from the host.
    pub writes: u64,
    /// Waits for numbers from the device.
    pub reads: u64,
}

#[derive(Debug, Default)]
struct Counters {
    kernels: AtomicU64,
    submissions: AtomicU64,
    writes: AtomicU64,
    reads: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

/// Bytes that the queue writes before they are sent: it keeps a copy until then.
const UNSENT: u64 = 32 << 20;

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
    /// Where its errors are not `taken`, somebody else tells [`Failure`] of them.
    pub(super) fn new(
        info: AdapterInfo,
        forms: Forms,
        memory_bytes: Option<u64>,
        device: wgpu::Device,
        queue: wgpu::Queue,
        taken: bool,
    ) -> Self {
        let failure = Arc::new(Failure::default());
        if taken {
            let (on_error, on_lost) = (failure.clone(), failure.clone());
            device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| on_error.set(error.to_string())));
            device.set_device_lost_callback(move |reason, message| {
                on_lost.set_lost(format!("device lost ({reason:?}): {message}"));
            });
        }
        let staged = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("staged"),
            size: STAGED,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        Device {
            info,
            forms,
            buffer_bytes: device.limits().max_buffer_size,
            memory_bytes,
            binding_bytes: device.limits().max_storage_buffer_binding_size,
            device,
            queue,
            pool: Arc::default(),
            staged,
            pipelines: Mutex::default(),
            bind_groups: Mutex::default(),
            recording: Mutex::default(),
            failure,
            counters: Counters::default(),
        }
    }

    /// Remembers what went wrong; the next read says it. Until then nothing is recorded or sent, so that nothing is
    /// made of what is not there.
    pub(super) fn fail(&self, problem: String) {
        if !prepare::is_listing() {
            self.failure.set(problem);
        }
    }

    pub(super) fn counts(&self) -> Counts {
        let Counters { kernels, submissions, writes, reads } = &self.counters;
        let [kernels, submissions, writes, reads] =
            [kernels, submissions, writes, reads].map(|counter| counter.load(Relaxed));
        Counts { kernels, submissions, writes, reads }
    }

    pub(super) fn meter(&self) -> &Meter {
        &self.pool.meter
    }

    pub(super) fn buffer(&self, len: usize) -> GpuBuffer {
        self.take(len, false)
    }

    fn take<T>(&self, len: usize, for_queue: bool) -> Array<T> {
        if prepare::is_listing() {
            return Array::stand_in(&self.staged, len, false);
        }
        let (bytes, most) = (4 * len as u64, self.buffer_bytes);
        if bytes > most {
            self.fail(format!("an array of {bytes} bytes is needed, and this device's largest has {most}"));
        }
        if self.failure.is_set() {
            return Array::stand_in(&self.staged, len, true);
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
            self.fill(array, 0, bytemuck::cast_slice(data));
        }
        arrays
    }

    /// Arrays for [`Device::fill`].
    pub(super) fn unwritten<T>(&self, lens: &[usize]) -> Vec<Array<T>> {
        self.take_all(lens, true)
    }

    /// Writes bytes of an array from one of them on, a multiple of four, before anything that is recorded runs. Short
    /// ones go together.
    pub(super) fn fill<T>(&self, array: &Array<T>, from: u64, bytes: &[u8]) {
        if bytes.is_empty() || self.is_idle() {
            return;
        }
        let Binding { buffer, offset, .. } = array.storage();
        let mut recording = lock(&self.recording);
        if bytes.len() <= LONGEST_UPLOAD {
            if !recording.add(buffer, offset + from, bytes) {
                self.submit(&mut recording);
                recording.add(buffer, offset + from, bytes);
            }
            return;
        }
        self.write_buffer(buffer, offset + from, bytes);
        recording.written += bytes.len() as u64;
        if recording.written >= UNSENT {
            count(&self.counters.submissions);
            self.queue.submit([]);
            recording.written = 0;
        }
    }

    fn write_buffer(&self, buffer: &wgpu::Buffer, offset: u64, bytes: &[u8]) {
        count(&self.counters.writes);
        self.queue.write_buffer(buffer, offset, bytes);
    }

    /// Whether what is asked for is not done: the device has failed, or kernels are only listed.
    fn is_idle(&self) -> bool {
        self.failure.is_set() || prepare::is_listing()
    }

    fn take_all<T>(&self, lens: &[usize], for_queue: bool) -> Vec<Array<T>> {
        let mut runs: Vec<Vec<Range<usize>>> = Vec::new();
        for &len in lens {
            let follows =
                |&end: &usize| end.is_multiple_of(ALIGNMENT) && 4 * (end as u64 + len as u64) <= self.buffer_bytes;
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
            let Binding { buffer, offset, bytes, .. } = run.storage();
            self.record(|encoder| encoder.clear_buffer(buffer, offset, Some(bytes)));
        }
        arrays
    }

    /// Copies all of `from` to the start of `to`.
    pub(super) fn copy<T>(&self, from: &Array<T>, to: &Array<T>) {
        let (from, to) = (from.storage(), to.storage());
        if self.are_there(&[from, to]) {
            self.record(|encoder| {
                encoder.copy_buffer_to_buffer(from.buffer, from.offset, to.buffer, to.offset, from.bytes)
            });
        }
    }

    /// Whether arrays have what was recorded for them; else the device fails.
    fn are_there(&self, bindings: &[Binding<'_>]) -> bool {
        let lost = bindings.iter().any(|binding| binding.is_lost);
        if lost {
            self.fail("an array is used that was being made as the device failed; it must be made anew".into());
        }
        !lost
    }

    /// Records what is no kernel.
    pub(super) fn record(&self, what: impl FnOnce(&mut wgpu::CommandEncoder)) {
        if !self.is_idle() {
            what(lock(&self.recording).encoder(&self.device));
        }
    }

    /// Records one kernel: `bindings` in the order of the shader's, then its parameters as the last one.
    pub(super) fn run(&self, kernel: Kernel, bindings: &[Binding<'_>], parameters: &[u32], groups: [u32; 3]) {
        if prepare::list(&kernel, bindings.len()) || self.failure.is_set() || !self.are_there(bindings) {
            return;
        }
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
        count(&self.counters.kernels);
        if recording.kernels() == CAPACITY {
            self.submit(&mut recording);
        }
    }

    /// Whether a kernel's pipeline is there.
    pub(super) fn has_pipeline(&self, kernel: &Kernel) -> bool {
        lock(&self.pipelines).contains_key(kernel)
    }

    #[cfg(test)]
    pub(super) fn pipelines(&self) -> usize {
        lock(&self.pipelines).len()
    }

    pub(super) fn forget_pipeline(&self, kernel: &Kernel) {
        lock(&self.pipelines).remove(kernel);
    }

    pub(super) fn pipeline(&self, kernel: &Kernel, bindings: usize) -> Arc<Pipeline> {
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
        let made = Arc::new(Pipeline { pipeline, layout, epoch: self.pool.epoch() });
        pipelines.insert(kernel.clone(), made.clone());
        made
    }

    fn bind_group(&self, kernel: Kernel, pipeline: &Pipeline, bindings: &[Binding<'_>]) -> wgpu::BindGroup {
        let mut groups = lock(&self.bind_groups);
        if groups.len() >= KEPT_BIND_GROUPS {
            groups.clear();
        }
        // A whole buffer where it may be bound, so that arrays of nearly one length share the group.
        let range = |&Binding { buffer, offset, bytes, .. }: &Binding<'_>| {
            let whole = offset == 0 && buffer.size() <= self.binding_bytes;
            (buffer.clone(), offset, if whole { buffer.size() } else { bytes })
        };
        let ranges: Vec<BoundRange> = bindings.iter().map(range).collect();
        let make = |(_, ranges): &(Kernel, Vec<BoundRange>)| {
            let parameters = (self.staged.clone(), 0, PARAMETER_STRIDE as u64);
            let entries: Vec<_> = ranges.iter().chain([&parameters]).enumerate().map(bound).collect();
            let layout = &pipeline.layout;
            self.device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries })
        };
        groups.entry((kernel, ranges)).or_insert_with_key(make).clone()
    }

    fn submit(&self, recording: &mut Recording) {
        if self.is_idle() {
            return;
        }
        recording.encoder(&self.device);
        let Some(encoder) = recording.encoder.take() else { return };
        let before = recording.parameters.len();
        recording.parameters.append(&mut recording.uploaded);
        if !recording.parameters.is_empty() {
            self.write_buffer(&self.staged, 0, &recording.parameters);
        }
        let mut commands = Vec::with_capacity(2);
        if !recording.uploads.is_empty() {
            let mut copies = self.device.create_command_encoder(&Default::default());
            for Upload { buffer, offset, start, len } in recording.uploads.drain(..) {
                let from = (before + start) as u64;
                copies.copy_buffer_to_buffer(&self.staged, from, &buffer, offset, len as u64);
            }
            commands.push(copies.finish());
        }
        commands.push(encoder.finish());
        count(&self.counters.submissions);
        self.queue.submit(commands);
        recording.parameters.clear();
        recording.written = 0;
        self.pool.settle();
    }

    /// Sends what is recorded, where it is worth it.
    pub(super) fn flush(&self) {
        let mut recording = lock(&self.recording);
        if recording.kernels() >= WORTH {
            self.submit(&mut recording);
        }
    }

    /// Gives free storage back to the device, once nothing that runs there uses it.
    pub(super) fn trim(&self) {
        if prepare::is_listing() {
            return;
        }
        self.submit(&mut lock(&self.recording));
        // These keep buffers alive too.
        lock(&self.bind_groups).clear();
        self.pool.trim();
        // In the browser this does nothing, and need not.
        if let Err(error) = self.device.poll(wgpu::PollType::wait_indefinitely()) {
            self.fail(error.to_string());
        }
    }

    /// What went wrong since the last read; then it is as if nothing that was recorded since had been asked for.
    fn check(&self, epoch: Option<&AtomicBool>) -> Result<()> {
        if !self.failure.is_set() {
            return Ok(());
        }
        // Whether it is lost may still wait to be said.
        let _ = self.device.poll(wgpu::PollType::Poll);
        let mut recording = lock(&self.recording);
        let Recording { uploads, uploaded, .. } = std::mem::take(&mut *recording);
        for Upload { buffer, offset, start, len } in uploads {
            // What holds these may have been there before.
            self.write_buffer(&buffer, offset, &uploaded[start..start + len]);
        }
        lock(&self.bind_groups).clear();
        self.pool.fail(epoch);
        lock(&self.pipelines).retain(|_, pipeline| !pipeline.epoch.load(Relaxed));
        match self.failure.take() {
            Some(problem) => Err(self.failed(problem)),
            None => Ok(()),
        }
    }

    pub(super) fn failed(&self, problem: String) -> Error {
        Error::Device { device: self.info.name.clone(), problem }
    }

    /// Submits what is recorded, waits, and copies the numbers back.
    pub(super) async fn read<T: Pod>(&self, source: &Array<T>) -> Result<Vec<T>> {
        Ok(self.read_all(&[source]).await?.swap_remove(0))
    }

    /// The same of several arrays, waiting once for as many as one buffer holds.
    pub(super) async fn read_all<T: Pod>(&self, sources: &[&Array<T>]) -> Result<Vec<Vec<T>>> {
        if prepare::is_listing() {
            return Ok(sources.iter().map(|source| vec![T::zeroed(); source.len()]).collect());
        }
        let (mut out, mut rest) = (Vec::with_capacity(sources.len()), sources);
        self.check(None)?;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |source: &&&Array<T>| {
                bytes += 4 * source.len() as u64;
                bytes <= self.buffer_bytes
            };
            let (now, later) = rest.split_at(rest.iter().take_while(fits).count().max(1));
            out.extend(self.read_at_once(now).await?);
            rest = later;
        }
        Ok(out)
    }

    async fn read_at_once<T: Pod>(&self, sources: &[&Array<T>]) -> Result<Vec<Vec<T>>> {
        let bindings: Vec<Binding<'_>> = sources.iter().map(|source| source.storage()).collect();
        let size: u64 = bindings.iter().map(|binding| binding.bytes).sum();
        if size == 0 {
            return Ok(sources.iter().map(|_| Vec::new()).collect());
        }
        if usize::try_from(size).is_err() {
            self.fail(format!("{size} bytes are to be read, more than this program has addresses for"));
        }
        self.are_there(&bindings);
        self.check(None)?;
        count(&self.counters.reads);
        let target = Own(self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("read back"),
            size,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        }));
        let epoch = {
            let mut recording = lock(&self.recording);
            let encoder = recording.encoder(&self.device);
            let mut at = 0;
            for Binding { buffer, offset, bytes, .. } in bindings {
                encoder.copy_buffer_to_buffer(buffer, offset, &target.0, at, bytes);
                at += bytes;
            }
            self.submit(&mut recording);
            self.pool.next_epoch()
        };
        self.check(Some(&epoch))?;
        let (done, mapped) = super::oneshot::oneshot();
        target.0.map_async(wgpu::MapMode::Read, .., move |result| done.send(result.map_err(|e| e.to_string())));
        // Firefox looks for what is done when it is given something to do, and else ten times a second.
        #[cfg(target_arch = "wasm32")]
        {
            count(&self.counters.submissions);
            self.queue.submit([]);
        }
        // In the browser this does nothing, and the page's event loop resolves the mapping.
        if let Err(error) = self.device.poll(wgpu::PollType::wait_indefinitely()) {
            self.fail(error.to_string());
        }
        let result = if self.failure.is_set() { Ok(()) } else { mapped.await };
        if let (Err(problem), false) = (result, self.failure.is_set()) {
            // Nothing else ends the mapping of a buffer that is in order; a browser tells of the loss only afterwards.
            self.failure.set_lost(format!("device lost: {problem}"));
        }
        self.check(Some(&epoch))?;
        let view = target.0.get_mapped_range(..).map_err(|error| self.failed(error.to_string()))?;
        let mut rest: &[u8] = &view;
        let mut next = |source: &&Array<T>| {
            let (own, others) = rest.split_at(size_of::<T>() * source.len());
            rest = others;
            bytemuck::allocation::pod_collect_to_vec(own)
        };
        Ok(sources.iter().map(&mut next).collect())
    }
}

/// A buffer that is destroyed as it is dropped, which in a browser it is not by itself.
pub(super) struct Own(pub(super) wgpu::Buffer);

impl Drop for Own {
    fn drop(&mut self) {
        self.0.destroy();
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.staged.destroy();
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

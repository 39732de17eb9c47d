//! The device is chosen once, here; everything behind it is compiled for each backend.

use anyhow::{Context, Result};
use cream::DeviceChoice;
use cream::engine::gpu::{Gpu, adapters};
use cream::engine::{Backend, Cpu};
use pollster::block_on;

use crate::args::Global;
use crate::files::tell;
use crate::memory;

/// A verb that computes on a device.
pub(crate) trait Job {
    /// `global.device` is the device's own name, [`DeviceChoice::Cpu`] or [`DeviceChoice::Adapter`].
    fn run<B: Backend>(self, backend: B, global: &Global) -> Result<()>;
}

/// Runs a verb on the device that the flags ask for.
pub(crate) fn dispatch(global: &Global, job: impl Job + Send) -> Result<()> {
    let asked = global.device;
    // Asking the drivers takes a moment, and the CPU needs none.
    let adapters = if asked == DeviceChoice::Cpu { Vec::new() } else { block_on(adapters()) };
    let global = Global { device: asked.among(&adapters)?, ..*global };
    let DeviceChoice::Adapter(index) = global.device else {
        // On a thread of rayon's pool: a kernel called from outside it would wake the pool and wait, each time.
        let cpu = Cpu::new().with_budget(memory::budget(global.memory, memory::of_system())?);
        return rayon::scope(|_| job.run(cpu, &global));
    };
    let gpu = block_on(Gpu::new(index))
        .with_context(|| format!("--device {asked}: cannot open the device; --device cpu computes without it"))?;
    if !global.quiet {
        tell(&format!("{}: {}", global.device, gpu.name()));
    }
    // A part of the system's memory is no more than the system has left.
    let left = adapters[index].shares_memory.then(memory::of_system).flatten();
    let free = [gpu.memory_bytes(), left].into_iter().flatten().min();
    let budget = memory::budget(global.memory, free)?;
    job.run(gpu.with_budget(budget), &global)
}

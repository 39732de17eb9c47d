//! The device is chosen once, here; everything behind it is compiled for each backend.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use cream::engine::gpu::{AdapterInfo, Gpu, adapters};
use cream::engine::{Backend, Cpu};
use pollster::block_on;

use crate::args::Global;
use crate::files::tell;
use crate::memory;

/// What `--device` asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Device {
    /// The fastest real GPU, else the CPU.
    #[default]
    Auto,
    Cpu,
    /// The fastest real GPU.
    Gpu,
    /// One of [`adapters`]; a software one is taken in this way only.
    Adapter(usize),
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Device::Auto),
            "cpu" => Ok(Device::Cpu),
            "gpu" => Ok(Device::Gpu),
            _ => {
                let index = text.strip_prefix("gpu:").and_then(|index| index.parse().ok());
                index.map(Device::Adapter).ok_or_else(|| "expected cpu, gpu, gpu:N or auto".to_owned())
            }
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Auto => f.write_str("auto"),
            Device::Cpu => f.write_str("cpu"),
            Device::Gpu => f.write_str("gpu"),
            Device::Adapter(index) => write!(f, "gpu:{index}"),
        }
    }
}

impl Device {
    /// The same as one device: the CPU or an adapter.
    pub(crate) fn among(self, adapters: &[AdapterInfo]) -> Result<Device> {
        let real = adapters.iter().position(|adapter| !adapter.software).map(Device::Adapter);
        match self {
            Device::Auto => Ok(real.unwrap_or(Device::Cpu)),
            Device::Gpu => real.with_context(|| format!("--device gpu: no real GPU, {}", there_is(adapters))),
            Device::Adapter(index) if index >= adapters.len() => {
                bail!("--device {self}: no such adapter, {}", there_is(adapters))
            }
            Device::Cpu | Device::Adapter(_) => Ok(self),
        }
    }
}

fn there_is(adapters: &[AdapterInfo]) -> String {
    let name = |(index, adapter): (usize, &AdapterInfo)| format!("gpu:{index} ({}, {})", adapter.name, adapter.kind);
    let names: Vec<String> = adapters.iter().enumerate().map(name).collect();
    if names.is_empty() {
        "wgpu sees none; expected cpu or auto".into()
    } else {
        format!("expected {}", names.join(", "))
    }
}

/// A verb that computes on a device.
pub(crate) trait Job {
    /// `global.device` is the device's own name, [`Device::Cpu`] or [`Device::Adapter`].
    fn run<B: Backend>(self, backend: B, global: &Global) -> Result<()>;
}

/// Runs a verb on the device that the flags ask for.
pub(crate) fn dispatch(global: &Global, job: impl Job + Send) -> Result<()> {
    let asked = global.device;
    // Asking the drivers takes a moment, and the CPU needs none.
    let adapters = if asked == Device::Cpu { Vec::new() } else { block_on(adapters()) };
    let global = Global { device: asked.among(&adapters)?, ..*global };
    let Device::Adapter(index) = global.device else {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn adapters(software: &[bool]) -> Vec<AdapterInfo> {
        let adapter = |&software: &bool| AdapterInfo {
            name: "A".into(),
            kind: if software { "software" } else { "discrete" },
            software,
            shares_memory: software,
            forms: "",
            max_binding_bytes: 0,
        };
        software.iter().map(adapter).collect()
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in ["auto", "cpu", "gpu", "gpu:0", "gpu:12"] {
            assert_eq!(name.parse::<Device>().unwrap().to_string(), name);
        }
        for name in ["", "tpu", "gpu:", "gpu:x", "gpu:-1", "GPU", "cpu:0"] {
            assert!(name.parse::<Device>().is_err(), "{name}");
        }
    }

    #[test]
    fn software_is_taken_only_by_its_number() {
        let chosen = |device: Device, software: &[bool]| device.among(&adapters(software)).ok();
        assert_eq!(chosen(Device::Auto, &[]), Some(Device::Cpu));
        assert_eq!(chosen(Device::Auto, &[true]), Some(Device::Cpu));
        assert_eq!(chosen(Device::Auto, &[false, true]), Some(Device::Adapter(0)));
        assert_eq!(chosen(Device::Auto, &[true, false, false]), Some(Device::Adapter(1)));
        assert_eq!(chosen(Device::Cpu, &[false]), Some(Device::Cpu));
        assert_eq!(chosen(Device::Gpu, &[true, false]), Some(Device::Adapter(1)));
        assert_eq!(chosen(Device::Adapter(0), &[true]), Some(Device::Adapter(0)));
    }

    #[test]
    fn a_device_that_is_not_there_is_one_line_that_names_what_is() {
        let problem = |device: Device, software: &[bool]| device.among(&adapters(software)).unwrap_err().to_string();
        assert_eq!(problem(Device::Gpu, &[]), "--device gpu: no real GPU, wgpu sees none; expected cpu or auto");
        assert_eq!(problem(Device::Gpu, &[true]), "--device gpu: no real GPU, expected gpu:0 (A, software)");
        assert_eq!(
            problem(Device::Adapter(2), &[false, true]),
            "--device gpu:2: no such adapter, expected gpu:0 (A, discrete), gpu:1 (A, software)"
        );
    }
}

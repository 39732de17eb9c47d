//! Which device: by the name that a user gives it.

use std::fmt;
use std::str::FromStr;

use cream_engine::Cpu;
use cream_engine::gpu::{AdapterInfo, Gpu, adapters};

use crate::device::Device;
use crate::error::{Error, Result};

/// What a user asks for: `auto`, `cpu`, `gpu` or `gpu:N`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The fastest real GPU, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The fastest real GPU.
    Gpu,
    /// One of [`adapters`]; a software one is taken in this way only.
    Adapter(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "auto" => Ok(DeviceChoice::Auto),
            "cpu" => Ok(DeviceChoice::Cpu),
            "gpu" => Ok(DeviceChoice::Gpu),
            _ => {
                let index = text.strip_prefix("gpu:").and_then(|index| index.parse().ok());
                index.map(DeviceChoice::Adapter).ok_or_else(|| "expected cpu, gpu, gpu:N or auto".to_owned())
            }
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceChoice::Auto => f.write_str("auto"),
            DeviceChoice::Cpu => f.write_str("cpu"),
            DeviceChoice::Gpu => f.write_str("gpu"),
            DeviceChoice::Adapter(index) => write!(f, "gpu:{index}"),
        }
    }
}

impl DeviceChoice {
    /// The same as one device: the CPU or an adapter.
    ///
    /// # Errors
    /// There is no such adapter, or no real GPU.
    pub fn among(self, adapters: &[AdapterInfo]) -> Result<DeviceChoice> {
        let real = adapters.iter().position(|adapter| !adapter.software).map(DeviceChoice::Adapter);
        match self {
            DeviceChoice::Auto => Ok(real.unwrap_or(DeviceChoice::Cpu)),
            DeviceChoice::Gpu => real.ok_or_else(|| Error::setting("device", "gpu: no real GPU", there_is(adapters))),
            DeviceChoice::Adapter(index) if index >= adapters.len() => {
                Err(Error::setting("device", format!("{self}: no such adapter"), there_is(adapters)))
            }
            DeviceChoice::Cpu | DeviceChoice::Adapter(_) => Ok(self),
        }
    }
}

fn there_is(adapters: &[AdapterInfo]) -> String {
    let name = |(index, adapter): (usize, &AdapterInfo)| format!("gpu:{index} ({}, {})", adapter.name, adapter.kind);
    let names: Vec<String> = adapters.iter().enumerate().map(name).collect();
    if names.is_empty() { "cpu or auto, since wgpu sees no adapter".into() } else { names.join(", ") }
}

impl Device {
    /// Opens the device that is asked for.
    ///
    /// # Errors
    /// There is none such, or it cannot be opened.
    pub async fn open(choice: DeviceChoice) -> Result<Device> {
        // Asking the drivers takes a moment, and the CPU needs none.
        let adapters = if choice == DeviceChoice::Cpu { Vec::new() } else { adapters().await };
        match choice.among(&adapters)? {
            DeviceChoice::Adapter(index) => Ok(Device::Gpu(Gpu::new(index).await?)),
            _ => Ok(Device::Cpu(Cpu::new())),
        }
    }
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
            assert_eq!(name.parse::<DeviceChoice>().unwrap().to_string(), name);
        }
        for name in ["", "tpu", "gpu:", "gpu:x", "gpu:-1", "GPU", "cpu:0"] {
            assert!(name.parse::<DeviceChoice>().is_err(), "{name}");
        }
    }

    #[test]
    fn software_is_taken_only_by_its_number() {
        let chosen = |device: DeviceChoice, software: &[bool]| device.among(&adapters(software)).ok();
        assert_eq!(chosen(DeviceChoice::Auto, &[]), Some(DeviceChoice::Cpu));
        assert_eq!(chosen(DeviceChoice::Auto, &[true]), Some(DeviceChoice::Cpu));
        assert_eq!(chosen(DeviceChoice::Auto, &[false, true]), Some(DeviceChoice::Adapter(0)));
        assert_eq!(chosen(DeviceChoice::Auto, &[true, false, false]), Some(DeviceChoice::Adapter(1)));
        assert_eq!(chosen(DeviceChoice::Cpu, &[false]), Some(DeviceChoice::Cpu));
        assert_eq!(chosen(DeviceChoice::Gpu, &[true, false]), Some(DeviceChoice::Adapter(1)));
        assert_eq!(chosen(DeviceChoice::Adapter(0), &[true]), Some(DeviceChoice::Adapter(0)));
    }

    #[test]
    fn a_device_that_is_not_there_is_one_line_that_names_what_is() {
        let problem =
            |device: DeviceChoice, software: &[bool]| device.among(&adapters(software)).unwrap_err().to_string();
        assert_eq!(
            problem(DeviceChoice::Gpu, &[]),
            "device: gpu: no real GPU, expected cpu or auto, since wgpu sees no adapter"
        );
        assert_eq!(problem(DeviceChoice::Gpu, &[true]), "device: gpu: no real GPU, expected gpu:0 (A, software)");
        assert_eq!(
            problem(DeviceChoice::Adapter(2), &[false, true]),
            "device: gpu:2: no such adapter, expected gpu:0 (A, discrete), gpu:1 (A, software)"
        );
    }
}

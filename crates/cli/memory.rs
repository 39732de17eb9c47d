//! `--memory`: how much of a device's memory the work may take.

use std::fs;
use std::str::FromStr;

use anyhow::{Result, anyhow, bail};
use cream::engine::{Backend, Budget, Checkpoint, Outline};

/// What `--memory` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MemoryLimit {
    Auto,
    Bytes(u64),
}

impl FromStr for MemoryLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(MemoryLimit::Auto);
        }
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kb" => 1000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            _ => 0,
        };
        let bytes = digits.parse::<f64>().map_or(0.0, |number| number * f64::from(unit));
        if bytes >= 1.0 && bytes.is_finite() {
            Ok(MemoryLimit::Bytes(bytes as u64))
        } else {
            Err("expected auto or a size like 3GB, 500MiB or 4000000000".to_owned())
        }
    }
}

/// What may be taken of a device that has so many bytes, where it tells.
pub(crate) fn budget(limit: Option<MemoryLimit>, device: Option<u64>) -> Result<Budget> {
    match limit {
        None => Ok(Budget { bytes: device, adapt: false }),
        Some(MemoryLimit::Bytes(bytes)) => Ok(Budget { bytes: Some(bytes), adapt: false }),
        Some(MemoryLimit::Auto) if device.is_none() => {
            bail!("--memory auto: this device does not tell how much memory it has; expected a size like 3GB")
        }
        Some(MemoryLimit::Auto) => Ok(Budget { bytes: device, adapt: true }),
    }
}

/// Bytes that the system can give without swapping, where it tells (Linux).
pub(crate) fn of_system() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// Refuses a model of a shape that the device does not run, and one whose weights alone do not fit.
pub(crate) fn check_model<B: Backend>(backend: &B, checkpoint: &Checkpoint<'_>, trainable: bool) -> Result<()> {
    let refused = backend.check(&checkpoint.file, &checkpoint.config);
    refused.map_err(|error| anyhow!("{error}; --device cpu takes it"))?;
    let needed = Outline::unloaded(backend, checkpoint, trainable).weight_bytes();
    match backend.budget().bytes {
        Some(budget) if needed > budget => {
            let advice = if trainable {
                "an adapter (without --full) leaves them as the file stores them"
            } else {
                "a more quantised file of the model needs less"
            };
            bail!("{}: its weights need {needed} bytes of memory and {budget} may be taken; {advice}", checkpoint.file)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, bytes) in [("3GB", 3_000_000_000), ("1.5GiB", 3 << 29), ("500mib", 500 << 20), ("4096", 4096)] {
            assert_eq!(text.parse(), Ok(MemoryLimit::Bytes(bytes)), "{text}");
        }
        assert_eq!("auto".parse(), Ok(MemoryLimit::Auto));
        for text in ["", "GB", "-3GB", "3XB", "0", "nan", "inf", "1e999GB"] {
            assert!(text.parse::<MemoryLimit>().is_err(), "{text}");
        }
    }

    #[test]
    fn auto_needs_a_device_that_tells() {
        assert_eq!(budget(None, None).unwrap(), Budget { bytes: None, adapt: false });
        assert_eq!(budget(Some(MemoryLimit::Bytes(5)), Some(9)).unwrap(), Budget { bytes: Some(5), adapt: false });
        assert_eq!(budget(Some(MemoryLimit::Auto), Some(9)).unwrap(), Budget { bytes: Some(9), adapt: true });
        assert!(budget(Some(MemoryLimit::Auto), None).unwrap_err().to_string().contains("expected a size like 3GB"));
    }
}

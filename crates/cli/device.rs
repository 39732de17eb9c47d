//! The device is chosen once, here; everything behind it is compiled for each backend.

use anyhow::{Result, bail};
use cream::engine::{Backend, Cpu};

use crate::args::{Device, Global};

/// A verb that computes on a device.
pub(crate) trait Job {
    fn run<B: Backend>(self, backend: B, global: &Global) -> Result<()>;
}

/// Runs a verb on the device that the flags ask for.
pub(crate) fn dispatch(global: &Global, job: impl Job + Send) -> Result<()> {
    match global.device {
        // On a thread of rayon's pool: a kernel called from outside it would wake the pool and wait, each time.
        Device::Auto | Device::Cpu => rayon::scope(|_| job.run(Cpu::new(), global)),
        Device::Gpu => bail!("--device gpu: this build has no GPU backend; expected cpu or auto"),
    }
}

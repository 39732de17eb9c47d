//! `cargo xtask gpu-test`: everything that is worth doing where there is a real GPU.
//!
//! `cargo xtask test` makes do with a software one, which runs fewer rounds and measures nothing.

use anyhow::{Context, Result, bail};

use crate::test::step;

const CREAM: [&str; 7] = ["run", "--release", "--locked", "--quiet", "--package", "cream", "--"];

pub(crate) fn run() -> Result<()> {
    let listed = crate::cargo(&[&CREAM[..], &["devices", "--json"]].concat())
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    let devices = String::from_utf8_lossy(&listed.stdout);
    print!("{devices}");
    if !listed.status.success() {
        bail!("cream devices ended with {}", listed.status);
    }
    let real = |line: &str| line.contains("\"auto\":true") && line.contains("\"device\":\"gpu:");
    if !devices.lines().any(real) {
        bail!("no real GPU among these");
    }
    // Every test that needs one has `gpu` in its name, or in that of a module around it.
    step(&["test", "--release", "--workspace", "--locked", "--", "gpu"], &[("CREAM_REQUIRE_GPU", "1")])?;
    step(&[&CREAM[..], &["bench", "--json", "--device", "gpu"]].concat(), &[])
}

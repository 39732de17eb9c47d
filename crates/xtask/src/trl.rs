//! `cargo xtask trl`: the trainer for TRL beside TRL's own and ours, and our adapters in PEFT.

use std::process::Command;

use anyhow::{Context, Result};

use crate::wheel;

/// Some four gigabytes.
const PACKAGES: [&str; 6] = ["torch", "transformers", "datasets", "peft", "trl>=1.15,<2", "pytest"];

pub(crate) fn run() -> Result<()> {
    let wheel = wheel::run()?;
    let wheel = wheel.to_str().context("the wheel's path is not UTF-8")?;
    let place = crate::target()?.join("python-trl");
    let bin = wheel::environment(&place, &PACKAGES)?;
    wheel::environment(&place, &["--force-reinstall", "--no-deps", wheel])?;
    let mut python = Command::new(bin.join("python"));
    python.args(["-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/trl"]);
    crate::run(python.current_dir(crate::root()))
}

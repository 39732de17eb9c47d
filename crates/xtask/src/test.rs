//! `cargo xtask test`: what CI runs.
//!
//! Everything is built in release with one set of features, so that nothing compiles twice. A missing tool is a skip,
//! named at the end; where `CI` is set it is a failure.

use std::env;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

const BARE_METAL: &str = "thumbv7em-none-eabihf";
const WASM: &str = "wasm32-unknown-unknown";

pub(crate) fn run() -> Result<()> {
    let mut skipped = Vec::new();
    let mut have = |name: &str, got: Result<()>| match got {
        Ok(()) => Ok(true),
        Err(error) if env::var_os("CI").is_some() => Err(error.context(format!("CI needs {name}"))),
        Err(error) => {
            skipped.push(format!("{name}: {error:#}"));
            Ok(false)
        }
    };
    let bare_metal = have("cream-core for bare metal", target(BARE_METAL))?;
    let wasm = have("cream and engine for WebAssembly", target(WASM))?;
    have("tests on SmolLM2", crate::model::path().map(drop))?;
    have("tests in a browser", browser())?;

    step(&["fmt", "--all", "--check"], "")?;
    step(&["clippy", "--release", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"], "")?;
    if bare_metal {
        step(&["build", "--release", "--locked", "--package", "cream-core", "--target", BARE_METAL], "")?;
    }
    if wasm {
        let packages = ["--package", "cream-engine", "--package", "cream-method"];
        step(&[&["check", "--release", "--locked", "--target", WASM][..], &packages].concat(), "")?;
    }
    step(&["doc", "--release", "--workspace", "--no-deps", "--locked"], "-D warnings")?;
    step(&["test", "--release", "--workspace", "--locked"], "")?;
    for skip in skipped {
        println!("skipped: {skip}");
    }
    Ok(())
}

/// Chromium, which CI installs, and the package that drives it.
fn browser() -> Result<()> {
    if !Path::new("/usr/bin/chromium").exists() {
        if env::var_os("CI").is_none() {
            bail!("no /usr/bin/chromium (apt-get install chromium)");
        }
        let apt =
            |args: &[&str]| crate::run(Command::new("apt-get").args(args).env("DEBIAN_FRONTEND", "noninteractive"));
        apt(&["update"])?;
        apt(&["install", "--yes", "--no-install-recommends", "chromium", "fonts-dejavu-core"])?;
    }
    let folder = crate::root().join("tests/browser");
    crate::run(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(folder))
}

/// Adds a target to the toolchain if it is not there.
fn target(name: &str) -> Result<()> {
    let listed =
        Command::new("rustup").args(["target", "list", "--installed"]).output().context("cannot start rustup")?;
    if String::from_utf8_lossy(&listed.stdout).lines().any(|line| line == name) {
        return Ok(());
    }
    crate::run(Command::new("rustup").args(["target", "add", name]))
}

fn step(args: &[&str], rustdoc_flags: &str) -> Result<()> {
    let mut command = crate::cargo(args);
    if !rustdoc_flags.is_empty() {
        command.env("RUSTDOCFLAGS", rustdoc_flags);
    }
    println!("== {}", crate::words(&command));
    let start = Instant::now();
    let result = crate::run(&mut command);
    println!("== {:.0} s", start.elapsed().as_secs_f64());
    match result {
        Err(error) => bail!(error),
        Ok(()) => Ok(()),
    }
}

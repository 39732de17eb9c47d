//! `cargo xtask gpu-pack`: what gpu-test runs, for a machine with a GPU and without Rust.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The engine's tests, beside the programs of the same name as here.
pub(crate) const TESTS: &str = "engine-tests";

/// The programs that gpu-test runs, stripped, in a folder.
pub(crate) fn run(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let built = |args: &[&str]| -> Result<PathBuf> {
        let mut cargo = crate::cargo(&[args, &["--release", "--locked", "--message-format", "json"]].concat());
        let messages = said_by(cargo.stderr(Stdio::inherit()))?;
        let executable = |line| Some(str::split_once(line, "\"executable\":\"")?.1.split('"').next()?.to_owned());
        Ok(messages.lines().rev().find_map(executable).context("cargo built no program")?.into())
    };
    let programs = [
        ("xtask", built(&["build", "--package", "xtask"])?),
        ("cream", built(&["build", "--package", "cream-cli"])?),
        (TESTS, built(&["test", "--no-run", "--package", "cream-engine", "--features", "gpu", "--lib"])?),
    ];
    for (name, program) in programs {
        crate::run(Command::new("strip").arg("-o").arg(folder.join(name)).arg(program))?;
    }
    Ok(())
}

/// What a cargo prints to its end.
fn said_by(cargo: &mut Command) -> Result<String> {
    let output = cargo.output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("{} ended with {}", crate::words(cargo), output.status);
    }
    String::from_utf8(output.stdout).context("cargo printed what is not UTF-8")
}

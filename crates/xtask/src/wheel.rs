//! `cargo xtask wheel`: the Python package with the program in it, and its tests in an empty environment.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail};

use crate::test::step;

/// What builds it.
const TOOLS: [&str; 1] = ["maturin>=1.16,<2"];
/// What its tests need.
const TESTERS: [&str; 2] = ["pytest", "mypy"];

/// Python with environments, which CI installs.
pub(crate) fn python() -> Result<()> {
    let works = Command::new("python3").args(["-c", "import venv, ensurepip"]).output();
    if works.is_ok_and(|told| told.status.success()) {
        return Ok(());
    }
    crate::test::installed_in_ci("python3 with venv", &["python3", "python3-venv"])
}

/// Builds the program and the wheel, and returns where that is.
pub(crate) fn run() -> Result<PathBuf> {
    step(&["build", "--release", "--locked", "--package", "cream-cli"], &[])?;
    build()
}

/// Builds the wheel with the program that is there already, and returns where it is.
fn build() -> Result<PathBuf> {
    let (folder, target) = (crate::root().join("crates/python"), crate::target()?);
    // What pip puts on the PATH.
    let name = Path::new("cream").with_extension(env::consts::EXE_EXTENSION);
    let scripts = folder.join("cream_rl.data/scripts");
    fs::create_dir_all(&scripts).with_context(|| format!("cannot make {}", scripts.display()))?;
    fs::copy(target.join("release").join(&name), scripts.join(&name)).context("cannot copy the program")?;

    let wheels = target.join("wheels");
    let _ = fs::remove_dir_all(&wheels);
    let tools = environment(&target.join("python-tools"), &TOOLS)?;
    let mut maturin = Command::new(tools.join("maturin"));
    maturin.args(["build", "--release", "--locked", "--strip", "--quiet", "--out"]).arg(&wheels);
    crate::run(maturin.env("CARGO_TARGET_DIR", &target).current_dir(&folder))?;
    let wheel = fs::read_dir(&wheels).with_context(|| format!("cannot read {}", wheels.display()))?.next();
    let wheel = wheel.context("maturin made no wheel")??.path();
    println!("{}: {} bytes", wheel.display(), fs::metadata(&wheel)?.len());
    Ok(wheel)
}

/// Installs the wheel where there is nothing else, and tests it there: no compiler, no checkout on Python's path. The program is
/// the one that the tests before built: another set of packages would compile anew what it stands on.
pub(crate) fn test() -> Result<()> {
    let wheel = build()?;
    let place = crate::target()?.join("python-tests");
    let _ = fs::remove_dir_all(&place);
    let wheel = wheel.to_str().context("the wheel's path is not UTF-8")?;
    let bin = environment(&place, &[&[wheel][..], &TESTERS].concat())?;
    let program = Command::new(bin.join("cream")).arg("--version").env_remove("PATH").output();
    let program = program.context("the wheel has no program")?;
    if !program.status.success() {
        bail!("the wheel's program says {}", String::from_utf8_lossy(&program.stderr));
    }
    let python = |arguments: &[&str]| {
        let mut python = Command::new(bin.join("python"));
        crate::run(python.arg("-I").args(arguments).env_remove("PYTHONPATH").current_dir(crate::root()))
    };
    python(&["-m", "pytest", "-q", "-p", "no:cacheprovider", "crates/python/tests"])?;
    python(&["-m", "mypy", "--strict", "--no-incremental", "-p", "cream"])?;
    python(&["crates/python/tests/pairs_a_second.py"])
}

/// An environment with these packages, made where there is none; returns the folder of its programs.
pub(crate) fn environment(place: &Path, packages: &[&str]) -> Result<PathBuf> {
    let bin = place.join(if cfg!(windows) { "Scripts" } else { "bin" });
    if !bin.exists() {
        crate::run(Command::new("python3").args(["-m", "venv"]).arg(place))?;
    }
    let mut pip = Command::new(bin.join("python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages);
    crate::run(&mut pip)?;
    Ok(bin)
}

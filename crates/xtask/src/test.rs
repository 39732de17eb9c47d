//! `cargo xtask test`: what CI runs.
//!
//! Everything is built in release with one set of features, so that nothing compiles twice. A missing tool is a skip,
//! named at the end; where `CI` is set it is a failure.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use std::{env, fs, thread};

use anyhow::{Context, Result, bail};

use crate::web::WASM;

const BARE_METAL: &str = "thumbv7em-none-eabihf";

pub(crate) fn run() -> Result<()> {
    let in_ci = env::var_os("CI").is_some();
    let mut skipped = Vec::new();
    let mut have = |name: &str, got: Result<()>| match got {
        Ok(()) => Ok(true),
        Err(error) if in_ci => Err(error.context(format!("CI needs {name}"))),
        Err(error) => {
            skipped.push(format!("{name}: {error:#}"));
            Ok(false)
        }
    };
    let bare_metal = have("maths and C door for bare metal", target(BARE_METAL))?;
    let wasm = have("the packages for WebAssembly", target(WASM))?;
    let node = have("these under node", node())?;
    have("tests on SmolLM2", crate::model::path().map(drop))?;
    have("tests on a GPU or a software one", vulkan())?;
    let browser = have("tests in a browser", browser())?;
    have("SPIR-V by its validator", spirv_val())?;
    let c = have("the C door", crate::c::compiler())?;
    let python = have("the Python package", crate::wheel::python())?;

    step(&["fmt", "--all", "--check"], &[])?;
    step(&["clippy", "--release", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"], &[])?;
    crate::package::run()?;
    if bare_metal {
        let packages = ["--package", "cream-core", "--package", "cream-capi"];
        step(&[&["build", "--release", "--locked", "--target", BARE_METAL][..], &packages].concat(), &[])?;
    }
    if wasm {
        let packages = ["--package", "cream-web", "--package", "cream-web-core"];
        let lint = ["clippy", "--release", "--locked", "--target", WASM];
        step(&[&lint[..], &packages, &["--", "-D", "warnings"]].concat(), &[])?;
    }
    step(&["doc", "--release", "--workspace", "--no-deps", "--locked"], &[("RUSTDOCFLAGS", "-D warnings")])?;
    if c {
        crate::c::run()?;
    }
    crate::burn::run(bare_metal.then_some(BARE_METAL))?;
    let required: &[_] = if in_ci { &[("CREAM_REQUIRE_GPU", "1")] } else { &[] };
    let tests = ["test", "--release", "--workspace", "--locked"];
    step(&[&tests[..], &["--no-run"]].concat(), required)?;
    // Tests on a software GPU leave a core free.
    thread::scope(|scope| {
        let web = (wasm && node).then(|| scope.spawn(crate::web::make));
        step(&tests, required)?;
        web.map_or(Ok(()), |made| made.join().expect("it does not panic"))
    })?;
    if python {
        crate::wheel::test()?;
        llama_cpp()?;
    }
    if wasm && node {
        let program = program()?;
        let node = || {
            let mut command = Command::new("node");
            command.env("CREAM_PROGRAM", &program).current_dir(crate::root());
            command
        };
        let tests = node_tests()?;
        // WebGPU in software takes minutes, of one core.
        let on_gpu =
            browser.then(|| node().arg("tests/browser/gpu.mjs").spawn()).transpose().context("cannot start node")?;
        let mut others = vec![("tests/node", node().arg("--test").args(tests).status())];
        for test in ["tests/browser/page.mjs", "tests/browser/failures.mjs"].into_iter().filter(|_| browser) {
            others.push((test, node().arg(test).status()));
        }
        let on_gpu = on_gpu.map(|mut running| ("tests/browser/gpu.mjs", running.wait()));
        for (test, ended) in others.into_iter().chain(on_gpu) {
            if !ended.with_context(|| format!("cannot run {test}"))?.success() {
                bail!("{test} failed");
            }
        }
    }
    for skip in skipped {
        println!("skipped: {skip}");
    }
    Ok(())
}

/// The program that the tests built.
fn program() -> Result<PathBuf> {
    Ok(crate::target()?.join("release/cream").with_extension(env::consts::EXE_EXTENSION))
}

/// What the program exports, run by llama.cpp, and the example that drives its server.
fn llama_cpp() -> Result<()> {
    let bin = crate::wheel::environment(&crate::target()?.join("python-llama-cpp"), &["pytest", "xllamacpp"])?;
    let mut python = Command::new(bin.join("python"));
    python.args(["-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/llama_cpp"]);
    // Tests build examples, too.
    let example = crate::target()?.join("release/examples/server").with_extension(env::consts::EXE_EXTENSION);
    python.env("CREAM_PROGRAM", program()?).env("CREAM_SERVER_EXAMPLE", example);
    crate::run(python.env("CREAM_MODEL", crate::model::path()?).current_dir(crate::root()))
}

/// Chromium, which CI installs, and the package that drives it.
fn browser() -> Result<()> {
    if !Path::new("/usr/bin/chromium").exists() {
        installed_in_ci("/usr/bin/chromium", &["chromium", "fonts-dejavu-core"])?;
    }
    let folder = crate::root().join("tests/browser");
    crate::run(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(folder))
}

/// A node that has a test runner, and npm.
fn node() -> Result<()> {
    for program in ["node", "npm"] {
        let found = Command::new(program).arg("--version").output();
        found.with_context(|| format!("no {program} (apt-get install nodejs npm)"))?;
    }
    Ok(())
}

/// The tests of the npm package: tests/node/*.mjs.
fn node_tests() -> Result<Vec<PathBuf>> {
    let folder = crate::root().join("tests/node");
    let mut tests = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        tests.push(entry?.path());
    }
    tests.retain(|path| path.extension().is_some_and(|extension| extension == "mjs"));
    if tests.is_empty() {
        bail!("no tests in {}", folder.display());
    }
    Ok(tests)
}

/// Adds a target to the toolchain if it is not there.
pub(crate) fn target(name: &str) -> Result<()> {
    let listed =
        Command::new("rustup").args(["target", "list", "--installed"]).output().context("cannot start rustup")?;
    if String::from_utf8_lossy(&listed.stdout).lines().any(|line| line == name) {
        return Ok(());
    }
    crate::run(Command::new("rustup").args(["target", "add", name]))
}

/// Where Vulkan's loader finds drivers on Linux.
const DRIVERS: [&str; 3] = ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"];

/// A Vulkan driver for wgpu; CI installs Mesa's, which has one in software. Other systems bring Metal or DX12.
fn vulkan() -> Result<()> {
    let chosen = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"].iter().any(|name| env::var_os(name).is_some());
    let there = DRIVERS.iter().any(|folder| fs::read_dir(folder).is_ok_and(|mut files| files.next().is_some()));
    if !cfg!(target_os = "linux") || chosen || there {
        return Ok(());
    }
    if env::var_os("CI").is_none() {
        bail!("no Vulkan driver (apt-get install mesa-vulkan-drivers has one in software)");
    }
    install(&["libvulkan1", "mesa-vulkan-drivers"])
}

/// A validator of SPIR-V, which CI installs.
fn spirv_val() -> Result<()> {
    if Command::new("spirv-val").arg("--version").output().is_ok() {
        return Ok(());
    }
    installed_in_ci("spirv-val", &["spirv-tools"])
}

/// Installs what is missing in CI, and tells others how to.
pub(crate) fn installed_in_ci(what: &str, packages: &[&str]) -> Result<()> {
    if env::var_os("CI").is_none() {
        bail!("no {what} (apt-get install {})", packages.join(" "));
    }
    install(packages)
}

/// Installs Debian's packages.
fn install(packages: &[&str]) -> Result<()> {
    let apt = |args: &[&str]| crate::run(Command::new("apt-get").args(args).env("DEBIAN_FRONTEND", "noninteractive"));
    apt(&["update"])?;
    apt(&[&["install", "--yes", "--no-install-recommends"], packages].concat())
}

/// Runs cargo with these arguments and environment, and tells how long it took.
pub(crate) fn step(args: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    let mut command = crate::cargo(args);
    command.envs(environment.iter().copied());
    println!("== {}", crate::words(&command));
    let start = Instant::now();
    let result = crate::run(&mut command);
    println!("== {:.0} s", start.elapsed().as_secs_f64());
    result
}

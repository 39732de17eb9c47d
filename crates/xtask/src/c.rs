//! The C door: the library by cargo, programs of C by the system's compiler, as they are and under its sanitizers.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::test::step;

/// How the strictest of users compile.
const STRICT: [&str; 6] = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1"];
const SANITIZED: [&str; 3] = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g"];
/// What Rust's standard library needs beside libc.
const LIBRARIES: [&str; 4] = ["-lm", "-lpthread", "-ldl", "-lgcc_s"];

/// A C compiler with its sanitizers, which CI installs.
pub(crate) fn compiler() -> Result<()> {
    if Command::new("gcc").arg("--version").output().is_ok() {
        return Ok(());
    }
    crate::test::installed_in_ci("gcc", &["gcc", "libc6-dev"])
}

/// Compiles and runs the example and the test.
pub(crate) fn run() -> Result<()> {
    step(&["build", "--release", "--locked", "--package", "cream-capi"], &[])?;
    let target = crate::target()?;
    let (release, built) = (target.join("release"), target.join("c"));
    std::fs::create_dir_all(&built).with_context(|| format!("cannot make {}", built.display()))?;
    let cases = crate::root().join("tests/golden/doors.txt");
    for (source, arguments) in [("examples/c/pair.c", None), ("tests/c/doors.c", Some(&cases))] {
        for sanitized in [false, true] {
            let name = Path::new(source).file_stem().context("a source has a name")?;
            let program = built.join(name).with_extension(if sanitized { "sanitized" } else { "plain" });
            let mut compile = Command::new("gcc");
            compile.args(STRICT).args(SANITIZED.iter().filter(|_| sanitized));
            compile.arg("-I").arg(crate::root().join("crates/capi/include")).arg(crate::root().join(source));
            compile.arg(release.join("libcream_capi.a")).args(LIBRARIES).arg("-o").arg(&program);
            crate::run(&mut compile)?;
            crate::run(Command::new(&program).args(arguments))?;
        }
    }
    // The shared library, as an application finds it.
    let program = built.join("pair.shared");
    let mut compile = Command::new("gcc");
    compile.args(STRICT).arg("-I").arg(crate::root().join("crates/capi/include"));
    compile.arg(crate::root().join("examples/c/pair.c")).arg("-L").arg(&release).arg("-lcream_capi").arg("-o");
    crate::run(compile.arg(&program))?;
    let path = env::join_paths([&release]).context("the target folder's name has a colon")?;
    let told = Command::new(&program).env("LD_LIBRARY_PATH", path).output().context("cannot run the example")?;
    ensure!(told.status.success() && told.stdout.starts_with(b"cream-core "), "the example said {told:?}");
    Ok(())
}

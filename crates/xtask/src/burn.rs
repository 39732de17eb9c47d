//! The crate for Burn, which is outside the workspace: its lints, tests and example.

use anyhow::{Context, Result};

use crate::test::step;

/// All of it; for `bare_metal` too, if that target is there.
pub(crate) fn run(bare_metal: Option<&str>) -> Result<()> {
    let target = crate::target()?;
    let target = target.to_str().context("the target folder's path is not UTF-8")?;
    let cargo = |words: &[&str], flags: &[&str], last: &[&str], environment: &[(&str, &str)]| {
        let manifest = ["--manifest-path", "crates/burn/Cargo.toml"];
        let environment = [environment, &[("CARGO_TARGET_DIR", target)]].concat();
        step(&[words, &manifest, flags, last].concat(), &environment)
    };
    let built = ["--release", "--locked"];
    cargo(&["fmt"], &["--check"], &[], &[])?;
    cargo(&["clippy"], &built, &["--all-targets", "--", "-D", "warnings"], &[])?;
    cargo(&["test"], &built, &[], &[])?;
    cargo(&["run", "--example", "round"], &built, &[], &[])?;
    cargo(&["doc", "--no-deps"], &built, &[], &[("RUSTDOCFLAGS", "-D warnings")])?;
    if let Some(triple) = bare_metal {
        cargo(&["build"], &built, &["--target", triple], &[])?;
    }
    Ok(())
}

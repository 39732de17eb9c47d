//! The last steps before a release, without one: every package is packed, and what is in the tarballs is compiled.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::test::step;

/// `cargo package` verifies each tarball in a target folder of its own, where wgpu and all else is built anew. Unpacked
/// into one workspace with our lock file and profiles they are checked with what clippy has left in ours.
pub(crate) fn run() -> Result<()> {
    let target = crate::target()?;
    let (packed, unpacked) = (target.join("package"), target.join("unpacked"));
    for old in [&packed, &unpacked] {
        if old.exists() {
            fs::remove_dir_all(old).with_context(|| format!("cannot remove {}", old.display()))?;
        }
    }
    step(&["package", "--workspace", "--exclude", "xtask", "--no-verify", "--allow-dirty", "--quiet"], &[])?;
    fs::create_dir_all(&unpacked)?;
    let mut patches = String::new();
    for entry in fs::read_dir(&packed)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "crate") {
            continue;
        }
        // Cargo gives every file of a tarball one date, by which the next tarball's would look unchanged: m is for now.
        crate::run(Command::new("tar").arg("xzmf").arg(&path).current_dir(&unpacked))?;
        let folder = path.file_stem().and_then(|stem| stem.to_str()).context("a package's name is not UTF-8")?;
        let (name, _) = folder.rsplit_once('-').context("a package without a version")?;
        patches += &format!("{name} = {{ path = \"{folder}\" }}\n");
    }
    let manifest = read(&crate::root().join("Cargo.toml"))?;
    let (_, profiles) = manifest.split_once("\n[profile.").context("no profiles in Cargo.toml")?;
    let workspace = format!(
        "[workspace]\nmembers = [\"*\"]\nresolver = \"3\"\n\n[patch.crates-io]\n{patches}\n[profile.{profiles}"
    );
    fs::write(unpacked.join("Cargo.toml"), workspace)?;
    fs::write(unpacked.join("Cargo.lock"), read(&crate::root().join("Cargo.lock"))?)?;
    let manifest = unpacked.join("Cargo.toml");
    let manifest = manifest.to_str().context("the target folder's name is not UTF-8")?;
    let check = ["check", "--release", "--workspace", "--all-targets", "--offline", "--manifest-path", manifest];
    step(&check, &[])
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

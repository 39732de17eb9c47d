//! Ctrl-C: outputs are atomic and work under way is on disk, so leaving at once loses little.

use std::process;

use anyhow::{Context, Result};

/// Leaves with exit code 130 on Ctrl-C. Verbs that take up their own work again say so.
pub(crate) fn resumable() -> Result<()> {
    ctrlc::set_handler(|| {
        eprintln!("\ninterrupted; the same command resumes where this one stopped");
        process::exit(130);
    })
    .context("cannot handle Ctrl-C")
}

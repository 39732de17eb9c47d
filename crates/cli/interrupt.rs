//! Ctrl-C: outputs are atomic and work under way is on disk, so leaving at once loses little; what was started goes too.

use std::io;
use std::process::{self, Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

use crate::files::tell;

/// Leaves with exit code 130 on Ctrl-C. Verbs that take up their own work again say so.
pub(crate) fn resumable() -> Result<()> {
    ctrlc::set_handler(|| {
        end(GROUP.load(Ordering::SeqCst));
        tell("\ninterrupted; the same command resumes where this one stopped");
        process::exit(130);
    })
    .context("cannot handle Ctrl-C")
}

/// The group that runs for this program; 0 is none.
static GROUP: AtomicU32 = AtomicU32::new(0);

/// A program and all that it starts, which ends with this one on Ctrl-C. It has no terminal to read from.
pub(crate) struct Group(u32);

impl Group {
    /// Starts the first of them.
    pub(crate) fn start(command: &mut Command) -> io::Result<(Child, Group)> {
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(command, 0);
        let child = command.spawn()?;
        GROUP.store(child.id(), Ordering::SeqCst);
        let group = Group(child.id());
        Ok((child, group))
    }

    /// Asks all that still run to end.
    pub(crate) fn end(&self) {
        end(self.0);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        GROUP.store(0, Ordering::SeqCst);
    }
}

#[cfg(unix)]
fn end(group: u32) {
    use nix::sys::signal::{Signal, killpg};
    if let Ok(group @ 1..) = i32::try_from(group) {
        // There may be none left.
        let _ = killpg(nix::unistd::Pid::from_raw(group), Signal::SIGTERM);
    }
}

#[cfg(not(unix))]
fn end(_group: u32) {}

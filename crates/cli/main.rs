//! The program `cream`: reads flags, opens files, shows progress, and leaves the work to the libraries.
//!
//! One file a verb. What several verbs share: [`args`] (flags that become the libraries' options), [`device`], [`model`]
//! and [`hub`] (model files), [`date`], [`files`] and [`container`] (rows in), [`inputs`] and [`output`] (where results go,
//! never over what was read), [`progress`], [`timed`] and [`tensorboard`] (what is written of it),
//! [`interrupt`], [`drivers`]. There is no method and no maths here.

mod args;
mod bench;
mod compare;
mod container;
mod date;
mod demo;
mod device;
mod devices;
mod drivers;
mod eval;
mod export;
mod files;
mod generate;
mod hub;
mod import;
mod input;
mod inputs;
mod interrupt;
mod memory;
mod model;
mod output;
mod pair;
mod progress;
mod report;
mod reward;
mod run;
mod sample;
mod score;
mod settings;
mod sft;
mod tensorboard;
mod timed;
mod train;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Trains a language model on preferences of its own making, weighed by how consistent they are (CREAM, arXiv 2410.12735).
///
/// `cream run` does all of it. The other verbs are its stages, to be run apart or on other machines: sample, score
/// (three times), pair, train. They meet in JSONL files.
#[derive(Debug, Parser)]
#[command(
    name = "cream",
    version,
    after_help = "\
Examples:
  cream run --model HuggingFaceTB/SmolLM2-135M-Instruct --prompts prompts.jsonl --output RUN --iterations 2
  cream generate --model model.gguf --adapter RUN/iteration-2 \"Why is the sky blue?\"

Exit codes: 0 done, 1 failed (one line on stderr says why), 2 wrong usage, 130 interrupted."
)]
struct Cli {
    #[command(flatten)]
    global: args::Global,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Demo(demo::Args),
    Run(run::Args),
    Report(report::Args),
    Compare(compare::Args),
    Sft(sft::Args),
    Sample(sample::Args),
    Score(score::Args),
    Eval(eval::Args),
    Import(import::Args),
    Pair(pair::Args),
    Train(train::Args),
    Generate(generate::Args),
    Export(export::Args),
    Devices(devices::Args),
    Bench(bench::Args),
}

fn main() -> ExitCode {
    drivers::quieten();
    match work(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            files::tell(&format!("error: {}{}", one_line(&error), flag_that_helps(&error)));
            ExitCode::FAILURE
        }
    }
}

fn work(Cli { global, verb }: Cli) -> Result<()> {
    global.start_threads()?;
    match verb {
        Verb::Demo(args) => device::dispatch(&global, args),
        Verb::Run(args) => device::dispatch(&global, args),
        Verb::Report(args) => report::run(&args),
        Verb::Compare(args) => device::dispatch(&global, args),
        Verb::Sft(args) => device::dispatch(&global, args),
        Verb::Sample(args) => device::dispatch(&global, args),
        Verb::Score(args) => device::dispatch(&global, args),
        Verb::Eval(args) => device::dispatch(&global, args),
        Verb::Import(args) => import::run(&global, &args),
        Verb::Pair(args) => pair::run(&global, &args),
        Verb::Train(args) => device::dispatch(&global, args),
        Verb::Generate(args) => device::dispatch(&global, args),
        Verb::Export(args) => device::dispatch(&global, args),
        Verb::Devices(args) => devices::run(&args),
        Verb::Bench(args) => device::dispatch(&global, args),
    }
}

/// What the library cannot say, since it knows no flags.
fn flag_that_helps(error: &anyhow::Error) -> &'static str {
    match error.downcast_ref::<cream::Error>() {
        Some(cream::Error::Memory { fits: true, .. }) => ", and --memory auto chooses it",
        Some(cream::Error::Device { .. }) => ", with --memory auto in less memory",
        _ => "",
    }
}

/// The error and its causes, for scripts on one line; a cause that the words before it end with is not said again.
fn one_line(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    // Some libraries draw pictures in their messages.
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

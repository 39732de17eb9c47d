//! `cargo xtask bench`: ours beside what a user without a GPU would run instead, on one machine in one go.

use std::env;
use std::ffi::OsString;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result};

use crate::rows::{Row, rows};

/// Size of the iteration: small enough for torch on a few cores.
const ITERATION: [&str; 6] = ["--prompts", "16", "--completions", "5", "--new-tokens", "64"];

pub(crate) fn run(quick: bool) -> Result<()> {
    let python = env::var_os("CREAM_PYTHON");
    let threads = thread::available_parallelism().context("cannot count the cores")?.to_string();
    let quick: &[&str] = if quick { &["--quick"] } else { &[] };
    let model = crate::model::path()?;
    let peers = crate::root().join("crates/xtask/peers");

    let ours = |args: &[&str]| {
        let mut command =
            crate::cargo(&["run", "--release", "--quiet", "--package", "cream-cli", "--", "bench", "--json"]);
        rows(command.args(args).args(quick).args(["--threads", &threads]))
    };
    let theirs = |python: &OsString, script: &str| {
        let mut command = Command::new(python);
        command.arg(peers.join(script)).env("OMP_NUM_THREADS", &threads);
        command
    };
    let random_rows = ours(&ITERATION)?;
    let torch = match &python {
        Some(python) => {
            let mut command = theirs(python, "torch_cream.py");
            rows(command.args(["--device", "cpu", "--dtype", "f32"]).args(quick).args(ITERATION))?
        }
        None => Vec::new(),
    };
    let file = model.to_str().context("the cache folder's name is not UTF-8")?;
    // llama.cpp is asked to go on from "Hello 1": three tokens.
    let q4_rows = ours(&["--model", file, "--stages", "matmul,decode,score", "--decode-prompt-tokens", "3"])?;
    let llama = match &python {
        Some(python) => {
            let mut command = theirs(python, "llamacpp_cpu.py");
            rows(command.arg(&model).args(["--threads", &threads]))?
        }
        None => Vec::new(),
    };

    println!("Tokens a second on {threads} cores (iteration: seconds).\n");
    table("random weights, stored as bf16", &random_rows, "torch + transformers, f32", &torch);
    table("SmolLM2-135M-Instruct Q4_1", &q4_rows, "llama.cpp", &llama);
    if python.is_none() {
        println!("CREAM_PYTHON is not set: nothing to compare with.");
    }
    Ok(())
}

fn table(what: &str, ours: &[Row], them: &str, theirs: &[Row]) {
    println!("| {what} | cream | {them} | ratio | cream GFLOP/s | of its own product | cream peak MiB |");
    println!("|---|---|---|---|---|---|---|");
    let cell = |number: Option<f64>, digits: usize| number.map(|n| format!("{n:.digits$}")).unwrap_or_default();
    for row in ours.iter().filter(|row| row.rate().is_some()) {
        let title = row.title();
        let other = theirs.iter().find(|other| other.title() == title && other.rate().is_some());
        let ratio = other.and_then(|other| Some(row.rate()? / other.rate()?));
        println!(
            "| {} | {} | {} | {} | {} | {} | {} |",
            title.unwrap_or_default(),
            row.shown(),
            other.map(Row::shown).unwrap_or_default(),
            cell(ratio, 2),
            cell(row.number("gflops"), 1),
            cell(row.number("efficiency"), 2),
            cell(row.number("peak_mib"), 0),
        );
    }
    println!();
}

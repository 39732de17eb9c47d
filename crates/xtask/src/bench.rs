//! `cargo xtask bench`: ours beside what a user without a GPU would run instead, on one machine in one go.

use std::env;
use std::ffi::OsString;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, bail};

/// Size of the iteration: small enough for torch on a few cores.
const ITERATION: [&str; 6] = ["--prompts", "16", "--completions", "5", "--new-tokens", "64"];

/// One JSON object of a bench, flat.
struct Row(String);

impl Row {
    fn text(&self, key: &str) -> Option<&str> {
        let (_, rest) = self.0.split_once(&format!("\"{key}\":"))?;
        Some(rest.split([',', '}']).next()?.trim().trim_matches('"'))
    }

    fn number(&self, key: &str) -> Option<f64> {
        self.text(key)?.parse().ok()
    }

    /// What makes two programs' rows comparable.
    fn title(&self) -> Option<String> {
        let stage = self.text("stage")?;
        Some(match (stage, self.text("batch")) {
            ("decode", Some(batch)) => format!("decode, batch {batch}"),
            _ => stage.to_owned(),
        })
    }

    /// Tokens a second; an iteration's rate is the inverse of its seconds.
    fn rate(&self) -> Option<f64> {
        self.number("tokens_per_s").or_else(|| Some(1.0 / self.number("total_s")?))
    }

    fn shown(&self) -> String {
        match (self.number("total_s"), self.number("tokens_per_s")) {
            (Some(seconds), _) => format!("{seconds:.1} s"),
            (_, Some(rate)) if rate < 100.0 => format!("{rate:.1}"),
            (_, Some(rate)) => format!("{rate:.0}"),
            _ => String::new(),
        }
    }
}

pub(crate) fn run(quick: bool) -> Result<()> {
    let python = env::var_os("CREAM_PYTHON");
    let threads = thread::available_parallelism().context("cannot count the cores")?.to_string();
    let quick: &[&str] = if quick { &["--quick"] } else { &[] };
    let model = crate::model::path()?;
    let peers = crate::root().join("crates/xtask/peers");

    let ours = |args: &[&str]| {
        let mut command = crate::cargo(&["run", "--release", "--quiet", "--package", "cream", "--", "bench", "--json"]);
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

/// Runs a bench; its lines are shown as they are and kept.
fn rows(command: &mut Command) -> Result<Vec<Row>> {
    eprintln!("== {}", crate::words(command));
    let output = command.stderr(std::process::Stdio::inherit()).output()?;
    let text = String::from_utf8(output.stdout).context("a bench printed what is not UTF-8")?;
    eprint!("{text}");
    if !output.status.success() {
        bail!("{} ended with {}", crate::words(command), output.status);
    }
    Ok(text.lines().filter(|line| line.starts_with('{')).map(|line| Row(line.to_owned())).collect())
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

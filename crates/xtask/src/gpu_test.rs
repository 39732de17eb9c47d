//! `cargo xtask gpu-test`: everything that is worth doing where there is a real GPU.
//!
//! `cargo xtask test` makes do with a software one, which runs fewer rounds and measures nothing. Each stage is a process
//! of its own, so that its memory is its own and that one which fails takes no other with it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail};

use crate::gpu_pack::TESTS;
use crate::rows::{Row, rows};
use crate::test::step;

/// What must be reached on one H100: a row's title, its key, the most it may be, the unit.
const TARGETS: [(&str, &str, Option<f64>, &str); 8] = [
    ("decode, batch 1", "ms_per_step", Some(1.5), "ms a step"),
    ("decode, batch 16", "ms_per_step", None, "ms a step"),
    ("decode, batch 64", "ms_per_step", Some(2.5), "ms a step"),
    ("score", "ms", Some(20.0), "ms"),
    ("train_lora", "ms", Some(50.0), "ms"),
    ("train_lora", "peak_mib", Some(3e9 / 1048576.0), "MiB"),
    ("train_full", "ms", Some(88.0), "ms"),
    ("iteration", "total_s", Some(3.0), "s"),
];
/// How weights are stored, and the stages to measure so; weights that are trained are f32 always.
const STORAGES: [(&str, &[&str]); 2] = [
    ("bf16", &["matmul", "decode", "score", "train_lora", "iteration"]),
    ("f32", &["decode", "score", "train_lora", "train_full", "iteration"]),
];
const PARTS: [&str; 3] = ["bench", "kernels", "tests"];
/// A model of two blocks of width 64, of which a software GPU does a stage in seconds.
const TINY: [&str; 4] =
    ["tied/config.json", "tied/model.safetensors", "tiny/tokenizer.json", "tiny/tokenizer_config.json"];
const TINY_ITERATION: [&str; 8] = ["--prompts", "2", "--completions", "2", "--prompt-tokens", "8", "--new-tokens", "8"];

/// Whether cargo runs us, and so is there to build and run the rest; else all is beside us.
fn has_cargo() -> bool {
    env::var_os("CARGO").is_some()
}

fn beside_us(name: &str) -> Result<PathBuf> {
    Ok(env::current_exe().context("cannot tell where this program is")?.with_file_name(name))
}

fn cream(args: &[&str]) -> Result<Command> {
    let mut command = if has_cargo() {
        crate::cargo(&["run", "--release", "--locked", "--quiet", "--package", "cream-cli", "--"])
    } else {
        Command::new(beside_us("cream")?)
    };
    command.args(args);
    Ok(command)
}

pub(crate) fn run(words: &[&str]) -> Result<()> {
    let (flags, mut parts): (Vec<&str>, Vec<&str>) = words.iter().partition(|word| word.starts_with("--"));
    let unknown = flags.iter().find(|&&flag| flag != "--quick").or(parts.iter().find(|part| !PARTS.contains(part)));
    if let Some(unknown) = unknown {
        bail!("gpu-test {unknown}: expected --quick, {}", PARTS.join(", "));
    }
    let quick = !flags.is_empty();
    if parts.is_empty() {
        parts = PARTS.to_vec();
    }
    let device = device(quick)?;
    let tiny = env::temp_dir().join(format!("cream-gpu-test-{}", std::process::id()));
    let model = if quick { Some(tiny_model(&tiny)?) } else { None };
    let bench = Bench { device, model };
    let mut failed = Vec::new();
    for part in parts {
        match part {
            "bench" => bench.stages(&mut failed)?,
            "kernels" => bench.kernels(&mut failed)?,
            _ => failed.extend(tests(quick).err().map(|error| format!("{error:#}"))),
        }
    }
    if quick {
        fs::remove_dir_all(&tiny).with_context(|| format!("cannot remove {}", tiny.display()))?;
    }
    if failed.is_empty() { Ok(()) } else { bail!("{} failed:\n{}", failed.len(), failed.join("\n")) }
}

/// What `--device` calls the GPU: the one that auto takes; the first one where a software one will do.
fn device(quick: bool) -> Result<String> {
    let listed = rows(&mut cream(&["devices", "--json"])?)?;
    let real = |row: &&Row| row.text("auto") == Some("true");
    let mut gpus = listed.iter().filter(|row| row.text("device").is_some_and(|name| name.starts_with("gpu:")));
    let gpu = if quick { gpus.next() } else { gpus.find(real) };
    let name = gpu.and_then(|row| row.text("device")).context("no real GPU among these")?;
    Ok(name.to_owned())
}

/// A Hugging Face folder.
fn tiny_model(folder: &Path) -> Result<String> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for file in TINY {
        let (from, name) = (crate::root().join("tests/golden").join(file), Path::new(file).file_name());
        fs::copy(&from, folder.join(name.unwrap_or_default()))
            .with_context(|| format!("cannot copy {}", from.display()))?;
    }
    Ok(folder.to_str().context("the folder for temporary files has a name that is not UTF-8")?.to_owned())
}

/// `cream bench` on a device.
struct Bench {
    device: String,
    /// Instead of SmolLM2's shape.
    model: Option<String>,
}

impl Bench {
    fn rows(&self, stage: &str, storage: &str, failed: &mut Vec<String>) -> Result<Vec<Row>> {
        let mut command = cream(&["bench", "--json", "--device", &self.device, "--stages", stage])?;
        match &self.model {
            Some(model) => command.args(["--quick", "--model", model]).args(TINY_ITERATION),
            None => command.args(["--storage", storage]),
        };
        Ok(kept(rows(&mut command), failed))
    }

    fn stages(&self, failed: &mut Vec<String>) -> Result<()> {
        let python = env::var_os("CREAM_PYTHON");
        let [mut ours, mut torch] = [Vec::new(), Vec::new()];
        for (storage, stages) in STORAGES {
            let mut of_storage = Vec::new();
            for stage in stages {
                of_storage.extend(self.rows(stage, storage, failed)?);
            }
            ours.push(of_storage);
            torch.push(match &python {
                Some(python) => kept(rows(&mut self.torch(python, storage)), failed),
                None => Vec::new(),
            });
        }
        print_targets(&ours, &torch);
        if self.model.is_some() {
            println!("With a tiny model: the command was tried, and nothing measured.\n");
        }
        if python.is_none() {
            println!("CREAM_PYTHON is not set: no torch to compare with.\n");
        }
        Ok(())
    }

    fn torch(&self, python: &OsString, dtype: &str) -> Command {
        let mut command = Command::new(python);
        command.arg(crate::root().join("crates/xtask/peers/torch_cream.py")).args(["--dtype", dtype]);
        match self.model {
            Some(_) => command.args(["--device", "cpu", "--quick", "--skip-iteration"]),
            None => command.args(["--device", "cuda"]),
        };
        command
    }

    fn kernels(&self, failed: &mut Vec<String>) -> Result<()> {
        print_kernels(&self.rows("kernels", "bf16", failed)?);
        Ok(())
    }
}

/// The rows of a bench; one that fails is noted, and has none.
fn kept(rows: Result<Vec<Row>>, failed: &mut Vec<String>) -> Vec<Row> {
    rows.unwrap_or_else(|error| {
        eprintln!("{error:#}");
        failed.push(format!("{error:#}"));
        Vec::new()
    })
}

/// `ours` and `torch` by [`STORAGES`].
fn print_targets(ours: &[Vec<Row>], torch: &[Vec<Row>]) {
    println!(
        "\n| stage | cream bf16 | torch bf16 | cream f32 | torch f32 | target | reached |\n|---|---|---|---|---|---|---|"
    );
    for (title, key, target, unit) in TARGETS {
        let of = |rows: &[Row]| {
            let mut titled = rows.iter().filter(|row| row.title().as_deref() == Some(title));
            titled.find_map(|row| row.number(key))
        };
        let shown = |number: Option<f64>| number.map(|n| format!("{n:.2}")).unwrap_or_default();
        let cells = ours.iter().zip(torch).flat_map(|(ours, torch)| [shown(of(ours)), shown(of(torch))]);
        let reached =
            ours.iter().find_map(|ours| of(ours)).zip(target).map(|(got, most)| if got <= most { "yes" } else { "no" });
        let cells: Vec<String> = cells.chain([shown(target), reached.unwrap_or_default().to_owned()]).collect();
        println!("| {title}, {unit} | {} |", cells.join(" | "));
    }
    println!();
}

/// One line a kernel, for docs/kernels.md.
fn print_kernels(rows: &[Row]) {
    println!("\n| kernel | rows | predicted | measured |\n|---|---|---|---|");
    let mut names: Vec<&str> = Vec::new();
    for name in rows.iter().filter_map(|row| row.text("shape")) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    for name in names {
        let column = |key: &str| {
            let of_name = rows.iter().filter(|row| row.text("shape") == Some(name));
            let shown = of_name.map(|row| row.number(key).map_or("-".to_owned(), |n| format!("{n:.0}")));
            shown.collect::<Vec<_>>().join(" / ")
        };
        println!("| {name} | {} | {} µs | {} µs |", column("tokens"), column("predicted_us"), column("us"));
    }
    println!();
}

/// Every test that needs a GPU has `gpu` in its name, or in that of a module around it.
fn tests(quick: bool) -> Result<()> {
    let filter = if quick { "gpu::tests::rms_norm" } else { "gpu" };
    const REQUIRED: (&str, &str) = ("CREAM_REQUIRE_GPU", "1");
    if has_cargo() {
        return step(&["test", "--release", "--workspace", "--locked", "--", filter], &[REQUIRED]);
    }
    let mut tests = Command::new(beside_us(TESTS)?);
    crate::run(tests.arg(filter).envs([REQUIRED]).current_dir(crate::root().join("crates/engine")))
}

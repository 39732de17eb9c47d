//! `cream run`

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use cream::engine::{Backend, Llama};
use cream::{Directory, Progress, Prompt, RunConfig, RunInputs, SftRow, Tuning};
use pollster::block_on;

use crate::args::{Global, LoraFlags, PairFlags, PromptFlags, SampleFlags, TrainFlags, set};
use crate::device::Job;
use crate::files::{read_rows, say};
use crate::interrupt;
use crate::memory::check_weights;
use crate::model::ModelFiles;
use crate::progress::Shown;

/// The whole loop: sample, score, rank, pair, train, and again
///
/// Every stage leaves its file in RUN/iteration-N: completions.jsonl, scores-*.jsonl, pairs.jsonl, metrics.jsonl, and the
/// adapter (adapter_model.safetensors, adapter_config.json), so that each such folder is a PEFT folder. A run that was killed, at any moment, is taken up by the same command; on the CPU it ends with
/// the same files, bit for bit. Finished iterations stay: the same command with more --iterations goes on from them.
///
/// Settings come from --config, flags override them, and RUN/config.toml keeps the outcome. It lists every setting there
/// is, those without a flag too ([sft], [score], …).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cream run --model HuggingFaceTB/SmolLM2-135M-Instruct --prompts prompts.jsonl --output RUN --iterations 2
  cream run --model model.gguf --prompts prompts.jsonl --sft answers.jsonl --output RUN --config settings.toml --seed 1")]
pub(crate) struct Args {
    /// The initial model: a .gguf file, a Hugging Face folder, or a hub id (org/name or org/name@revision)
    #[arg(long, value_name = "MODEL")]
    model: String,
    /// Unlabelled prompts, JSONL: {"id", "prompt"} or {"id", "messages"}
    #[arg(long, value_name = "FILE")]
    prompts: PathBuf,
    /// Run folder: made, or taken up
    #[arg(long, value_name = "RUN")]
    output: PathBuf,
    /// Answers to imitate first (iteration 0), JSONL: {"messages"} or {"prompt", "completion"}
    #[arg(long, value_name = "FILE")]
    sft: Option<PathBuf>,
    /// Settings, TOML, as RUN/config.toml has them
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Rounds of preference training [default: 2]
    #[arg(long, value_name = "N")]
    iterations: Option<usize>,
    /// Seed of everything random [default: 0]
    #[arg(long)]
    seed: Option<u32>,
    /// Scale of rewards and loss [default: 0.1]
    #[arg(long)]
    beta: Option<f64>,
    #[command(flatten)]
    prompt: PromptFlags,
    #[command(flatten)]
    sample: SampleFlags,
    #[command(flatten)]
    pair: PairFlags,
    #[command(flatten)]
    train: TrainFlags,
    #[command(flatten)]
    lora: LoraFlags,
    /// Tokens computed at once in scoring and training; memory grows with it [default: 2048]
    #[arg(long, value_name = "TOKENS")]
    batch_tokens: Option<usize>,
    /// One JSON object for each iteration on stdout
    #[arg(long)]
    json: bool,
}

impl Args {
    fn settings(&self) -> Result<RunConfig> {
        let mut config = match &self.config {
            None => RunConfig::default(),
            Some(path) => {
                let name = path.display().to_string();
                let text = fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
                RunConfig::from_toml(&name, &text)?
            }
        };
        set(&mut config.iterations, self.iterations);
        set(&mut config.seed, self.seed);
        set(&mut config.beta, self.beta);
        config.raw |= self.prompt.raw;
        set(&mut config.max_prompt_tokens, self.prompt.max_prompt_tokens);
        self.sample.apply(&mut config.sample);
        self.pair.apply(&mut config.pair);
        self.train.apply(&mut config.train);
        self.lora.apply(&mut config.lora);
        if self.lora.full {
            config.tuning = Tuning::Full;
        }
        for option in [&mut config.score.batch_tokens, &mut config.train.batch_tokens, &mut config.sft.batch_tokens] {
            set(option, self.batch_tokens);
        }
        config.validate()?;
        Ok(config)
    }
}

impl Job for Args {
    fn run<B: Backend>(self, backend: B, global: &Global) -> Result<()> {
        interrupt::resumable()?;
        let config = self.settings()?;
        let prompts: Vec<Prompt> = read_rows(&self.prompts)?;
        let sft: Vec<SftRow> = self.sft.as_deref().map(read_rows).transpose()?.unwrap_or_default();
        let files = ModelFiles::open(&self.model)?;
        let (_, text) = files.parse()?;
        let fingerprint = files.fingerprint();
        let mut store = Directory::lock(&self.output)?;

        let mut initial = Some(files);
        let mut load = |folder: Option<&str>, trainable: bool| {
            let files = match (folder, initial.take()) {
                (Some(folder), _) => ModelFiles::open(&self.output.join(folder).display().to_string()),
                (None, Some(files)) => Ok(files),
                (None, None) => ModelFiles::open(&self.model),
            };
            let load = |files: ModelFiles| {
                let (checkpoint, _) = files.parse()?;
                check_weights(&backend, &checkpoint, trainable)?;
                Ok(Llama::new(backend.clone(), &checkpoint, trainable)?)
            };
            files.and_then(load).map_err(|error| cream::Error::Caller(error.into()))
        };
        let inputs = RunInputs {
            config: &config,
            prompts: &prompts,
            sft: &sft,
            text: &text,
            base_model: &self.model,
            fingerprint: &fingerprint,
            load: &mut load,
        };
        let mut progress = Shown::new(global);
        let summaries = block_on(cream::run(inputs, &mut store, &mut progress))?;
        for summary in &summaries {
            if self.json {
                say(&serde_json::to_string(summary)?)?;
            } else {
                progress.log(&describe(summary));
            }
        }
        Ok(())
    }
}

fn describe(summary: &cream::Summary) -> String {
    let mut text = format!("iteration {}:", summary.iteration);
    if let Some(report) = &summary.pairs {
        text += &format!(" {} pairs of {} prompts,", report.pairs, report.prompts);
        text += &report.mean_consistency.map(|c| format!(" consistency {c:.3},")).unwrap_or_default();
    }
    let train = &summary.training;
    text + &format!(" {} steps, loss {:.4} to {:.4}", train.steps, train.first_loss, train.last_loss)
}

//! `cream run`

use std::path::PathBuf;

use anyhow::Result;
use cream::engine::{Backend, Llama};
use cream::{Directory, External, Method, Progress, Prompt, RunInputs, SftRow};
use pollster::block_on;

use crate::args::{Global, named};
use crate::device::Job;
use crate::files::{read_rows, say};
use crate::interrupt;
use crate::model::ModelFiles;
use crate::progress::Shown;
use crate::reward::{self, RewardFlags};
use crate::settings::SettingsFlags;

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
    /// Method by name: cream, srlm, srlm-judge, oracle, sft-only; sets reward, level and loss, and refuses others
    #[arg(long, value_name = "METHOD", value_parser = named::<Method>)]
    method: Option<Method>,
    #[command(flatten)]
    settings: SettingsFlags,
    #[command(flatten)]
    reward: RewardFlags,
    /// One JSON object for each iteration on stdout
    #[arg(long)]
    json: bool,
}
impl Job for Args {
    fn run<B: Backend>(self, backend: B, global: &Global) -> Result<()> {
        interrupt::resumable()?;
        let config = self.settings.config(self.method)?;
        let command = self.reward.command(config.pair.reward)?;
        let mut external = command.map(reward::external);
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
            let load = |files: ModelFiles| Ok(Llama::new(backend.clone(), &files.parse()?.0, trainable)?);
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
            external: external.as_mut().map(|external| external as &mut External<'_>),
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

//! `cream run`

use std::path::PathBuf;

use anyhow::Result;
use cream::engine::Backend;
use cream::{Directory, External, Method, Progress, RunInputs};
use pollster::block_on;

use crate::args::{Global, Log, named};
use crate::date;
use crate::device::Job;
use crate::files::say;
use crate::input::{self, Input, InputFlags};
use crate::inputs::Made;
use crate::interrupt;
use crate::progress::Shown;
use crate::report;
use crate::reward::{self, RewardFlags};
use crate::settings::SettingsFlags;
use crate::tensorboard::Events;
use crate::timed::Timed;

/// The whole loop: sample, score, rank, pair, train, and again
///
/// Every stage leaves its file in RUN/iteration-N: completions.jsonl, scores-*.jsonl, pairs.jsonl, metrics.jsonl, and the
/// adapter (adapter_model.safetensors, adapter_config.json), so that each such folder is a PEFT folder. RUN/report.html shows it
/// all (see `cream report`), RUN/timings.json has time and memory. A run that was killed, at any moment, is taken up by the
/// same command; on the CPU it ends with the same files, bit for bit, but for these two. Finished iterations stay: the same command with more --iterations goes on from them.
///
/// The first round has a former self only after supervised fine-tuning (--sft): the model's rankings are then compared with
/// the initial model's. Without it nothing is measured in that round, and it is plain DPO on the initial model's mean
/// log-probability per token; --reward judge or external ranks by something else. Every round uses all prompts. What the
/// consistency does to a step of AdamW is in docs/method.md.
///
/// Settings come from --config, flags override them, and RUN/config.toml keeps the outcome. It lists every setting there
/// is, those without a flag too, such as those of its tables sft and score.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cream run --model HuggingFaceTB/SmolLM2-135M-Instruct --prompts prompts.jsonl --output RUN --iterations 2
  cream run --model model.gguf --prompts prompts.jsonl --sft answers.jsonl --output RUN --config settings.toml --seed 1
  cream run --model model.gguf --prompts prompts.jsonl --output RUN --method oracle --reward-command 'python rewards.py'")]
pub(crate) struct Args {
    #[command(flatten)]
    input: InputFlags,
    /// Run folder: made, or taken up
    #[arg(long, value_name = "RUN")]
    output: PathBuf,
    /// Method by name: cream, srlm, srlm-judge, oracle, sft-only; sets reward, level and loss, and refuses others
    #[arg(long, value_name = "METHOD", value_parser = named::<Method>)]
    method: Option<Method>,
    #[command(flatten)]
    settings: SettingsFlags,
    #[command(flatten)]
    reward: RewardFlags,
    /// Write metrics as TensorBoard event files too, beside each metrics.jsonl
    #[arg(long, value_name = "FORMAT", value_enum)]
    log: Option<Log>,
    /// One JSON object for each iteration on stdout
    #[arg(long)]
    json: bool,
}
impl Job for Args {
    fn run<B: Backend>(self, backend: B, global: &Global) -> Result<()> {
        interrupt::resumable()?;
        let others = self.settings.config.iter().map(|path| ("--config", path));
        self.input.check(others, &self.output, Made::Run)?;
        let mut config = self.settings.config(self.method)?;
        let command = self.reward.command(config.pair.reward)?;
        let mut external = command.map(reward::external);
        let mut input = self.input.read()?;
        let (checkpoint, mut text) = input.files.parse()?;
        let outlines = input::outlines(&backend, &checkpoint);
        let fingerprint = input.files.fingerprint();
        let mut store = Directory::lock(&self.output)?;
        let files_of_run = ["config.toml".to_owned()];
        date::set_for_run(&mut config, &mut text, &store, &files_of_run, &mut Shown::new(global))?;
        let encoder = config.encoder(&text, checkpoint.config.max_position_embeddings);
        input.keep(encoder, &config)?;
        let Input { prompts, sft, files, .. } = input;
        let mut load = input::loader(backend.clone(), &self.input.model, files, &self.output);
        let inputs = RunInputs {
            config: &config,
            prompts: &prompts,
            sft: &sft,
            text: &text,
            base_model: &self.input.model,
            fingerprint: &fingerprint,
            context: encoder.context,
            outlines: Some(&outlines),
            load: &mut load,
            external: external.as_mut().map(|external| external as &mut dyn External),
        };
        let shown = Events::new(Shown::new(global), self.log, &self.output)?;
        let mut progress = Timed::new(shown, &self.output, &self.input.model, backend.name())?;
        let summaries = block_on(cream::run(inputs, &mut store, &mut progress))?;
        store.write(report::FILE, report::page(&store)?.as_bytes())?;
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

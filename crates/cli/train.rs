//! `cream train`, and what it shares with `cream sft`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use cream::engine::{Adapter, Backend, Llama, LoraConfig};
use cream::{
    Directory, GivenPair, Output, Policy, PreferenceLoss, Progress, ScoreOptions, TrainOptions, TrainSummary, Trainee,
};
use pollster::block_on;

use crate::args::{Global, Log, LoraFlags, LossFlags, ModelArgs, PromptFlags, RowFlags, TrainFlags, set};
use crate::device::Job;
use crate::files::{Rows, say};
use crate::inputs::{Inputs, Made};
use crate::progress::Shown;
use crate::tensorboard::Events;
use crate::{interrupt, model};

/// Train on preference pairs with CREAM's loss, or DPO or IPO
///
/// Reads what `cream pair` writes, or {"prompt", "chosen", "rejected"} as TRL takes them, texts or lists of messages (a text
/// prompt is a user's turn, without --raw). The reference of the loss is in the pairs (ref_chosen_logps, ref_rejected_logps);
/// where it is not, it is the model before training. Pairs without "consistency" are trained on by plain DPO. Writes a
/// PEFT adapter (with --full a Hugging Face folder) and metrics.jsonl to the output folder. A killed call leaves its state
/// there; the same command takes it up. What a finished call has written there is replaced.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cream train --model model.gguf --pairs pairs.jsonl --output ADAPTER
  cream train --model model.gguf --adapter RUN/iteration-1 --pairs pairs.jsonl --output ADAPTER --learning-rate 5e-6")]
pub(crate) struct Args {
    /// Preference pairs, JSONL; - is standard input
    #[arg(long, value_name = "FILE")]
    pairs: PathBuf,
    #[command(flatten)]
    loss: LossFlags,
    #[command(flatten)]
    training: Training,
}

/// Flags of `train` and `sft`.
#[derive(Debug, clap::Args)]
pub(crate) struct Training {
    #[command(flatten)]
    model: ModelArgs,
    /// Folder to write
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    #[command(flatten)]
    train: TrainFlags,
    #[command(flatten)]
    lora: LoraFlags,
    #[command(flatten)]
    prompt: PromptFlags,
    #[command(flatten)]
    pub(crate) rows: RowFlags,
    /// Tokens computed at once; memory grows with it, the result does not change [default: 2048]
    #[arg(long, value_name = "TOKENS")]
    batch_tokens: Option<usize>,
    /// Seed of the order of the data and of a new adapter
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Write metrics as TensorBoard event files too, beside each metrics.jsonl
    #[arg(long, value_name = "FORMAT", value_enum)]
    log: Option<Log>,
    /// The summary as one JSON object on stdout
    #[arg(long)]
    json: bool,
}

impl Job for Args {
    fn run<B: Backend>(self, backend: B, global: &Global) -> Result<()> {
        self.training.check("--pairs", &self.pairs)?;
        let mut file = Rows::of(&self.pairs, self.training.rows.skip_bad);
        let mut pairs: Vec<(usize, GivenPair)> = file.read_numbered()?;
        let seed = self.training.seed;
        let mut loss = PreferenceLoss::default();
        self.loss.apply(&mut loss);
        self.training.run(&backend, global, async |trainee, options, output, progress| {
            let policy = Policy {
                model: &*trainee.model,
                adapter: trainee.adapter.as_deref(),
                encoder: trainee.encoder,
                fingerprint: trainee.fingerprint,
            };
            file.keep(&mut pairs, |(line, pair)| {
                let id = pair.id.clone().unwrap_or_else(|| format!("line {line}"));
                let both = [pair.chosen.clone(), pair.rejected.clone()];
                policy.encoder.group(&id, &pair.prompt, &both).map(drop)
            })?;
            let scoring = ScoreOptions { batch_tokens: options.batch_tokens, ..ScoreOptions::default() };
            let Output { store, name } = output;
            let reference = Output { store: &mut *store, name };
            let pairs = cream::complete_pairs(policy, pairs, &scoring, reference, progress).await?;
            Ok(cream::train(trainee, &pairs, &loss, options, seed, Output { store, name }, progress).await?)
        })
    }
}

impl Training {
    /// Refuses an output that is the data or the model, or is there for something else.
    pub(crate) fn check(&self, flag: &'static str, data: &PathBuf) -> Result<()> {
        Inputs::files([(flag, data)])?.with(&self.model).check_folder(&self.output, Made::Training)
    }

    /// Loads, trains as `work` says, saves.
    pub(crate) fn run<B: Backend>(
        &self,
        backend: &B,
        global: &Global,
        work: impl AsyncFnOnce(Trainee<'_, Llama<B>>, &TrainOptions, Output<'_>, &mut dyn Progress) -> Result<TrainSummary>,
    ) -> Result<()> {
        interrupt::resumable()?;
        let mut options = TrainOptions::default();
        self.train.apply(&mut options);
        set(&mut options.batch_tokens, self.batch_tokens);
        let mut loaded = model::load(backend, &self.model, self.prompt.date, self.lora.full)?;
        let mut adapter = self.adapter(backend, &mut loaded)?;
        let mut store = Directory::lock(&self.output)?;
        let mut progress = Events::new(Shown::new(global), self.log, &self.output)?;
        let encoder = self.prompt.encoder(&loaded.text, loaded.model.config());
        if let Some(dropout) = adapter.as_ref().map(Adapter::dropout).filter(|&dropout| dropout > 0.0) {
            progress.log(&format!("adapter_config.json: lora_dropout is {dropout}; training goes on without dropout"));
        }
        let trainee = Trainee {
            model: &mut loaded.model,
            adapter: adapter.as_mut(),
            encoder,
            fingerprint: &loaded.fingerprint,
            base_model: &self.model.model,
        };
        let output = Output { store: &mut store, name: "" };
        let summary = block_on(work(trainee, &options, output, &mut progress))?;
        let (steps, first, last) = (summary.steps, summary.first_loss, summary.last_loss);
        progress.log(&format!("{}: {steps} steps, loss {first:.4} to {last:.4}", self.output.display()));
        if self.json { say(&serde_json::to_string(&summary)?) } else { Ok(()) }
    }

    /// What to train: the adapter given, a new one, or none with `--full`.
    fn adapter<B: Backend>(&self, backend: &B, loaded: &mut model::Loaded<B>) -> Result<Option<Adapter<B>>> {
        match (loaded.adapter.take(), self.lora.full) {
            (Some(_), true) => bail!("--full with --adapter: merge it first (cream export), or leave one out"),
            (Some(_), _) if self.lora.shapes() => bail!("--lora-… with --adapter: the adapter keeps its own shape"),
            (Some(adapter), false) => Ok(Some(adapter)),
            (None, true) => Ok(None),
            (None, false) => {
                let mut config = LoraConfig::default();
                self.lora.apply(&mut config);
                Ok(Some(Adapter::new(backend, loaded.model.config(), config, self.seed)?))
            }
        }
    }
}

//! The settings of a run, from a file and from flags.

use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, Result};
use cream::{Method, PreferenceLoss, Progress, RunConfig, Tuning};

use crate::args::{JudgeFlags, LoraFlags, LossFlags, PairFlags, PromptFlags, SampleFlags, TrainFlags, set};
use crate::files::{name, open};

/// Flags of `run` and `compare`.
#[derive(Debug, clap::Args)]
pub(crate) struct SettingsFlags {
    /// Settings, TOML, as RUN/config.toml has them; - is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Rounds of preference training [default: 2]
    #[arg(long, value_name = "N")]
    iterations: Option<usize>,
    /// Seed of everything random [default: 0]
    #[arg(long)]
    seed: Option<u32>,
    #[command(flatten)]
    prompt: PromptFlags,
    #[command(flatten)]
    sample: SampleFlags,
    #[command(flatten)]
    pair: PairFlags,
    #[command(flatten)]
    judge: JudgeFlags,
    #[command(flatten)]
    loss: LossFlags,
    /// Earlier rounds whose pairs are trained on again [default: 0]
    #[arg(long, value_name = "ROUNDS")]
    replay: Option<usize>,
    #[command(flatten)]
    train: TrainFlags,
    #[command(flatten)]
    lora: LoraFlags,
    /// Tokens computed at once in scoring and training; memory grows with it [default: 2048]
    #[arg(long, value_name = "TOKENS")]
    batch_tokens: Option<usize>,
}

impl SettingsFlags {
    /// The file's settings, or a method's, with the flags' in their place.
    pub(crate) fn config(&self, method: Option<Method>) -> Result<RunConfig> {
        self.over(self.file(method)?)
    }

    /// The same for methods yet to come: that of the file is put aside, and told.
    pub(crate) fn config_without_method(&self, progress: &mut dyn Progress) -> Result<RunConfig> {
        let file = self.file(None)?;
        let (config, aside) = file.without_method()?;
        if let (Some(path), Some(method)) = (&self.config, file.method) {
            let also = if aside.is_empty() { String::new() } else { format!(", with its {}", aside.join(", ")) };
            progress.log(&format!("{}: the method {method} is put aside{also}", name(path)));
        }
        self.over(config)
    }

    fn file(&self, method: Option<Method>) -> Result<RunConfig> {
        let Some(path) = &self.config else { return Ok(method.map_or_else(RunConfig::default, Method::settings)) };
        let (name, mut text) = (name(path), String::new());
        open(path)?.read_to_string(&mut text).with_context(|| format!("cannot read {name}"))?;
        Ok(RunConfig::from_toml_as(method, &name, &text)?)
    }

    /// Settings with the flags' in their place.
    fn over(&self, mut config: RunConfig) -> Result<RunConfig> {
        set(&mut config.iterations, self.iterations);
        set(&mut config.seed, self.seed);
        let mut loss = config.preference_loss();
        self.loss.apply(&mut loss);
        PreferenceLoss { beta: config.beta, loss: config.loss, sft_weight: config.sft_weight } = loss;
        set(&mut config.replay, self.replay);
        config.raw |= self.prompt.raw;
        set(&mut config.max_prompt_tokens, self.prompt.max_prompt_tokens);
        config.date = self.prompt.date.or(config.date);
        self.sample.apply(&mut config.sample);
        self.pair.apply(&mut config.pair);
        self.judge.apply(&mut config.judge);
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

//! Flags that several verbs share, and how they override the libraries' options.
//!
//! A flag left out keeps the option's own default (or the config file's value), so every flag here is an `Option`.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result};
use clap::{ArgAction, ValueEnum};
use cream::core::Loss;
use cream::core::consistency::{Kind, Map};
use cream::engine::{Date, Dtype, Linear, LlamaConfig, LoraConfig, Text};
use cream::{
    Cut, DeviceChoice, Encoder, JudgeOptions, Level, PairOptions, PreferenceLoss, RejectedFrom, Reward, SampleOptions,
    TrainOptions, TrainReference,
};
use serde::de::DeserializeOwned;
use serde::de::value::{Error as ValueError, StrDeserializer};

use crate::memory::MemoryLimit;

/// Flags of every verb.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Global {
    /// Where to compute: auto takes the fastest real GPU, else the CPU; gpu:N one that `cream devices` lists
    #[arg(long, global = true, value_name = "cpu|gpu|gpu:N|auto", default_value_t)]
    pub(crate) device: DeviceChoice,
    /// Threads of the CPU [default: all cores]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) threads: Option<u16>,
    /// Most memory of the device to take, like 3GB; auto works in smaller pieces, with the same result up to rounding,
    /// where all that the device has is too little
    #[arg(long, global = true, value_name = "BYTES|auto")]
    pub(crate) memory: Option<MemoryLimit>,
    /// Say where memory goes
    #[arg(long, short, global = true, conflicts_with = "quiet")]
    pub(crate) verbose: bool,
    /// No progress on stderr
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

impl Global {
    pub(crate) fn start_threads(&self) -> Result<()> {
        let Some(threads) = self.threads else { return Ok(()) };
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads.into())
            .build_global()
            .with_context(|| format!("--threads {threads}: cannot start the threads"))
    }
}

/// Where metrics go besides metrics.jsonl.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Log {
    Tensorboard,
}

/// How floats are stored.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Storage {
    F32,
    F16,
    Bf16,
}

impl From<Storage> for Dtype {
    fn from(storage: Storage) -> Self {
        match storage {
            Storage::F32 => Dtype::F32,
            Storage::F16 => Dtype::F16,
            Storage::Bf16 => Dtype::BF16,
        }
    }
}

/// A model and what lies over it.
#[derive(Debug, clap::Args)]
pub(crate) struct ModelArgs {
    /// A .gguf file, a Hugging Face folder, or a hub id (org/name or org/name@revision)
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: String,
    /// A LoRA adapter over the model: a PEFT folder
    #[arg(long, value_name = "DIR")]
    pub(crate) adapter: Option<PathBuf>,
}

/// What becomes of rows that cannot be used.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct RowFlags {
    /// Pass over rows that cannot be read, or are too long for the model, and say how many there were
    #[arg(long)]
    pub(crate) skip_bad: bool,
}

/// How prompts become tokens.
#[derive(Debug, clap::Args)]
pub(crate) struct PromptFlags {
    /// Take prompts as plain text, without the model's chat template
    #[arg(long)]
    pub(crate) raw: bool,
    /// Longest prompt taken; a longer one is an error [default: 2048]
    #[arg(long, value_name = "TOKENS")]
    pub(crate) max_prompt_tokens: Option<usize>,
    /// The day that a chat template prints, where it prints one [default: today in UTC, or what a run began with]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = Date::from_str)]
    pub(crate) date: Option<Date>,
}

impl PromptFlags {
    pub(crate) fn encoder<'a>(&self, text: &'a Text, config: &LlamaConfig) -> Encoder<'a> {
        let max_prompt_tokens = self.max_prompt_tokens.unwrap_or(Encoder::MAX_PROMPT_TOKENS);
        Encoder { text, raw: self.raw, max_prompt_tokens, context: config.max_position_embeddings }
    }
}

/// How completions are sampled.
#[derive(Debug, clap::Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct SampleFlags {
    /// Completions for each prompt [default: 5]
    #[arg(long, short = 'n', value_name = "N")]
    pub(crate) completions: Option<usize>,
    /// Where a completion is cut off [default: 768]
    #[arg(long, value_name = "TOKENS")]
    pub(crate) max_new_tokens: Option<usize>,
    /// Divides the logits; 0 is greedy [default: 0.8]
    #[arg(long, value_name = "T")]
    pub(crate) temperature: Option<f32>,
    /// Keep the most probable tokens that together have this probability [default: 0.95]
    #[arg(long, value_name = "P")]
    pub(crate) top_p: Option<f32>,
    /// Keep the K most probable tokens; 0 keeps all [default: 0]
    #[arg(long, value_name = "K")]
    pub(crate) top_k: Option<u32>,
    /// Keep tokens with at least this share of the largest probability [default: 0]
    #[arg(long, value_name = "P")]
    pub(crate) min_p: Option<f32>,
    /// Divide the positive logits of tokens that are there already, multiply the negative ones; 1 is off [default: 1]
    #[arg(long, value_name = "PENALTY")]
    pub(crate) repetition_penalty: Option<f32>,
    /// Sequences decoded at once; memory grows with it [default: 64]
    #[arg(long, value_name = "N")]
    pub(crate) slots: Option<usize>,
}

impl SampleFlags {
    pub(crate) fn apply(&self, options: &mut SampleOptions) {
        set(&mut options.completions, self.completions);
        set(&mut options.max_new_tokens, self.max_new_tokens);
        set(&mut options.temperature, self.temperature);
        set(&mut options.top_p, self.top_p);
        set(&mut options.top_k, self.top_k);
        set(&mut options.min_p, self.min_p);
        set(&mut options.repetition_penalty, self.repetition_penalty);
        set(&mut options.slots, self.slots);
    }
}

/// How completions become pairs.
#[derive(Debug, clap::Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct PairFlags {
    /// What ranks: implicit, length-normalised, length-penalised:ALPHA, judge, external [default: implicit]
    #[arg(long, value_name = "REWARD", value_parser = Reward::from_str)]
    pub(crate) reward: Option<Reward>,
    /// Agreement of the two rankings: kendall, kendall-b, kendall-ordinal, spearman, top-order, … [default: kendall]
    #[arg(long, value_name = "KIND", value_parser = named::<Kind>)]
    pub(crate) consistency: Option<Kind>,
    /// Consistency of a pair: the mean over the set (mean), its prompt's (per-prompt), fixed:C, or 1 (off) [default: mean]
    #[arg(long, value_name = "LEVEL", value_parser = Level::from_str)]
    pub(crate) level: Option<Level>,
    /// From agreement to consistency: linear, clamped (at least 1/2), threshold:C (pairs below it dropped) [default: linear]
    #[arg(long, value_name = "MAP", value_parser = Map::from_str)]
    pub(crate) map: Option<Map>,
    /// Least difference of rewards for a pair to be made [default: 0]
    #[arg(long, value_name = "REWARD")]
    pub(crate) min_margin: Option<f64>,
    /// Completions that were cut at --max-new-tokens: ranked, but never chosen, since imitating them would teach the model not
    /// to end (rank), treated as those that ended (keep), or left out (drop) [default: rank]
    #[arg(long, value_name = "RULE", value_parser = named::<Cut>)]
    pub(crate) cut: Option<Cut>,
    /// Whose completions the rejected one comes from: current, or initial (temporal anchoring) [default: current]
    #[arg(long, value_name = "MODEL", value_parser = named::<RejectedFrom>)]
    pub(crate) rejected_from: Option<RejectedFrom>,
    /// Reference of training: the model at the start of the round, or initial [default: round]
    #[arg(long, value_name = "MODEL", value_parser = named::<TrainReference>)]
    pub(crate) train_reference: Option<TrainReference>,
}

impl PairFlags {
    pub(crate) fn apply(&self, options: &mut PairOptions) {
        set(&mut options.reward, self.reward);
        set(&mut options.consistency, self.consistency);
        set(&mut options.level, self.level);
        set(&mut options.map, self.map);
        set(&mut options.min_margin, self.min_margin);
        set(&mut options.cut, self.cut);
        set(&mut options.rejected_from, self.rejected_from);
        set(&mut options.train_reference, self.train_reference);
    }
}

/// What is minimised on pairs.
#[derive(Debug, clap::Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct LossFlags {
    /// Scale of rewards and loss: how fast the policy may leave its reference [default: 0.1]
    #[arg(long)]
    pub(crate) beta: Option<f64>,
    /// Loss on pairs: cream (DPO weighed by the consistency), dpo, ipo [default: cream]
    #[arg(long, value_name = "LOSS", value_parser = named::<Loss>)]
    pub(crate) loss: Option<Loss>,
    /// Weight of the chosen completion's negative log-likelihood per token, added to the loss [default: 0]
    #[arg(long, value_name = "WEIGHT")]
    pub(crate) sft_weight: Option<f64>,
}

impl LossFlags {
    pub(crate) fn apply(&self, loss: &mut PreferenceLoss) {
        set(&mut loss.beta, self.beta);
        set(&mut loss.loss, self.loss);
        set(&mut loss.sft_weight, self.sft_weight);
    }
}

/// How the model judges its own completions, with the reward `judge`.
#[derive(Debug, clap::Args)]
pub(crate) struct JudgeFlags {
    /// With --reward judge: judgements of each completion, averaged [default: 3]
    #[arg(long, value_name = "N")]
    pub(crate) judge_votes: Option<usize>,
    /// With --reward judge: where a judgement is cut off [default: 256]
    #[arg(long, value_name = "TOKENS")]
    pub(crate) judge_max_new_tokens: Option<usize>,
}

impl JudgeFlags {
    pub(crate) fn apply(&self, options: &mut JudgeOptions) {
        set(&mut options.votes, self.judge_votes);
        set(&mut options.max_new_tokens, self.judge_max_new_tokens);
    }
}

/// How a model is trained.
#[derive(Debug, clap::Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct TrainFlags {
    /// Times over the data [default: 1; sft: 5]
    #[arg(long, value_name = "N")]
    pub(crate) epochs: Option<usize>,
    /// Peak of the schedule (linear warm-up, cosine to 0) [default: 1e-5, with --full 1e-6; sft: 5e-5, 5e-6]
    #[arg(long, value_name = "LR")]
    pub(crate) learning_rate: Option<f32>,
    /// Share of the steps that warm up [default: 0.1]
    #[arg(long, value_name = "SHARE")]
    pub(crate) warmup_ratio: Option<f32>,
    /// Rows of data for each optimiser step [default: 8]
    #[arg(long, value_name = "N")]
    pub(crate) batch_size: Option<usize>,
    /// Steps between saved states; a killed training resumes from the last [default: 10]
    #[arg(long, value_name = "N")]
    pub(crate) save_steps: Option<usize>,
    /// Compute activations twice instead of keeping them: slower, in much less memory
    #[arg(long, num_args = 0, action = ArgAction::Set, default_missing_value = "true")]
    pub(crate) recompute: Option<bool>,
    /// AdamW's weight decay, of all but norms [default: 0.01]
    #[arg(long, value_name = "DECAY")]
    pub(crate) weight_decay: Option<f32>,
    /// Clip gradients at this norm; 0 never [default: 1]
    #[arg(long, value_name = "NORM")]
    pub(crate) max_grad_norm: Option<f32>,
}

impl TrainFlags {
    pub(crate) fn apply(&self, options: &mut TrainOptions) {
        options.epochs = self.epochs.or(options.epochs);
        options.learning_rate = self.learning_rate.or(options.learning_rate);
        set(&mut options.warmup_ratio, self.warmup_ratio);
        set(&mut options.batch_size, self.batch_size);
        set(&mut options.save_steps, self.save_steps);
        set(&mut options.recompute, self.recompute);
        set(&mut options.adamw.weight_decay, self.weight_decay);
        set(&mut options.adamw.max_grad_norm, self.max_grad_norm);
    }
}

/// What is trained: an adapter, or all weights.
#[derive(Debug, clap::Args)]
pub(crate) struct LoraFlags {
    /// Train all weights instead of an adapter; needs four times the model in f32
    #[arg(long, conflicts_with_all = ["lora_r", "lora_alpha", "target_modules"])]
    pub(crate) full: bool,
    /// Rank of the adapter [default: 16]
    #[arg(long, value_name = "R")]
    pub(crate) lora_r: Option<usize>,
    /// The adapter's product is scaled by alpha / rank [default: 32]
    #[arg(long, value_name = "ALPHA")]
    pub(crate) lora_alpha: Option<f32>,
    /// Linears that get an adapter, comma-separated: q_proj, k_proj, … [default: all seven]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = named::<Linear>)]
    pub(crate) target_modules: Option<Vec<Linear>>,
}

impl LoraFlags {
    /// Whether a flag asks for an adapter of a certain shape.
    pub(crate) fn shapes(&self) -> bool {
        self.lora_r.is_some() || self.lora_alpha.is_some() || self.target_modules.is_some()
    }

    pub(crate) fn apply(&self, config: &mut LoraConfig) {
        set(&mut config.r, self.lora_r);
        set(&mut config.lora_alpha, self.lora_alpha);
        set(&mut config.target_modules, self.target_modules.clone());
    }
}

/// Puts a flag's value where one was given.
pub(crate) fn set<T>(option: &mut T, flag: Option<T>) {
    if let Some(value) = flag {
        *option = value;
    }
}

/// A value by the name that config files use for it.
pub(crate) fn named<T: DeserializeOwned>(name: &str) -> Result<T, ValueError> {
    T::deserialize(StrDeserializer::new(name))
}

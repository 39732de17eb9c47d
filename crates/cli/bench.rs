//! `cream bench`: what is measured and how it is told; [`stages`] has the work itself.

mod flops;
mod kernels;
mod matmul;
mod stages;

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::ValueEnum;
use cream::core::philox::Stream;
use cream::engine::{Backend, Dtype, Linear, Llama, LlamaConfig};
use cream::{DeviceChoice, ModelFiles};
use serde::Serialize;

use crate::args::{Global, Storage};
use crate::device::Job;
use crate::files::say;

/// Measure this machine on a method's stages
///
/// matmul: the device's own product on the model's shapes. kernels: each kernel alone, many times in a row, by the
/// device's own clock where it has one, beside what docs/kernels.md predicts for an H100. decode: 128 prompt tokens, 64 new ones, batch 1, 16 and 64, the
/// prompts' time included. score: log-probs of all tokens of 8 sequences of 512. train_full, train_lora: one optimiser
/// step on 8 pairs of 64 + 192 tokens. iteration: sampling, scoring under three models, training.
///
/// Token ids are random; so are the weights (the shape of SmolLM2-135M), unless --model names a file. Medians of 5 runs
/// after 2 to warm up (--quick: 1 after 1, smaller shapes, two minutes on two cores); of matmul the fastest of many, of the iteration one. "tokens" counts a prompt once for each of its completions, as
/// programs that compute it so often do; here it is computed once. "gflops" counts the products that a stage cannot do
/// without, on the tokens it does compute, and nothing twice; "efficiency" divides it by the best rate of matmul.
/// "peak_mib" on the CPU is the process's peak of resident memory since the stage began (Linux), what earlier stages freed
/// and the allocator kept included; on a GPU the most that its buffers have held, those that earlier stages left for reuse
/// included. Name one stage for its own.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cream bench --json --quick
  cream bench --json --model model.gguf --stages matmul,score,decode --threads 2
  cream bench --stages iteration --prompts 16 --completions 5 --new-tokens 64")]
pub(crate) struct Args {
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Smaller shapes, fewer repeats
    #[arg(long)]
    quick: bool,
    /// A model's own weights in their stored format: a .gguf file, a folder, or a hub id [default: random weights]
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// How random weights are stored
    #[arg(long, value_enum, default_value_t = Storage::Bf16, conflicts_with = "model")]
    storage: Storage,
    /// Stages to run, comma-separated
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Stage::of_the_method())]
    stages: Vec<Stage>,
    /// Prompts of the iteration [default: 64, with --quick 8]
    #[arg(long, value_name = "N", value_parser = at_least_1())]
    prompts: Option<u32>,
    /// Completions of each of its prompts, at least 2 [default: 5, with --quick 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    completions: Option<u32>,
    /// Tokens of each of its prompts [default: 64, with --quick 32]
    #[arg(long, value_name = "N", value_parser = at_least_1())]
    prompt_tokens: Option<u32>,
    /// Tokens of each of its completions [default: 128, with --quick 16]
    #[arg(long, value_name = "N", value_parser = at_least_1())]
    new_tokens: Option<u32>,
    /// Prompt tokens of decode
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = at_least_1())]
    decode_prompt_tokens: u32,
}

fn at_least_1() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
enum Stage {
    Matmul,
    Kernels,
    Decode,
    Score,
    TrainFull,
    TrainLora,
    Iteration,
}

impl Stage {
    /// All but the kernels, which are for those who write them.
    fn of_the_method() -> Vec<Stage> {
        Stage::value_variants().iter().copied().filter(|&stage| stage != Stage::Kernels).collect()
    }
}

/// One line of output; the keys are those of the scripts in crates/xtask/peers.
#[derive(Debug, Clone, Default, Serialize)]
struct Row {
    #[serde(skip_serializing_if = "Option::is_none")]
    shape: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rank: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pairs: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ms_per_step: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gflops: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    efficiency: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompts: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completions: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_tokens: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sample_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    train_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    predicted_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_mib: Option<f64>,
}

/// A row with what every row has.
#[derive(Serialize)]
struct Line<'a> {
    system: &'static str,
    device: &'a str,
    dtype: &'a str,
    stage: Stage,
    #[serde(flatten)]
    row: &'a Row,
}

/// The bench under way.
struct Bench<B> {
    args: Args,
    /// As `--device` names it.
    device: String,
    on_cpu: bool,
    backend: B,
    files: Option<ModelFiles>,
    config: LlamaConfig,
    /// Name, shape `[D_out, D_in]` and format of the linears of a block, and of the head.
    weights: Vec<(&'static str, [usize; 2], Dtype)>,
    /// Format of most weights.
    dtype: String,
    /// Best rate of the device's product, once it is known.
    gflops: Option<f64>,
}

impl Job for Args {
    fn run<B: Backend>(self, backend: B, global: &Global) -> Result<()> {
        let files = self.model.as_deref().map(crate::model::open).transpose()?;
        let (config, weights) = match &files {
            Some(files) => {
                let (checkpoint, _) = files.parse()?;
                let dtype = |name: &str| checkpoint.tensors[name].dtype;
                let weights = weights(&checkpoint.config, dtype);
                (checkpoint.config.clone(), weights)
            }
            None => (smollm2_135m(), weights(&smollm2_135m(), |_| self.storage.into())),
        };
        let dtype = format!("{:?}", weights[0].2).to_lowercase();
        let (device, on_cpu) = (global.device.to_string(), global.device == DeviceChoice::Cpu);
        let mut bench = Bench { args: self, device, on_cpu, backend, files, config, weights, dtype, gflops: None };
        // In the order of the list, whatever the order of the flags: the ratios need matmul first.
        for &stage in Stage::value_variants() {
            if bench.args.stages.contains(&stage) {
                bench.stage(stage)?;
            }
        }
        Ok(())
    }
}

/// The linears of the first block and the head; `dtype` tells the format of a tensor by its name.
fn weights(config: &LlamaConfig, dtype: impl Fn(&str) -> Dtype) -> Vec<(&'static str, [usize; 2], Dtype)> {
    let name = |linear: Linear| match linear {
        Linear::QProj | Linear::KProj | Linear::VProj | Linear::OProj => format!("self_attn.{}", linear.name()),
        Linear::GateProj | Linear::UpProj | Linear::DownProj => format!("mlp.{}", linear.name()),
    };
    let of_block = |linear: Linear| dtype(&format!("model.layers.0.{}.weight", name(linear)));
    let mut weights = Linear::ALL.map(|linear| (linear.name(), linear.shape(config), of_block(linear))).to_vec();
    let head = if config.tie_word_embeddings { "model.embed_tokens.weight" } else { "lm_head.weight" };
    weights.push(("head", [config.vocab_size, config.hidden_size], dtype(head)));
    weights
}

impl<B: Backend> Bench<B> {
    fn stage(&mut self, stage: Stage) -> Result<()> {
        match stage {
            Stage::Matmul => self.matmul(),
            Stage::Kernels => self.kernels(),
            Stage::Decode => self.decode(),
            Stage::Score => self.score(),
            Stage::TrainFull => self.train(stage, None),
            Stage::TrainLora => self.train(stage, Some(stages::RANK)),
            Stage::Iteration => self.iteration(),
        }
    }

    fn model(&self, trainable: bool) -> Result<Llama<B>> {
        Ok(match &self.files {
            Some(files) => Llama::new(self.backend.clone(), &files.parse()?.0, trainable)?,
            None => {
                // Only f32 can be trained.
                let dtype = if trainable { Dtype::F32 } else { self.args.storage.into() };
                Llama::random(self.backend.clone(), self.config.clone(), dtype, 0)?
            }
        })
    }

    /// See the help.
    fn peak_mib(&self) -> Option<f64> {
        if self.on_cpu { peak_of_process() } else { Some(self.backend.meter().peak() as f64 / f64::from(1 << 20)) }
    }

    fn tell(&self, stage: Stage, row: &Row) -> Result<()> {
        // Weights that are trained are unpacked.
        let dtype = if stage == Stage::TrainFull { "f32" } else { &self.dtype };
        let line = Line { system: "cream", device: &self.device, dtype, stage, row };
        if self.args.json {
            return say(&serde_json::to_string(&line)?);
        }
        let serde_json::Value::Object(values) = serde_json::to_value(&line)? else { return Ok(()) };
        let hidden = ["system", "device", "dtype", "stage", "shape"];
        let shown = values.iter().filter(|(key, _)| !hidden.contains(&key.as_str()));
        let words = shown.map(|(key, value)| match value.as_f64().filter(|_| value.is_f64()) {
            Some(number) => format!("{key} {number:.2}"),
            None => format!("{key} {value}"),
        });
        let name = stage.to_possible_value().context("every stage has a name")?;
        let name = format!("{} {}", name.get_name(), row.shape.unwrap_or_default());
        say(&format!("{name:16} {}", words.collect::<Vec<_>>().join("  ")))
    }

    /// Median seconds of `work`.
    fn time(&self, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
        let (repeats, warm_ups) = if self.args.quick { (1, 1) } else { (5, 2) };
        for _ in 0..warm_ups {
            work()?;
        }
        let mut seconds = Vec::with_capacity(repeats);
        for _ in 0..repeats {
            let start = Instant::now();
            work()?;
            seconds.push(start.elapsed().as_secs_f64());
        }
        seconds.sort_by(f64::total_cmp);
        Ok(seconds[repeats / 2])
    }

    /// `len` token ids, different for each `sequence`; as in the scripts, from 3 on.
    fn tokens(&self, vocab_size: usize, sequence: u64, len: usize) -> Vec<u32> {
        (0..len as u32).map(|i| 3 + Stream::at(0, sequence, 0, i).random()[0] % (vocab_size as u32 - 3)).collect()
    }
}

fn smollm2_135m() -> LlamaConfig {
    LlamaConfig {
        vocab_size: 49152,
        hidden_size: 576,
        intermediate_size: 1536,
        num_hidden_layers: 30,
        num_attention_heads: 9,
        num_key_value_heads: 3,
        head_dim: 64,
        max_position_embeddings: 2048,
        rms_norm_eps: 1e-5,
        rope_theta: 1e5,
        rope_scaling: None,
        tie_word_embeddings: true,
    }
}

/// Peak of the process's resident memory since it was last reset, in MiB, where the system tells.
fn peak_of_process() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

/// Forgets the peak so far; where the system does not let us, the peak is that of all stages so far.
fn reset_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

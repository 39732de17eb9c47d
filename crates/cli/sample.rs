//! `cream sample`

use std::path::PathBuf;

use anyhow::Result;
use cream::engine::Backend;
use cream::{Progress, Prompt, SampleOptions, Shard};
use pollster::block_on;

use crate::args::{Global, ModelArgs, PromptFlags, RowFlags, SampleFlags};
use crate::device::Job;
use crate::files::Rows;
use crate::inputs::Inputs;
use crate::model;
use crate::output::Place;
use crate::progress::Shown;

/// Sample completions of every prompt
///
/// Reads {"id", "prompt"} or {"id", "messages": [{"role", "content"}, …]}, writes {"id", "prompt", "completions"}, one JSON
/// object a line. A killed call leaves its work beside the output; the same command takes it up. An output that is
/// there already is replaced when the new one is whole. Same seed, same file, in any order and in any shard.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cream sample --model model.gguf --prompts p.jsonl --output c.jsonl -n 5 --max-new-tokens 64 --temperature 0.8 --top-p 0.95 --seed 0
  cream sample --model model.gguf --prompts p.jsonl --output c-1.jsonl --shard 1/4    # prompts 1, 5, 9, …: one machine of four")]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Prompts, JSONL; - is standard input
    #[arg(long, value_name = "FILE")]
    prompts: PathBuf,
    /// Completions, JSONL; - is standard output
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    sample: SampleFlags,
    #[command(flatten)]
    prompt: PromptFlags,
    #[command(flatten)]
    rows: RowFlags,
    /// Seed of the sampling
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Only every n-th prompt, from the i-th on, i from 0
    #[arg(long, value_name = "i/n")]
    shard: Option<Shard>,
}

impl Job for Args {
    fn run<B: Backend>(self, backend: B, global: &Global) -> Result<()> {
        let inputs = Inputs::files([("--prompts", &self.prompts)])?.with(&self.model);
        let mut place = Place::open(&self.output, &inputs)?;
        place.handle_interrupts()?;
        let mut rows = Rows::of(&self.prompts, self.rows.skip_bad);
        let mut prompts: Vec<Prompt> = rows.read()?;
        if let Some(shard) = &self.shard {
            prompts = shard.select(&prompts);
        }
        let mut options = SampleOptions::default();
        self.sample.apply(&mut options);
        let loaded = model::load(&backend, &self.model, self.prompt.date, false)?;
        let policy = loaded.policy(&self.prompt);
        let new = options.max_new_tokens;
        rows.keep(&mut prompts, |row| policy.encoder.prompt_before(&row.id, &row.prompt, new).map(drop))?;
        let mut progress = Shown::new(global);
        let output = place.output();
        let rows = block_on(cream::sample(policy, &prompts, &options, self.seed, output, &mut progress))?;
        let completions: usize = rows.iter().map(|row| row.completions.len()).sum();
        progress.log(&format!("{place}: {completions} completions of {} prompts", rows.len()));
        Ok(())
    }
}

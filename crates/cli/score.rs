//! `cream score`

use std::path::PathBuf;

use anyhow::Result;
use cream::engine::Backend;
use cream::{Completions, Progress, ScoreOptions, Shard};
use pollster::block_on;

use crate::args::{Global, ModelArgs, PromptFlags, RowFlags, set};
use crate::device::Job;
use crate::files::Rows;
use crate::inputs::Inputs;
use crate::model;
use crate::output::Place;
use crate::progress::Shown;

/// Log-probabilities of completions under a model
///
/// Reads {"id", "prompt" or "messages", "completions"}, adds "logps" (sum over a completion's tokens, the end of turn
/// among them) and "tokens" (how many those are). A killed call leaves its work beside the output; the same command takes it
/// up. An output that is there already is replaced when the new one is whole.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cream score --model model.gguf --input c.jsonl --output reference.jsonl
  cream score --model model.gguf --adapter RUN/iteration-1 --input c.jsonl --output current.jsonl")]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Completions, JSONL; - is standard input
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Scores, JSONL; - is standard output
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    prompt: PromptFlags,
    #[command(flatten)]
    rows: RowFlags,
    /// Tokens computed at once; memory grows with it [default: 2048]
    #[arg(long, value_name = "TOKENS")]
    batch_tokens: Option<usize>,
    /// Only every n-th row, from the i-th on, i from 0
    #[arg(long, value_name = "i/n")]
    shard: Option<Shard>,
}

impl Job for Args {
    fn run<B: Backend>(self, backend: B, global: &Global) -> Result<()> {
        let inputs = Inputs::files([("--input", &self.input)])?.with(&self.model);
        let mut place = Place::open(&self.output, &inputs)?;
        place.handle_interrupts()?;
        let mut file = Rows::of(&self.input, self.rows.skip_bad);
        let mut rows: Vec<Completions> = file.read()?;
        if let Some(shard) = &self.shard {
            rows = shard.select(&rows);
        }
        let mut options = ScoreOptions::default();
        set(&mut options.batch_tokens, self.batch_tokens);
        let loaded = model::load(&backend, &self.model, self.prompt.date, false)?;
        let policy = loaded.policy(&self.prompt);
        file.keep(&mut rows, |row| policy.encoder.group(&row.id, &row.prompt, &row.completions).map(drop))?;
        let mut progress = Shown::new(global);
        let output = place.output();
        let scores = block_on(cream::score(policy, &rows, &options, output, &mut progress))?;
        let tokens: usize = scores.iter().flat_map(|row| &row.tokens).sum();
        progress.log(&format!("{place}: {} prompts, {tokens} completion tokens", scores.len()));
        Ok(())
    }
}

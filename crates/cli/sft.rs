//! `cream sft`

use std::path::PathBuf;

use anyhow::Result;
use cream::SftRow;
use cream::engine::Backend;

use crate::args::Global;
use crate::device::Job;
use crate::files::Rows;
use crate::train::Training;

/// Supervised fine-tuning: imitate given answers
///
/// Reads {"messages": […, {"role": "assistant", "content"}]} or {"prompt", "completion"}; only the answer's tokens count.
/// Writes what `cream train` writes, and resumes as it does.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cream sft --model model.gguf --data answers.jsonl --output ADAPTER --epochs 3")]
pub(crate) struct Args {
    /// Prompts with their answers, JSONL; - is standard input
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    #[command(flatten)]
    training: Training,
}

impl Job for Args {
    fn run<B: Backend>(self, backend: B, global: &Global) -> Result<()> {
        self.training.check("--data", &self.data)?;
        let mut file = Rows::of(&self.data, self.training.rows.skip_bad);
        let mut rows: Vec<SftRow> = file.read()?;
        let seed = self.training.seed;
        self.training.run(&backend, global, async |trainee, options, output, progress| {
            let encoder = trainee.encoder;
            file.keep(&mut rows, |row| encoder.group("row", &row.prompt, &[row.completion.as_str().into()]).map(drop))?;
            Ok(cream::sft(trainee, &rows, options, seed, output, progress).await?)
        })
    }
}

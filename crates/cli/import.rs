//! `cream import`

mod container;
mod source;

use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;
use cream::{Error, Progress, Store};

use crate::args::Global;
use crate::files::{BadLines, place};
use crate::progress::Shown;
use source::{Imported, Source};

/// Turn data sets as others write them into the files that the other verbs read
///
/// Reads JSON lines, a JSON array or parquet, known by their contents, in these shapes: "question", "choices" (texts, or
/// "text" with "label") and "answerKey" or "answer"; "question" and "answer"; "prompt", "chosen" and "rejected", also as lists
/// of messages; "messages"; "prompt" and "completion"; Alpaca ("instruction", "input", "output"); ShareGPT ("conversations" of
/// "from" and "value"). Rows without an id are called by the file and their number. Errors name the line; in an array
/// or in parquet that is the row.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cream import --input ARC-Easy/test.parquet --output arc-easy.jsonl              # for eval --task
  cream import --input alpaca_data.json --output sft.jsonl                        # for sft, or run --sft
  cream import --input sharegpt.jsonl --output prompts.jsonl --as prompts         # for run, or sample")]
pub(crate) struct Args {
    /// What others wrote
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// What is made of it, JSONL
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// What to make [default: task where the first row has a right answer or a preference, sft where it has an answer to
    /// imitate, else prompts]
    #[arg(long = "as", value_enum, value_name = "KIND")]
    target: Option<Target>,
    /// Pass over bad rows, and say how many there were
    #[arg(long)]
    skip_bad: bool,
}

/// What rows are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Target {
    /// Prompts to answer: of multiple choice the question with lettered choices
    Prompts,
    /// Answers to imitate: the last turn of a conversation, the chosen completion, the right answer
    Sft,
    /// A task for `eval`
    Task,
}

pub(crate) fn run(global: &Global, args: &Args) -> Result<()> {
    let (file, stem) = (args.input.display().to_string(), args.input.file_stem().unwrap_or_default().to_string_lossy());
    let (mut store, name) = place(&args.output)?;
    let mut bad = BadLines::new(args.skip_bad);
    let lines = container::lines(&args.input)?;
    let sources = cream::read_numbered::<Source>(&file, lines, &mut |error| bad.meet(error))?;
    let target = args.target.unwrap_or_else(|| sources[0].1.suits());
    let mut rows: Vec<Imported> = Vec::with_capacity(sources.len());
    for (line, source) in sources {
        match source.into_row(target, || format!("{stem}-{line}")) {
            Ok(row) => rows.push(row),
            Err(problem) => bad.meet(Error::Row { file: file.clone(), line, problem })?,
        }
    }
    bad.tell(&args.input);
    if rows.is_empty() {
        anyhow::bail!("{file}: no rows left, expected at least one");
    }
    store.write(name, &cream::to_jsonl(&rows))?;
    let kind = target.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
    Shown::new(global).log(&format!("{}: {} rows for {kind}", args.output.display(), rows.len()));
    Ok(())
}

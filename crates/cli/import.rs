//! `cream import`

mod choices;
mod question;
mod source;

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;
use cream::{Error, Progress, Row};

use crate::args::Global;
use crate::container;
use crate::files::{Rows, name, stem};
use crate::inputs::Inputs;
use crate::output::Place;
use crate::progress::Shown;
use source::{Imported, Source};

/// Turn data sets as others write them into the files that the other verbs read
///
/// Reads JSON lines, a JSON array or parquet, known by their contents, in these shapes:
///
/// Multiple choice: "question" with "choices" or "options" (texts, "text" with "label", or {"A": …}) or with columns such
/// as "option_a" and "A", and "answerKey", "answer" or "label"; HellaSwag, PIQA and SIQA as they are.
///
/// Right answers: "question" and "answer" (a text, a number, true or false) or "answers" (SQuAD).
///
/// Preferences: "prompt", "chosen" and "rejected", also as lists of messages, or without a prompt (HH-RLHF).
///
/// Answers to imitate: "messages"; "prompt" with "completion" or "response"; Alpaca and Dolly ("instruction", "input" or
/// "context", "output" or "response"); ShareGPT ("conversations" of "from" and "value").
///
/// A "context" or "passage" stands before a question and after an instruction, "system" before all. Messages are texts, or
/// lists of parts that are texts, by the system, the user and the assistant under any of their usual names; whether their
/// order suits a model is its chat template's to say. A labelled choice is right by its label; without labels a number is
/// an index from 0. A column that belongs to the question and is not understood ("hint", "tools", "images") is an error,
/// as is an answer that its row calls unwanted ("label": false), unless only prompts are made; columns that are not used
/// are listed.
///
/// Rows without an id are called by the file and their number. Errors name the line; in an array or in parquet that is the
/// row.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cream import --input ARC-Easy/test.parquet --output arc-easy.jsonl              # for eval --task
  cream import --input alpaca_data.json --output sft.jsonl                        # for sft, or run --sft
  cream import --input sharegpt.jsonl --output prompts.jsonl --as prompts         # for run, or sample")]
pub(crate) struct Args {
    /// What others wrote; - is standard input
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// What is made of it, JSONL; - is standard output
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// What to make [default: task where the first row has a right answer or a preference, sft where it has an answer to
    /// imitate, else prompts]
    #[arg(long = "as", value_enum, value_name = "KIND")]
    target: Option<Target>,
    /// Pass over rows that cannot be read, and say how many there were
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
    let (file, stem) = (name(&args.input), stem(&args.input));
    let mut place = Place::open(&args.output, &Inputs::files([("--input", &args.input)])?)?;
    let mut bad = Rows::of(&args.input, args.skip_bad);
    let (lines, left) = container::lines(&args.input, source::is_read)?;
    let sources = cream::read_numbered::<Source>(&file, lines, &mut |error| bad.meet(error))?;
    let wrong = |line, problem| Error::Row { file: file.clone(), line, problem };
    let (first, source) = &sources[0];
    let target = args.target.map_or_else(|| source.suits(), Ok).map_err(|problem| wrong(*first, problem))?;
    let ids: BTreeSet<String> = sources.iter().filter_map(|(_, source)| source.id().map(str::to_owned)).collect();
    let mut ignored: BTreeSet<String> = left.into_iter().collect();
    let mut rows: Vec<Imported> = Vec::with_capacity(sources.len());
    for (line, mut source) in sources {
        ignored.append(&mut source.ignored);
        let name = format!("{stem}-{line}");
        let row = match source.id() {
            None if ids.contains(&name) => Err(format!("no id, and {name:?}, its name without one, is another row's")),
            _ => source.into_row(target, || name),
        };
        match row {
            Ok(row) => rows.push(row),
            Err(problem) => bad.meet(wrong(line, problem))?,
        }
    }
    bad.tell(rows.is_empty())?;
    place.write(&cream::to_jsonl(&rows))?;
    let kind = target.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
    let mut shown = Shown::new(global);
    if !ignored.is_empty() {
        let names: Vec<String> = ignored.iter().map(|name| format!("{name:?}")).collect();
        shown.log(&format!("{file}: columns that are not used: {}", names.join(", ")));
    }
    shown.log(&format!("{place}: {} rows for {kind}", rows.len()));
    Ok(())
}

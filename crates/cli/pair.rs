//! `cream pair`

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use cream::{PairInputs, PairOptions, PairReport, Previous, Progress, Rated, Rewards, Scores};
use serde::Serialize;

use crate::args::{Global, PairFlags};
use crate::container;
use crate::files::{name, read_rows, say};
use crate::inputs::{Inputs, is_same_file};
use crate::output::Place;
use crate::progress::Shown;

/// Rank scored completions, measure consistency, make preference pairs
///
/// Takes the same completions scored under three models: the current one, that of the iteration before, and the
/// initial one. Rows are matched by id; one of the files may be -, standard input. Writes {"id", "prompt", "chosen",
/// "rejected", "consistency", "ref_chosen_logps", "ref_rejected_logps"}, which TRL's DPOTrainer loads as it is.
///
/// In the first iteration the model before is the initial one: leave --previous out, or name the same file as for
/// --reference. The ranking before is then the initial model's mean log-probability per token. Where --current is that file
/// too, nothing has been trained yet and there is no former self: that mean ranks, and the pairs are for plain DPO
/// (consistency 1), unless --previous-rewards gives a second ranking. Models are told apart by their files, never by
/// their numbers.
///
/// Without any model, --input takes rewards of any origin: CSV, parquet, JSON lines or an array of rows with "prompt" (or
/// "messages"), "completion", "reward" and, where there is a second opinion, "previous_reward"; or with "completions",
/// "rewards" and "previous_rewards", lists of equal length. Rows of one "id", or without ids of one prompt, are of one
/// prompt. The pairs have no log-probs: `cream train` and TRL compute them.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cream pair --current a.jsonl --previous b.jsonl --reference r.jsonl --output pairs.jsonl
  cream pair --current a.jsonl --reference r.jsonl --output pairs.jsonl --consistency spearman --json
  cream pair --current a.jsonl --previous b.jsonl --reference r.jsonl --output pairs.jsonl --reward external --level off \\
    --rewards rewards.jsonl
  cream pair --input rated.csv --output pairs.jsonl --level per-prompt")]
pub(crate) struct Args {
    /// Completions with rewards of any origin, in place of scores: CSV (*.csv), JSONL, a JSON array or parquet
    #[arg(long, value_name = "FILE", conflicts_with_all = ["current", "previous", "reference", "rewards", "previous_rewards", "anchors", "beta"])]
    input: Option<PathBuf>,
    /// Scores under the current model
    #[arg(long, value_name = "FILE", required_unless_present = "input", requires = "reference")]
    current: Option<PathBuf>,
    /// Scores under the model of the iteration before [default: in the first iteration, those of --reference]
    #[arg(long, value_name = "FILE")]
    previous: Option<PathBuf>,
    /// Scores under the initial model
    #[arg(long, value_name = "FILE", required_unless_present = "input", requires = "current")]
    reference: Option<PathBuf>,
    /// With --reward judge or external: the rewards, JSONL: {"id", "rewards"}, a number or null for each completion
    #[arg(long, value_name = "FILE")]
    rewards: Option<PathBuf>,
    /// With --reward judge: the rewards by the model of the iteration before; where there is none yet, with any reward: a
    /// second ranking from elsewhere
    #[arg(long, value_name = "FILE")]
    previous_rewards: Option<PathBuf>,
    /// With --rejected-from initial: how many of each row's completions, the last ones, are the initial model's
    #[arg(long, value_name = "N", default_value_t = 0)]
    anchors: usize,
    /// Pairs, JSONL; - is standard output
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Scale of the rewards
    #[arg(long, default_value_t = 0.1)]
    beta: f64,
    #[command(flatten)]
    pair: PairFlags,
    /// The report as one JSON object on stdout
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(global: &Global, args: &Args) -> Result<()> {
    let mut options = PairOptions::default();
    args.pair.apply(&mut options);
    match (&args.input, &args.current, &args.reference) {
        (Some(input), ..) => label(global, args, input, &options),
        (None, Some(current), Some(reference)) => pair(global, args, [current, reference], &options),
        _ => bail!("--current and --reference, or --input: expected files"),
    }
}

/// Pairs of rewards from elsewhere.
fn label(global: &Global, args: &Args, input: &PathBuf, options: &PairOptions) -> Result<()> {
    ensure!(args.pair.reward.is_none(), "--reward: the rewards are those of --input, expected none");
    ensure!(
        args.pair.train_reference.is_none(),
        "--train-reference: the rows of --input are of no model, expected none"
    );
    let place = open(args, Inputs::files([("--input", input)])?)?;
    let is_csv = input.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
    let (lines, left) = if is_csv {
        (container::of_csv(input, &NUMBERS, &LISTS)?, Vec::new())
    } else {
        container::lines(input, |column| [&COLUMNS[..], &NUMBERS, &LISTS].concat().contains(&column))?
    };
    let rows = cream::read_jsonl::<Rated>(&name(input), lines)?;
    let cream::Labels { pairs, report, .. } = cream::label(&rows, options)?;
    let mut progress = Shown::new(global);
    if !left.is_empty() {
        progress.log(&format!("{}: columns that are not used: {}", name(input), left.join(", ")));
    }
    write(args, place, &pairs, &report, &mut progress)
}

/// Columns of [`Rated`] that hold texts, numbers and lists.
const COLUMNS: [&str; 4] = ["id", "prompt", "completion", "finish"];
const NUMBERS: [&str; 2] = ["reward", "previous_reward"];
const LISTS: [&str; 4] = ["messages", "completions", "rewards", "previous_rewards"];

fn open(args: &Args, inputs: Inputs) -> Result<Place> {
    let place = Place::open(&args.output, &inputs)?;
    ensure!(
        !(args.json && place.is_standard_output()),
        "--json: standard output has the pairs, expected another --output"
    );
    Ok(place)
}

/// Pairs of scores.
fn pair(global: &Global, args: &Args, [current, reference]: [&PathBuf; 2], options: &PairOptions) -> Result<()> {
    let trained = !is_same_file(current, reference);
    let previous = args.previous.as_ref().filter(|previous| !is_same_file(previous, reference));
    if let Some(previous) = previous {
        let expected =
            "none, or that of --reference, where --current is that file too: nothing has been trained before";
        ensure!(trained, "--previous: {}, expected {expected}", name(previous));
    }
    let read = [("--current", trained.then_some(current)), ("--previous", previous)];
    let rewards = [("--rewards", args.rewards.as_ref()), ("--previous-rewards", args.previous_rewards.as_ref())];
    let read = read.into_iter().chain(rewards).filter_map(|(flag, path)| Some((flag, path?)));
    let inputs = Inputs::files([("--reference", reference)].into_iter().chain(read))?;
    let place = open(args, inputs)?;
    let scores = |path: &Path| read_rows::<Scores>(path);
    let reference = scores(reference)?;
    let current = trained.then(|| scores(current)).transpose()?;
    let previous = previous.map(|path| scores(path)).transpose()?;
    let given = |path: &Option<PathBuf>| path.as_deref().map(read_rows::<Rewards>).transpose();
    let (rewards, previous_rewards) = (given(&args.rewards)?, given(&args.previous_rewards)?);
    let is_same = current.as_ref() == Some(&reference);
    let inputs = PairInputs {
        current: current.as_deref().unwrap_or(&reference),
        previous: match &previous {
            _ if !trained => Previous::NoneYet,
            None => Previous::Reference,
            Some(previous) => Previous::Model(previous),
        },
        reference: &reference,
        rewards: rewards.as_deref(),
        previous_rewards: previous_rewards.as_deref(),
        anchors: args.anchors,
    };
    let cream::Pairing { pairs, report, .. } = cream::pair(&inputs, args.beta, options)?;
    let mut progress = Shown::new(global);
    write(args, place, &pairs, &report, &mut progress)?;
    if report.pairs == 0 && is_same {
        progress.log("the current scores are the reference's own: if they are of one model, give one file for both");
    }
    Ok(())
}

/// Writes pairs, and says what ranking found.
fn write<P: Serialize>(
    args: &Args,
    mut place: Place,
    pairs: &[P],
    report: &PairReport,
    progress: &mut Shown,
) -> Result<()> {
    place.write(&cream::to_jsonl(pairs))?;
    for note in &report.notes {
        progress.log(note);
    }
    for skipped in &report.skipped {
        progress.log(&format!("no pair for {}: {}", skipped.id, skipped.reason));
    }
    let shown = |mean: Option<f64>| mean.map_or("-".to_owned(), |mean| format!("{mean:.3}"));
    progress.log(&format!(
        "{place}: {} pairs of {} prompts, consistency {}, margin {}",
        report.pairs,
        report.prompts,
        shown(report.mean_consistency),
        shown(report.mean_reward_margin),
    ));
    if args.json { say(&serde_json::to_string(report)?) } else { Ok(()) }
}

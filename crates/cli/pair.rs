//! `cream pair`

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use cream::{PairInputs, PairOptions, Previous, Progress, Rewards, Scores};

use crate::args::{Global, PairFlags};
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
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cream pair --current a.jsonl --previous b.jsonl --reference r.jsonl --output pairs.jsonl
  cream pair --current a.jsonl --reference r.jsonl --output pairs.jsonl --consistency spearman --json
  cream pair --current a.jsonl --previous b.jsonl --reference r.jsonl --output pairs.jsonl --reward external --level off \\
    --rewards rewards.jsonl")]
pub(crate) struct Args {
    /// Scores under the current model
    #[arg(long, value_name = "FILE")]
    current: PathBuf,
    /// Scores under the model of the iteration before [default: in the first iteration, those of --reference]
    #[arg(long, value_name = "FILE")]
    previous: Option<PathBuf>,
    /// Scores under the initial model
    #[arg(long, value_name = "FILE")]
    reference: PathBuf,
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
    let trained = !is_same_file(&args.current, &args.reference);
    let previous = args.previous.as_ref().filter(|previous| !is_same_file(previous, &args.reference));
    if let Some(previous) = previous {
        let expected =
            "none, or that of --reference, where --current is that file too: nothing has been trained before";
        ensure!(trained, "--previous: {}, expected {expected}", name(previous));
    }
    let read = [("--current", trained.then_some(&args.current)), ("--previous", previous)];
    let rewards = [("--rewards", args.rewards.as_ref()), ("--previous-rewards", args.previous_rewards.as_ref())];
    let read = read.into_iter().chain(rewards).filter_map(|(flag, path)| Some((flag, path?)));
    let inputs = Inputs::files([("--reference", &args.reference)].into_iter().chain(read))?;
    let mut place = Place::open(&args.output, &inputs)?;
    ensure!(
        !(args.json && place.is_standard_output()),
        "--json: standard output has the pairs, expected another --output"
    );
    let mut options = PairOptions::default();
    args.pair.apply(&mut options);
    let scores = |path: &Path| read_rows::<Scores>(path);
    let reference = scores(&args.reference)?;
    let current = trained.then(|| scores(&args.current)).transpose()?;
    let previous = previous.map(|path| scores(path)).transpose()?;
    let given = |path: &Option<PathBuf>| path.as_deref().map(read_rows::<Rewards>).transpose();
    let (rewards, previous_rewards) = (given(&args.rewards)?, given(&args.previous_rewards)?);
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
    let pairing = cream::pair(&inputs, args.beta, &options)?;
    place.write(&cream::to_jsonl(&pairing.pairs))?;
    let report = &pairing.report;
    let mut progress = Shown::new(global);
    for note in &report.notes {
        progress.log(note);
    }
    for skipped in &report.skipped {
        progress.log(&format!("no pair for {}: {}", skipped.id, skipped.reason));
    }
    if report.pairs == 0 && current.as_ref() == Some(&reference) {
        progress.log("the current scores are the reference's own: if they are of one model, give one file for both");
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

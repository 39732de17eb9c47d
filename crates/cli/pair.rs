//! `cream pair`

use std::path::PathBuf;

use anyhow::Result;
use cream::{PairInputs, PairOptions, Progress, Rewards, Scores, Store};

use crate::args::{Global, PairFlags};
use crate::files::{place, read_rows, say};
use crate::progress::Shown;

/// Rank scored completions, measure consistency, make preference pairs
///
/// Takes the same completions scored under three models: the current one, that of the iteration before, and the
/// initial one. In the first iteration the last two are the same file; the ranking before is then the initial model's
/// mean log-probability per token. Rows are matched by id. Writes {"id", "prompt", "chosen", "rejected", "consistency",
/// "ref_chosen_logps", "ref_rejected_logps"}, which TRL's DPOTrainer loads as it is.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cream pair --current a.jsonl --previous b.jsonl --reference r.jsonl --output pairs.jsonl
  cream pair --current a.jsonl --previous r.jsonl --reference r.jsonl --output pairs.jsonl --consistency spearman --json
  cream pair --current a.jsonl --previous b.jsonl --reference r.jsonl --output pairs.jsonl --reward external --level off \\
    --rewards rewards.jsonl")]
pub(crate) struct Args {
    /// Scores under the current model
    #[arg(long, value_name = "FILE")]
    current: PathBuf,
    /// Scores under the model of the iteration before
    #[arg(long, value_name = "FILE")]
    previous: PathBuf,
    /// Scores under the initial model
    #[arg(long, value_name = "FILE")]
    reference: PathBuf,
    /// With --reward judge or external: the rewards, JSONL: {"id", "rewards"}, a number or null for each completion
    #[arg(long, value_name = "FILE")]
    rewards: Option<PathBuf>,
    /// With --reward judge: the rewards by the model of the iteration before
    #[arg(long, value_name = "FILE")]
    previous_rewards: Option<PathBuf>,
    /// With --rejected-from initial: how many of each row's completions, the last ones, are the initial model's
    #[arg(long, value_name = "N", default_value_t = 0)]
    anchors: usize,
    /// Pairs, JSONL
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
    let [current, previous, reference] =
        [&args.current, &args.previous, &args.reference].map(|path| read_rows::<Scores>(path));
    let mut options = PairOptions::default();
    args.pair.apply(&mut options);
    let given = |path: &Option<PathBuf>| path.as_deref().map(read_rows::<Rewards>).transpose();
    let (rewards, previous_rewards) = (given(&args.rewards)?, given(&args.previous_rewards)?);
    let (current, previous, reference) = (current?, previous?, reference?);
    let inputs = PairInputs {
        current: &current,
        previous: &previous,
        reference: &reference,
        rewards: rewards.as_deref(),
        previous_rewards: previous_rewards.as_deref(),
        anchors: args.anchors,
    };
    let pairing = cream::pair(&inputs, args.beta, &options)?;
    let (mut store, name) = place(&args.output)?;
    store.write(name, &cream::to_jsonl(&pairing.pairs))?;
    let report = &pairing.report;
    let mut progress = Shown::new(global);
    for note in &report.notes {
        progress.log(note);
    }
    for skipped in &report.skipped {
        progress.log(&format!("no pair for {}: {}", skipped.id, skipped.reason));
    }
    progress.log(&format!(
        "{}: {} pairs of {} prompts, consistency {}, margin {}",
        args.output.display(),
        report.pairs,
        report.prompts,
        shown(report.mean_consistency),
        shown(report.mean_reward_margin),
    ));
    if args.json { say(&serde_json::to_string(report)?) } else { Ok(()) }
}

fn shown(mean: Option<f64>) -> String {
    mean.map_or("undefined".to_owned(), |mean| format!("{mean:.3}"))
}

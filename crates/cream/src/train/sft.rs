//! Iteration 0: supervised fine-tuning on what an assistant should say.

use cream_engine::Group;

use super::{Objective, Record, Term, TrainOptions, TrainSummary, Trainee, fit};
use crate::error::{Error, Result};
use crate::fingerprint::fingerprint;
use crate::jsonl::to_jsonl;
use crate::model::Model;
use crate::policy::Encoder;
use crate::progress::{Progress, Stage};
use crate::rows::SftRow;
use crate::store::Output;

/// Rows as groups of a prompt and its one completion.
struct Supervised {
    groups: Vec<Group>,
}

impl Objective for Supervised {
    const STAGE: Stage = Stage::Sft;

    fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Tokens, so that the mean is over the step's tokens.
    fn weight(&self, group: usize) -> f64 {
        self.groups[group].completions[0].len() as f64
    }

    /// Negative log-likelihood, summed over tokens.
    fn evaluate(&self, group: usize, logps: &[f64]) -> Result<Term> {
        if !logps[0].is_finite() {
            let error = cream_core::Error::NotFiniteNumber { what: "log-prob", value: logps[0] };
            return Err(Error::prompt(&name(group), error));
        }
        Ok(Term { loss: -logps[0], gradient: vec![-1.0], preference: None })
    }
}

/// Trains on supervised data: the mean over each step's completion tokens of their negative log-likelihood.
///
/// Leaves what [`train`](crate::train()) leaves, and is taken up as it is.
///
/// # Errors
/// As [`train`](crate::train()); rows are named `row 1`, `row 2`, ….
pub async fn sft<M: Model>(
    trainee: Trainee<'_, M>,
    rows: &[SftRow],
    options: &TrainOptions,
    seed: u64,
    output: Output<'_>,
    progress: &mut dyn Progress,
) -> Result<TrainSummary> {
    options.validate()?;
    if rows.is_empty() {
        return Err(Error::file("supervised data", "no rows, expected at least one"));
    }
    let objective = Supervised { groups: groups(trainee.encoder, rows)? };
    let rows = fingerprint([to_jsonl(rows).as_slice()]);
    let options = options.resolved(Stage::Sft, trainee.adapter.is_some());
    let record = Record::of(&trainee, Stage::Sft, &options, seed, None, &rows);
    fit(trainee, &objective, &options, seed, &record, output, progress)
        .await
        .map_err(|error| error.of_stage(Stage::Sft))
}

/// What a row is called.
fn name(index: usize) -> String {
    format!("row {}", index + 1)
}

/// All rows as tokens.
pub(crate) fn groups(encoder: Encoder<'_>, rows: &[SftRow]) -> Result<Vec<Group>> {
    let group = |(i, row): (usize, &SftRow)| {
        let id = name(i);
        encoder.group(&id, &row.prompt, &[row.completion.as_str().into()])
    };
    rows.iter().enumerate().map(group).collect()
}

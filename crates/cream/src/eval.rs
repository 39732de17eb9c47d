//! How good a model is at a task: multiple choice, answers it writes, preferences it shares.
//!
//! Multiple choice follows lm-evaluation-harness: `acc` takes the choice of the highest log-likelihood, `acc_norm` that of
//! the highest log-likelihood per character of the choice (as text, the space before it not counted), the first of equals
//! both times; standard errors are `sqrt(p (1 - p) / (n - 1))`. It departs from it in two ways: a prompt that is too long
//! is refused, not cut, and raw text begins with a bos where the tokenizer puts one by itself.

mod answers;
mod choices;
mod extract;
mod preferences;
mod task;

use std::slice;

use cream_engine::Group;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::model::Model;
use crate::policy::{Encoder, Policy};
use crate::progress::Progress;
use crate::rows::{Completions, keep};
use crate::sample::SampleOptions;
use crate::score::ScoreOptions;

pub use extract::AnswerMode;
pub use task::{AnswerRow, ChoiceRow, PreferenceRow, Task, TaskRows};

/// How a model is measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EvalOptions {
    /// Multiple choice through the chat template: the question is the user's turn, a choice the assistant's words, without
    /// the end of the turn. Otherwise the prompt is the text `Question: …\nAnswer:`, and a space goes before the choice.
    pub chat: bool,
    /// What counts of written answers; if unset, what suits all right answers of the task, [`AnswerMode::of`].
    pub answer_mode: Option<AnswerMode>,
    /// Where written answers are cut, in tokens; if unset, at [`EvalOptions::MAX_NEW_TOKENS`], or at what the model's
    /// context leaves beside the task's longest prompt where that is less, which is told.
    pub max_new_tokens: Option<usize>,
    /// Of written answers: 0 takes the most probable token, as benchmarks do.
    pub temperature: f32,
    /// Of the answers, where they are drawn.
    pub seed: u64,
    /// Answers written at once.
    pub slots: usize,
    /// Tokens in one forward pass of scoring.
    pub batch_tokens: usize,
}

impl EvalOptions {
    /// Tokens of a written answer where the options say nothing, at most.
    pub const MAX_NEW_TOKENS: usize = 256;
}

impl Default for EvalOptions {
    fn default() -> Self {
        let SampleOptions { slots, .. } = SampleOptions::default();
        let ScoreOptions { batch_tokens, .. } = ScoreOptions::default();
        EvalOptions {
            chat: false,
            answer_mode: None,
            max_new_tokens: None,
            temperature: 0.0,
            seed: 0,
            slots,
            batch_tokens,
        }
    }
}

/// How a model did at a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvalReport {
    /// The task's name.
    pub task: String,
    /// Rows it was measured by.
    pub n: usize,
    /// Share of rows with the right outcome.
    pub acc: f64,
    /// Standard error of `acc`; none for a single row.
    pub stderr: Option<f64>,
    /// What more there is, by the kind of the task.
    #[serde(flatten)]
    pub measures: Measures,
}

/// What is measured beside `acc`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Measures {
    /// Of multiple choice.
    Choices {
        /// As `acc`, by log-likelihood per character.
        acc_norm: f64,
        /// Of `acc_norm`.
        acc_norm_stderr: Option<f64>,
    },
    /// Of written answers.
    Answers {
        /// What of them counted.
        answer_mode: AnswerMode,
        /// Rows where no answer was found in what the model wrote; they count as wrong.
        unanswered: usize,
    },
    /// Of preferences. `acc` is the share of rows where the implicit reward of `chosen` is the higher one.
    Preferences {
        /// Rows of equal rewards; they count as wrong.
        ties: usize,
        /// Mean of reward(chosen) - reward(rejected) at beta 1, nats.
        mean_margin: f64,
        /// Of untied rows with completions of different lengths, the share where the model prefers the longer one.
        longer_preferred: Option<f64>,
        /// Of rows with completions of different lengths, the share where `chosen` is the longer one.
        longer_chosen: Option<f64>,
        /// Mean tokens of `chosen`, end of turn included.
        mean_chosen_tokens: f64,
        /// The same of `rejected`.
        mean_rejected_tokens: f64,
    },
}

/// What became of one row.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    /// Of multiple choice.
    Choice {
        /// The row's.
        id: String,
        /// Index of the right choice.
        answer: usize,
        /// Log-likelihood of each choice, nats.
        logps: Vec<f64>,
        /// Tokens of each.
        tokens: Vec<usize>,
        /// Whether the likeliest is right.
        acc: bool,
        /// Whether the likeliest per character is right.
        acc_norm: bool,
    },
    /// Of a written answer.
    Answer {
        /// The row's.
        id: String,
        /// The right answer, as compared.
        answer: String,
        /// What was found in the completion.
        found: Option<String>,
        /// What the model wrote.
        completion: String,
        /// Whether they are equal.
        acc: bool,
    },
    /// Of a preference.
    Preference {
        /// The row's.
        id: String,
        /// log p under the model: chosen, rejected.
        logps: [f64; 2],
        /// log p under the reference.
        reference_logps: [f64; 2],
        /// Tokens of both.
        tokens: [usize; 2],
        /// Difference of their implicit rewards at beta 1.
        margin: f64,
        /// Whether it is positive.
        acc: bool,
    },
}

/// A report and what it sums up.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The sum.
    pub report: EvalReport,
    /// Row by row, in the task's order.
    pub outcomes: Vec<Outcome>,
}

/// A task as models read it. Whatever of it cannot be served is found when it is made.
pub(crate) enum Prepared<'a> {
    Choices(&'a [ChoiceRow], Vec<Group>),
    Answers(answers::Prepared),
    Preferences(Vec<Completions>),
}

/// Reads a task as models with this tokenizer and context do.
///
/// # Errors
/// Those of [`evaluate`] that need no model.
pub(crate) fn prepare<'a>(
    encoder: Encoder<'_>,
    task: &'a Task,
    options: &EvalOptions,
    progress: &mut dyn Progress,
) -> Result<Prepared<'a>> {
    Ok(match &task.rows {
        TaskRows::Choices(rows) => Prepared::Choices(rows, choices::prepare(encoder, rows, options)?),
        TaskRows::Answers(rows) => Prepared::Answers(answers::prepare(encoder, &task.name, rows, options, progress)?),
        TaskRows::Preferences(rows) => Prepared::Preferences(preferences::prepare(encoder, rows)?),
    })
}

impl Task {
    /// Keeps the rows that models with this tokenizer and context can be measured by, see [`keep`](crate::keep()).
    ///
    /// # Errors
    /// What `bad` returns.
    pub fn keep(
        &mut self,
        encoder: Encoder<'_>,
        options: &EvalOptions,
        bad: &mut dyn FnMut(crate::Error) -> Result<()>,
    ) -> Result<()> {
        let name = &self.name;
        match &mut self.rows {
            TaskRows::Choices(rows) => {
                keep(rows, |row| choices::prepare(encoder, slice::from_ref(row), options).map(drop), bad)
            }
            TaskRows::Answers(rows) => {
                let prepare = |row: &AnswerRow| answers::prepare(encoder, name, slice::from_ref(row), options, &mut ());
                keep(rows, |row| prepare(row).map(drop), bad)
            }
            TaskRows::Preferences(rows) => {
                keep(rows, |row| preferences::prepare(encoder, slice::from_ref(row)).map(drop), bad)
            }
        }
    }
}

impl Prepared<'_> {
    /// The options with what the task makes of those that are unset.
    pub(crate) fn settled(&self, options: &EvalOptions) -> EvalOptions {
        match self {
            Prepared::Answers(prepared) => EvalOptions {
                answer_mode: Some(prepared.mode),
                max_new_tokens: Some(prepared.sampling.max_new_tokens),
                ..options.clone()
            },
            _ => options.clone(),
        }
    }
}

/// Measures a model by a task.
///
/// `reference` is what implicit rewards are relative to; only preferences need one. Choices of one question, and both
/// completions of a preference, share the computation of their prompt. Answers are written greedily.
///
/// # Errors
/// A task without rows, or of preferences without a reference; options out of range; a prompt that is empty, too long for
/// the model with its completion, or refused by the chat template; a right answer of another mode; a lost device; a
/// progress report that stops the work.
pub async fn evaluate<M: Model>(
    policy: Policy<'_, M>,
    reference: Option<Policy<'_, M>>,
    task: &Task,
    options: &EvalOptions,
    progress: &mut dyn Progress,
) -> Result<Evaluation> {
    let name = &task.name;
    let (outcomes, measures) = match prepare(policy.encoder, task, options, progress)? {
        Prepared::Choices(rows, groups) => choices::evaluate(policy, name, rows, groups, options, progress).await?,
        Prepared::Answers(prepared) => answers::evaluate(policy, name, prepared, progress).await?,
        Prepared::Preferences(pairs) => {
            preferences::evaluate(policy, reference, name, pairs, options, progress).await?
        }
    };
    let right = outcomes.iter().filter(|outcome| outcome.acc()).count();
    let (acc, stderr) = share(right, outcomes.len());
    let report = EvalReport { task: name.clone(), n: outcomes.len(), acc, stderr, measures };
    Ok(Evaluation { report, outcomes })
}

impl Outcome {
    fn acc(&self) -> bool {
        match self {
            Outcome::Choice { acc, .. } | Outcome::Answer { acc, .. } | Outcome::Preference { acc, .. } => *acc,
        }
    }
}

/// A share of at least one row, and its standard error: the sample's deviation over sqrt(n).
fn share(count: usize, of: usize) -> (f64, Option<f64>) {
    let (n, p) = (of as f64, count as f64 / of as f64);
    (p, (of > 1).then(|| (p * (1.0 - p) / (n - 1.0)).sqrt()))
}

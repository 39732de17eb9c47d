//! `cream eval`

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use cream::engine::Backend;
use cream::{AnswerMode, EvalOptions, EvalReport, Measures, Policy, Task, TaskRows};
use pollster::block_on;
use serde::Serialize;

use crate::args::{Global, ModelArgs, PromptFlags, RowFlags, named, set};
use crate::device::Job;
use crate::files::{self, Rows, name, open, say, tell};
use crate::inputs::Inputs;
use crate::model;
use crate::output::Place;
use crate::progress::Shown;

/// Measure a model by tasks: multiple choice, written answers, preferences
///
/// The rows of a file tell what it is. {"id", "question", "choices", "answer"}: multiple choice by log-likelihood, `acc` and
/// `acc_norm` as lm-evaluation-harness defines them; the answer is an index from 0, a letter or the choice's text. {"id",
/// "question" or "prompt" or "messages", "answer"}: the model answers greedily through its chat template, and its final
/// number, its letter or all of it is compared. {"prompt", "chosen", "rejected"}: how often the model's implicit reward
/// prefers the chosen one, relative to the model without its adapter, or to --reference.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cream eval --model model.gguf --task arc.jsonl --task gsm8k.jsonl --limit 100
  cream eval --model model.gguf --adapter RUN/iteration-2 --task preferences.jsonl --json")]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// A task, JSONL, - from standard input; may be given several times. It is called by the file's name, or by its path where
    /// names are equal
    #[arg(long, value_name = "FILE", required = true)]
    task: Vec<PathBuf>,
    /// Rewards of preferences are relative to this model [default: the model without --adapter]
    #[arg(long, value_name = "MODEL")]
    reference: Option<String>,
    #[command(flatten)]
    measure: TaskFlags,
    /// Where written answers are cut off [default: 256, or what the model's context leaves]
    #[arg(long, value_name = "TOKENS")]
    max_new_tokens: Option<usize>,
    /// Answers written at once; memory grows with it [default: 64]
    #[arg(long, value_name = "N")]
    slots: Option<usize>,
    /// Tokens computed at once in scoring; memory grows with it [default: 2048]
    #[arg(long, value_name = "TOKENS")]
    batch_tokens: Option<usize>,
    #[command(flatten)]
    prompt: PromptFlags,
    #[command(flatten)]
    rows: RowFlags,
    /// What became of each row, JSONL: log-likelihoods of choices, answers, rewards; - is standard output, and then the
    /// table goes to standard error
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// One JSON object for each task on stdout, instead of a table
    #[arg(long)]
    json: bool,
}

/// How `eval` and `compare` measure by a task.
#[derive(Debug, clap::Args)]
pub(crate) struct TaskFlags {
    /// Ask multiple choice through the chat template, not as plain text
    #[arg(long)]
    chat: bool,
    /// What of a written answer counts: number or letter (marked by "####", a box or a tag, else stated as the answer, else
    /// the last number, or the letter before a choice), exact (what is marked, else all, but for case and spaces)
    /// [default: number or letter where all right answers of the file are, else exact]
    #[arg(long, value_name = "MODE", value_parser = named::<AnswerMode>)]
    answer_mode: Option<AnswerMode>,
    /// Only the first N rows of each task
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

impl TaskFlags {
    pub(crate) fn options(&self) -> EvalOptions {
        EvalOptions { chat: self.chat, answer_mode: self.answer_mode, ..EvalOptions::default() }
    }

    /// A task, of which `all` are to be told apart, and its file.
    pub(crate) fn read<'a>(&self, file: &'a Path, all: &[PathBuf], skip_bad: bool) -> Result<(Task, Rows<'a>)> {
        let stem = files::stem(file);
        let alone = all.iter().filter(|other| files::stem(other) == stem).count() == 1;
        let task = if alone { stem } else { name(file) };
        let mut rows = Rows::of(file, skip_bad);
        let mut task = Task::read(&task, &name(file), open(file)?, &mut |error| rows.meet(error))?;
        if let Some(limit) = self.limit {
            task.truncate(limit.try_into().context("--limit")?);
        }
        Ok((task, rows))
    }
}

/// A row of `--output`.
#[derive(Serialize)]
struct Line<'a> {
    task: &'a str,
    #[serde(flatten)]
    outcome: &'a cream::Outcome,
}

impl Job for Args {
    fn run<B: Backend>(self, backend: B, global: &Global) -> Result<()> {
        let inputs = Inputs::files(self.task.iter().map(|file| ("--task", file)))?.with(&self.model);
        let inputs = self.reference.iter().fold(inputs, |inputs, model| inputs.with_model("--reference", model));
        let mut place = self.output.as_deref().map(|output| Place::open(output, &inputs)).transpose()?;
        let has_rows = place.as_ref().is_some_and(Place::is_standard_output);
        ensure!(!(self.json && has_rows), "--json: standard output has the rows, expected another --output");
        let tasks = self.task.iter().map(|file| self.measure.read(file, &self.task, self.rows.skip_bad));
        let mut tasks = tasks.collect::<Result<Vec<_>>>()?;
        let mut all = tasks.iter().map(|(task, _)| task);
        let preferences = all.find(|task| matches!(task.rows, TaskRows::Preferences(_)));
        if let Some(task) = preferences
            && self.model.adapter.is_none()
            && self.reference.is_none()
        {
            bail!(
                "--task {}: preferences, expected --adapter or --reference: rewards are relative to another model",
                task.name
            );
        }
        let has_preferences = preferences.is_some();
        let options = self.options();
        let loaded = model::load(&backend, &self.model, self.prompt.date, false)?;
        let policy = loaded.policy(&self.prompt);
        let other = match (&self.reference, has_preferences) {
            (Some(name), true) => {
                Some(model::load(&backend, &ModelArgs { model: name.clone(), adapter: None }, self.prompt.date, false)?)
            }
            _ => None,
        };
        let reference = other.as_ref().map_or(Policy { adapter: None, ..policy }, |other| other.policy(&self.prompt));
        tasks.iter_mut().try_for_each(|(task, rows)| rows.keep_task(task, policy.encoder, &options))?;
        let mut progress = Shown::new(global);
        let (mut reports, mut lines) = (Vec::new(), Vec::new());
        for (task, _) in &tasks {
            let evaluation = block_on(cream::evaluate(policy, Some(reference), task, &options, &mut progress))?;
            let of_task = evaluation.outcomes.iter().map(|outcome| Line { task: &task.name, outcome });
            lines.extend(cream::to_jsonl(&of_task.collect::<Vec<_>>()));
            reports.push(evaluation.report);
        }
        if let Some(place) = &mut place {
            place.write(&lines)?;
        }
        if self.json {
            return reports.iter().try_for_each(|report| say(&serde_json::to_string(report)?));
        }
        for line in table(&reports) {
            if has_rows {
                tell(&line);
            } else {
                say(&line)?;
            }
        }
        Ok(())
    }
}

impl Args {
    fn options(&self) -> EvalOptions {
        let mut options = EvalOptions { max_new_tokens: self.max_new_tokens, ..self.measure.options() };
        set(&mut options.slots, self.slots);
        set(&mut options.batch_tokens, self.batch_tokens);
        options
    }
}

/// Reports for people: a line a number, with its standard error.
fn table(reports: &[EvalReport]) -> Vec<String> {
    let width = reports.iter().map(|report| report.task.chars().count()).max().unwrap_or(0).max("task".len());
    let mut lines = vec![format!("{:width$}  {:>6}  {:<10} {:>7}  stderr", "task", "n", "measure", "value")];
    for report in reports {
        let mut line = |measure: &str, value: String, stderr: Option<f64>, note: String| {
            let stderr = stderr.map_or("-".into(), |stderr| format!("{stderr:.4}"));
            let text =
                format!("{:width$}  {:>6}  {measure:<10} {value:>7}  {stderr:<6}  {note}", report.task, report.n);
            lines.push(text.trim_end().to_owned());
        };
        let share = |share: Option<f64>| share.map_or("undefined".into(), |share| format!("{:.1} %", 100.0 * share));
        let note = match &report.measures {
            Measures::Choices { .. } => String::new(),
            Measures::Answers { answer_mode, unanswered } => {
                format!("{} answers, {unanswered} without one", answer_mode.name())
            }
            Measures::Preferences { ties, longer_preferred, longer_chosen, .. } => format!(
                "{ties} ties; the longer one: preferred {}, chosen {}",
                share(*longer_preferred),
                share(*longer_chosen)
            ),
        };
        line("acc", format!("{:.4}", report.acc), report.stderr, note);
        match report.measures {
            Measures::Choices { acc_norm, acc_norm_stderr } => {
                line("acc_norm", format!("{acc_norm:.4}"), acc_norm_stderr, String::new());
            }
            Measures::Preferences { mean_margin, mean_chosen_tokens, mean_rejected_tokens, .. } => {
                let note = format!("mean tokens: chosen {mean_chosen_tokens:.1}, rejected {mean_rejected_tokens:.1}");
                line("margin", format!("{mean_margin:.4}"), None, note);
            }
            Measures::Answers { .. } => {}
        }
    }
    lines
}

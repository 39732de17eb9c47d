//! `cream demo`

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use cream::engine::Backend;
use cream::{
    AnswerMode, CompareOptions, Comparison, Directory, EvalOptions, Method, RunInputs, Task, TaskRows, to_jsonl,
};
use cream_demo::LONGEST_ANSWER;
use pollster::block_on;

use crate::args::Global;
use crate::compare;
use crate::device::Job;
use crate::files::say;
use crate::input;
use crate::inputs::{Inputs, Made};
use crate::interrupt;
use crate::progress::Shown;
use crate::report;

/// Try CREAM on a tiny model that is inside this program: nothing to download, about a minute
///
/// The model has seen short tasks (spell a word backwards, sort its letters, add, subtract, compare, count) answered rightly
/// a little more often than not. It is fine-tuned on a few right answers, then left to itself: three rounds in which it answers
/// questions, ranks its own answers and learns from the ranking, once weighed by consistency (cream) and once not (srlm).
/// Accuracy is that of questions it has never seen.
///
/// DIR/model is the model, DIR/seed-N the comparison with its prompts.jsonl, sft.jsonl and test.jsonl: other verbs take them.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cream demo
  cream demo --seeds 5 --output five
  cream generate --model cream-demo/model \"What is 12 + 30?\"")]
pub(crate) struct Args {
    /// Folder of the demo: made, or taken up
    #[arg(long, value_name = "DIR", default_value = "cream-demo")]
    output: PathBuf,
    /// Times that all of it is done, with other questions and another seed each time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    seeds: u32,
    /// The comparisons as JSON, one a line, instead of the table
    #[arg(long)]
    json: bool,
}

const METHODS: [Method; 2] = [Method::Cream, Method::Srlm];

impl Job for Args {
    fn run<B: Backend>(self, backend: B, global: &Global) -> Result<()> {
        interrupt::resumable()?;
        Inputs::files([])?.check_folder(&self.output, Made::Comparison)?;
        let mut store = Directory::lock(&self.output)?;
        let model = cream_demo::model().into_iter().map(|(name, bytes)| (format!("model/{name}"), bytes));
        leave(&mut store, &model.collect::<Vec<_>>())?;
        let model = self.output.join("model").display().to_string();
        let mut comparisons = Vec::new();
        for seed in 0..self.seeds {
            let folder = self.output.join(format!("seed-{seed}"));
            comparisons.push(one(&backend, &model, seed, &folder, global)?);
        }
        if self.json {
            return comparisons.iter().try_for_each(|comparison| say(&serde_json::to_string(comparison)?));
        }
        table(&comparisons).iter().try_for_each(|line| say(line))?;
        let page = self.output.join("seed-0").join(METHODS[0].to_string()).join(report::FILE);
        say(&format!("\nTo look at: {}", page.display()))
    }
}

/// Writes files of the demo, none over another's.
fn leave(store: &mut Directory, files: &[(impl AsRef<str>, Vec<u8>)]) -> Result<()> {
    for (name, bytes) in files {
        let path = store.path().join(name.as_ref());
        let found = store.read(name.as_ref())?;
        ensure!(
            found.is_none_or(|found| found == *bytes),
            "{}: not the demo's, expected another --output",
            path.display()
        );
    }
    Ok(files.iter().try_for_each(|(name, bytes)| store.write(name.as_ref(), bytes))?)
}

/// The whole comparison with one seed.
fn one<B: Backend>(backend: &B, model: &str, seed: u32, folder: &Path, global: &Global) -> Result<Comparison> {
    let cream_demo::Inputs { prompts, sft, questions: tests } = cream_demo::Inputs::new(seed);
    let mut store = Directory::lock(folder)?;
    let rows = [("prompts.jsonl", to_jsonl(&prompts)), ("sft.jsonl", to_jsonl(&sft)), ("test.jsonl", to_jsonl(&tests))];
    leave(&mut store, &rows)?;
    let config = cream_demo::settings(seed);
    let files = crate::model::open(model)?;
    let (checkpoint, text) = files.parse()?;
    let outlines = input::outlines(backend, &checkpoint);
    let fingerprint = files.fingerprint();
    let context = checkpoint.config.max_position_embeddings;
    let mut load = input::loader(backend.clone(), model, files, folder);
    let inputs = RunInputs {
        config: &config,
        prompts: &prompts,
        sft: &sft,
        text: &text,
        base_model: "cream-demo",
        fingerprint: &fingerprint,
        context,
        outlines: Some(&outlines),
        load: &mut load,
        external: None,
    };
    let tasks = [Task { name: "accuracy".into(), rows: TaskRows::Answers(tests) }];
    let eval = EvalOptions {
        answer_mode: Some(AnswerMode::Exact),
        max_new_tokens: Some(LONGEST_ANSWER),
        slots: config.sample.slots,
        ..EvalOptions::default()
    };
    let options = CompareOptions { methods: &METHODS, tasks: &tasks, eval: &eval };
    let comparison = block_on(cream::compare(inputs, options, &mut store, &mut Shown::new(global)))?;
    compare::write_reports(&comparison, folder)?;
    Ok(comparison)
}

/// Of one seed the whole table; of several, each model's mean and standard deviation over them.
fn table(comparisons: &[Comparison]) -> Vec<String> {
    if let [one] = comparisons {
        return one.table();
    }
    let mut lines = vec![format!("{:<6} {:<5} {:>15} {:>15}", "method", "model", "accuracy", "tau")];
    for (m, method) in comparisons[0].methods.iter().enumerate() {
        for (t, model) in method.models.iter().enumerate() {
            let over = |value: &dyn Fn(&cream::ModelResult) -> Option<f64>| {
                let values: Vec<f64> = comparisons.iter().filter_map(|c| value(&c.methods[m].models[t])).collect();
                mean_and_spread(&values)
            };
            let accuracy = over(&|model| model.tasks.first().map(|report| report.acc));
            let tau = over(&|model| model.rankings?.tau);
            lines.push(format!("{:<6} {:<5} {accuracy:>15} {tau:>15}", method.method.to_string(), model.model));
        }
    }
    lines
}

/// `0.612 ± 0.034`; a dash where there is nothing.
fn mean_and_spread(values: &[f64]) -> String {
    let n = values.len() as f64;
    if values.len() < 2 {
        return "-".into();
    }
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    format!("{mean:.3} ± {:.3}", variance.sqrt())
}

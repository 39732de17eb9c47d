//! `cream compare`

use std::path::{Path, PathBuf};

use anyhow::Result;
use cream::engine::Backend;
use cream::{
    CompareOptions, Comparison, Directory, EvalOptions, External, Method, MethodResult, ModelResult, Reward, RunInputs,
};
use pollster::block_on;
use serde_json::{Map, Value, json};

use crate::args::{Global, named};
use crate::date;
use crate::device::Job;
use crate::eval::TaskFlags;
use crate::files::say;
use crate::input::{self, Input, InputFlags};
use crate::inputs::Made;
use crate::interrupt;
use crate::progress::Shown;
use crate::report;
use crate::reward::{self, RewardFlags};
use crate::settings::SettingsFlags;

/// Run several methods from the same M1 on the same prompts and seeds, and set their models side by side
///
/// Each method is a run in its own folder of DIR; supervised fine-tuning is done once. Prints a table and writes
/// DIR/compare.json: for M0, M1, M2, … the accuracy by every task, how far each model ranks its own completions as the model
/// before it (tau, Spearman, top-order: same best and worst; over the prompts that both rank), the margin and the drift of the log-probs of the pairs that made
/// it, and the length of its completions. A killed comparison is taken up by the same command.
///
/// Settings that a method sets itself (reward, level, loss) are used for the methods that allow them. A --config that a run
/// kept names its own method: that is put aside with what it alone had set.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cream compare --model model.gguf --prompts prompts.jsonl --sft answers.jsonl --task test.jsonl --output DIR
  cream compare --model model.gguf --prompts prompts.jsonl --output DIR --methods cream,srlm,oracle \\
    --reward-command 'python rewards.py' --iterations 3")]
pub(crate) struct Args {
    #[command(flatten)]
    input: InputFlags,
    /// Folder of the comparison: made, or taken up
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Methods, comma-separated: cream, srlm, srlm-judge, oracle, sft-only
    #[arg(long, value_name = "METHODS", value_delimiter = ',', value_parser = named::<Method>, default_value = "cream,srlm")]
    methods: Vec<Method>,
    /// A task to measure every model by, as for `cream eval`, - from standard input; may be given several times
    #[arg(long, value_name = "FILE")]
    task: Vec<PathBuf>,
    #[command(flatten)]
    measure: TaskFlags,
    /// Where answers to tasks are cut off [default: 256, or what the model's context leaves]
    #[arg(long, value_name = "TOKENS")]
    eval_max_new_tokens: Option<usize>,
    #[command(flatten)]
    settings: SettingsFlags,
    #[command(flatten)]
    reward: RewardFlags,
    /// The comparison as one JSON object on stdout, instead of the table
    #[arg(long)]
    json: bool,
}

impl Job for Args {
    fn run<B: Backend>(self, backend: B, global: &Global) -> Result<()> {
        interrupt::resumable()?;
        let settings = self.settings.config.iter().map(|path| ("--config", path));
        let others = settings.chain(self.task.iter().map(|path| ("--task", path)));
        self.input.check(others, &self.output, Made::Comparison)?;
        let mut progress = Shown::new(global);
        let mut config = self.settings.config_without_method(&mut progress)?;
        let oracle = self.methods.contains(&Method::Oracle);
        let command = self.reward.command(if oracle { Reward::External } else { config.pair.reward })?;
        let mut external = command.map(reward::external);
        let skip_bad = self.input.rows.skip_bad;
        let tasks = self.task.iter().map(|file| self.measure.read(file, &self.task, skip_bad));
        let mut tasks = tasks.collect::<Result<Vec<_>>>()?;
        let eval = EvalOptions {
            max_new_tokens: self.eval_max_new_tokens,
            batch_tokens: config.score.batch_tokens,
            slots: config.sample.slots,
            ..self.measure.options()
        };
        let mut input = self.input.read()?;
        let (checkpoint, mut text) = input.files.parse()?;
        let outlines = input::outlines(&backend, &checkpoint);
        let fingerprint = input.files.fingerprint();
        let mut store = Directory::lock(&self.output)?;
        let runs = self.methods.iter().chain([&Method::SftOnly]);
        let files_of_runs: Vec<String> = runs.map(|method| format!("{method}/config.toml")).collect();
        date::set_for_run(&mut config, &mut text, &store, &files_of_runs, &mut progress)?;
        let encoder = config.encoder(&text, checkpoint.config.max_position_embeddings);
        input.keep(encoder, &config)?;
        tasks.iter_mut().try_for_each(|(task, rows)| rows.keep_task(task, encoder, &eval))?;
        let tasks: Vec<cream::Task> = tasks.into_iter().map(|(task, _)| task).collect();
        let Input { prompts, sft, files, .. } = input;
        let mut load = input::loader(backend, &self.input.model, files, &self.output);
        let inputs = RunInputs {
            config: &config,
            prompts: &prompts,
            sft: &sft,
            text: &text,
            base_model: &self.input.model,
            fingerprint: &fingerprint,
            context: encoder.context,
            outlines: Some(&outlines),
            load: &mut load,
            external: external.as_mut().map(|external| external as &mut dyn External),
        };
        let options = CompareOptions { methods: &self.methods, tasks: &tasks, eval: &eval };
        let comparison = block_on(cream::compare(inputs, options, &mut store, &mut progress))?;
        write_reports(&comparison, &self.output)?;
        if self.json {
            return say(&serde_json::to_string(&comparison)?);
        }
        comparison.table().iter().try_for_each(|line| say(line))
    }
}

/// Writes each method's page, the comparison on it.
pub(crate) fn write_reports(comparison: &Comparison, folder: &Path) -> Result<()> {
    let rows = serde_json::to_vec_pretty(&rows(comparison))?;
    for result in &comparison.methods {
        let mut store = Directory::lock(&folder.join(result.method.to_string()))?;
        store.write("compare.json", &rows)?;
        store.write(report::FILE, report::page(&store)?.as_bytes())?;
    }
    Ok(())
}

/// A flat object for each model of each method.
fn rows(comparison: &Comparison) -> Vec<Value> {
    let row = |method: Method, model: &ModelResult| {
        let mut row = Map::from_iter([("method".into(), json!(method)), ("model".into(), json!(model.model))]);
        row.extend(model.tasks.iter().map(|report| (report.task.clone(), json!(report.acc))));
        let rankings = model.rankings.unwrap_or_default();
        for (name, value) in [
            ("tau", rankings.tau),
            ("rho", rankings.spearman),
            ("top-order", rankings.top_order),
            ("margin", model.drift.map(|drift| drift.margin)),
            ("tokens", model.mean_tokens),
        ] {
            row.insert(name.into(), json!(value));
        }
        Value::Object(row)
    };
    let models =
        |result: &MethodResult| result.models.iter().map(|model| row(result.method, model)).collect::<Vec<_>>();
    comparison.methods.iter().flat_map(models).collect()
}

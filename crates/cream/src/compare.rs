//! Methods side by side: the same M1, prompts and seeds, each method a run in its own folder.
//!
//! ```text
//! sft-only/                 where there is supervised data: iteration 0, copied into every other run
//! METHOD/                   a run, see [`run`](crate::run())
//! METHOD/iteration-N/scores-trained.jsonl   pairs of round N under M_{N+1}, which they made
//! METHOD/iteration-N/eval.json              M_{N+1} by the tasks
//! eval-M0.json
//! compare.json
//! ```
//! The last model samples and ranks once more, as if for a round to come, so that it too can be set against the one
//! before it.

mod table;

use serde::{Deserialize, Serialize};

use crate::config::{RunConfig, Tuning};
use crate::error::{Error, Result};
use crate::eval::{EvalOptions, EvalReport, Task, TaskRows, prepare};
use crate::fingerprint::fingerprint;
use crate::iteration::{Iteration, folder};
use crate::method::Method;
use crate::model::Model;
use crate::pair::{Rankings, Reward};
use crate::progress::Progress;
use crate::run::{self, External, Load, RunInputs, run};
use crate::store::{Answer, Store, Within, join};
use crate::weights;

/// What is compared, and by what.
#[derive(Debug, Clone, Copy)]
pub struct CompareOptions<'a> {
    /// In the order of the table, each once.
    pub methods: &'a [Method],
    /// What every model is measured by.
    pub tasks: &'a [Task],
    /// How.
    pub eval: &'a EvalOptions,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Of all methods.
    pub seed: u32,
    /// In the order asked for.
    pub methods: Vec<MethodResult>,
}

/// What came out of one method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MethodResult {
    /// Its name.
    pub method: Method,
    /// M0, M1, …; M0 and M1 are those of all methods, and one where there is no supervised data.
    pub models: Vec<ModelResult>,
}

/// One model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelResult {
    /// `M0`, `M1`, ….
    pub model: String,
    /// By the tasks, in their order.
    pub tasks: Vec<EvalReport>,
    /// How far it ranks its own completions as the model before it does; none for M0, nor for an M1 that is M0.
    pub rankings: Option<Rankings>,
    /// Mean tokens of its completions.
    pub mean_tokens: Option<f64>,
    /// What the training that made it did to its pairs; none where there was none.
    pub drift: Option<Drift>,
}

/// Means over the pairs of a round, of the model that they made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// z: beta * (chosen less rejected, each from the training reference).
    pub margin: f64,
    /// Log-prob of the chosen completions less that under the training reference, nats.
    pub chosen_logps: f64,
    /// The same of the rejected.
    pub rejected_logps: f64,
}

/// A file of evaluations, and what they depend on.
#[derive(Serialize, Deserialize)]
struct Evaluations {
    key: String,
    reports: Vec<EvalReport>,
}

/// What every model is measured by.
struct Measure<'a> {
    tasks: &'a [Task],
    /// How, task by task, with nothing left unset.
    options: Vec<EvalOptions>,
    /// Of all that evaluations depend on beside the model.
    key: String,
}

/// Runs every method, or takes up where an earlier call was cut short, and measures all models.
///
/// The settings name no method, see [`RunConfig::without_method`]. Those that a method sets are used where the method
/// allows them. What can be known to fail fails before anything is trained.
///
/// # Errors
/// No method, or one twice; settings that no method allows; preferences as a task where all weights are trained; a task that
/// the model cannot serve, as [`evaluate`](crate::evaluate()) says; the method `oracle` without external rewards; and whatever
/// the runs say.
pub async fn compare<M: Model>(
    mut inputs: RunInputs<'_, M>,
    options: CompareOptions<'_>,
    store: &mut dyn Store,
    progress: &mut dyn Progress,
) -> Result<Comparison> {
    check(inputs.config, &options, inputs.sft.is_empty())?;
    check_runs(&mut inputs, options.methods, store).await?;
    let measure = measure(&inputs, &options, progress)?;
    let base = inputs.config;
    if !inputs.sft.is_empty() {
        progress.log("M0 into M1, for all methods");
        one(&mut inputs, &Method::SftOnly.over(base), &measure, store, progress).await?;
    }
    let mut comparison = Comparison { seed: base.seed, methods: Vec::new() };
    for &method in options.methods {
        progress.log(&format!("method {method}"));
        share(method, &inputs, store).await?;
        let models = one(&mut inputs, &method.over(base), &measure, store, progress).await?;
        comparison.methods.push(MethodResult { method, models });
    }
    let mut bytes = serde_json::to_vec_pretty(&comparison).expect("string keys, and memory takes every byte");
    bytes.push(b'\n');
    store.write("compare.json", &bytes).await?;
    Ok(comparison)
}

fn check(config: &RunConfig, options: &CompareOptions<'_>, without_sft: bool) -> Result<()> {
    if let Some(method) = config.method {
        return Err(Error::setting("method", method, "none in a comparison, which has its own"));
    }
    if options.methods.is_empty() {
        return Err(Error::file("methods", "none, expected at least one"));
    }
    for (i, method) in options.methods.iter().enumerate() {
        if options.methods[..i].contains(method) {
            return Err(Error::setting("methods", method, "each method once"));
        }
    }
    if without_sft && options.methods.contains(&Method::SftOnly) {
        return Err(Error::setting("methods", Method::SftOnly, "others, where there is no supervised data"));
    }
    let preferences = options.tasks.iter().find(|task| matches!(task.rows, TaskRows::Preferences(_)));
    if let (Some(task), Tuning::Full) = (preferences, config.tuning) {
        return Err(Error::file(&task.name, "preferences, expected none where all weights are trained"));
    }
    let runs: Vec<RunConfig> = options.methods.iter().map(|method| method.over(config)).collect();
    let default = RunConfig::default();
    let unused = |field: &str, value: String, is_default: bool, used: &dyn Fn(&RunConfig) -> bool| {
        if is_default || runs.iter().any(used) {
            return Ok(());
        }
        Err(Error::setting(field, value, "what one of the methods allows"))
    };
    let (pair, usual) = (&config.pair, &default.pair);
    unused("pair.reward", pair.reward.to_string(), pair.reward == usual.reward, &|run| run.pair.reward == pair.reward)?;
    unused("pair.level", pair.level.to_string(), pair.level == usual.level, &|run| run.pair.level == pair.level)?;
    unused("loss", config.loss.to_string(), config.loss == default.loss, &|run| run.loss == config.loss)?;
    runs.iter().try_for_each(RunConfig::validate)
}

/// Whether all runs can be made, each with the ranking after its last round.
async fn check_runs<M: Model>(inputs: &mut RunInputs<'_, M>, methods: &[Method], store: &mut dyn Store) -> Result<()> {
    let base = inputs.config;
    let shared = (!inputs.sft.is_empty() && !methods.contains(&Method::SftOnly)).then_some(Method::SftOnly);
    for method in shared.iter().chain(methods) {
        let config = method.over(base);
        let name = method.to_string();
        let within = Within { store: &mut *store, folder: &name };
        for t in 1..=config.iterations {
            let rewarded = within.exists(&join(&folder(t), "rewards-current.jsonl")).await?;
            if *method == Method::Oracle && inputs.external.is_none() && !rewarded {
                let expected = "others, where nothing gives external rewards: it would stop in its first round";
                return Err(Error::setting("methods", method, expected));
            }
        }
        let mut own = inputs.reborrow();
        own.config = &config;
        run::check(&own, &within, &mut ()).await?;
        if config.iterations == 0 {
            let ranked = RunConfig { iterations: 1, ..measuring(&config) };
            own.config = &ranked;
            run::check(&own, &within, &mut ()).await?;
        }
    }
    Ok(())
}

/// Reads the tasks as every model will.
fn measure<'a, M: Model>(
    inputs: &RunInputs<'_, M>,
    options: &CompareOptions<'a>,
    progress: &mut dyn Progress,
) -> Result<Measure<'a>> {
    let (tasks, eval) = (options.tasks, options.eval);
    let settled = |task| prepare(inputs.encoder(), task, eval, &mut *progress).map(|prepared| prepared.settled(eval));
    let options = tasks.iter().map(settled).collect::<Result<Vec<_>>>()?;
    let key = fingerprint([format!("{tasks:?} {options:?}").as_bytes()]);
    Ok(Measure { tasks, options, key })
}

/// A run's settings for ranking its rounds once more. Its pairs are not used: that they are made by the implicit
/// reward costs nothing.
fn measuring(config: &RunConfig) -> RunConfig {
    let mut measuring = RunConfig { method: None, ..config.clone() };
    measuring.pair.reward = Reward::Implicit;
    measuring
}

/// Copies the shared iteration 0 into a method's run, its last file last.
async fn share<M: Model>(method: Method, inputs: &RunInputs<'_, M>, store: &mut dyn Store) -> Result<()> {
    let (from, to) = (join(&Method::SftOnly.to_string(), &folder(0)), join(&method.to_string(), &folder(0)));
    if inputs.sft.is_empty() || method == Method::SftOnly || store.exists(&join(&to, "summary.json")).await? {
        return Ok(());
    }
    let text = inputs.text.files()?.into_iter().map(|(file, _)| file);
    let files = text.chain(["training.json", "metrics.jsonl"].map(str::to_owned));
    for file in files.chain(weights::FILES.map(str::to_owned)).chain(["summary.json".to_owned()]) {
        if let Some(bytes) = store.read(&join(&from, &file)).await? {
            store.write(&join(&to, &file), &bytes).await?;
        }
    }
    Ok(())
}

/// Models from the folders of a method's run.
struct LoadWithin<'a, M> {
    load: &'a mut dyn Load<M>,
    folder: &'a str,
}

impl<M> Load<M> for LoadWithin<'_, M> {
    fn load<'a>(&'a mut self, folder: Option<&'a str>, trainable: bool) -> Answer<'a, M> {
        Box::pin(async move {
            let folder = folder.map(|folder| join(self.folder, folder));
            self.load.load(folder.as_deref(), trainable).await
        })
    }
}

/// One method's run, and its models measured.
async fn one<M: Model>(
    inputs: &mut RunInputs<'_, M>,
    config: &RunConfig,
    measure: &Measure<'_>,
    store: &mut dyn Store,
    progress: &mut dyn Progress,
) -> Result<Vec<ModelResult>> {
    let name = config.method.map(|method| method.to_string()).unwrap_or_default();
    let mut load = LoadWithin { load: &mut *inputs.load, folder: &name };
    let external = inputs.external.as_mut().map(|external| &mut **external as &mut dyn External);
    let mut own = RunInputs { config, load: &mut load, external, ..*inputs };
    let without_sft = own.sft.is_empty();
    let shared = "eval-M0.json";
    let of_m0 = store.read(shared).await?;
    let mut within = Within { store, folder: &name };
    run(own.reborrow(), &mut within, progress).await?;

    // Every round is ranked once more, of scores that are there, so that all are measured alike, also those that another
    // version made.
    let measuring = measuring(config);
    let mut own = RunInputs { config: &measuring, ..own };
    let mut iteration = Iteration::new(&mut own, &mut within, progress);
    let (first, last) = (usize::from(without_sft), config.iterations + 1);
    let mut models = Vec::new();
    let mut m0 = None;
    for model in 0..=last {
        let made_by = model.checked_sub(1).filter(|&t| t >= first);
        let report = match model {
            0 => None,
            model => Some(iteration.rank(model).await?.report),
        };
        let evaluations = match made_by {
            None if m0.is_some() => m0.clone().unwrap_or_default(),
            None => {
                let found = of_m0.clone();
                let reports = evaluations(&mut iteration, found, 0, measure).await?;
                m0 = Some(reports.clone());
                reports
            }
            Some(t) => {
                let file = join(&folder(t), "eval.json");
                let found = iteration.read(&file).await?;
                let reports = evaluations(&mut iteration, found, model, measure).await?;
                iteration.write(&file, &told(&measure.key, &reports)).await?;
                reports
            }
        };
        models.push(ModelResult {
            model: format!("M{model}"),
            tasks: evaluations,
            rankings: report.as_ref().and_then(|report| report.rankings),
            mean_tokens: report.as_ref().and_then(|report| report.mean_tokens),
            drift: match made_by {
                Some(t) if t > 0 => Some(iteration.drift(t).await?),
                _ => None,
            },
        });
    }
    if let Some(reports) = m0 {
        within.store.write(shared, &told(&measure.key, &reports)).await?;
    }
    Ok(models)
}

fn told(key: &str, reports: &[EvalReport]) -> Vec<u8> {
    let evaluations = Evaluations { key: key.into(), reports: reports.to_vec() };
    serde_json::to_vec_pretty(&evaluations).expect("string keys, and memory takes every byte")
}

/// Those of a file, if they are of the same tasks, or new ones.
async fn evaluations<M: Model>(
    iteration: &mut Iteration<'_, '_, M>,
    found: Option<Vec<u8>>,
    model: usize,
    measure: &Measure<'_>,
) -> Result<Vec<EvalReport>> {
    // One that cannot be read is another version's: it is made again.
    let found = found.and_then(|bytes| serde_json::from_slice::<Evaluations>(&bytes).ok());
    if let Some(found) = found.filter(|found| found.key == measure.key) {
        return Ok(found.reports);
    }
    let mut reports = Vec::new();
    for (task, options) in measure.tasks.iter().zip(&measure.options) {
        reports.push(iteration.evaluate(model, task, options).await?);
    }
    Ok(reports)
}

#[cfg(test)]
mod tests;

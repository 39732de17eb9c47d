//! The training loop that pairs and supervised data share: order, micro-batches, schedule, metrics, saved state.

mod given;
mod options;
mod order;
mod preference;
mod sft;

use cream_engine::{Batch, Group, MemoryPlan, Outline, Schedule};
use serde::{Deserialize, Serialize};

use crate::budget::{fewer_tokens, fitting, outline};
use crate::error::{Error, Result};
use crate::jsonl::to_jsonl;
use crate::model::{Learner, Model};
use crate::pack::{largest_batch, pack};
use crate::policy::Encoder;
use crate::progress::{Progress, Stage, Update};
use crate::rows::{MetricsRow, PreferenceMetrics};
use crate::store::{Output, Store, join};
use crate::weights::{save_adapter, save_model};

pub use given::complete_pairs;
pub use options::TrainOptions;
pub use preference::{PreferenceLoss, train, train_step};
pub(crate) use sft::groups as sft_groups;
pub use sft::sft;

/// A model that is trained: its adapter, or without one all its weights.
pub struct Trainee<'a, M: Model> {
    /// The base; loaded as trainable where there is no adapter.
    pub model: &'a mut M,
    /// What is trained on a frozen base.
    pub adapter: Option<&'a mut M::Adapter>,
    /// From rows to tokens.
    pub encoder: Encoder<'a>,
    /// Of the weights as they are now, adapter included.
    pub fingerprint: &'a str,
    /// Name of the base, for the adapter's configuration.
    pub base_model: &'a str,
}

/// What training did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainSummary {
    /// Optimiser steps.
    pub steps: usize,
    /// Mean over the steps.
    pub mean_loss: f64,
    /// Of the first step.
    pub first_loss: f64,
    /// Of the last step.
    pub last_loss: f64,
    /// Mean margin z of the first step's pairs, before its update.
    pub first_margin: Option<f64>,
    /// The same of the last step's.
    pub last_margin: Option<f64>,
}

/// What a model learns, as groups of a prompt and its completions.
pub(crate) trait Objective {
    /// What it is called.
    const STAGE: Stage;

    /// All groups.
    fn groups(&self) -> &[Group];

    /// Weight of a group in the mean of its step.
    fn weight(&self, group: usize) -> f64;

    /// Loss of a group, times its weight, from the log-probs of its completions.
    fn evaluate(&self, group: usize, logps: &[f64]) -> Result<Term>;
}

/// Loss of one group.
pub(crate) struct Term {
    loss: f64,
    /// d loss / d log-prob of each completion.
    gradient: Vec<f64>,
    preference: Option<PreferenceMetrics>,
}

/// What training.json holds: all that the weights depend on. A saved state is taken up only where it is the same.
#[derive(Debug, Serialize)]
struct Record<'a> {
    stage: String,
    options: &'a TrainOptions,
    seed: u64,
    /// Only where pairs are trained on.
    #[serde(flatten)]
    loss: Option<PreferenceLoss>,
    lora: Option<&'a cream_engine::LoraConfig>,
    raw: bool,
    /// Fingerprint of the weights at the start.
    model: &'a str,
    /// Fingerprint of the rows.
    rows: &'a str,
}

impl<'a> Record<'a> {
    /// As the bytes of training.json.
    fn of<M: Model>(
        trainee: &'a Trainee<'_, M>,
        stage: Stage,
        options: &'a TrainOptions,
        seed: u64,
        loss: Option<PreferenceLoss>,
        rows: &'a str,
    ) -> Vec<u8> {
        let lora = trainee.adapter.as_deref().map(M::lora);
        let (raw, model) = (trainee.encoder.raw, trainee.fingerprint);
        let record = Record { stage: stage.to_string(), options, seed, loss, lora, raw, model, rows };
        let mut bytes = serde_json::to_vec_pretty(&record).expect("string keys, and memory takes every byte");
        bytes.push(b'\n');
        bytes
    }
}

const METRICS: &str = "metrics.jsonl";
const STATE: &str = "state.safetensors";
const RECORD: &str = "training.json";

/// Whether `folder` holds the end of a training, and not only a part.
pub(crate) async fn is_finished(store: &dyn Store, folder: &str, adapter: bool) -> Result<bool> {
    let last = if adapter { crate::weights::ADAPTER_CONFIG } else { crate::weights::MODEL_CONFIG };
    Ok(store.exists(&join(folder, last)).await? && !store.exists(&join(folder, STATE)).await?)
}

/// Trains and leaves in the folder `output`: the weights (PEFT's files of an adapter, or a model's), metrics.jsonl and
/// training.json. The state is saved every few steps, taken up by the same call, and removed at the end.
async fn fit<M: Model, O: Objective>(
    trainee: Trainee<'_, M>,
    objective: &O,
    options: &TrainOptions,
    seed: u64,
    record: &[u8],
    output: Output<'_>,
    progress: &mut dyn Progress,
) -> Result<TrainSummary> {
    let Trainee { model, mut adapter, encoder, base_model, .. } = trainee;
    let Output { store, name: folder } = output;
    let (metrics, state) = (join(folder, METRICS), join(folder, STATE));
    let groups = objective.groups();
    let epochs = options.epochs(O::STAGE);
    let steps = order::steps(seed, epochs, groups.len(), options.batch_size);
    // Transformers' schedule gives the first of its steps, from 0, a rate of 0: a round of one step would not train. Its
    // steps from 1 on, of one more in all, neither begin nor end at 0.
    let schedule = Schedule {
        learning_rate: options.learning_rate(O::STAGE, adapter.is_some()),
        warmup_ratio: options.warmup_ratio,
        total_steps: steps.len() as u32 + 1,
    };
    // What is chosen here is not recorded: the weights depend on it by rounding alone, and another device may choose anew.
    let outline = outline(&*model, adapter.as_deref());
    let (recompute, batch_tokens) = fitting_batch(O::STAGE, outline.as_ref(), groups, options, progress)?;
    let vocab_size = model.vocab_size();
    let mut learner = model.learner(adapter.as_deref_mut(), options.adamw, recompute)?;
    if let Some(saved) = take_up(store, folder, record).await? {
        learner.restore(&saved)?;
    }
    let start = learner.step() as usize;
    cut_metrics(store, &metrics, start).await?;

    let mut told = |done, tokens, metrics: Option<&MetricsRow>| {
        let total = steps.len();
        progress.update(&Update { stage: O::STAGE, output: folder, done, total, tokens, metrics })
    };
    told(start, 0, None)?;
    let rows_of = |step: &Vec<usize>| step.iter().map(|&i| groups[i].rows()).sum::<usize>();
    let before: usize = steps.iter().take(start).map(rows_of).sum();
    let mut tokens = 0;
    for (index, members) in steps.iter().enumerate().skip(start) {
        let (loss, preference) = accumulate(&mut learner, objective, members, batch_tokens, vocab_size).await?;
        let learning_rate = schedule.at(index as u32 + 1);
        let grad_norm = learner.update(learning_rate).await?;
        let step = index + 1;
        if !grad_norm.is_finite() {
            return Err(Error::Diverged { step, value: grad_norm });
        }
        tokens += rows_of(members);
        let row = MetricsRow {
            step,
            epoch: step as f64 * epochs as f64 / steps.len() as f64,
            loss,
            grad_norm,
            learning_rate,
            num_tokens: before + tokens,
            preference,
        };
        store.append(&metrics, &to_jsonl(std::slice::from_ref(&row))).await?;
        if step % options.save_steps == 0 || step == steps.len() {
            // After its metrics, so that these never lack a step that the state has.
            store.write(&state, &learner.save().await?).await?;
        }
        told(step, tokens, Some(&row))?;
    }

    drop(learner);
    let weights = Output { store: &mut *store, name: folder };
    match adapter {
        Some(adapter) => save_adapter(&*model, adapter, base_model, weights).await?,
        None => save_model(&*model, None, encoder.text, cream_engine::Dtype::F32, weights).await?,
    }
    store.remove(&state).await?;
    summary(store, folder).await
}

/// Whether activations are recomputed, and tokens at once: as the options say, or as the device's memory takes.
pub(crate) fn fitting_batch(
    stage: Stage,
    outline: Option<&Outline>,
    groups: &[Group],
    options: &TrainOptions,
    progress: &mut dyn Progress,
) -> Result<(bool, usize)> {
    let smaller = fewer_tokens(options.batch_tokens).map(|tokens| (true, tokens));
    fitting(
        stage,
        outline,
        std::iter::once((options.recompute, options.batch_tokens)).chain(smaller),
        |outline, &(recompute, batch_tokens)| {
            let batch = largest_batch(groups, options.batch_size, batch_tokens, outline.config().vocab_size)?;
            Ok(MemoryPlan::train(outline, &batch, recompute)?)
        },
        |(_, batch_tokens)| format!("{stage}.recompute with {stage}.batch_tokens {batch_tokens}"),
        progress,
    )
}

/// Adds the gradient of one step's mean loss; returns that loss and the means of the rest.
async fn accumulate<L: Learner, O: Objective>(
    learner: &mut L,
    objective: &O,
    members: &[usize],
    batch_tokens: usize,
    vocab_size: usize,
) -> Result<(f64, Option<PreferenceMetrics>)> {
    let groups: Vec<Group> = members.iter().map(|&i| objective.groups()[i].clone()).collect();
    let total: f64 = members.iter().map(|&i| objective.weight(i)).sum();
    let (mut loss, mut preference) = (0.0, None);
    for range in pack(&groups, batch_tokens) {
        let batch = Batch::new(&groups[range.clone()], vocab_size)?;
        let evaluate = |logps: &[f64]| -> Result<Vec<f64>> {
            let (mut gradient, mut rest) = (Vec::with_capacity(logps.len()), logps);
            for at in range {
                let (own, others) = rest.split_at(groups[at].completions.len());
                let term = objective.evaluate(members[at], own)?;
                rest = others;
                loss += term.loss / total;
                gradient.extend(term.gradient.iter().map(|d| d / total));
                if let Some(own) = term.preference {
                    preference.get_or_insert_with(PreferenceMetrics::default).add(&own, 1.0 / members.len() as f64);
                }
            }
            Ok(gradient)
        };
        learner.accumulate(&batch, evaluate).await?;
    }
    Ok((loss, preference))
}

/// The state that an earlier call of the same training saved; one that another left is removed.
async fn take_up(store: &mut dyn Store, folder: &str, record: &[u8]) -> Result<Option<Vec<u8>>> {
    let (name, state) = (join(folder, RECORD), join(folder, STATE));
    if store.read(&name).await?.as_deref() == Some(record) {
        return store.read(&state).await;
    }
    store.remove(&state).await?;
    store.write(&name, record).await?;
    Ok(None)
}

/// Drops the metrics of steps after the saved state, the torn line of a kill among them.
async fn cut_metrics(store: &mut dyn Store, name: &str, steps: usize) -> Result<()> {
    let Some(bytes) = store.read(name).await? else { return Ok(()) };
    let len = bytes.split_inclusive(|&byte| byte == b'\n').take(steps).map(<[u8]>::len).sum();
    if len < bytes.len() { store.truncate(name, len).await } else { Ok(()) }
}

/// From the metrics of a finished training.
pub(crate) async fn summary(store: &dyn Store, folder: &str) -> Result<TrainSummary> {
    let name = join(folder, METRICS);
    let bytes = store.read(&name).await?.unwrap_or_default();
    let rows = bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).map(serde_json::from_slice);
    let rows: Vec<MetricsRow> = rows.collect::<Result<_, _>>().map_err(|e| Error::file(&name, e))?;
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return Err(Error::file(&name, "no steps, expected at least one"));
    };
    let margin = |row: &MetricsRow| row.preference.map(|preference| preference.rewards_margins);
    Ok(TrainSummary {
        steps: rows.len(),
        mean_loss: rows.iter().map(|row| row.loss).sum::<f64>() / rows.len() as f64,
        first_loss: first.loss,
        last_loss: last.loss,
        first_margin: margin(first),
        last_margin: margin(last),
    })
}

#[cfg(test)]
mod tests;

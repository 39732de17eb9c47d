//! The whole loop over a run directory: iteration 0 where there is supervised data, then 1, 2, ….
//!
//! ```text
//! config.toml                           the settings
//! inputs.json                           format of these files; fingerprints of the model, the prompts and the supervised data
//! anchors.jsonl                         drawn from M_0, where the rejected completions come from there
//! iteration-N/completions.jsonl         drawn from M_N; with anchors, those after them
//! iteration-N/scores-current.jsonl      under M_N, the reference of training too
//! iteration-N/scores-previous.jsonl     under M_{N-1}
//! iteration-N/scores-reference.jsonl    under M_0
//! iteration-N/judgements-current.jsonl, rewards-current.jsonl   with the reward judge: by M_N
//! iteration-N/judgements-previous.jsonl, rewards-previous.jsonl the same by M_{N-1}, where the consistency is measured
//! iteration-N/rewards-current.jsonl     with the reward external: what it said
//! iteration-N/rankings.jsonl            rewards of the completions, and how far the two rankings agree
//! iteration-N/pairs.jsonl
//! iteration-N/replay.jsonl              with replay: the pairs of earlier rounds
//! iteration-N/training.json             what training depends on
//! iteration-N/metrics.jsonl             a line a step
//! iteration-N/adapter_model.safetensors, adapter_config.json    M_{N+1} (of all weights: a Hugging Face folder's files)
//! iteration-N/summary.json              the iteration is done
//! ```
//! Iteration 0 has no completions, scores and pairs. While work is under way there are also `*.partial`,
//! `state.safetensors` and `.*.tmp` files.

mod ahead;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use cream_engine::{Date, Outline, Text};
use serde::Serialize;
use toml::Value;

use crate::config::RunConfig;
use crate::error::{Error, Result};
use crate::fingerprint::fingerprint;
use crate::iteration::{Iteration, SUMMARY, Summary, folder};
use crate::jsonl::to_jsonl;
use crate::model::Model;
use crate::policy::Encoder;
use crate::progress::Progress;
use crate::rows::{Completions, Prompt, Rewards, SftRow};
use crate::store::{Answer, Store, join};

/// Where a run's models come from; a function that loads at once is one.
pub trait Load<M> {
    /// Loads a model, trainable or not: the initial one, or that in a folder of the store (only where all weights are
    /// trained).
    ///
    /// # Errors
    /// What the caller likes.
    fn load<'a>(&'a mut self, folder: Option<&'a str>, trainable: bool) -> Answer<'a, M>;
}

impl<M, F: FnMut(Option<&str>, bool) -> Result<M>> Load<M> for F {
    fn load<'a>(&'a mut self, folder: Option<&'a str>, trainable: bool) -> Answer<'a, M> {
        Box::pin(async move { self(folder, trainable) })
    }
}

/// Who gives rewards from outside; a function that answers at once is one.
pub trait External {
    /// Gives every completion of every row its reward.
    ///
    /// # Errors
    /// What the caller likes.
    fn rewards<'a>(&'a mut self, rows: &'a [Completions]) -> Answer<'a, Vec<Rewards>>;
}

impl<F: FnMut(&[Completions]) -> Result<Vec<Rewards>>> External for F {
    fn rewards<'a>(&'a mut self, rows: &'a [Completions]) -> Answer<'a, Vec<Rewards>> {
        Box::pin(async move { self(rows) })
    }
}

/// What a run works with.
pub struct RunInputs<'a, M: Model> {
    /// The settings.
    pub config: &'a RunConfig,
    /// What is answered in every round.
    pub prompts: &'a [Prompt],
    /// What is learnt in iteration 0; none, and there is no iteration 0.
    pub sft: &'a [SftRow],
    /// The model's tokenizer and chat template.
    pub text: &'a Text,
    /// Name of the initial model, for the adapters' configuration.
    pub base_model: &'a str,
    /// Of the initial model's files.
    pub fingerprint: &'a str,
    /// Longest sequence that the model takes, in tokens.
    pub context: usize,
    /// Outlines of the initial model, frozen and trainable, by which the run's memory is planned before a model is loaded;
    /// none, and nothing is planned.
    pub outlines: Option<&'a [Outline; 2]>,
    /// Called when a model is needed, and not if none is.
    pub load: &'a mut dyn Load<M>,
    /// Called with the reward `external`. With none, the run stops where rewards are needed, names the file that it
    /// expects, and can be taken up when it is there.
    pub external: Option<&'a mut dyn External>,
}

impl<'a, M: Model> RunInputs<'a, M> {
    /// How its models read rows.
    pub fn encoder(&self) -> Encoder<'a> {
        self.config.encoder(self.text, self.context)
    }

    /// The same for a shorter time.
    pub(crate) fn reborrow(&mut self) -> RunInputs<'_, M> {
        RunInputs {
            load: &mut *self.load,
            external: self.external.as_mut().map(|external| &mut **external as &mut dyn External),
            ..*self
        }
    }
}

pub(crate) const CONFIG: &str = "config.toml";
pub(crate) const INPUTS: &str = "inputs.json";
/// Of the files of a run. From 2 on completions are kept with the tokens that were drawn; before, their texts were encoded
/// anew, and a round of both kinds would mean nothing.
const FORMAT: &str = "2";

/// Runs all iterations, or takes up where an earlier call was cut short; what is done is not done again. On the CPU a run
/// that was killed, wherever, ends with the same files as one that was not, bit for bit.
///
/// # Errors
/// Settings out of range, more memory needed than may be taken, or other settings or inputs than the directory's (more iterations are allowed), and whatever
/// the stages say.
pub async fn run<M: Model>(
    mut inputs: RunInputs<'_, M>,
    store: &mut dyn Store,
    progress: &mut dyn Progress,
) -> Result<Vec<Summary>> {
    let rounds = check(&inputs, store, progress).await?;
    remember(&inputs, store).await?;
    let mut iteration = Iteration::new(&mut inputs, store, progress);
    let mut summaries = Vec::new();
    for t in rounds {
        summaries.push(iteration.run(t).await?);
    }
    Ok(summaries)
}

/// Whether a run can be made, as far as that is known before it begins; its iterations.
pub(crate) async fn check<M: Model>(
    inputs: &RunInputs<'_, M>,
    store: &dyn Store,
    progress: &mut dyn Progress,
) -> Result<RangeInclusive<usize>> {
    inputs.config.validate()?;
    let (date, set) = (inputs.config.date, inputs.text.date());
    if inputs.text.reads_date() && (date.is_none() || date != set) {
        let name = |date: Option<Date>| date.map_or_else(|| "unset".to_owned(), |date| date.to_string());
        let expected = format!("a day, and the one at which the chat template stands ({})", name(set));
        return Err(Error::setting("date", name(date), expected));
    }
    if inputs.prompts.is_empty() {
        return Err(Error::file("prompts", "none, expected at least one"));
    }
    if inputs.config.iterations == 0 && inputs.sft.is_empty() {
        return Err(Error::setting("iterations", 0, "at least 1 where there is no supervised data"));
    }
    let first = if inputs.sft.is_empty() { 1 } else { 0 };
    let rounds = first..=inputs.config.iterations;
    let mut left = Vec::new();
    for t in rounds.clone() {
        if !store.exists(&join(&folder(t), SUMMARY)).await? {
            left.push(t);
        }
    }
    // Before the settings are written down: those that do not fit may be changed.
    ahead::plan(inputs, &left, progress)?;
    Ok(rounds)
}

/// Writes down settings and inputs, or compares them with those written down.
async fn remember<M: Model>(inputs: &RunInputs<'_, M>, store: &mut dyn Store) -> Result<()> {
    let given = BTreeMap::from([
        ("format", FORMAT.to_owned()),
        ("model", inputs.fingerprint.to_owned()),
        ("prompts", rows(inputs.prompts)),
        ("sft", rows(inputs.sft)),
    ]);
    match store.read(INPUTS).await? {
        None => {
            let mut bytes = serde_json::to_vec_pretty(&given).expect("string keys, and memory takes every byte");
            bytes.push(b'\n');
            store.write(INPUTS, &bytes).await?;
        }
        Some(bytes) => {
            let saved: BTreeMap<String, String> = serde_json::from_slice(&bytes).map_err(|e| Error::file(INPUTS, e))?;
            if saved.get("format").is_none_or(|format| format != FORMAT) {
                let found = saved.get("format").map_or("1", String::as_str);
                let problem = format!(
                    "a run of format {found}, expected {FORMAT}: of another version of this program; begin anew in another directory"
                );
                return Err(Error::file(INPUTS, problem));
            }
            for (what, given) in given {
                let saved = saved.get(what).map_or("not there", String::as_str);
                changed(INPUTS, what, saved, &given)?;
            }
        }
    }
    let text = inputs.config.to_toml();
    if let Some(bytes) = store.read(CONFIG).await? {
        if bytes == text.as_bytes() {
            return Ok(());
        }
        let saved = String::from_utf8(bytes).map_err(|e| Error::file(CONFIG, e))?;
        let saved = RunConfig::from_toml(CONFIG, &saved)?;
        let [saved, given]: [BTreeMap<_, _>; 2] =
            [saved.keys(), inputs.config.keys()].map(|keys| keys.into_iter().collect());
        let names: BTreeSet<&String> = saved.keys().chain(given.keys()).collect();
        for key in names {
            let [saved, given] = [saved.get(key), given.get(key)];
            let more = key == "iterations" && saved.and_then(Value::as_integer) < given.and_then(Value::as_integer);
            if !more {
                let [saved, given] = [saved, given].map(|value| value.map_or("unset".into(), Value::to_string));
                changed(CONFIG, key, &saved, &given)?;
            }
        }
    }
    store.write(CONFIG, text.as_bytes()).await
}

fn rows<R: Serialize>(rows: &[R]) -> String {
    fingerprint([to_jsonl(rows).as_slice()])
}

fn changed(file: &str, what: &str, saved: &str, given: &str) -> Result<()> {
    if saved == given {
        return Ok(());
    }
    let [file, what, saved, given] = [file, what, saved, given].map(str::to_owned);
    Err(Error::Changed { file, what, saved, given })
}

#[cfg(test)]
mod tests;

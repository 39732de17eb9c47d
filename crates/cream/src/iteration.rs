//! One iteration of CREAM (Wang et al., arXiv 2410.12735, algorithm 1): M_t and M_{t-1} make M_{t+1}.
//!
//! Departures from the paper: an adapter is trained instead of all weights, unless asked otherwise; rounds without
//! supervised fine-tuning before them are allowed, and then the first, which has no former self, is plain DPO on the mean
//! log-prob (see [`pair`](crate::pair())).
//!
//! Departures from the authors' code:
//! * The log-probs that rank the completions are the reference of training too: nothing is scored twice.
//! * Log-probs are of the assistant's words and the end of its turn, not of the chat header before them.
//! * A fresh adapter has B = 0, so that policy and reference are equal at step 0; no token is added to the vocabulary.
//! * Every round uses all prompts; there they are divided among the rounds, so that no round ranks a prompt that an
//!   earlier one was trained on.
//! * Everything can be taken up after a kill: each stage leaves a file, and the next reads it.
//! * What is true of [`pair`](crate::pair()).

mod candidates;
mod measure;
mod models;
mod replay;

use serde::{Deserialize, Serialize};

use crate::config::Tuning;
use crate::error::{Error, Result};
use crate::jsonl::to_jsonl;
use crate::model::Model;
use crate::pair::{PairReport, Pairing};
use crate::progress::Progress;
use crate::rows::Pair;
use crate::run::RunInputs;
use crate::store::{Output, Store, join};
use crate::train::{TrainSummary, Trainee, is_finished, sft, summary, train};
use models::Models;

/// What one iteration did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// 0 is supervised.
    pub iteration: usize,
    /// Seed of its sampling, adapter and order of training.
    pub seed: u64,
    /// What ranking found; none in iteration 0.
    pub pairs: Option<PairReport>,
    /// What training did.
    pub training: TrainSummary,
}

pub(crate) const SUMMARY: &str = "summary.json";
pub(crate) const RANKINGS: &str = "rankings.jsonl";

/// Folder of an iteration, and of the model that it made.
pub(crate) fn folder(iteration: usize) -> String {
    format!("iteration-{iteration}")
}

/// Everything an iteration works with.
pub(crate) struct Iteration<'a, 'b, M: Model> {
    models: Models<'a, 'b, M>,
    store: &'a mut dyn Store,
    progress: &'a mut dyn Progress,
}

impl<'a, 'b, M: Model> Iteration<'a, 'b, M> {
    pub(crate) fn new(
        inputs: &'a mut RunInputs<'b, M>,
        store: &'a mut dyn Store,
        progress: &'a mut dyn Progress,
    ) -> Self {
        Iteration { models: Models { inputs, held: None }, store, progress }
    }

    /// Makes M_{t+1}, or finds it made.
    pub(crate) async fn run(&mut self, t: usize) -> Result<Summary> {
        let name = join(&folder(t), SUMMARY);
        if let Some(bytes) = self.store.read(&name).await? {
            return serde_json::from_slice(&bytes).map_err(|e| Error::file(&name, e));
        }
        let rounds = self.models.inputs.config.iterations;
        let (pairs, training) = if t == 0 {
            self.progress.log("iteration 0: supervised fine-tuning of M0 into M1");
            (None, self.train(t, None).await?)
        } else {
            let model = self.models.number(t);
            self.progress.log(&format!("iteration {t} of {rounds}: M{model} into M{}", t + 1));
            let (pairs, report) = self.pairs(t).await?;
            (Some(report), self.train(t, Some(&pairs)).await?)
        };
        let summary = Summary { iteration: t, seed: self.models.inputs.config.seed_of(t), pairs, training };
        let mut bytes = serde_json::to_vec_pretty(&summary).expect("string keys, and memory takes every byte");
        bytes.push(b'\n');
        self.store.write(&name, &bytes).await?;
        Ok(summary)
    }

    /// Steps 1 to 5, and what is replayed.
    async fn pairs(&mut self, t: usize) -> Result<(Vec<Pair>, PairReport)> {
        let Pairing { mut pairs, rankings, report } = self.rank(t).await?;
        report.notes.iter().for_each(|note| self.progress.log(note));
        let name = join(&folder(t), RANKINGS);
        if !self.store.exists(&name).await? {
            self.store.write(&name, &to_jsonl(&rankings)).await?;
        }
        let name = join(&folder(t), "pairs.jsonl");
        if pairs.is_empty() {
            let reason = &report.skipped[0].reason;
            return Err(Error::file(
                &name,
                format_args!("no pair from {} prompts; of the first: {reason}", report.prompts),
            ));
        }
        if !report.skipped.is_empty() {
            self.progress.log(&format!("{} of {} prompts give no pair", report.skipped.len(), report.prompts));
        }
        if !self.store.exists(&name).await? {
            self.store.write(&name, &to_jsonl(&pairs)).await?;
        }
        pairs.extend(self.replayed(t).await?);
        Ok((pairs, report))
    }

    /// Step 6, or iteration 0 where there are no pairs.
    async fn train(&mut self, t: usize, pairs: Option<&[Pair]>) -> Result<TrainSummary> {
        let (config, rows, base_model) =
            (self.models.inputs.config, self.models.inputs.sft, self.models.inputs.base_model);
        let (name, lora) = (folder(t), config.tuning == Tuning::Lora);
        if is_finished(&*self.store, &name, lora).await? {
            return summary(&*self.store, &name).await;
        }
        let seed = config.seed_of(t);
        let (encoder, fingerprint) = (self.models.encoder(), self.models.fingerprint(t));
        let (model, mut adapter) = self.models.get(t, !lora, &*self.store).await?;
        if lora && adapter.is_none() {
            adapter = Some(model.new_adapter(&config.lora, seed)?);
        }
        let trainee = Trainee { model, adapter: adapter.as_mut(), encoder, fingerprint: &fingerprint, base_model };
        let output = Output { store: &mut *self.store, name: &name };
        let summary = match pairs {
            Some(pairs) => {
                let loss = config.preference_loss();
                train(trainee, pairs, &loss, &config.train, seed, output, &mut *self.progress).await
            }
            None => sft(trainee, rows, &config.sft, seed, output, &mut *self.progress).await,
        };
        if !lora {
            // Its weights are another model's now.
            self.models.held = None;
        }
        summary
    }
}

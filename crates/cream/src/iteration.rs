//! One iteration of CREAM (Wang et al., arXiv 2410.12735, algorithm 1): M_t and M_{t-1} make M_{t+1}.
//!
//! Departures from the paper: an adapter is trained instead of all weights, unless asked otherwise; rounds without
//! supervised fine-tuning before them are allowed, and then the first is plain DPO on the mean log-prob (see
//! [`pair`](crate::pair())).
//!
//! Departures from the authors' code:
//! * The log-probs that rank the completions are the reference of training too: nothing is scored twice.
//! * Log-probs are of the assistant's words and the end of its turn, not of the chat header before them.
//! * A fresh adapter has B = 0, so that policy and reference are equal at step 0; no token is added to the vocabulary.
//! * Everything can be taken up after a kill: each stage leaves a file, and the next reads it.
//! * What is true of [`pair`](crate::pair()).

use cream_engine::{Adapter, Backend, Llama};
use serde::{Deserialize, Serialize};

use crate::config::Tuning;
use crate::error::{Error, Result};
use crate::fingerprint::fingerprint;
use crate::jsonl::{read_jsonl, to_jsonl};
use crate::pair::{PairReport, Pairing, pair};
use crate::policy::{Encoder, Policy};
use crate::progress::Progress;
use crate::rows::{Completions, Pair, Scores};
use crate::run::RunInputs;
use crate::sample::sample;
use crate::score::score;
use crate::store::{Output, Store, join};
use crate::train::{TrainSummary, Trainee, is_finished, sft, summary, train};
use crate::weights::load_adapter;

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

pub(crate) const RANKINGS: &str = "rankings.jsonl";

/// Folder of an iteration, and of the model that it made.
pub(crate) fn folder(iteration: usize) -> String {
    format!("iteration-{iteration}")
}

/// The models of a run. M0 is the initial one and M_{t+1} what iteration t made; without iteration 0, M1 is M0.
struct Models<'a, 'b, B: Backend> {
    inputs: &'a mut RunInputs<'b, B>,
    /// Number of the model in memory, and whether it is trainable. With adapters it is always M0, not trainable.
    held: Option<(usize, bool, Llama<B>)>,
}

/// Everything an iteration works with.
pub(crate) struct Iteration<'a, 'b, B: Backend> {
    models: Models<'a, 'b, B>,
    store: &'a mut dyn Store,
    progress: &'a mut dyn Progress,
}

impl<'a, 'b, B: Backend> Iteration<'a, 'b, B> {
    pub(crate) fn new(
        inputs: &'a mut RunInputs<'b, B>,
        store: &'a mut dyn Store,
        progress: &'a mut dyn Progress,
    ) -> Self {
        Iteration { models: Models { inputs, held: None }, store, progress }
    }

    /// Makes M_{t+1}, or finds it made.
    pub(crate) async fn run(&mut self, t: usize) -> Result<Summary> {
        let name = join(&folder(t), "summary.json");
        if let Some(bytes) = self.store.read(&name)? {
            return serde_json::from_slice(&bytes).map_err(|e| Error::file(&name, e));
        }
        let rounds = self.models.inputs.config.iterations;
        let (pairs, training) = if t == 0 {
            self.progress.log("iteration 0: supervised fine-tuning of M0 into M1");
            (None, self.train(t, None).await?)
        } else {
            self.progress.log(&format!("iteration {t} of {rounds}: M{t} into M{}", t + 1));
            let (pairs, report) = self.pairs(t).await?;
            (Some(report), self.train(t, Some(&pairs)).await?)
        };
        let summary = Summary { iteration: t, seed: self.models.inputs.config.seed_of(t), pairs, training };
        let mut bytes = serde_json::to_vec_pretty(&summary).expect("string keys, and memory takes every byte");
        bytes.push(b'\n');
        self.store.write(&name, &bytes)?;
        Ok(summary)
    }

    /// Steps 1 to 5.
    async fn pairs(&mut self, t: usize) -> Result<(Vec<Pair>, PairReport)> {
        let completions = self.completions(t).await?;
        // With no supervised fine-tuning two of the three are one model, which is scored once.
        let mut scored: Vec<(usize, Vec<Scores>)> = Vec::new();
        for (role, model) in [("current", t), ("previous", t - 1), ("reference", 0)] {
            let model = self.models.number(model);
            let name = join(&folder(t), &format!("scores-{role}.jsonl"));
            let same = scored.iter().find(|(other, _)| *other == model).map(|(_, scores)| scores.clone());
            let scores = match (self.store.read(&name)?, same) {
                (Some(bytes), _) => read_jsonl(&name, bytes.as_slice())?,
                (None, Some(scores)) => {
                    self.progress.log(&format!("{name}: M{model} again, the same numbers"));
                    self.store.write(&name, &to_jsonl(&scores))?;
                    scores
                }
                (None, None) => self.scores(model, &completions, &name).await?,
            };
            scored.push((model, scores));
        }
        let config = self.models.inputs.config;
        let Pairing { pairs, rankings, report } =
            pair(&scored[0].1, &scored[1].1, &scored[2].1, config.beta, &config.pair)?;
        report.notes.iter().for_each(|note| self.progress.log(note));
        let name = join(&folder(t), RANKINGS);
        if !self.store.exists(&name) {
            self.store.write(&name, &to_jsonl(&rankings))?;
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
        if !self.store.exists(&name) {
            self.store.write(&name, &to_jsonl(&pairs))?;
        }
        Ok((pairs, report))
    }

    async fn completions(&mut self, t: usize) -> Result<Vec<Completions>> {
        let name = join(&folder(t), "completions.jsonl");
        if let Some(bytes) = self.store.read(&name)? {
            return read_jsonl(&name, bytes.as_slice());
        }
        let (config, prompts) = (self.models.inputs.config, self.models.inputs.prompts);
        let (encoder, fingerprint) = self.models.facts(t);
        let (model, adapter) = self.models.get(t, false, &*self.store)?;
        let policy = Policy { model, adapter: adapter.as_ref(), encoder, fingerprint: &fingerprint };
        let output = Output { store: &mut *self.store, name: &name };
        sample(policy, prompts, &config.sample, config.seed_of(t), output, &mut *self.progress).await
    }

    async fn scores(&mut self, model: usize, rows: &[Completions], name: &str) -> Result<Vec<Scores>> {
        let options = &self.models.inputs.config.score;
        let (encoder, fingerprint) = self.models.facts(model);
        let (model, adapter) = self.models.get(model, false, &*self.store)?;
        let policy = Policy { model, adapter: adapter.as_ref(), encoder, fingerprint: &fingerprint };
        score(policy, rows, options, Output { store: &mut *self.store, name }, &mut *self.progress).await
    }

    /// Step 6, or iteration 0 where there are no pairs.
    async fn train(&mut self, t: usize, pairs: Option<&[Pair]>) -> Result<TrainSummary> {
        let (config, rows, base_model) =
            (self.models.inputs.config, self.models.inputs.sft, self.models.inputs.base_model);
        let (name, lora) = (folder(t), config.tuning == Tuning::Lora);
        if is_finished(&*self.store, &name, lora) {
            return summary(&*self.store, &name);
        }
        let seed = config.seed_of(t);
        let (encoder, fingerprint) = self.models.facts(t);
        let (model, mut adapter) = self.models.get(t, !lora, &*self.store)?;
        if lora && adapter.is_none() {
            adapter = Some(Adapter::new(model.backend(), model.config(), config.lora.clone(), seed)?);
        }
        let trainee = Trainee { model, adapter: adapter.as_mut(), encoder, fingerprint: &fingerprint, base_model };
        let output = Output { store: &mut *self.store, name: &name };
        let summary = match pairs {
            Some(pairs) => train(trainee, pairs, config.beta, &config.train, seed, output, &mut *self.progress).await,
            None => sft(trainee, rows, &config.sft, seed, output, &mut *self.progress).await,
        };
        if !lora {
            // Its weights are another model's now.
            self.models.held = None;
        }
        summary
    }
}

impl<'b, B: Backend> Models<'_, 'b, B> {
    /// The number under which a model is known.
    fn number(&self, model: usize) -> usize {
        if model == 1 && self.inputs.sft.is_empty() { 0 } else { model }
    }

    /// Folder of a model that an iteration made.
    fn folder(&self, model: usize) -> Option<String> {
        self.number(model).checked_sub(1).map(folder)
    }

    /// How a model reads rows, and the fingerprint of its weights: within a run, its number says all.
    fn facts(&self, model: usize) -> (Encoder<'b>, String) {
        let (config, number) = (self.inputs.config, self.number(model));
        let encoder = Encoder { text: self.inputs.text, raw: config.raw, max_prompt_tokens: config.max_prompt_tokens };
        (encoder, fingerprint([self.inputs.fingerprint.as_bytes(), format!("M{number}").as_bytes()]))
    }

    /// A model and its adapter, if it has one.
    fn get(&mut self, model: usize, trainable: bool, store: &dyn Store) -> Result<(&mut Llama<B>, Option<Adapter<B>>)> {
        let lora = self.inputs.config.tuning == Tuning::Lora;
        let wanted = (if lora { 0 } else { self.number(model) }, trainable);
        let held = match self.held.take() {
            Some((number, as_trainable, held)) if (number, as_trainable) == wanted => held,
            // Dropped before the next is loaded: there may not be room for two.
            other => {
                drop(other);
                let folder = self.folder(wanted.0);
                (self.inputs.load)(folder.as_deref(), trainable)?
            }
        };
        let adapter = match self.folder(model) {
            Some(folder) if lora => Some(load_adapter(held.backend(), held.config(), store, &folder)?),
            _ => None,
        };
        let (_, _, held) = self.held.insert((wanted.0, wanted.1, held));
        Ok((held, adapter))
    }
}

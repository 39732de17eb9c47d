//! What a comparison wants to know of the models that a run made.

use super::{Iteration, folder};
use crate::compare::Drift;
use crate::config::Tuning;
use crate::error::{Error, Result};
use crate::eval::{EvalOptions, EvalReport, Task, evaluate};
use crate::model::Model;
use crate::policy::Policy;
use crate::rows::{Completions, Pair};
use crate::store::join;

impl<M: Model> Iteration<'_, '_, M> {
    /// A file of the run.
    pub(crate) async fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.store.read(name).await
    }

    /// Makes or replaces a file of the run.
    pub(crate) async fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.store.write(name, bytes).await
    }

    /// The pairs of round t under M_{t+1}.
    pub(crate) async fn drift(&mut self, t: usize) -> Result<Drift> {
        let from = join(&folder(t), "pairs.jsonl");
        let pairs =
            self.found::<Pair>(&from).await?.ok_or_else(|| Error::file(&from, "missing, expected its pairs"))?;
        let name = join(&folder(t), "scores-trained.jsonl");
        let scores = match self.found(&name).await? {
            Some(scores) => scores,
            None => {
                let rows: Vec<Completions> = pairs.iter().map(Pair::completions).collect();
                self.scores(t + 1, &rows, &name).await?
            }
        };
        let mean = |of: &dyn Fn(&Pair, &[f64]) -> f64| {
            let sum: f64 = pairs.iter().zip(&scores).map(|(pair, scores)| of(pair, &scores.logps)).sum();
            sum / pairs.len() as f64
        };
        let chosen_logps = mean(&|pair, logps| logps[0] - pair.ref_chosen_logps);
        let rejected_logps = mean(&|pair, logps| logps[1] - pair.ref_rejected_logps);
        let margin = self.models.inputs.config.beta * (chosen_logps - rejected_logps);
        Ok(Drift { margin, chosen_logps, rejected_logps })
    }

    /// A model by a task; implicit rewards are relative to M0.
    pub(crate) async fn evaluate(&mut self, model: usize, task: &Task, options: &EvalOptions) -> Result<EvalReport> {
        let lora = self.models.inputs.config.tuning == Tuning::Lora;
        let (encoder, [fingerprint, initial]) = (self.models.encoder(), [model, 0].map(|m| self.models.fingerprint(m)));
        let (model, adapter) = self.models.get(model, false, &*self.store).await?;
        let policy = Policy { model, adapter: adapter.as_ref(), encoder, fingerprint: &fingerprint };
        let reference = lora.then_some(Policy { adapter: None, fingerprint: &initial, ..policy });
        Ok(evaluate(policy, reference, task, options, &mut *self.progress).await?.report)
    }
}

//! Step 6: training on pairs, with the consistency-regularised DPO loss or another.

use cream_core::{Loss, PairLogps};
use cream_engine::Group;
use serde::Serialize;

use super::{Objective, Record, Term, TrainOptions, TrainSummary, Trainee, accumulate, fit};
use crate::error::{Error, Result};
use crate::fingerprint::fingerprint;
use crate::jsonl::to_jsonl;
use crate::model::{Learner, Model};
use crate::policy::Encoder;
use crate::progress::{Progress, Stage};
use crate::rows::{Completions, MetricsRow, Pair, PreferenceMetrics};
use crate::store::Output;

/// What is minimised on pairs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PreferenceLoss {
    /// Scale of the implicit reward.
    pub beta: f64,
    /// The loss on the margin.
    pub loss: Loss,
    /// Weight of the negative log-likelihood per token of the chosen completion, which is added.
    pub sft_weight: f64,
}

impl Default for PreferenceLoss {
    fn default() -> Self {
        PreferenceLoss { beta: 0.1, loss: Loss::default(), sft_weight: 0.0 }
    }
}

impl PreferenceLoss {
    /// Whether every setting lies in its range.
    ///
    /// # Errors
    /// The first that does not.
    pub fn validate(&self) -> Result<()> {
        if !(self.beta.is_finite() && self.beta > 0.0) {
            return Err(Error::setting("beta", self.beta, "a positive number"));
        }
        if !(self.sft_weight.is_finite() && self.sft_weight >= 0.0) {
            return Err(Error::setting("sft_weight", self.sft_weight, "0 or a positive number"));
        }
        Ok(())
    }
}

/// Pairs as groups: chosen, then rejected, over one prompt.
struct Pairs<'a> {
    pairs: &'a [Pair],
    groups: Vec<Group>,
    loss: PreferenceLoss,
}

impl<'a> Pairs<'a> {
    fn new(pairs: &'a [Pair], encoder: Encoder<'_>, loss: PreferenceLoss) -> Result<Self> {
        loss.validate()?;
        if pairs.is_empty() {
            return Err(Error::file("pairs", "none, expected at least one"));
        }
        let group = |pair: &Pair| {
            let Completions { id, prompt, completions } = pair.completions();
            encoder.group(&id, &prompt, &completions)
        };
        Ok(Pairs { pairs, groups: pairs.iter().map(group).collect::<Result<_>>()?, loss })
    }
}

impl Objective for Pairs<'_> {
    const STAGE: Stage = Stage::Train;

    fn groups(&self) -> &[Group] {
        &self.groups
    }

    fn weight(&self, _: usize) -> f64 {
        1.0
    }

    fn evaluate(&self, group: usize, logps: &[f64]) -> Result<Term> {
        let pair = &self.pairs[group];
        let logps = PairLogps {
            chosen: logps[0],
            rejected: logps[1],
            reference_chosen: pair.ref_chosen_logps,
            reference_rejected: pair.ref_rejected_logps,
        };
        let PreferenceLoss { beta, loss, sft_weight } = self.loss;
        let tokens = self.groups[group].completions[0].len();
        let loss = loss.evaluate(beta, pair.consistency, &logps);
        let loss = loss.and_then(|loss| loss.with_sft(sft_weight, logps.chosen, tokens));
        let loss = loss.map_err(|e| Error::prompt(&pair.id, e))?;
        Ok(Term {
            loss: loss.loss,
            gradient: vec![loss.d_chosen, loss.d_rejected],
            preference: Some(PreferenceMetrics {
                rewards_chosen: loss.reward_chosen,
                rewards_rejected: loss.reward_rejected,
                rewards_accuracies: f64::from(u8::from(loss.margin > 0.0)),
                rewards_margins: loss.margin,
                logps_chosen: logps.chosen,
                logps_rejected: logps.rejected,
                consistency: if self.loss.loss == Loss::Cream { pair.consistency } else { 1.0 },
            }),
        })
    }
}

/// One step on pairs, of a training that the caller steers: the gradient of their mean loss, no more than `batch_tokens` tokens
/// at once, then one step of the optimiser. Epochs in the row are not counted.
///
/// # Errors
/// As [`train`]; nothing has changed then.
pub async fn train_step<L: Learner>(
    learner: &mut L,
    encoder: Encoder<'_>,
    vocab_size: usize,
    pairs: &[Pair],
    loss: &PreferenceLoss,
    batch_tokens: usize,
    learning_rate: f32,
) -> Result<MetricsRow> {
    let objective = Pairs::new(pairs, encoder, *loss)?;
    let members: Vec<usize> = (0..pairs.len()).collect();
    let accumulated = accumulate(learner, &objective, &members, batch_tokens, vocab_size).await;
    let (loss, preference) = accumulated.inspect_err(|_| learner.forget())?;
    let grad_norm = learner.update(learning_rate).await?;
    let step = learner.step() as usize;
    if !grad_norm.is_finite() {
        return Err(Error::Diverged { step: step + 1, value: grad_norm });
    }
    let num_tokens = objective.groups.iter().map(Group::rows).sum();
    Ok(MetricsRow { step, epoch: 0.0, loss, grad_norm, learning_rate, num_tokens, preference })
}

/// Trains on pairs; the reference is the model that gave them their `ref_*_logps`, and is not run again.
///
/// Leaves the weights, metrics.jsonl and training.json in the folder `output`; a call that was cut short is taken up by
/// the same call, and a folder that another call left is begun anew.
///
/// # Errors
/// No pairs, options out of range, a prompt that is empty, too long or refused by the chat template, a model that must be
/// and is not trainable, a gradient that is not finite, a failing store, or a progress report that stops the work.
pub async fn train<M: Model>(
    trainee: Trainee<'_, M>,
    pairs: &[Pair],
    loss: &PreferenceLoss,
    options: &TrainOptions,
    seed: u64,
    output: Output<'_>,
    progress: &mut dyn Progress,
) -> Result<TrainSummary> {
    options.validate()?;
    let objective = Pairs::new(pairs, trainee.encoder, *loss)?;
    let rows = fingerprint([to_jsonl(pairs).as_slice()]);
    let options = options.resolved(Stage::Train, trainee.adapter.is_some());
    let record = Record::of(&trainee, Stage::Train, &options, seed, Some(*loss), &rows);
    fit(trainee, &objective, &options, seed, &record, output, progress)
        .await
        .map_err(|error| error.of_stage(Stage::Train))
}

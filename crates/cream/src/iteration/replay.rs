//! Pairs of earlier rounds, trained on again.

use super::{Iteration, folder};
use crate::error::{Error, Result};
use crate::jsonl::to_jsonl;
use crate::model::Model;
use crate::pair::TrainReference;
use crate::rows::{Completions, Pair};
use crate::store::join;

impl<M: Model> Iteration<'_, '_, M> {
    /// The pairs of as many earlier rounds as the settings say, under ids that name the round. Their reference is that of
    /// this round: where it is the model at the start, they are scored under it.
    pub(super) async fn replayed(&mut self, t: usize) -> Result<Vec<Pair>> {
        let config = self.models.inputs.config;
        let rounds = t.saturating_sub(config.replay).max(1)..t;
        let name = join(&folder(t), "replay.jsonl");
        if rounds.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(pairs) = self.found(&name).await? {
            return Ok(pairs);
        }
        let mut pairs: Vec<Pair> = Vec::new();
        for round in rounds {
            let from = join(&folder(round), "pairs.jsonl");
            let earlier =
                self.found::<Pair>(&from).await?.ok_or_else(|| Error::file(&from, "missing, expected its pairs"))?;
            pairs.extend(earlier.into_iter().map(|pair| Pair { id: join(&folder(round), &pair.id), ..pair }));
        }
        if config.pair.train_reference == TrainReference::Round {
            let rows: Vec<Completions> = pairs.iter().map(Pair::completions).collect();
            let scored = join(&folder(t), "scores-replay.jsonl");
            let scores = match self.found(&scored).await? {
                Some(scores) => scores,
                None => self.scores(t, &rows, &scored).await?,
            };
            for (pair, scores) in pairs.iter_mut().zip(scores) {
                [pair.ref_chosen_logps, pair.ref_rejected_logps] = [scores.logps[0], scores.logps[1]];
            }
        }
        self.store.write(&name, &to_jsonl(&pairs)).await?;
        Ok(pairs)
    }
}

//! Steps 1 to 5 up to where pairs are kept: completions, their scores and rewards, rankings. Each leaves its file, and is
//! not done again where the file is there.

use super::{Iteration, folder};
use crate::error::{Error, Result};
use crate::jsonl::{Row, read_jsonl, to_jsonl};
use crate::judge::{judge_prompts, judge_rewards};
use crate::model::Model;
use crate::pair::{PairInputs, Pairing, Previous, RejectedFrom, Reward, check_rewards, pair};
use crate::policy::{Encoder, Policy};
use crate::rows::{Completions, Prompt, Rewards, Scores};
use crate::sample::{SampleOptions, sample};
use crate::score::score;
use crate::store::{Output, join};

impl<M: Model> Iteration<'_, '_, M> {
    /// Completions of M_t, ranked and paired.
    pub(crate) async fn rank(&mut self, t: usize) -> Result<Pairing> {
        let completions = self.completions(t).await?;
        // With no supervised fine-tuning two of the three are one model, which is scored once.
        let mut scored: Vec<(usize, Vec<Scores>)> = Vec::new();
        for (role, model) in [("current", t), ("previous", t - 1), ("reference", 0)] {
            let model = self.models.number(model);
            let name = join(&folder(t), &format!("scores-{role}.jsonl"));
            let same = scored.iter().find(|(other, _)| *other == model).map(|(_, scores)| scores.clone());
            let scores = match (self.found(&name).await?, same) {
                (Some(scores), _) => scores,
                (None, Some(scores)) => {
                    self.progress.log(&format!("{name}: M{model} again, the same numbers"));
                    self.store.write(&name, &to_jsonl(&scores)).await?;
                    scores
                }
                (None, None) => self.scores(model, &completions, &name).await?,
            };
            scored.push((model, scores));
        }
        let current = &scored[0].1;
        let previous = match [t, t - 1].map(|model| self.models.number(model)) {
            [0, _] => Previous::NoneYet,
            [_, 0] => Previous::Reference,
            _ => Previous::Model(&scored[1].1),
        };
        let (rewards, previous_rewards) = self.rewards(t, &completions, current).await?;
        let inputs = PairInputs {
            current,
            previous,
            reference: &scored[2].1,
            rewards: rewards.as_deref(),
            previous_rewards: previous_rewards.as_deref(),
            anchors: self.anchors(),
        };
        let config = self.models.inputs.config;
        pair(&inputs, config.beta, &config.pair)
    }

    /// The rows of a file that an earlier call made.
    pub(super) async fn found<R: Row>(&self, name: &str) -> Result<Option<Vec<R>>> {
        match self.store.read(name).await? {
            Some(bytes) if bytes.is_empty() => Ok(Some(Vec::new())),
            bytes => bytes.map(|bytes| read_jsonl(name, bytes.as_slice())).transpose(),
        }
    }

    /// How many of each row's completions are M0's.
    fn anchors(&self) -> usize {
        let config = self.models.inputs.config;
        if config.pair.rejected_from == RejectedFrom::Initial { config.sample.completions } else { 0 }
    }

    /// Step 1: N completions of M_t and, where the rejected ones come from there, N of M0 after them.
    async fn completions(&mut self, t: usize) -> Result<Vec<Completions>> {
        let (config, prompts) = (self.models.inputs.config, self.models.inputs.prompts);
        let name = join(&folder(t), "completions.jsonl");
        let encoder = self.models.encoder();
        if self.anchors() == 0 {
            return self.drawn(t, prompts, &config.sample, t, encoder, &name).await;
        }
        if let Some(rows) = self.found(&name).await? {
            return Ok(rows);
        }
        // Those of M0 are drawn once for all rounds.
        let anchors = self.drawn(0, prompts, &config.sample, 0, encoder, "anchors.jsonl").await?;
        let own = join(&folder(t), "sampled.jsonl");
        let mut rows = self.drawn(t, prompts, &config.sample, t, encoder, &own).await?;
        for (row, anchors) in rows.iter_mut().zip(anchors) {
            row.completions.extend(anchors.completions);
        }
        self.store.write(&name, &to_jsonl(&rows)).await?;
        Ok(rows)
    }

    /// Completions of a model, with the seed of iteration `t`.
    async fn drawn(
        &mut self,
        model: usize,
        prompts: &[Prompt],
        options: &SampleOptions,
        t: usize,
        encoder: Encoder<'_>,
        name: &str,
    ) -> Result<Vec<Completions>> {
        if let Some(rows) = self.found(name).await? {
            return Ok(rows);
        }
        let (seed, fingerprint) = (self.models.inputs.config.seed_of(t), self.models.fingerprint(model));
        let (model, adapter) = self.models.get(model, false, &*self.store).await?;
        let policy = Policy { model, adapter: adapter.as_ref(), encoder, fingerprint: &fingerprint };
        let output = Output { store: &mut *self.store, name };
        sample(policy, prompts, options, seed, output, &mut *self.progress).await
    }

    /// Step 2.
    pub(super) async fn scores(&mut self, model: usize, rows: &[Completions], name: &str) -> Result<Vec<Scores>> {
        let options = &self.models.inputs.config.score;
        let (encoder, fingerprint) = (self.models.encoder(), self.models.fingerprint(model));
        let (model, adapter) = self.models.get(model, false, &*self.store).await?;
        let policy = Policy { model, adapter: adapter.as_ref(), encoder, fingerprint: &fingerprint };
        score(policy, rows, options, Output { store: &mut *self.store, name }, &mut *self.progress).await
    }

    /// Step 3 where log-probs are not the reward: the current model's and, where it is needed, the previous one's.
    async fn rewards(
        &mut self,
        t: usize,
        rows: &[Completions],
        scores: &[Scores],
    ) -> Result<(Option<Vec<Rewards>>, Option<Vec<Rewards>>)> {
        let options = &self.models.inputs.config.pair;
        match options.reward {
            Reward::Judge => {
                let two = options.level.is_measured() && self.models.number(t) != self.models.number(t - 1);
                let current = self.judged(t, t, rows, "current").await?;
                let previous = if two { Some(self.judged(t, t - 1, rows, "previous").await?) } else { None };
                Ok((Some(current), previous))
            }
            Reward::External => {
                let name = join(&folder(t), "rewards-current.jsonl");
                if let Some(rewards) = self.found(&name).await? {
                    return Ok((Some(rewards), None));
                }
                let Some(external) = self.models.inputs.external.as_mut() else {
                    let expected =
                        "missing, expected {\"id\", \"rewards\": […]} for every row of completions.jsonl beside it";
                    return Err(Error::file(&name, expected));
                };
                let rewards = external.rewards(rows).await?;
                check_rewards(&rewards, scores, "external rewards")?;
                self.store.write(&name, &to_jsonl(&rewards)).await?;
                Ok((Some(rewards), None))
            }
            Reward::Implicit | Reward::LengthNormalised | Reward::LengthPenalised(_) => Ok((None, None)),
        }
    }

    /// A model's own judgement.
    async fn judged(&mut self, t: usize, model: usize, rows: &[Completions], role: &str) -> Result<Vec<Rewards>> {
        let name = join(&folder(t), &format!("rewards-{role}.jsonl"));
        if let Some(rewards) = self.found(&name).await? {
            return Ok(rewards);
        }
        let config = self.models.inputs.config;
        // The prompt that is judged was short enough, and is only a part of what the judge reads.
        let encoder = Encoder { max_prompt_tokens: usize::MAX, ..self.models.encoder() };
        let judgements = join(&folder(t), &format!("judgements-{role}.jsonl"));
        let options = config.judge.sampling(&config.sample);
        let mut prompts = judge_prompts(rows);
        let asked = prompts.len();
        let room = encoder.context.saturating_sub(options.max_new_tokens);
        let len = |Prompt { id, prompt }: &Prompt| Ok(encoder.prompt(id, prompt)?.len());
        let lens = prompts.iter().map(len).collect::<Result<Vec<usize>>>()?;

        let mut lens = lens.into_iter();
        prompts.retain(|_| lens.next().is_some_and(|len| len <= room));
        if prompts.len() < asked {
            let long = asked - prompts.len();
            self.progress
                .log(&format!("{name}: {long} completions have no reward: with them the judge would read too much"));
        }
        let judgements = self.drawn(model, &prompts, &options, t, encoder, &judgements).await?;
        let rewards = judge_rewards(rows, &judgements)?;
        let without = rewards.iter().flat_map(|row| &row.rewards).filter(|reward| reward.is_none()).count();
        if without > 0 {
            self.progress.log(&format!("{name}: {without} completions without a score that could be read"));
        }
        self.store.write(&name, &to_jsonl(&rewards)).await?;
        Ok(rewards)
    }
}

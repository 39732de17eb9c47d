//! Step 2: log-probs of completions under a model.

use cream_core::completion_logps;
use cream_engine::{Batch, Group, MemoryPlan, Outline};
use serde::{Deserialize, Serialize};

use crate::budget::{fewer_tokens, fitting, outline};
use crate::chunks::by_chunks;
use crate::error::{Error, Result};
use crate::fingerprint::fingerprint;
use crate::jsonl::to_jsonl;
use crate::model::Model;
use crate::pack::{largest_batch, pack};
use crate::policy::Policy;
use crate::progress::{Progress, Stage, Update};
use crate::rows::{Completions, Scores};
use crate::store::Output;

/// How completions are scored; the numbers do not depend on it, up to rounding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScoreOptions {
    /// Tokens in one forward pass; a prompt with more, its completions included, has one to itself.
    pub batch_tokens: usize,
    /// Prompts worked on and saved together: what a killed call can lose.
    pub chunk_size: usize,
}

impl Default for ScoreOptions {
    fn default() -> Self {
        ScoreOptions { batch_tokens: 2048, chunk_size: 32 }
    }
}

impl ScoreOptions {
    /// Whether every option lies in its range.
    ///
    /// # Errors
    /// The first that does not.
    pub fn validate(&self) -> Result<()> {
        for (field, value) in [("batch_tokens", self.batch_tokens), ("chunk_size", self.chunk_size)] {
            if value == 0 {
                return Err(Error::setting(field, value, "at least 1"));
            }
        }
        Ok(())
    }
}

/// Scores every completion and writes the rows, with their log-probs, to `output`.
///
/// What was drawn is scored token by token as it was drawn, its end where it has one; a text from elsewhere as a whole turn
/// of the assistant (see [`Encoder::group`](crate::Encoder::group)). A call that was cut short is taken up by the same call.
///
/// # Errors
/// Options out of range, a row that cannot be encoded or is too long, a log-prob that is not finite, a failing store, or a
/// progress report that stops the work.
pub async fn score<M: Model>(
    policy: Policy<'_, M>,
    rows: &[Completions],
    options: &ScoreOptions,
    output: Output<'_>,
    progress: &mut dyn Progress,
) -> Result<Vec<Scores>> {
    options.validate()?;
    let settings = format!("score {options:?} {}", policy.encoder.raw);
    let key = fingerprint([policy.fingerprint.as_bytes(), settings.as_bytes(), &to_jsonl(rows)]);
    let group = |row: &Completions| policy.encoder.group(&row.id, &row.prompt, &row.completions);
    let groups = rows.iter().map(group).collect::<Result<Vec<_>>>()?;
    let outline = outline(policy.model, policy.adapter);
    let batch_tokens = fitting_tokens(outline.as_ref(), &groups, options.chunk_size, options.batch_tokens, progress)?;
    let (file, mut tokens) = (output.name, 0);
    by_chunks(output, &key, rows, options.chunk_size, async |first, chunk: &[Completions]| {
        let mut told = |done, tokens| {
            let total = rows.len();
            progress.update(&Update { stage: Stage::Score, output: file, done, total, tokens, metrics: None })
        };
        told(first, tokens)?;
        let groups = &groups[first..first + chunk.len()];
        let ids: Vec<&str> = chunk.iter().map(|row| row.id.as_str()).collect();
        let logps = group_logps(policy, &ids, groups, batch_tokens, |done, rows| {
            tokens += rows;
            told(first + done, tokens)
        });
        let scored = |((row, group), logps): ((&Completions, &Group), Vec<f64>)| {
            let Completions { id, prompt, completions } = row.clone();
            Scores { id, prompt, completions, logps, tokens: group.completions.iter().map(Vec::len).collect() }
        };
        Ok(chunk.iter().zip(groups).zip(logps.await?).map(scored).collect())
    })
    .await
    .map_err(|error| error.of_stage(Stage::Score))
}

/// `batch_tokens`, or as many fewer as the device's memory takes; `most` groups go through the model together at most.
pub(crate) fn fitting_tokens(
    outline: Option<&Outline>,
    groups: &[Group],
    most: usize,
    batch_tokens: usize,
    progress: &mut dyn Progress,
) -> Result<usize> {
    fitting(
        Stage::Score,
        outline,
        fewer_tokens(batch_tokens),
        |outline, &batch_tokens| {
            let batch = largest_batch(groups, most, batch_tokens, outline.config().vocab_size)?;
            Ok(MemoryPlan::score(outline, &batch)?)
        },
        |batch_tokens| format!("score.batch_tokens {batch_tokens}"),
        progress,
    )
}

/// Log-probs of all completions, group by group, nats; `ids` name the groups in errors. `told` hears after every
/// forward pass how many groups are done and how many tokens went through the model in it.
pub(crate) async fn group_logps<M: Model>(
    policy: Policy<'_, M>,
    ids: &[&str],
    groups: &[Group],
    batch_tokens: usize,
    mut told: impl FnMut(usize, usize) -> Result<()>,
) -> Result<Vec<Vec<f64>>> {
    let mut all = Vec::with_capacity(groups.len());
    for range in pack(groups, batch_tokens) {
        let batch = Batch::new(&groups[range.clone()], policy.model.vocab_size())?;
        let token_logps = policy.model.token_logps(policy.adapter, &batch).await?;
        let mut completions = batch.split(&token_logps);
        for (id, group) in ids[range.clone()].iter().zip(&groups[range]) {
            let own = completions.by_ref().take(group.completions.len()).enumerate();
            let logps =
                |(i, own)| completion_logps(own).map_err(|e| Error::prompt(id, format_args!("completion {i}: {e}")));
            all.push(own.map(logps).collect::<Result<_>>()?);
        }
        told(all.len(), batch.rows())?;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{Completion, Turns};
    use crate::store::Memory;
    use crate::testing::{LAYOUT, Tiny, damaged, files, letter, prompts};

    fn rows() -> Vec<Completions> {
        let text = |i: usize| (0..i % 4).map(|j| letter(40 + 3 * i + j)).collect::<String>();
        let row = |(i, prompt): (usize, crate::rows::Prompt)| Completions {
            id: prompt.id,
            prompt: prompt.prompt,
            completions: (i..i + 3).map(text).map(Completion::from).collect(),
        };
        prompts(5).into_iter().enumerate().map(row).collect()
    }

    fn score_with(batch_tokens: usize, chunk_size: usize) -> Vec<Scores> {
        let (tiny, mut store) = (Tiny::new(), Memory::default());
        let output = Output { store: &mut store, name: "s.jsonl" };
        let options = ScoreOptions { batch_tokens, chunk_size };
        let scores = pollster::block_on(score(tiny.policy(), &rows(), &options, output, &mut ())).unwrap();
        assert_eq!(store.files["s.jsonl"], to_jsonl(&scores));
        scores
    }

    #[test]
    fn sums_over_the_words_and_the_end_of_turn_however_batched() {
        let tiny = Tiny::new();
        let policy = tiny.policy();
        for (batch_tokens, chunk_size) in [(2048, 32), (30, 2), (1, 3)] {
            for (row, scores) in rows().iter().zip(score_with(batch_tokens, chunk_size)) {
                assert_eq!((&scores.id, &scores.completions), (&row.id, &row.completions));
                let alone = row.completions.iter().zip(scores.logps.iter().zip(&scores.tokens));
                for (completion, (&logps, &tokens)) in alone {
                    assert_eq!(tokens, completion.text.chars().count() + 1);
                    let group = policy.encoder.group("", &row.prompt, std::slice::from_ref(completion)).unwrap();
                    let batch = Batch::new(&[group], policy.model.vocab_size()).unwrap();
                    let own = pollster::block_on(policy.model.token_logps(None, &batch)).unwrap();
                    let own: f64 = own.into_iter().map(f64::from).sum();
                    assert!((own - logps).abs() <= LAYOUT * own.abs().max(1.0), "{own} and {logps}");
                }
            }
        }
    }

    #[test]
    fn a_damaged_model_scores_nothing() {
        let tiny = Tiny { model: damaged(&files()), ..Tiny::new() };
        let mut store = Memory::default();
        let output = Output { store: &mut store, name: "s.jsonl" };
        let scored = pollster::block_on(score(tiny.policy(), &rows(), &ScoreOptions::default(), output, &mut ()));
        let message = scored.unwrap_err().to_string();
        assert_eq!(message, "prompt \"p0\": completion 0: token log-prob 0 is NaN, not a finite number");
        assert!(!store.files.contains_key("s.jsonl"));
    }

    #[test]
    fn a_bad_prompt_is_named() {
        let (tiny, mut store) = (Tiny::new(), Memory::default());
        let mut encoder = tiny.policy().encoder;
        encoder.raw = true;
        let policy = Policy { encoder, ..tiny.policy() };
        let row = Completions { id: "x".into(), prompt: Turns::Text(String::new()), completions: vec!["a".into()] };
        let output = Output { store: &mut store, name: "s.jsonl" };
        let scored = pollster::block_on(score(policy, &[row], &ScoreOptions::default(), output, &mut ()));
        assert_eq!(scored.unwrap_err().to_string(), "prompt \"x\": no tokens, expected at least one");
        assert!(store.files.is_empty());
    }
}

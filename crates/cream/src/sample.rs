//! Step 1: N completions of every prompt, drawn from a model.

use cream_core::Sampling;
use cream_engine::{Drawn, GenerateOptions, Generated, MemoryPlan, Outline, Request};
use serde::{Deserialize, Serialize};

use crate::budget::{fitting, halved, outline};
use crate::chunks::by_chunks;
use crate::error::{Error, Result};
use crate::fingerprint::fingerprint;
use crate::jsonl::to_jsonl;
use crate::model::Model;
use crate::policy::{Encoder, Policy};
use crate::progress::{Progress, Stage, Update};
use crate::rows::{Completion, Completions, Prompt};
use crate::store::Output;

/// How completions are drawn; the defaults are those of the authors' code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SampleOptions {
    /// N, completions of each prompt.
    pub completions: usize,
    /// Longest completion, in tokens, the end of its turn among them.
    pub max_new_tokens: usize,
    /// Divides the logits; 0 takes the most probable token.
    pub temperature: f32,
    /// Keeps the k most probable tokens; 0 keeps all.
    pub top_k: u32,
    /// Keeps the most probable tokens that together have this probability; 1 keeps all.
    pub top_p: f32,
    /// Keeps tokens with at least this share of the largest probability; 0 keeps all.
    pub min_p: f32,
    /// Divides the positive logits of tokens that prompt and completion have already, multiplies the negative ones; 1 does
    /// nothing.
    pub repetition_penalty: f32,
    /// Completions decoded at once.
    pub slots: usize,
    /// Prompts worked on and saved together: what a killed call can lose.
    pub chunk_size: usize,
}

impl Default for SampleOptions {
    fn default() -> Self {
        let Sampling { temperature, top_k, top_p, min_p, repetition_penalty } = Sampling::default();
        SampleOptions {
            completions: 5,
            max_new_tokens: 768,
            temperature,
            top_k,
            top_p,
            min_p,
            repetition_penalty,
            slots: 64,
            chunk_size: 32,
        }
    }
}

impl SampleOptions {
    /// Whether every option lies in its range.
    ///
    /// # Errors
    /// The first that does not.
    pub fn validate(&self) -> Result<()> {
        for (field, value) in [
            ("completions", self.completions),
            ("max_new_tokens", self.max_new_tokens),
            ("slots", self.slots),
            ("chunk_size", self.chunk_size),
        ] {
            if value == 0 {
                return Err(Error::setting(field, value, "at least 1"));
            }
        }
        Ok(self.sampling().validate()?)
    }

    /// How a token is drawn.
    pub fn sampling(&self) -> Sampling {
        let Self { temperature, top_k, top_p, min_p, repetition_penalty, .. } = *self;
        Sampling { temperature, top_k, top_p, min_p, repetition_penalty }
    }
}

/// Draws `options.completions` completions of every prompt and writes them to `output`, one row for each prompt.
///
/// What is drawn depends on `seed`, the prompt's id and the completion's number, not on the other prompts, up to rounding
/// in the model. A call that was cut short is taken up by the same call.
///
/// # Errors
/// Options out of range, a prompt that is empty, too long for the model or refused by its chat template, a failing
/// store, or a progress report that stops the work.
pub async fn sample<M: Model>(
    policy: Policy<'_, M>,
    prompts: &[Prompt],
    options: &SampleOptions,
    seed: u64,
    output: Output<'_>,
    progress: &mut dyn Progress,
) -> Result<Vec<Completions>> {
    options.validate()?;
    let encoder = policy.encoder;
    let outline = outline(policy.model, policy.adapter);
    let requests = requests(encoder, prompts, options)?;
    let stop_tokens = encoder.text.stop_tokens().to_vec();
    let generate =
        GenerateOptions { seed, stop_tokens, ..fitting_slots(outline.as_ref(), &requests, options, progress)? };
    let settings = format!("sample {options:?} {seed} {}", encoder.raw);
    let key = fingerprint([policy.fingerprint.as_bytes(), settings.as_bytes(), &to_jsonl(prompts)]);
    let (file, mut tokens) = (output.name, 0);
    let rows: Vec<Completions> =
        by_chunks(output, &key, &requests, options.chunk_size, async |first, chunk: &[Request]| {
            let mut made = vec![vec![Completion::from(""); options.completions]; chunk.len()];
            let mut done = first * options.completions;
            let total = prompts.len() * options.completions;
            let update =
                |done, tokens| Update { stage: Stage::Sample, output: file, done, total, tokens, metrics: None };
            progress.update(&update(done, tokens))?;
            let heard = |drawn: Drawn<'_>| -> Result<()> {
                tokens += drawn.new;
                progress.drawn(&chunk[drawn.request].id, encoder.text, &drawn)?;
                let Some(Generated { request, completion, tokens: own, finish }) = drawn.ended() else { return Ok(()) };
                done += 1;
                let text = encoder.text.said(&own, finish)?;
                made[request][completion] = Completion { text, token_ids: Some(own), finish };
                progress.update(&update(done, tokens))
            };
            policy.model.generate(policy.adapter, chunk, &generate, heard).await?;
            let row = |(prompt, completions): (&Prompt, Vec<Completion>)| Completions {
                id: prompt.id.clone(),
                prompt: prompt.prompt.clone(),
                completions,
            };
            Ok(prompts[first..].iter().zip(made).map(row).collect())
        })
        .await
        .map_err(|error| error.of_stage(Stage::Sample))?;
    let cut = rows.iter().flat_map(|row| &row.completions).filter(|completion| completion.is_cut()).count();
    if cut > 0 {
        let (all, longest) = (rows.len() * options.completions, options.max_new_tokens);
        progress.log(&format!("{file}: {cut} of {all} completions were cut at {longest} tokens"));
    }
    Ok(rows)
}

/// The options with their slots, or as many fewer as the device's memory takes; without a seed and stop tokens.
pub(crate) fn fitting_slots(
    outline: Option<&Outline>,
    requests: &[Request],
    options: &SampleOptions,
    progress: &mut dyn Progress,
) -> Result<GenerateOptions> {
    let with_slots = |slots| GenerateOptions {
        max_new_tokens: options.max_new_tokens,
        sampling: options.sampling(),
        seed: 0,
        stop_tokens: Vec::new(),
        slots,
    };
    fitting(
        Stage::Sample,
        outline,
        halved(options.slots, 1).map(with_slots),
        |outline, generate| Ok(MemoryPlan::generate(outline, requests, generate)?),
        |generate| format!("sample.slots {}", generate.slots),
        progress,
    )
}

/// All prompts as tokens, so that one too long is found before hours of work.
pub(crate) fn requests(encoder: Encoder<'_>, prompts: &[Prompt], options: &SampleOptions) -> Result<Vec<Request>> {
    let request = |Prompt { id, prompt }: &Prompt| {
        let tokens = encoder.prompt_before(id, prompt, options.max_new_tokens)?;
        Ok(Request { id: id.clone(), prompt: tokens, completions: options.completions })
    };
    prompts.iter().map(request).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Turns;
    use crate::shard::Shard;
    use crate::store::Memory;
    use crate::testing::{Log, Tiny, damaged, files, prompts};

    fn options() -> SampleOptions {
        SampleOptions { completions: 3, max_new_tokens: 5, chunk_size: 2, ..SampleOptions::default() }
    }

    fn draw(
        prompts: &[Prompt],
        options: &SampleOptions,
        seed: u64,
        encoder: Option<Encoder<'_>>,
    ) -> Result<Vec<Completions>> {
        let tiny = Tiny::new();
        let mut policy = tiny.policy();
        policy.encoder = encoder.unwrap_or(policy.encoder);
        let mut store = Memory::default();
        let output = Output { store: &mut store, name: "c.jsonl" };
        let rows = pollster::block_on(sample(policy, prompts, options, seed, output, &mut ()))?;
        assert_eq!(store.files.keys().collect::<Vec<_>>(), ["c.jsonl"]);
        assert_eq!(store.files["c.jsonl"], to_jsonl(&rows));
        Ok(rows)
    }

    #[test]
    fn what_is_drawn_depends_on_seed_id_and_number_alone() {
        let all = draw(&prompts(5), &options(), 1, None).unwrap();
        assert_eq!(all.iter().map(|row| row.completions.len()).collect::<Vec<_>>(), [3; 5]);
        assert_eq!(draw(&prompts(5), &options(), 1, None).unwrap(), all);
        assert_ne!(draw(&prompts(5), &options(), 2, None).unwrap(), all);
        let shard: Shard = "1/2".parse().unwrap();
        assert_eq!(draw(&shard.select(&prompts(5)), &options(), 1, None).unwrap(), shard.select(&all));
        let fewer = draw(&prompts(5), &SampleOptions { completions: 2, ..options() }, 1, None).unwrap();
        assert!(fewer.iter().zip(&all).all(|(fewer, all)| fewer.completions == all.completions[..2]));
    }

    #[test]
    fn greedy_completions_are_equal() {
        let rows = draw(&prompts(2), &SampleOptions { temperature: 0.0, ..options() }, 1, None).unwrap();
        assert!(rows.iter().all(|row| row.completions.iter().all(|text| *text == row.completions[0])));
    }

    #[test]
    fn raw_prompts_have_no_template() {
        let tiny = Tiny::new();
        let encoder = tiny.policy().encoder;
        let prompt = &prompts(1)[0].prompt;
        let Turns::Text(text) = prompt else { unreachable!("prompts are texts") };
        let message = cream_engine::Message { role: "user".into(), content: text.clone() };
        let turns = Turns::Messages(vec![message]);
        let raw = Encoder { raw: true, ..encoder };
        assert_eq!(encoder.prompt("a", prompt).unwrap(), [1, 10, 20, 2, 1]);
        assert_eq!(encoder.prompt("a", &turns).unwrap(), [1, 10, 20, 2, 1]);
        assert_eq!(raw.prompt("a", prompt).unwrap(), [10, 20]);
        assert_eq!(raw.prompt("a", &turns).unwrap(), [1, 10, 20, 2, 1]);
        let group = raw.group("a", &Turns::Text(text.clone()), &[text.as_str().into()]).unwrap();
        assert_eq!((group.prompt, group.completions), (vec![10, 20], vec![vec![10, 20, 2]]));
        let message = raw.prompt("a", &Turns::Text(String::new())).unwrap_err().to_string();
        assert_eq!(message, "prompt \"a\": no tokens, expected at least one");
    }

    #[test]
    fn a_prompt_too_long_is_named_before_work_begins() {
        let tiny = Tiny::new();
        let short = Encoder { max_prompt_tokens: 4, ..tiny.policy().encoder };
        let message = draw(&prompts(1), &options(), 1, Some(short)).unwrap_err().to_string();
        assert_eq!(message, "prompt \"p0\": 5 tokens, expected at most 4");
        let long = SampleOptions { max_new_tokens: 252, ..options() };
        let message = draw(&prompts(1), &long, 1, None).unwrap_err().to_string();
        assert_eq!(message, "prompt \"p0\": 5 tokens and 252 new ones, expected at most 256 in all");
        let none = SampleOptions { slots: 0, ..options() };
        assert_eq!(draw(&prompts(1), &none, 1, None).unwrap_err().to_string(), "slots: 0, expected at least 1");
    }

    /// As answers of tasks and judgements are, which are drawn here too.
    #[test]
    fn a_damaged_model_draws_nothing() {
        let tiny = Tiny { model: damaged(&files()), ..Tiny::new() };
        let mut store = Memory::default();
        let output = Output { store: &mut store, name: "c.jsonl" };
        let drawn = pollster::block_on(sample(tiny.policy(), &prompts(2), &options(), 1, output, &mut ()));
        let message = drawn.unwrap_err().to_string();
        assert_eq!(
            message,
            "prompt \"p0\": completion 0: token 0: the logits are not finite; the weights of the model or of its adapter \
             may be damaged"
        );
        assert!(!store.files.contains_key("c.jsonl"));
    }

    #[test]
    fn an_empty_share_is_an_empty_file() {
        assert!(draw(&[], &options(), 1, None).unwrap().is_empty());
    }

    #[test]
    fn work_of_another_seed_is_not_taken_up() {
        let tiny = Tiny::new();
        let mut store = Memory::default();
        let mut call = |seed, stop| {
            let output = Output { store: &mut store, name: "c.jsonl" };
            pollster::block_on(sample(tiny.policy(), &prompts(4), &options(), seed, output, &mut Log::new(stop)))
        };
        call(1, 9).unwrap_err();
        let second = call(2, usize::MAX).unwrap();
        let first = call(1, usize::MAX).unwrap();
        assert_eq!(second, draw(&prompts(4), &options(), 2, None).unwrap());
        assert_eq!(first, draw(&prompts(4), &options(), 1, None).unwrap());
    }
}

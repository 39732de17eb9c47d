//! The memory of a whole run, held against the device before any of it is taken: a stage that cannot fit must not be found
//! out after hours of sampling. Lengths that are not known yet are the longest that can be drawn.

use cream_engine::{Group, LoraConfig, Outline, Request};

use super::RunInputs;
use crate::config::Tuning;
use crate::error::Result;
use crate::judge::judge_prompts;
use crate::model::Model;
use crate::pair::{RejectedFrom, Reward};
use crate::policy::Encoder;
use crate::progress::{Progress, Stage, Update};
use crate::rows::Completions;
use crate::sample::{fitting_slots, requests};
use crate::score::fitting_tokens;
use crate::train::{fitting_batch, sft_groups};

/// Plans every stage of the iterations `rounds`, which are in order. The settings that stages will take are only told:
/// each chooses its own when its real lengths are known.
///
/// # Errors
/// A stage that needs more memory than may be taken, whatever may be adapted; a prompt that cannot be served.
pub(super) fn plan<M: Model>(inputs: &RunInputs<'_, M>, rounds: &[usize], progress: &mut dyn Progress) -> Result<()> {
    let config = inputs.config;
    let encoder = inputs.encoder();
    let progress = &mut Ahead(progress);
    let [frozen, trainable] = inputs.outlines.map_or([None, None], |outlines| outlines.each_ref().map(Some));
    let lora: Option<&LoraConfig> = (config.tuning == Tuning::Lora).then_some(&config.lora);
    // What an iteration makes: an adapter over the frozen weights, or all weights as f32.
    let made = match lora {
        Some(lora) => frozen.map(|frozen| frozen.with_adapter(Some(lora))),
        None => trainable.cloned(),
    };
    let made = made.as_ref();
    if rounds.contains(&0) {
        fitting_batch(Stage::Sft, made, &sft_groups(encoder, inputs.sft)?, &config.sft, progress)?;
    }
    let Some(&last) = rounds.last().filter(|&&last| last > 0) else { return Ok(()) };
    let drawn_from = if last > 1 || !inputs.sft.is_empty() { made } else { frozen };
    let requests = requests(encoder, inputs.prompts, &config.sample)?;
    fitting_slots(drawn_from, &requests, &config.sample, progress)?;
    if config.pair.reward == Reward::Judge {
        judge(inputs, encoder, drawn_from, progress)?;
    }
    let len = config.sample.max_new_tokens;
    let anchors = if config.pair.rejected_from == RejectedFrom::Initial { 2 } else { 1 };
    let (most, completions) = (config.score.chunk_size, config.sample.completions * anchors);
    let scored = longest_groups(&requests, most, completions, len);
    fitting_tokens(drawn_from, &scored, most, config.score.batch_tokens, progress)?;
    let pairs = longest_groups(&requests, config.train.batch_size, 2, len);
    fitting_batch(Stage::Train, made, &pairs, &config.train, progress)?;
    Ok(())
}

/// The judge reads a completion with all that is said around it.
fn judge<M: Model>(
    inputs: &RunInputs<'_, M>,
    encoder: Encoder<'_>,
    outline: Option<&Outline>,
    progress: &mut dyn Progress,
) -> Result<()> {
    let config = inputs.config;
    let options = config.judge.sampling(&config.sample);
    let encoder = Encoder { max_prompt_tokens: usize::MAX, ..encoder };
    let row = |prompt: &crate::rows::Prompt| Completions {
        id: prompt.id.clone(),
        prompt: prompt.prompt.clone(),
        completions: vec!["".into()],
    };
    let rows: Vec<Completions> = inputs.prompts.iter().map(row).collect();
    // One that is too long for the model is an error of the stage, if it comes to that.
    let most = encoder.context.saturating_sub(options.max_new_tokens).max(1);
    let request = |prompt: crate::rows::Prompt| {
        let mut tokens = encoder.prompt(&prompt.id, &prompt.prompt)?;
        tokens.resize((tokens.len() + config.sample.max_new_tokens).min(most), 0);
        Ok(Request { id: prompt.id, prompt: tokens, completions: options.completions })
    };
    let requests = judge_prompts(&rows).into_iter().map(request).collect::<Result<Vec<_>>>()?;
    fitting_slots(outline, &requests, &options, progress)?;
    Ok(())
}

/// Groups of `completions` of `len` tokens each, of the `most` longest prompts. The `most` shortest are there too: they
/// tell how many fit together.
fn longest_groups(requests: &[Request], most: usize, completions: usize, len: usize) -> Vec<Group> {
    let mut prompts: Vec<&Vec<u32>> = requests.iter().map(|request| &request.prompt).collect();
    prompts.sort_by_key(|prompt| prompt.len());
    if prompts.len() > 2 * most {
        prompts.drain(most..prompts.len() - most);
    }
    let group = |prompt: &Vec<u32>| Group { prompt: prompt.clone(), completions: vec![vec![0; len]; completions] };
    prompts.into_iter().map(group).collect()
}

/// Says of everything that it is yet to come.
struct Ahead<'a>(&'a mut dyn Progress);

impl Progress for Ahead<'_> {
    fn update(&mut self, update: &Update<'_>) -> Result<()> {
        self.0.update(update)
    }

    fn log(&mut self, line: &str) {
        self.0.log(&format!("to come, at most: {line}"));
    }

    fn detail(&mut self, lines: &str) {
        self.0.detail(&format!("to come, at most: {lines}"));
    }
}

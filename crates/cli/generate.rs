//! `cream generate`

use std::io::{self, IsTerminal, Read};

use anyhow::{Context, Result, bail};
use cream::engine::{Backend, Drawn, GenerateOptions, Generated, Message, Request};
use cream::{Completion, Completions, SampleOptions, Turns};
use pollster::block_on;

use crate::args::{Global, ModelArgs, PromptFlags, SampleFlags};
use crate::device::Job;
use crate::files::{STANDARD, say};
use crate::model;

/// Answer one prompt
///
/// The prompt is the argument, or, without one and where it is -, all of standard input; the answer goes to standard output.
///
/// Without --max-new-tokens the answer may take what the model's context leaves, up to the usual 768.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cream generate --model model.gguf \"Why is the sky blue?\"
  cream generate --model model.gguf --adapter RUN/iteration-2 --temperature 0 < question.txt
  cream generate --model model.gguf --raw \"Once upon a time\" --max-new-tokens 50 -n 3 --json")]
pub(crate) struct Args {
    /// What to answer [default: standard input]
    text: Option<String>,
    #[command(flatten)]
    model: ModelArgs,
    /// A system message before the prompt
    #[arg(long, value_name = "TEXT", conflicts_with = "raw")]
    system: Option<String>,
    #[command(flatten)]
    sample: SampleFlags,
    #[command(flatten)]
    prompt: PromptFlags,
    /// Seed of the sampling
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// One JSON object, as `cream sample` writes them
    #[arg(long)]
    json: bool,
}

/// Names the random stream, as a row's id does.
const ID: &str = "generate";

impl Job for Args {
    fn run<B: Backend>(self, backend: B, _: &Global) -> Result<()> {
        let prompt = prompt(self.text)?;
        let mut options = SampleOptions { completions: 1, ..SampleOptions::default() };
        self.sample.apply(&mut options);
        let loaded = model::load(&backend, &self.model, self.prompt.date, false)?;
        let message = |role: &str, content: &str| Message { role: role.to_owned(), content: content.to_owned() };
        let turns = match &self.system {
            None => Turns::Text(prompt),
            Some(system) => Turns::Messages(vec![message("system", system), message("user", &prompt)]),
        };
        let encoder = self.prompt.encoder(&loaded.text, loaded.model.config());
        if self.sample.max_new_tokens.is_none() {
            // One answer may take what the model has left.
            let left = encoder.context.saturating_sub(encoder.prompt(ID, &turns)?.len());
            options.max_new_tokens = options.max_new_tokens.min(left.max(1));
        }
        let tokens = encoder.prompt_before(ID, &turns, options.max_new_tokens)?;
        let request = Request { id: ID.to_owned(), prompt: tokens, completions: options.completions };
        let settings = GenerateOptions {
            max_new_tokens: options.max_new_tokens,
            sampling: options.sampling(),
            seed: self.seed,
            stop_tokens: loaded.text.stop_tokens().to_vec(),
            slots: options.slots,
        };
        let mut completions = vec![Completion::from(""); options.completions];
        let told = |drawn: Drawn<'_>| -> Result<()> {
            let Some(Generated { completion, tokens, finish, .. }) = drawn.ended() else { return Ok(()) };
            let text = loaded.text.said(&tokens, finish)?;
            completions[completion] = Completion { text, token_ids: Some(tokens), finish };
            Ok(())
        };
        block_on(loaded.model.generate(loaded.adapter.as_ref(), &[request], &settings, told))?;
        let row = Completions { id: ID.to_owned(), prompt: turns, completions };
        if self.json {
            return say(&serde_json::to_string(&row)?);
        }
        row.completions.iter().try_for_each(|completion| say(&completion.text))
    }
}

fn prompt(argument: Option<String>) -> Result<String> {
    let text = match argument {
        Some(text) if text != STANDARD => return Ok(text),
        text => text,
    };
    if text.is_none() && io::stdin().is_terminal() {
        bail!("no prompt: expected one as an argument or on standard input");
    }
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).context("standard input: expected text in UTF-8")?;
    Ok(text.trim_end_matches('\n').to_owned())
}

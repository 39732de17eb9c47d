//! Answers to one prompt.

use cream::engine::{Drawn, Finish, GenerateOptions, Generated, Message, Request};
use cream::{Completion, Completions, SampleOptions, Turns};
use serde::Deserialize;
use wasm_bindgen::prelude::*;

use crate::adapter::{Adapter, free};
use crate::error::{Result, caught, new, thrown, thrown_by_engine};
use crate::hooks::Signal;
use crate::js::{Options, from_js, to_js};
use crate::model::Model;

/// Names the random stream, as a row's id does.
const ID: &str = "generate";

/// As `GenerateOptions` of types.ts has them.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    completions: Option<usize>,
    max_new_tokens: Option<usize>,
    temperature: Option<f32>,
    top_k: Option<u32>,
    top_p: Option<f32>,
    min_p: Option<f32>,
    repetition_penalty: Option<f32>,
    seed: u64,
    raw: bool,
}

#[wasm_bindgen]
impl Model {
    /// Answers a prompt: a text, or a conversation whose last turn is the user's. `onText` hears of the text as it is drawn.
    #[wasm_bindgen(unchecked_return_type = "Completions")]
    pub async fn generate(
        &self,
        #[wasm_bindgen(unchecked_param_type = "string | Message[]")] prompt: JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "GenerateOptions")] options: JsValue,
    ) -> Result<JsValue> {
        let loaded = self.loaded.clone();
        let options = Options::of(&options);
        let (signal, on_text) = (Signal::of(&options), options.function("onText")?);
        let adapter = Adapter::of(&options, &loaded)?;
        let settings: Settings = options.rest("options")?;
        let turns = match prompt.as_string() {
            Some(text) => Turns::Text(text),
            None => Turns::Messages(from_js::<Vec<Message>>("prompt", &prompt)?),
        };
        let encoder = loaded.encoder(settings.raw);
        let usual = SampleOptions::default();
        let left = encoder.context.saturating_sub(encoder.prompt(ID, &turns).map_err(thrown)?.len());
        let sampling = SampleOptions {
            completions: settings.completions.unwrap_or(1),
            max_new_tokens: settings.max_new_tokens.unwrap_or(usual.max_new_tokens.min(left.max(1))),
            temperature: settings.temperature.unwrap_or(usual.temperature),
            top_k: settings.top_k.unwrap_or(usual.top_k),
            top_p: settings.top_p.unwrap_or(usual.top_p),
            min_p: settings.min_p.unwrap_or(usual.min_p),
            repetition_penalty: settings.repetition_penalty.unwrap_or(usual.repetition_penalty),
            ..usual
        };
        sampling.validate().map_err(thrown)?;
        let tokens = encoder.prompt_before(ID, &turns, sampling.max_new_tokens).map_err(thrown)?;
        let request = Request { id: ID.into(), prompt: tokens, completions: sampling.completions };
        let generate = GenerateOptions {
            max_new_tokens: sampling.max_new_tokens,
            sampling: sampling.sampling(),
            seed: settings.seed,
            stop_tokens: loaded.text.stop_tokens().to_vec(),
            slots: sampling.slots,
        };
        let mut completions = vec![Completion::from(""); sampling.completions];
        let told = |drawn: Drawn<'_>| -> cream::Result<()> {
            signal.check()?;
            let text = loaded.text.said(drawn.tokens, drawn.finish.unwrap_or(Finish::Length))?;
            if let Some(on_text) = &on_text {
                let completion = (drawn.completion as f64).into();
                on_text.call2(&JsValue::NULL, &completion, &text.as_str().into()).map_err(caught)?;
            }
            if let Some(Generated { completion, tokens, finish, .. }) = drawn.ended() {
                completions[completion] = Completion { text, token_ids: Some(tokens), finish };
            }
            Ok(())
        };
        let own = adapter.as_ref().map(|adapter| free(&adapter.adapter)).transpose()?;
        cream::Model::generate(&loaded.model, own.as_deref(), &[request], &generate, told).await.map_err(thrown)?;
        to_js(&Completions { id: ID.into(), prompt: turns, completions })
    }

    /// How many tokens a text prompt or a conversation has, template included.
    #[wasm_bindgen(js_name = countTokens)]
    pub fn count_tokens(
        &self,
        #[wasm_bindgen(unchecked_param_type = "string | Message[]")] prompt: JsValue,
    ) -> Result<usize> {
        let tokens = match prompt.as_string() {
            Some(text) => {
                let turn = Message { role: "user".into(), content: text };
                self.loaded.text.prompt(&[turn])
            }
            None => self.loaded.text.prompt(&from_js::<Vec<Message>>("prompt", &prompt)?),
        };
        let tokens = tokens.map_err(thrown_by_engine)?;
        if tokens.is_empty() { Err(new("Error", "prompt: no tokens, expected at least one")) } else { Ok(tokens.len()) }
    }
}

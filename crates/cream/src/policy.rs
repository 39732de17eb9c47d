//! A model as the stages see it: weights, adapter, and how rows become its tokens.

use cream_engine::{Adapter, Backend, Llama, Message, Text};

use crate::error::{Error, Result};
use crate::rows::Turns;

/// From rows to tokens.
#[derive(Debug, Clone, Copy)]
pub struct Encoder<'a> {
    /// The model's tokenizer and chat template.
    pub text: &'a Text,
    /// A text prompt is taken as it is, not as a user's turn. Conversations go through the chat template all the same.
    pub raw: bool,
    /// Longest prompt, in tokens.
    pub max_prompt_tokens: usize,
}

impl Encoder<'_> {
    /// That of the authors' code.
    pub const MAX_PROMPT_TOKENS: usize = 2048;

    /// Tokens of a prompt, up to where the assistant speaks.
    ///
    /// # Errors
    /// A prompt of no tokens or too many, or one that the chat template refuses; `id` is named.
    pub fn prompt(&self, id: &str, prompt: &Turns) -> Result<Vec<u32>> {
        let tokens = match prompt {
            Turns::Text(text) if self.raw => self.text.raw(text),
            Turns::Text(text) => self.text.prompt(&[Message { role: "user".into(), content: text.clone() }]),
            Turns::Messages(messages) => self.text.prompt(messages),
        };
        let tokens = tokens.map_err(|e| Error::prompt(id, e))?;
        match tokens.len() {
            0 => Err(Error::prompt(id, "no tokens, expected at least one")),
            len if len > self.max_prompt_tokens => {
                Err(Error::prompt(id, format_args!("{len} tokens, expected at most {}", self.max_prompt_tokens)))
            }
            _ => Ok(tokens),
        }
    }

    /// Tokens of a completion and the end of its turn.
    ///
    /// # Errors
    /// One that the tokenizer refuses; `id` is named.
    pub fn completion(&self, id: &str, text: &str) -> Result<Vec<u32>> {
        self.text.completion(text).map_err(|e| Error::prompt(id, e))
    }
}

/// A model that samples or scores.
#[derive(Debug)]
pub struct Policy<'a, B: Backend> {
    /// The base.
    pub model: &'a Llama<B>,
    /// Added to the base, if any.
    pub adapter: Option<&'a Adapter<B>>,
    /// From rows to tokens.
    pub encoder: Encoder<'a>,
    /// Of the weights, adapter included: work that another policy left is not taken up.
    pub fingerprint: &'a str,
}

impl<B: Backend> Clone for Policy<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for Policy<'_, B> {}

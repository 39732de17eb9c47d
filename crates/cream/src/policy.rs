//! A model as the stages see it: weights, adapter, and how rows become its tokens.

use std::borrow::Cow;

use cream_engine::{Finish, Group, Message, Text};

use crate::error::{Error, Result};
use crate::model::Model;
use crate::rows::{Completion, Turns};

/// From rows to tokens.
#[derive(Debug, Clone, Copy)]
pub struct Encoder<'a> {
    /// The model's tokenizer and chat template.
    pub text: &'a Text,
    /// A text prompt is taken as it is, not as a user's turn. Conversations go through the chat template all the same.
    pub raw: bool,
    /// Longest prompt, in tokens.
    pub max_prompt_tokens: usize,
    /// Longest sequence that the model takes, prompt and completion, in tokens.
    pub context: usize,
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
            turns => self.text.prompt(&conversation(turns)),
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

    /// Tokens of a prompt after which `new` more fit into the model.
    ///
    /// # Errors
    /// As [`Encoder::prompt`]; a prompt that leaves less room.
    pub fn prompt_before(&self, id: &str, prompt: &Turns, new: usize) -> Result<Vec<u32>> {
        let tokens = self.prompt(id, prompt)?;
        if tokens.len() + new > self.context {
            let (len, context) = (tokens.len(), self.context);
            let problem = format_args!("{len} tokens and {new} new ones, expected at most {context} in all");
            return Err(Error::prompt(id, problem));
        }
        Ok(tokens)
    }

    /// A prompt and its completions as tokens.
    ///
    /// Those that were drawn are the tokens that were drawn. A text from elsewhere is encoded together with the prompt, and
    /// begins where its tokens and those of the prompt alone part: where that is before the prompt's end, the prompt is
    /// shorter, for all completions of the row, as in TRL.
    ///
    /// # Errors
    /// As [`Encoder::prompt`]; a completion of no tokens, or too long for the model after its prompt; tokens that are not
    /// the text; `id` is named.
    pub fn group(&self, id: &str, prompt: &Turns, completions: &[Completion]) -> Result<Group> {
        let mut tokens = self.prompt(id, prompt)?;
        let bad =
            |i: usize, problem: &dyn std::fmt::Display| Error::prompt(id, format_args!("completion {i}: {problem}"));
        let whole = |(i, completion): (usize, &Completion)| match &completion.token_ids {
            Some(drawn) => {
                let said = self.text.said(drawn, completion.finish).map_err(|e| bad(i, &e))?;
                if said != completion.text {
                    let problem =
                        "its token_ids are of another text or another model's; without them the text is encoded anew";
                    return Err(bad(i, &problem));
                }
                Ok([&tokens[..], drawn].concat())
            }
            None => self.joint(prompt, &completion.text, completion.finish).map_err(|e| bad(i, &e)),
        };
        let wholes: Vec<Vec<u32>> = completions.iter().enumerate().map(whole).collect::<Result<_>>()?;
        let shared = |whole: &Vec<u32>| whole.iter().zip(&tokens).take_while(|(one, other)| one == other).count();
        let len = wholes.iter().map(shared).min().unwrap_or(tokens.len());
        if len < tokens.len() && completions.iter().any(|completion| completion.token_ids.is_some()) {
            let expected = "expected none, since other completions of the row were drawn after all of it";
            return Err(Error::prompt(id, format_args!("a text joins with the end of the prompt, {expected}")));
        }
        tokens.truncate(len);
        if tokens.is_empty() {
            return Err(Error::prompt(
                id,
                "its tokens and those of its completions part at once, expected a common one",
            ));
        }
        let mut own = Vec::with_capacity(wholes.len());
        for (i, whole) in wholes.into_iter().enumerate() {
            let completion = whole[len..].to_vec();
            if completion.is_empty() {
                return Err(bad(i, &"no tokens, expected at least one"));
            }
            if whole.len() > self.context {
                let (new, context) = (completion.len(), self.context);
                return Err(bad(
                    i,
                    &format_args!("{len} tokens before it and {new} of its own, expected at most {context} in all"),
                ));
            }
            own.push(completion);
        }
        Ok(Group { prompt: tokens, completions: own })
    }

    /// Tokens of a prompt and of what follows it, as one text.
    fn joint(&self, prompt: &Turns, said: &str, finish: Finish) -> cream_engine::Result<Vec<u32>> {
        match prompt {
            Turns::Text(text) if self.raw => self.text.raw_and_completion(text, said, finish),
            turns => self.text.prompt_and_completion(&conversation(turns), said, finish),
        }
    }
}

/// A text is one user turn.
fn conversation(turns: &Turns) -> Cow<'_, [Message]> {
    match turns {
        Turns::Text(text) => Cow::Owned(vec![Message { role: "user".into(), content: text.clone() }]),
        Turns::Messages(messages) => Cow::Borrowed(messages),
    }
}

/// A model that samples or scores.
#[derive(Debug)]
pub struct Policy<'a, M: Model> {
    /// The base.
    pub model: &'a M,
    /// Added to the base, if any.
    pub adapter: Option<&'a M::Adapter>,
    /// From rows to tokens.
    pub encoder: Encoder<'a>,
    /// Of the weights, adapter included: work that another policy left is not taken up.
    pub fingerprint: &'a str,
}

impl<M: Model> Clone for Policy<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M: Model> Copy for Policy<'_, M> {}

#[cfg(test)]
mod tests;

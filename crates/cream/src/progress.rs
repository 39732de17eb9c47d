//! How a caller hears of the work, and stops it.

use std::fmt;

use cream_engine::{Drawn, Text};

use crate::error::Result;
use crate::rows::MetricsRow;

/// A kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Completions are sampled.
    Sample,
    /// Completions are scored.
    Score,
    /// A model is trained on pairs.
    Train,
    /// A model is trained on supervised data.
    Sft,
}

impl Stage {
    /// What [`Update::done`] counts, in the plural.
    pub fn unit(self) -> &'static str {
        match self {
            Stage::Sample => "completions",
            Stage::Score => "prompts",
            Stage::Train | Stage::Sft => "steps",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Sample => "sample",
            Stage::Score => "score",
            Stage::Train => "train",
            Stage::Sft => "sft",
        })
    }
}

/// Where a stage stands.
#[derive(Debug, Clone, Copy)]
pub struct Update<'a> {
    /// What is done.
    pub stage: Stage,
    /// The file or folder that is being made: `iteration-1/scores-previous.jsonl`.
    pub output: &'a str,
    /// Units done; in the first update of a stage, those that were there already.
    pub done: usize,
    /// Units in all.
    pub total: usize,
    /// Tokens that went through the model, or were drawn from it, in this call.
    pub tokens: usize,
    /// The step just made, in training.
    pub metrics: Option<&'a MetricsRow>,
}

/// Told of the work as it is done; rates, bars and remaining time are the caller's.
pub trait Progress {
    /// Called at the start of a stage, then whenever units are done.
    ///
    /// # Errors
    /// Whatever the caller likes, as [`Error::Caller`](crate::Error::Caller): the stage stops with it and can be resumed.
    fn update(&mut self, update: &Update<'_>) -> Result<()>;

    /// Called as tokens of a completion are drawn, and when it ends; `id` is its prompt's, `text` reads its tokens.
    ///
    /// # Errors
    /// As [`Progress::update`]: the drawing ends at once.
    fn drawn(&mut self, id: &str, text: &Text, drawn: &Drawn<'_>) -> Result<()> {
        let _ = (id, text, drawn);
        Ok(())
    }

    /// A line worth reading: what is skipped, what rule is used.
    fn log(&mut self, line: &str);

    /// Lines for those who want to know more: where memory goes.
    fn detail(&mut self, lines: &str);
}

/// Says nothing.
impl Progress for () {
    fn update(&mut self, _: &Update<'_>) -> Result<()> {
        Ok(())
    }

    fn log(&mut self, _: &str) {}

    fn detail(&mut self, _: &str) {}
}

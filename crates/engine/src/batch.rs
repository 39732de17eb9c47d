//! Packed batches: prompts and completions back to back, no padding, each prompt once.

use crate::backend::Segment;
use crate::error::{Error, Result};

/// One prompt and the completions that share it, as tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// At least one token.
    pub prompt: Vec<u32>,
    /// Each at least one token; the end-of-turn token is one of them.
    pub completions: Vec<Vec<u32>>,
}

impl Group {
    /// Rows this group takes in a packed batch. The last token of a completion predicts nothing and takes none.
    pub fn rows(&self) -> usize {
        self.prompt.len() + self.completions.iter().map(|c| c.len() - 1).sum::<usize>()
    }
}

/// Groups laid out for the model: T rows of tokens, and the rows whose next token is asked for.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Token of each row, `[T]`.
    pub tokens: Vec<u32>,
    /// Position of each row in its own sequence, `[T]`.
    pub positions: Vec<u32>,
    /// What each row attends to.
    pub segments: Vec<Segment>,
    /// Rows whose next token is scored, completion after completion, `[n]`.
    pub head_rows: Vec<u32>,
    /// The token scored at each of `head_rows`, `[n]`.
    pub targets: Vec<u32>,
    /// Number of tokens of each completion, in the order of the groups; sums to n.
    pub completion_lens: Vec<usize>,
}

impl Batch {
    /// Packs `groups` in order.
    ///
    /// # Errors
    /// An empty prompt, a prompt without completions, an empty completion, a token that is not below `vocab_size`.
    pub fn new(groups: &[Group], vocab_size: usize) -> Result<Self> {
        let mut batch = Batch::default();
        for (i, group) in groups.iter().enumerate() {
            let all = || group.completions.iter().chain([&group.prompt]);
            if group.completions.is_empty() || all().any(Vec::is_empty) {
                return Err(Error::Request(format!("group {i}: an empty prompt or completion, or no completion")));
            }
            if let Some(&token) = all().flatten().find(|&&t| t as usize >= vocab_size) {
                return Err(Error::Request(format!("group {i}: token {token}, expected below {vocab_size}")));
            }
            batch.push(group);
        }
        Ok(batch)
    }

    fn push(&mut self, group: &Group) {
        let prompt_start = self.push_segment(&group.prompt, 0, 0);
        let prompt_len = group.prompt.len() as u32;
        for completion in &group.completions {
            let start = self.push_segment(&completion[..completion.len() - 1], prompt_start, prompt_len);
            self.head_rows.push(prompt_start + prompt_len - 1);
            self.head_rows.extend(start..self.tokens.len() as u32);
            self.targets.extend(completion);
            self.completion_lens.push(completion.len());
        }
    }

    /// Returns the first row of the segment.
    fn push_segment(&mut self, tokens: &[u32], prefix_start: u32, prefix_len: u32) -> u32 {
        let start = self.tokens.len() as u32;
        let query_len = tokens.len() as u32;
        if query_len > 0 {
            self.tokens.extend(tokens);
            self.positions.extend(prefix_len..prefix_len + query_len);
            self.segments.push(Segment {
                query_start: start,
                query_len,
                prefix_start,
                prefix_len,
                own_start: start,
                own_past: 0,
            });
        }
        start
    }

    /// T, rows of the batch.
    pub fn rows(&self) -> usize {
        self.tokens.len()
    }

    /// Splits numbers of the scored tokens by completion.
    pub fn split<'a>(&'a self, per_token: &'a [f32]) -> impl Iterator<Item = &'a [f32]> {
        let mut rest = per_token;
        self.completion_lens.iter().map(move |&len| {
            let (head, tail) = rest.split_at(len);
            rest = tail;
            head
        })
    }
}

//! Generation with a KV cache and continuous batching: many prompts, several completions each, one set of slots.
//!
//! Keys and values of all sequences lie in one array of rows a block. A prompt's rows are filled once and read by all
//! its completions; a slot's own rows follow its completion. As a completion ends, its slot takes the next one.

use std::collections::VecDeque;

use cream_core::philox::{Stream, prompt_hash};
use cream_core::{Sampling, seen_words};
use serde::{Deserialize, Serialize};

use crate::adapter::Adapter;
use crate::backend::{Backend, NO_TOKEN, Segment};
use crate::error::{Error, Result};
use crate::llama::{BlockCache, Llama, Rows};

#[cfg(test)]
mod ahead;
#[cfg(test)]
#[cfg(feature = "gpu")]
mod launches;

/// A prompt to complete.
#[derive(Debug, Clone)]
pub struct Request {
    /// Names the random stream: with one seed, the same id and completion index give the same stream.
    pub id: String,
    /// At least one token.
    pub prompt: Vec<u32>,
    /// How many completions to make.
    pub completions: usize,
}

/// How to complete.
#[derive(Debug, Clone)]
pub struct GenerateOptions {
    /// Longest completion, in tokens, the stop token among them.
    pub max_new_tokens: usize,
    /// How a token is drawn.
    pub sampling: Sampling,
    /// Seed of the random streams.
    pub seed: u64,
    /// A completion ends with any of these.
    pub stop_tokens: Vec<u32>,
    /// Sequences decoded at once.
    pub slots: usize,
}

/// Why a completion ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Finish {
    /// It met a stop token, its last.
    #[default]
    Stop,
    /// It was cut at the longest length.
    Length,
}

/// Where a completion stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawn<'a> {
    /// Index of its request.
    pub request: usize,
    /// Index among the request's completions.
    pub completion: usize,
    /// All tokens that were drawn so far, the stop token among them.
    pub tokens: &'a [u32],
    /// How many of them, the last ones, are told of for the first time.
    pub new: usize,
    /// Why it ended; none while it is under way.
    pub finish: Option<Finish>,
}

/// One finished completion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// Index of its request.
    pub request: usize,
    /// Index among the request's completions.
    pub completion: usize,
    /// All tokens that were drawn, the stop token among them.
    pub tokens: Vec<u32>,
    /// Why it ended.
    pub finish: Finish,
}

impl Drawn<'_> {
    /// The completion, where it has ended.
    pub fn ended(&self) -> Option<Generated> {
        let Drawn { request, completion, tokens, finish, .. } = *self;
        finish.map(|finish| Generated { request, completion, tokens: tokens.to_vec(), finish })
    }
}

/// For tests, which look at whole completions.
#[cfg(test)]
pub(crate) fn ended(mut told: impl FnMut(Generated) -> Result<()>) -> impl FnMut(Drawn<'_>) -> Result<()> {
    move |drawn| drawn.ended().map_or(Ok(()), &mut told)
}

/// Tokens of prompts computed in one forward pass.
const PREFILL_ROWS: usize = 1024;

/// A completion in the making.
struct Active {
    request: usize,
    completion: usize,
    /// Where its prompt's keys lie in the cache, index of a region.
    region: usize,
    tokens: Vec<u32>,
}

impl Active {
    /// What is told of it.
    fn drawn(&self, new: usize, finish: Option<Finish>) -> Drawn<'_> {
        Drawn { request: self.request, completion: self.completion, tokens: &self.tokens, new, finish }
    }
}

/// The part of the cache that holds one prompt, and how many completions still read it.
#[derive(Clone, Default)]
struct Region {
    readers: usize,
}

/// Everything that changes while a call of [`Llama::generate`] runs.
struct Generation<'a, B: Backend> {
    model: &'a Llama<B>,
    adapter: Option<&'a Adapter<B>>,
    requests: &'a [Request],
    options: &'a GenerateOptions,
    steps_per_read: usize,
    cache: Vec<BlockCache<B>>,
    slots: Vec<Option<Active>>,
    regions: Vec<Region>,
    region_rows: usize,
    /// Sampled their first token, wait for a slot.
    waiting: VecDeque<Active>,
    next_request: usize,
}

impl<B: Backend> Llama<B> {
    /// Completes every request; `told` hears of each completion whenever tokens of it were read from the device and when
    /// it ends, in no particular order, and ends the work at once by an error.
    ///
    /// Keys and values take 8·K·E bytes a block for each of `slots * (longest prompt + max_new_tokens)` rows at most.
    ///
    /// # Errors
    /// An empty prompt, a token outside the vocabulary, a prompt that leaves no room within
    /// `max_position_embeddings`, bad sampling settings, no slots, logits that are not finite, a device that was lost, or
    /// what `told` says.
    pub async fn generate<E: From<Error>>(
        &self,
        adapter: Option<&Adapter<B>>,
        requests: &[Request],
        options: &GenerateOptions,
        mut told: impl FnMut(Drawn<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.check(requests, options)?;
        if options.max_new_tokens == 0 || requests.is_empty() {
            return Ok(());
        }
        let mut generation = Generation::new(self, adapter, requests, options);
        loop {
            generation.refill(&mut told).await?;
            if generation.slots.iter().all(Option::is_none) {
                return Ok(());
            }
            generation.decode(&mut told).await?;
        }
    }

    /// The passes of [`Llama::generate`] up to the first tokens read; returns the bytes of the cache.
    pub(crate) async fn first_steps(
        &self,
        adapter: Option<&Adapter<B>>,
        requests: &[Request],
        options: &GenerateOptions,
    ) -> Result<u64> {
        self.check(requests, options)?;
        if options.max_new_tokens == 0 || requests.is_empty() {
            return Ok(0);
        }
        let before = self.backend().meter().held();
        let mut generation = Generation::new(self, adapter, requests, options);
        let cache = self.backend().meter().held() - before;
        generation.refill::<Error>(&mut |_| Ok(())).await?;
        generation.decode::<Error>(&mut |_| Ok(())).await?;
        Ok(cache)
    }

    /// Most bytes of the keys of a block.
    fn cache_bytes(&self, requests: &[Request], options: &GenerateOptions) -> u64 {
        let longest = requests.iter().map(|request| request.prompt.len()).max().unwrap_or(0) as u64;
        let own_rows = (options.max_new_tokens as u64).saturating_add(self.backend().steps_per_read() as u64);
        let completions = requests.iter().fold(0u64, |sum, request| sum.saturating_add(request.completions as u64));
        let slots = completions.min(options.slots as u64);
        let regions = slots.saturating_add(2).min(requests.len() as u64);
        let rows = regions.saturating_mul(longest).saturating_add(slots.saturating_mul(own_rows));
        let width = self.config().num_key_value_heads as u64 * self.config().head_dim as u64;
        rows.saturating_mul(4 * width)
    }

    fn check(&self, requests: &[Request], options: &GenerateOptions) -> Result<()> {
        options.sampling.validate()?;
        if options.slots == 0 {
            return Err(Error::Request("slots is 0, expected at least 1".into()));
        }
        let bytes = self.cache_bytes(requests, options);
        if usize::try_from(bytes).is_err() {
            let slots = options.slots;
            let problem =
                format!("{bytes} bytes of keys and values for {slots} slots: more than there are addresses for");
            return Err(Error::Request(problem));
        }
        let (vocab_size, longest) = (self.config().vocab_size, self.config().max_position_embeddings);
        for Request { id, prompt, .. } in requests {
            if prompt.is_empty() {
                return Err(Error::Request(format!("prompt {id:?}: no tokens, expected at least one")));
            }
            if let Some(token) = prompt.iter().find(|&&token| token as usize >= vocab_size) {
                return Err(Error::Request(format!("prompt {id:?}: token {token}, expected below {vocab_size}")));
            }
            if prompt.len().saturating_add(options.max_new_tokens) > longest {
                let (prompt, new) = (prompt.len(), options.max_new_tokens);
                return Err(Error::Request(format!(
                    "prompt {id:?}: {prompt} tokens and {new} new ones, expected at most {longest} in all"
                )));
            }
        }
        Ok(())
    }
}

impl<'a, B: Backend> Generation<'a, B> {
    fn new(
        model: &'a Llama<B>,
        adapter: Option<&'a Adapter<B>>,
        requests: &'a [Request],
        options: &'a GenerateOptions,
    ) -> Self {
        let backend = model.backend();
        let total: usize = requests.iter().map(|r| r.completions).sum();
        let slots = options.slots.min(total);
        let fewest = requests.iter().map(|r| r.completions).filter(|&n| n > 0).min().unwrap_or(1);
        // Enough for prompts that fill all slots, the one before them that is ending and the one after that starts.
        let regions = (slots.div_ceil(fewest) + 2).min(requests.len());
        let region_rows = requests.iter().map(|r| r.prompt.len()).max().unwrap_or(0);
        let steps_per_read = backend.steps_per_read();
        let own_rows = options.max_new_tokens + steps_per_read;
        let width = model.config().num_key_value_heads * model.config().head_dim;
        let len = (regions * region_rows + slots * own_rows) * width;
        let block = |_| BlockCache { keys: backend.buffer(len), values: backend.buffer(len) };
        Generation {
            model,
            adapter,
            requests,
            options,
            steps_per_read,
            cache: (0..model.config().num_hidden_layers).map(block).collect(),
            slots: std::iter::repeat_with(|| None).take(slots).collect(),
            regions: vec![Region::default(); regions],
            region_rows,
            waiting: VecDeque::new(),
            next_request: 0,
        }
    }

    /// Gives every free slot a completion, computing prompts as needed.
    async fn refill<E: From<Error>>(&mut self, told: &mut impl FnMut(Drawn<'_>) -> Result<(), E>) -> Result<(), E> {
        loop {
            for slot in self.slots.iter_mut().filter(|slot| slot.is_none()) {
                *slot = self.waiting.pop_front();
            }
            let free = self.slots.iter().filter(|slot| slot.is_none()).count();
            let prompts = self.next_prompts(free);
            if prompts.is_empty() {
                return Ok(());
            }
            self.prefill(&prompts, told).await?;
        }
    }

    /// The next requests, with a region each: enough completions for `free` slots, within one forward pass.
    fn next_prompts(&mut self, free: usize) -> Vec<(usize, usize)> {
        let (mut prompts, mut completions, mut rows) = (Vec::new(), 0, 0);
        while completions < free && self.next_request < self.requests.len() {
            let request = &self.requests[self.next_request];
            if request.completions == 0 {
                self.next_request += 1;
                continue;
            }
            let Some(region) = self.regions.iter().position(|region| region.readers == 0) else { break };
            rows += request.prompt.len();
            if rows > PREFILL_ROWS && !prompts.is_empty() {
                break;
            }
            self.regions[region].readers = request.completions;
            completions += request.completions;
            prompts.push((self.next_request, region));
            self.next_request += 1;
        }
        prompts
    }

    /// Computes prompts and draws the first token of all their completions, which then wait for a slot.
    async fn prefill<E: From<Error>>(
        &mut self,
        prompts: &[(usize, usize)],
        told: &mut impl FnMut(Drawn<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let backend = self.model.backend();
        let (mut tokens, mut positions, mut at) = (Vec::new(), Vec::new(), Vec::new());
        let (mut segments, mut head_rows, mut streams, mut drawn) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for &(request, region) in prompts {
            let Request { id, prompt, completions } = &self.requests[request];
            let len = prompt.len() as u32;
            let own_start = (region * self.region_rows) as u32;
            segments.push(Segment {
                query_start: tokens.len() as u32,
                query_len: len,
                own_start,
                ..Segment::default()
            });
            tokens.extend(prompt);
            positions.extend(0..len);
            at.extend(own_start..own_start + len);
            for completion in 0..*completions {
                head_rows.push(tokens.len() as u32 - 1);
                streams.extend(self.stream(id, completion, 0));
                drawn.push(Active { request, completion, region, tokens: Vec::new() });
            }
        }
        let mut seen = self.seen(drawn.iter());
        let tokens = backend.indices(&tokens);
        let first = self.step(&tokens, &positions, &segments, &at, Some(&head_rows), &streams, seen.as_mut());
        let first = backend.read_indices(&[&first]).await?.swap_remove(0);
        for (mut active, token) in drawn.into_iter().zip(first) {
            let finish = self.push(&mut active, token)?;
            told(active.drawn(1, finish))?;
            match finish {
                None => self.waiting.push_back(active),
                Some(_) => self.regions[active.region].readers -= 1,
            }
        }
        Ok(())
    }

    /// The tokens of prompt and completion so far, as [`Backend::sample`] takes them; none where nothing is penalised.
    fn seen<'s>(&self, completions: impl Iterator<Item = &'s Active>) -> Option<B::Indices> {
        if self.options.sampling.repetition_penalty == 1.0 {
            return None;
        }
        let words = seen_words(self.model.config().vocab_size);
        let mut seen = Vec::new();
        for active in completions {
            let start = seen.len();
            seen.resize(start + words, 0u32);
            for token in self.requests[active.request].prompt.iter().chain(&active.tokens) {
                seen[start + *token as usize / 32] |= 1 << (token % 32);
            }
        }
        Some(self.model.backend().indices(&seen))
    }

    /// One token for every row of `head_rows`, or for every row.
    #[allow(clippy::too_many_arguments, reason = "what lies on the device, and what does not yet")]
    fn step(
        &mut self,
        tokens: &B::Indices,
        positions: &[u32],
        segments: &[Segment],
        at: &[u32],
        head_rows: Option<&[u32]>,
        streams: &[u32],
        seen: Option<&mut B::Indices>,
    ) -> B::Indices {
        let (model, backend) = (self.model, self.model.backend());
        let rows = Rows { positions: backend.indices(positions), plan: backend.plan(segments), count: positions.len() };
        let at = backend.indices(at);
        let mut x = model.embed(tokens, rows.count);
        for (layer, cache) in self.cache.iter_mut().enumerate() {
            model.block(layer, &mut x, &rows, self.adapter, Some((cache, &at)));
        }
        let drawn = streams.len() / 4;
        let normed = match head_rows {
            Some(head_rows) => model.leave(x, rows.count, &backend.indices(head_rows), drawn).1,
            None => model.last_normed(&x, drawn),
        };
        let head = model.head();
        let mut logits = backend.buffer(drawn * head.rows());
        backend.matmul(&normed, head, 1.0, false, &mut logits);
        let mut out = backend.indices(&vec![0; drawn]);
        let GenerateOptions { sampling, seed, .. } = self.options;
        backend.sample(&logits, sampling, *seed, &backend.indices(streams), seen, &mut out);
        out
    }

    /// As many steps for all slots as are worth queueing, then one read.
    async fn decode<E: From<Error>>(&mut self, told: &mut impl FnMut(Drawn<'_>) -> Result<(), E>) -> Result<(), E> {
        let backend = self.model.backend();
        let active: Vec<usize> = (0..self.slots.len()).filter(|&i| self.slots[i].is_some()).collect();
        let last = |slot: &Active| slot.tokens[slot.tokens.len() - 1];
        let tokens: Vec<u32> = active.iter().filter_map(|&i| self.slots[i].as_ref().map(last)).collect();
        let first = backend.indices(&tokens);
        let mut seen = self.seen(active.iter().filter_map(|&i| self.slots[i].as_ref()));
        // No more than the completion takes that has most to come.
        let left = |slot: &Active| self.options.max_new_tokens - slot.tokens.len();
        let left = active.iter().filter_map(|&i| self.slots[i].as_ref().map(left)).max().unwrap_or(0);
        let steps = self.steps_per_read.min(left);
        let mut history: Vec<B::Indices> = Vec::with_capacity(steps);
        for ahead in 0..steps {
            let (mut positions, mut segments, mut at, mut streams) = (vec![], vec![], vec![], vec![]);
            for (query, &i) in active.iter().enumerate() {
                let Some(slot) = &self.slots[i] else { continue };
                let Request { id, prompt, .. } = &self.requests[slot.request];
                // The newest token has no keys yet: it is the query.
                let own_past = slot.tokens.len() - 1 + ahead;
                let own_start =
                    self.regions.len() * self.region_rows + i * (self.options.max_new_tokens + self.steps_per_read);
                positions.push((prompt.len() + own_past) as u32);
                segments.push(Segment {
                    query_start: query as u32,
                    query_len: 1,
                    prefix_start: (slot.region * self.region_rows) as u32,
                    prefix_len: prompt.len() as u32,
                    own_start: own_start as u32,
                    own_past: own_past as u32,
                });
                at.push((own_start + own_past) as u32);
                streams.extend(self.stream(id, slot.completion, own_past + 1));
            }
            let tokens = history.last().unwrap_or(&first);
            let drawn = self.step(tokens, &positions, &segments, &at, None, &streams, seen.as_mut());
            history.push(drawn);
            // The last one goes with the read.
            if ahead + 1 < steps {
                backend.flush();
            }
        }
        let all_drawn = backend.read_indices(&history.iter().collect::<Vec<_>>()).await?;
        for (query, &i) in active.iter().enumerate() {
            let Some(mut slot) = self.slots[i].take() else { continue };
            let (before, mut finish) = (slot.tokens.len(), None);
            // What was drawn after its end means nothing.
            for drawn in &all_drawn {
                finish = self.push(&mut slot, drawn[query])?;
                if finish.is_some() {
                    break;
                }
            }
            told(slot.drawn(slot.tokens.len() - before, finish))?;
            match finish {
                None => self.slots[i] = Some(slot),
                Some(_) => self.regions[slot.region].readers -= 1,
            }
        }
        Ok(())
    }

    /// Philox counter of a completion's token.
    fn stream(&self, id: &str, completion: usize, position: usize) -> [u32; 4] {
        Stream::at(self.options.seed, prompt_hash(id.as_bytes()), completion as u32, position as u32).counter
    }

    /// Adds a token; says why the completion ends where it does.
    fn push(&self, active: &mut Active, token: u32) -> Result<Option<Finish>> {
        if token == NO_TOKEN {
            let id = self.requests[active.request].id.clone();
            return Err(Error::Logits { id, completion: active.completion, token: active.tokens.len() });
        }
        active.tokens.push(token);
        if self.options.stop_tokens.contains(&token) {
            return Ok(Some(Finish::Stop));
        }
        Ok((active.tokens.len() == self.options.max_new_tokens).then_some(Finish::Length))
    }
}

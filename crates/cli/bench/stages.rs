//! The stages of the method, with random tokens.

use std::time::Instant;

use anyhow::Result;
use cream::core::{Loss, PairLogps, Sampling};
use cream::engine::{
    AdamW, Adapter, Backend, Batch, GenerateOptions, Group, Llama, LoraConfig, Request, Trained, Trainer,
};
use pollster::block_on;

use super::{Args, Bench, Row, Stage, flops, reset_peak};

/// Rank of the adapter.
pub(super) const RANK: usize = 16;
const BETA: f64 = 0.1;
/// Pairs of one optimiser step of the iteration.
const PAIRS_A_STEP: usize = 8;
/// Rows of a packed batch, as the options of scoring and training have it.
const BATCH_ROWS: usize = 2048;
/// Sequences decoded at once in the iteration, as the options of sampling have it.
const SLOTS: usize = 64;

/// Sequences, tokens in each.
pub(super) fn score_shape(quick: bool) -> [usize; 2] {
    if quick { [2, 256] } else { [8, 512] }
}

/// What a training step changes.
struct Training<B: Backend> {
    model: Llama<B>,
    adapter: Option<Adapter<B>>,
    trainer: Trainer<B>,
}

impl<B: Backend> Bench<B> {
    pub(super) fn decode(&self) -> Result<()> {
        let (batches, steps): (&[usize], _) = if self.args.quick { (&[1, 16], 32) } else { (&[1, 16, 64], 64) };
        let model = self.model(false)?;
        let prompt_tokens = self.args.decode_prompt_tokens as usize;
        for &batch in batches {
            let requests = self.requests(&model, batch, prompt_tokens, 1);
            reset_peak();
            let seconds = self.time(|| self.generate(&model, None, &requests, steps, batch).map(drop))?;
            self.tell(
                Stage::Decode,
                &Row {
                    batch: Some(batch),
                    ms_per_step: Some(seconds / steps as f64 * 1e3),
                    tokens_per_s: Some((batch * steps) as f64 / seconds),
                    peak_mib: self.peak_mib(),
                    ..Row::default()
                },
            )?;
        }
        Ok(())
    }

    pub(super) fn score(&self) -> Result<()> {
        let model = self.model(false)?;
        let [batch, len] = score_shape(self.args.quick);
        // Every token but the first of each sequence is scored.
        let groups: Vec<Group> = (0..batch as u64)
            .map(|i| {
                let tokens = self.tokens(model.config().vocab_size, i, len);
                Group { prompt: tokens[..1].to_vec(), completions: vec![tokens[1..].to_vec()] }
            })
            .collect();
        let packed = Batch::new(&groups, model.config().vocab_size)?;
        reset_peak();
        let seconds = self.time(|| Ok(block_on(model.token_logps(None, &packed)).map(drop)?))?;
        let row = Row { batch: Some(batch), ..Row::default() };
        self.tell(Stage::Score, &self.rate(row, batch * len, flops::forward(model.config(), &packed), seconds))
    }

    pub(super) fn train(&self, stage: Stage, rank: Option<usize>) -> Result<()> {
        let (pairs, len, prompt_len) = if self.args.quick { (2, 128, 64) } else { (8, 256, 64) };
        let mut trained = self.trained(rank)?;
        let vocab_size = trained.model.config().vocab_size;
        let groups: Vec<Group> = (0..pairs as u64)
            .map(|i| {
                let tokens = |k: u64, len: usize| self.tokens(vocab_size, 3 * i + k, len);
                let completions = vec![tokens(1, len - prompt_len), tokens(2, len - prompt_len)];
                Group { prompt: tokens(0, prompt_len), completions }
            })
            .collect();
        let batches = pack(&groups, vocab_size)?;
        reset_peak();
        let seconds = self.time(|| step(&mut trained, &batches, pairs))?;
        let config = trained.model.config();
        let work = batches.iter().map(|batch| flops::training(config, batch, rank)).sum();
        let row = Row { rank, pairs: Some(pairs), ..Row::default() };
        self.tell(stage, &self.rate(row, 2 * pairs * len, work, seconds))
    }

    /// One whole iteration, once.
    pub(super) fn iteration(&self) -> Result<()> {
        let Args { prompts, completions, prompt_tokens, new_tokens, quick, .. } = &self.args;
        let asked = [prompts, completions, prompt_tokens, new_tokens];
        let sizes = if *quick { [8, 3, 32, 16] } else { [64, 5, 64, 128] };
        let [prompts, completions, prompt_tokens, new_tokens] =
            std::array::from_fn(|i| asked[i].unwrap_or(sizes[i]) as usize);
        let mut trained = self.trained(Some(RANK))?;
        let previous = trained.adapter.as_ref().map(|adapter| adapter.duplicate(&self.backend));
        let vocab_size = trained.model.config().vocab_size;
        reset_peak();
        let start = Instant::now();
        let requests = self.requests(&trained.model, prompts, prompt_tokens, completions);
        let groups = self.generate(&trained.model, trained.adapter.as_ref(), &requests, new_tokens, SLOTS)?;
        let sampled = Instant::now();
        let batches = pack(&groups, vocab_size)?;
        for adapter in [trained.adapter.as_ref(), previous.as_ref(), None] {
            for batch in &batches {
                block_on(trained.model.token_logps(adapter, batch))?;
            }
        }
        let scored = Instant::now();
        let pair = |group: &Group| Group { prompt: group.prompt.clone(), completions: group.completions[..2].to_vec() };
        let pairs: Vec<Group> = groups.iter().map(pair).collect();
        for pairs in pairs.chunks(PAIRS_A_STEP) {
            step(&mut trained, &pack(pairs, vocab_size)?, pairs.len())?;
        }
        let end = Instant::now();
        self.tell(
            Stage::Iteration,
            &Row {
                prompts: Some(prompts),
                completions: Some(completions),
                new_tokens: Some(new_tokens),
                sample_s: Some((sampled - start).as_secs_f64()),
                score_s: Some((scored - sampled).as_secs_f64()),
                train_s: Some((end - scored).as_secs_f64()),
                total_s: Some((end - start).as_secs_f64()),
                peak_mib: self.peak_mib(),
                ..Row::default()
            },
        )
    }

    fn rate(&self, row: Row, tokens: usize, flops: f64, seconds: f64) -> Row {
        let gflops = flops * 1e-9 / seconds;
        Row {
            tokens: Some(tokens),
            ms: Some(seconds * 1e3),
            tokens_per_s: Some(tokens as f64 / seconds),
            gflops: Some(gflops),
            efficiency: self.gflops.map(|best| gflops / best),
            peak_mib: self.peak_mib(),
            ..row
        }
    }

    fn requests(&self, model: &Llama<B>, prompts: usize, prompt_tokens: usize, completions: usize) -> Vec<Request> {
        (0..prompts)
            .map(|i| {
                let prompt = self.tokens(model.config().vocab_size, i as u64, prompt_tokens);
                Request { id: i.to_string(), prompt, completions }
            })
            .collect()
    }

    /// Completes every request with `steps` tokens.
    fn generate(
        &self,
        model: &Llama<B>,
        adapter: Option<&Adapter<B>>,
        requests: &[Request],
        steps: usize,
        slots: usize,
    ) -> Result<Vec<Group>> {
        let options = GenerateOptions {
            max_new_tokens: steps,
            sampling: Sampling::default(),
            seed: 0,
            stop_tokens: Vec::new(),
            slots,
        };
        let empty = |request: &Request| Group {
            prompt: request.prompt.clone(),
            completions: vec![Vec::new(); request.completions],
        };
        let mut groups: Vec<Group> = requests.iter().map(empty).collect();
        block_on(model.generate(adapter, requests, &options, |drawn| -> cream::engine::Result<()> {
            if drawn.finish.is_some() {
                groups[drawn.request].completions[drawn.completion] = drawn.tokens.to_vec();
            }
            Ok(())
        }))?;
        Ok(groups)
    }

    fn trained(&self, rank: Option<usize>) -> Result<Training<B>> {
        let model = self.model(rank.is_none())?;
        let adapter = match rank {
            None => None,
            Some(r) => {
                let config = LoraConfig { r, ..LoraConfig::default() };
                Some(Adapter::new(&self.backend, model.config(), config, 0)?)
            }
        };
        // As the scripts: no clipping.
        let options = AdamW { max_grad_norm: 0.0, ..AdamW::default() };
        let trainer = Trainer::new(&model, adapter.as_ref(), options, false);
        Ok(Training { model, adapter, trainer })
    }
}

/// Groups in batches of at most [`BATCH_ROWS`] rows, or of one group.
fn pack(groups: &[Group], vocab_size: usize) -> Result<Vec<Batch>> {
    let mut batches = Vec::new();
    let mut start = 0;
    while start < groups.len() {
        let mut rows = 0;
        let fits = groups[start..].iter().take_while(|group| {
            rows += group.rows();
            rows <= BATCH_ROWS
        });
        let end = start + fits.count().max(1);
        batches.push(Batch::new(&groups[start..end], vocab_size)?);
        start = end;
    }
    Ok(batches)
}

/// One optimiser step of CREAM's loss on pairs, their reference log-probs given.
fn step<B: Backend>(trained: &mut Training<B>, batches: &[Batch], pairs: usize) -> Result<()> {
    let Training { model, adapter, trainer } = trained;
    for batch in batches {
        block_on(trainer.accumulate(model, adapter.as_ref(), batch, |logps| -> Result<Vec<f64>> {
            let mut d_logps = Vec::with_capacity(logps.len());
            for pair in logps.chunks(2) {
                let logps = PairLogps {
                    chosen: pair[0],
                    rejected: pair[1],
                    reference_chosen: pair[0] - 1.0,
                    reference_rejected: pair[1] + 1.0,
                };
                let loss = Loss::Cream.evaluate(BETA, 0.8, &logps)?;
                d_logps.extend([loss.d_chosen / pairs as f64, loss.d_rejected / pairs as f64]);
            }
            Ok(d_logps)
        }))?;
    }
    block_on(trainer.update(Trained::new(model, adapter.as_mut()), 1e-6))?;
    Ok(())
}

//! Generation with a cache against the model without one, and against itself with other slots and other company.

use std::collections::{BTreeMap, BTreeSet};

use cream_core::Sampling;
use pollster::block_on;

use super::models::{adapter, configs, model, next_logps};
use super::random::Random;
use crate::generate::ended;
use crate::tolerances::LAYOUT;
use crate::{Adapter, Backend, Drawn, Finish, GenerateOptions, Generated, Llama, LlamaConfig, Request, Result};

on_each_backend!(
    whole_models:
    greedy_takes_what_the_model_without_a_cache_would,
    stop_tokens_cut,
    slots_and_company_change_nothing,
    more_prompt_tokens_than_one_pass_takes,
    a_sequence_may_fill_the_model_to_the_last_position,
    a_harsh_penalty_repeats_nothing,
    tokens_are_told_once_and_in_order,
    an_error_ends_the_work_at_once,
);

const GREEDY: Sampling = Sampling { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0 };
const SAMPLED: Sampling = Sampling { temperature: 1.0, top_k: 50, top_p: 0.95, ..GREEDY };

fn options(sampling: Sampling, slots: usize) -> GenerateOptions {
    GenerateOptions { max_new_tokens: 12, sampling, seed: 7, stop_tokens: vec![], slots }
}

/// Prompts of 1 to 40 tokens with 0 to 4 completions each, 7 completions at least.
fn requests(random: &mut Random) -> Vec<Request> {
    let request = |random: &mut Random, id: usize, completions: usize| {
        let len = random.pick(&[1, 2, 17, 31, 33, 40]);
        Request { id: format!("prompt {id}"), prompt: random.ids(len, 320), completions }
    };
    [3, 0, 1, 4, random.below(4)].into_iter().enumerate().map(|(id, n)| request(random, id, n)).collect()
}

/// Tokens and why they ended, by request id and completion.
type Made = BTreeMap<(String, usize), (Vec<u32>, Finish)>;

fn generate<B: Backend>(
    model: &Llama<B>,
    adapter: Option<&Adapter<B>>,
    requests: &[Request],
    options: &GenerateOptions,
) -> Made {
    let mut made = Made::new();
    let finished = |Generated { request, completion, tokens, finish }| -> Result<()> {
        let before = made.insert((requests[request].id.clone(), completion), (tokens, finish));
        assert_eq!(before, None, "completion {completion} of request {request} came twice");
        Ok(())
    };
    block_on(model.generate(adapter, requests, options, ended(finished))).unwrap();
    assert_eq!(made.len(), requests.iter().map(|r| r.completions).sum::<usize>());
    made
}

fn greedy_takes_what_the_model_without_a_cache_would<B: Backend>(backend: &B, random: &mut Random) {
    for config in configs() {
        let (model, adapter) = (model(backend, random, &config, false), adapter(backend, random, &config));
        for (adapter, slots) in [(None, 3), (Some(&adapter), 100)] {
            let requests = requests(random);
            let made = generate(&model, adapter, &requests, &options(GREEDY, slots));
            // Completions of one prompt are the same, as a rule: each is looked at once.
            let different: BTreeSet<_> = made.into_iter().map(|((id, _), made)| (id, made)).collect();
            for (id, (tokens, finish)) in different {
                assert!(tokens.len() == 12 && finish == Finish::Length, "{id}: {tokens:?}");
                let mut sequence = requests.iter().find(|r| r.id == id).unwrap().prompt.clone();
                for token in tokens {
                    let logps = next_logps(&model, adapter, &sequence);
                    let best = logps.iter().copied().fold(f32::MIN, f32::max);
                    let short = f64::from(best - logps[token as usize]);
                    assert!(short <= LAYOUT, "{id}: token {token} after {sequence:?} is off by {short}");
                    sequence.push(token);
                }
            }
        }
    }
}

fn stop_tokens_cut<B: Backend>(backend: &B, random: &mut Random) {
    let [config, _] = configs();
    let (model, requests) = (model(backend, random, &config, false), requests(random));
    for sampling in [GREEDY, SAMPLED] {
        let whole = generate(&model, None, &requests, &options(sampling, 3));
        let tokens: Vec<&Vec<u32>> = whole.values().map(|(tokens, _)| tokens).collect();
        // A token at the start of a completion, one in the middle and one at the end.
        let stop_tokens = vec![tokens[0][0], tokens[1][5], tokens[2][11]];
        let options = GenerateOptions { stop_tokens: stop_tokens.clone(), ..options(sampling, 3) };
        let cut = generate(&model, None, &requests, &options);
        for (key, (tokens, _)) in &whole {
            let expected = match tokens.iter().position(|token| stop_tokens.contains(token)) {
                Some(end) => (tokens[..=end].to_vec(), Finish::Stop),
                None => (tokens.clone(), Finish::Length),
            };
            assert_eq!(cut[key], expected, "{key:?}, {sampling:?}");
        }
    }
}

fn slots_and_company_change_nothing<B: Backend>(backend: &B, random: &mut Random) {
    for config in configs() {
        let (model, mut requests) = (model(backend, random, &config, false), requests(random));
        let expected = generate(&model, None, &requests, &options(SAMPLED, 100));
        for slots in [1, 2, 5] {
            assert_eq!(generate(&model, None, &requests, &options(SAMPLED, slots)), expected, "{slots} slots");
        }
        requests.reverse();
        assert_eq!(generate(&model, None, &requests, &options(SAMPLED, 4)), expected, "other order");
        let one = generate(&model, None, &requests[1..2], &options(SAMPLED, 4));
        assert!(one.iter().all(|(key, made)| expected[key] == *made), "alone");
        let other_seed = GenerateOptions { seed: 8, ..options(SAMPLED, 4) };
        assert_ne!(generate(&model, None, &requests, &other_seed), expected, "other seed");
        let completions: Vec<_> = one.values().collect();
        assert!(completions.windows(2).all(|pair| pair[0] != pair[1]), "completions of one prompt differ");
    }
}

fn more_prompt_tokens_than_one_pass_takes<B: Backend>(backend: &B, random: &mut Random) {
    let [config, _] = configs();
    let model = model(backend, random, &LlamaConfig { max_position_embeddings: 2048, ..config }, false);
    // One that is too long by itself, then several that are so together.
    let lens = [1100, 200, 200, 200, 200, 200, 200, 200];
    let request =
        |(i, len): (usize, usize)| Request { id: i.to_string(), prompt: random.ids(len, 320), completions: 1 };
    let requests: Vec<Request> = lens.into_iter().enumerate().map(request).collect();
    let options = |slots| GenerateOptions { max_new_tokens: 3, ..options(SAMPLED, slots) };
    assert_eq!(generate(&model, None, &requests, &options(8)), generate(&model, None, &requests, &options(1)));
}

fn a_sequence_may_fill_the_model_to_the_last_position<B: Backend>(backend: &B, random: &mut Random) {
    let [config, _] = configs();
    let model = model(backend, random, &config, false);
    let prompt = random.ids(config.max_position_embeddings - 12, 320);
    let made = generate(&model, None, &[Request { id: "long".into(), prompt, completions: 2 }], &options(SAMPLED, 1));
    assert!(made.values().all(|(tokens, _)| tokens.len() == 12));
}

/// Tokens of the prompt count too, and those that steps queued before a read have drawn.
fn a_harsh_penalty_repeats_nothing<B: Backend>(backend: &B, random: &mut Random) {
    let [config, _] = configs();
    let model = model(backend, random, &config, false);
    let sampling = Sampling { repetition_penalty: 1e6, ..GREEDY };
    let request = |len: usize| Request { id: len.to_string(), prompt: random.ids(len, 320), completions: 1 };
    let requests: Vec<Request> = [1, 2, 40].map(request).into();
    let repeats = |made: &Made| {
        let repeats = |Request { id, prompt, .. }: &Request| {
            let tokens = &made[&(id.clone(), 0)].0;
            let before = |i: usize| prompt.iter().chain(&tokens[..i]);
            tokens.iter().enumerate().any(|(i, token)| before(i).any(|earlier| earlier == token))
        };
        requests.iter().any(repeats)
    };
    let options = GenerateOptions { max_new_tokens: 40, ..options(sampling, 2) };
    assert!(!repeats(&generate(&model, None, &requests, &options)));
    let plain = GenerateOptions { sampling: GREEDY, ..options };
    assert!(repeats(&generate(&model, None, &requests, &plain)), "nothing to penalise");
}

fn tokens_are_told_once_and_in_order<B: Backend>(backend: &B, random: &mut Random) {
    let [config, _] = configs();
    let (model, requests) = (model(backend, random, &config, false), requests(random));
    let options = GenerateOptions { max_new_tokens: 40, ..options(SAMPLED, 3) };
    let (mut told, mut ended) = (BTreeMap::<_, Vec<u32>>::new(), BTreeMap::new());
    let heard = |drawn: Drawn<'_>| -> Result<()> {
        let key = (requests[drawn.request].id.clone(), drawn.completion);
        let so_far = told.entry(key.clone()).or_default();
        so_far.extend(&drawn.tokens[drawn.tokens.len() - drawn.new..]);
        assert_eq!(so_far, drawn.tokens);
        if let Some(Generated { tokens, finish, .. }) = drawn.ended() {
            assert_eq!(ended.insert(key, (tokens, finish)), None);
        }
        Ok(())
    };
    block_on(model.generate(None, &requests, &options, heard)).unwrap();
    assert_eq!(ended, generate(&model, None, &requests, &options));
}

fn an_error_ends_the_work_at_once<B: Backend>(backend: &B, random: &mut Random) {
    let [config, _] = configs();
    let (model, requests) = (model(backend, random, &config, false), requests(random));
    let mut told = 0;
    let ended = block_on(model.generate(None, &requests, &options(SAMPLED, 2), |_| {
        told += 1;
        if told == 3 { Err(crate::Error::Request("enough".into())) } else { Ok(()) }
    }));
    assert_eq!((ended.unwrap_err().to_string().as_str(), told), ("enough", 3));
}

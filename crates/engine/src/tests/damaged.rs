//! Numbers that are not finite: no token is drawn from them, no log-prob made of them, and no step made by them.

use cream_core::{Sampling, seen_words};
use pollster::block_on;

use super::models::{batch, checkpoint, config, groups};
use super::packed::DTYPES;
use super::random::Random;
use super::read;
use crate::generate::ended;
use crate::{
    AdamW, Backend, Checkpoint, Dtype, GenerateOptions, Generated, Llama, LlamaConfig, Matrix, NO_TOKEN, Parameter,
    Request, Result,
};

on_each_backend!(whole_models: rows_without_a_token, tokens_that_do_not_exist, steps_of_a_norm_that_is_not_finite,
    log_probs_of_damaged_weights, draws_of_damaged_weights);
on_small_bindings!(32 << 10; tokens_that_do_not_exist, steps_of_a_norm_that_is_not_finite);

/// NaNs of both signs and either kind, and the infinity that is no mask.
const BAD: [u32; 5] = [0x7fc0_0000, 0xffc0_0000, 0x7f80_0001, 0xffff_ffff, 0x7f80_0000];

/// A token for each row, and what is seen after it.
fn drawn<B: Backend>(
    backend: &B,
    logits: &[f32],
    rows: usize,
    sampling: &Sampling,
    seen: Option<&[u32]>,
) -> (Vec<u32>, Option<Vec<u32>>) {
    let mut out = backend.indices(&vec![0; rows]);
    let streams: Vec<u32> = (0..4 * rows as u32).collect();
    let mut seen = seen.map(|seen| backend.indices(seen));
    backend.sample(&backend.upload(logits), sampling, 7, &backend.indices(&streams), seen.as_mut(), &mut out);
    let arrays: Vec<_> = std::iter::once(&out).chain(&seen).collect();
    let mut arrays = block_on(backend.read_indices(&arrays)).unwrap().into_iter();
    (arrays.next().unwrap(), arrays.next())
}

fn rows_without_a_token<B: Backend>(backend: &B, random: &mut Random) {
    let samplings = [
        Sampling::default(),
        Sampling { temperature: 0.0, ..Sampling::default() },
        Sampling { top_k: 2, ..Sampling::default() },
        Sampling { top_p: 1.0, min_p: 0.1, ..Sampling::default() },
        Sampling { repetition_penalty: 1.3, ..Sampling::default() },
        Sampling { temperature: 0.0, repetition_penalty: 0.7, ..Sampling::default() },
    ];
    for vocab in [1, 3, 300, 5000] {
        let mut sound = random.normals(3 * vocab, 3.0);
        // Some masked.
        sound.iter_mut().enumerate().filter(|(i, _)| i % vocab % 4 == 2).for_each(|(_, l)| *l = f32::NEG_INFINITY);
        let mut rows = vec![vec![f32::NEG_INFINITY; vocab]];
        for bits in BAD {
            let mut row = sound[vocab..2 * vocab].to_vec();
            row[random.below(vocab)] = f32::from_bits(bits);
            rows.push(row);
        }
        for (sampling, row) in samplings.iter().flat_map(|sampling| rows.iter().map(move |row| (sampling, row))) {
            let seen = random.words_of(3 * seen_words(vocab));
            let seen = (sampling.repetition_penalty != 1.0).then_some(&seen[..]);
            let mut damaged = sound.clone();
            damaged[vocab..2 * vocab].copy_from_slice(row);
            let (tokens, after) = drawn(backend, &damaged, 3, sampling, seen);
            let (expected, expected_after) = drawn(backend, &sound, 3, sampling, seen);
            let what = format!("{vocab} tokens, {sampling:?}, {:?}", row.iter().find(|l| !l.is_finite()));
            assert_eq!(tokens, [expected[0], NO_TOKEN, expected[2]], "{what}");
            let words = seen_words(vocab)..2 * seen_words(vocab);
            let expected_after = expected_after.zip(seen).map(|(mut after, before)| {
                after[words.clone()].copy_from_slice(&before[words]);
                after
            });
            assert_eq!(after, expected_after, "{what}");
        }
    }
    // What the penalty makes infinite.
    let sampling = Sampling { repetition_penalty: 0.1, ..Sampling::default() };
    assert_eq!(drawn(backend, &[1.0, 2e38], 1, &sampling, Some(&[2])).0, [NO_TOKEN]);
    assert_eq!(drawn(backend, &[1.0, 2e38], 1, &sampling, Some(&[1])).0, [1]);
}

/// Steps that were queued behind such a row go on with it until it is read.
fn tokens_that_do_not_exist<B: Backend>(backend: &B, random: &mut Random) {
    for dtype in DTYPES {
        let (rows, cols) = (40, 256);
        let table = Matrix::stored(backend, &random.tensor(dtype, rows, cols));
        let looked_up = |ids: &[u32]| {
            let mut out = backend.upload(&vec![5.0; ids.len() * cols]);
            backend.embed(&table, &backend.indices(ids), &mut out);
            read(backend, &out)
        };
        let (there, untouched) = (looked_up(&[39, 0, 7]), vec![5.0; cols]);
        let expected = [&there[..cols], &untouched, &there[cols..2 * cols], &untouched, &there[2 * cols..]].concat();
        assert_eq!(looked_up(&[39, NO_TOKEN, 0, rows as u32, 7]), expected, "{dtype:?}");
    }
}

fn steps_of_a_norm_that_is_not_finite<B: Backend>(backend: &B, random: &mut Random) {
    let sizes = [1, 33, 20_001];
    // The last is finite, and its square is not.
    for (bits, max_grad_norm) in BAD.into_iter().chain([(-1e25_f32).to_bits()]).zip([0.0, 1.0].into_iter().cycle()) {
        let before = [(); 3].map(|()| sizes.map(|len| random.normals(len, 1.0)));
        let mut gradients = sizes.map(|len| random.normals(len, 1.0));
        let faulty = random.below(sizes.len());
        gradients[faulty][random.below(sizes[faulty])] = f32::from_bits(bits);
        let gradients = gradients.map(|gradient| backend.upload(&gradient));
        let [mut value, mut first, mut second] = before.each_ref().map(|of| of.each_ref().map(|x| backend.upload(x)));
        let mut norm_squared = backend.zeros(1);
        backend.sum_of_squares(&gradients.each_ref(), &mut norm_squared);
        let moments = first.iter_mut().zip(&mut second);
        let parameters = value.iter_mut().zip(&gradients).zip(moments).enumerate();
        let parameters = parameters.map(|(i, ((value, gradient), (first, second)))| {
            let decayed = i > 0;
            Parameter { value, gradient, first, second, decayed }
        });
        let options = AdamW { max_grad_norm, ..AdamW::default() };
        backend.adamw(parameters.collect(), &norm_squared, &options, 0.1, 1);
        assert!(!read(backend, &norm_squared)[0].is_finite(), "{bits:x}");
        let after = [value, first, second].map(|of| of.map(|buffer| read(backend, &buffer)));
        assert!(after == before, "{bits:x} in tensor {faulty}, clipped at {max_grad_norm}");
    }
}

/// The model with one number of one tensor damaged.
fn damaged(sound: &Checkpoint<'_>, name: &str, at: usize, value: f32) -> Checkpoint<'static> {
    let fill = |of: &str, values: &mut [f32]| {
        values.copy_from_slice(&sound.tensors[of].to_f32());
        if of == name {
            values[at] = value;
        }
    };
    Checkpoint::from_fn(sound.config.clone(), Dtype::F32, fill).unwrap()
}

/// The same anywhere in the tensor.
fn damaged_somewhere(random: &mut Random, name: &str, value: f32) -> Checkpoint<'static> {
    let sound = checkpoint(random, &config(), Dtype::F32);
    let at = random.below(sound.tensors[name].bytes.len() / 4);
    damaged(&sound, name, at, value)
}

/// Tensors that every token goes through.
const CROSSED: [&str; 5] = [
    "model.norm.weight",
    "model.layers.0.input_layernorm.weight",
    "model.layers.1.self_attn.q_proj.weight",
    "model.layers.0.mlp.down_proj.weight",
    "model.embed_tokens.weight",
];

fn log_probs_of_damaged_weights<B: Backend>(backend: &B, random: &mut Random) {
    for name in CROSSED {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            // An infinity in the head may mask its token.
            let value = if name == "model.embed_tokens.weight" { f32::NAN } else { value };
            let model = Llama::new(backend.clone(), &damaged_somewhere(random, name, value), false).unwrap();
            let logps = block_on(model.token_logps(None, &batch(&groups(random, 320)))).unwrap();
            assert!(logps.iter().all(|logp| !logp.is_finite()), "{name}, {value}: {logps:?}");
        }
    }
}

/// Completions of three prompts by the most probable tokens, or the one error.
fn greedy<B: Backend>(backend: &B, checkpoint: &Checkpoint<'_>, penalty: f32) -> Result<Vec<Generated>> {
    let model = Llama::new(backend.clone(), checkpoint, false)?;
    let sampling = Sampling { temperature: 0.0, repetition_penalty: penalty, ..Sampling::default() };
    let options = GenerateOptions { max_new_tokens: 12, sampling, seed: 0, stop_tokens: vec![], slots: 3 };
    let request = |i: usize| Request { id: format!("p{i}"), prompt: vec![3; 1 + i], completions: i };
    let requests: Vec<Request> = (0..3).map(request).collect();
    let mut made = Vec::new();
    let finished = |completion: Generated| -> Result<()> {
        made.push(completion);
        Ok(())
    };
    block_on(model.generate(None, &requests, &options, ended(finished)))?;
    Ok(made)
}

fn draws_of_damaged_weights<B: Backend>(backend: &B, random: &mut Random) {
    let refused = |checkpoint: &Checkpoint<'_>, penalty: f32, at: &str| {
        let message = greedy(backend, checkpoint, penalty).unwrap_err().to_string();
        let why = "the logits are not finite; the weights of the model or of its adapter may be damaged";
        assert_eq!(message, format!("prompt {at}: {why}"));
    };
    for (name, penalty) in CROSSED.into_iter().zip([1.0, 1.3].into_iter().cycle()) {
        refused(&damaged_somewhere(random, name, f32::NAN), penalty, "\"p1\": completion 0: token 0");
    }
    // The embedding of a token that is drawn in the middle of a completion: the one after it cannot be.
    let untied = LlamaConfig { tie_word_embeddings: false, ..config() };
    let sound = checkpoint(random, &untied, Dtype::F32);
    for penalty in [1.0, 1.3] {
        let tokens = |made: Generated| (made.request, made.completion, made.tokens);
        let made: Vec<_> = greedy(backend, &sound, penalty).unwrap().into_iter().map(tokens).collect();
        let first = &made.iter().find(|(request, ..)| *request == 1).unwrap().2;
        let others =
            |token: u32| token == 3 || made.iter().any(|(request, _, tokens)| *request != 1 && tokens.contains(&token));
        // One that neither the prompts nor the completions of the other hold.
        let own = (0..11).find(|&i| !others(first[i]) && !first[..i].contains(&first[i]));
        let Some(own) = own else { continue };
        let at = first[own] as usize * untied.hidden_size + random.below(untied.hidden_size);
        let damaged = damaged(&sound, "model.embed_tokens.weight", at, f32::NAN);
        refused(&damaged, penalty, &format!("\"p1\": completion 0: token {}", own + 1));
    }
}

//! What is drawn is what is scored, and texts from elsewhere are TRL's tokens: for tokenizers of three kinds.

use std::collections::{BTreeMap, BTreeSet};

use cream_engine::{Backend, Batch, Cpu, GenerateOptions, Llama, hf};
use pollster::block_on;
use serde::Deserialize;
use serde_json::Value;

use super::*;
use crate::jsonl::read_jsonl;
use crate::rows::{Completions, Prompt, Scores};
use crate::sample::{SampleOptions, requests, sample};
use crate::score::{ScoreOptions, score};
use crate::store::{Memory, Output};
use crate::testing::{files, text};

/// Log-probs of the same tokens, computed in other batches. A share of the sum, absolute below 1.
const SAME_TOKENS: f64 = 1e-5;

/// A tokenizer and what TRL made with it.
#[derive(Deserialize)]
struct Kind {
    name: String,
    tokenizer: Value,
    config: Value,
    rows: Vec<Golden>,
}

#[derive(Deserialize)]
struct Golden {
    prompt: Value,
    chosen: String,
    rejected: String,
    prompt_ids: Vec<u32>,
    chosen_ids: Vec<u32>,
    rejected_ids: Vec<u32>,
}

fn kinds() -> Vec<Kind> {
    serde_json::from_slice(&std::fs::read("../../tests/golden/joint.json").unwrap()).unwrap()
}

/// The tiny model with this tokenizer, a fifth of whose tokens end a completion.
fn folder(kind: &Kind) -> hf::Files {
    let mut files = files();
    files.insert("tokenizer.json".into(), kind.tokenizer.to_string().into_bytes());
    files.insert("tokenizer_config.json".into(), kind.config.to_string().into_bytes());
    let stop: Vec<u32> = (2..320).step_by(5).collect();
    files.insert("generation_config.json".into(), serde_json::json!({ "eos_token_id": stop }).to_string().into_bytes());
    files
}

fn encoder(text: &Text, raw: bool) -> Encoder<'_> {
    Encoder { text, raw, max_prompt_tokens: Encoder::MAX_PROMPT_TOKENS, context: 256 }
}

#[test]
fn texts_from_elsewhere_are_the_tokens_that_trl_trains_on() {
    let mut parted = 0;
    for kind in kinds() {
        let mut files = folder(&kind);
        files.remove("generation_config.json");
        let text = text(&files);
        for row in &kind.rows {
            let turns = match &row.prompt {
                Value::String(prompt) => Turns::Text(prompt.clone()),
                messages => Turns::Messages(serde_json::from_value(messages.clone()).unwrap()),
            };
            let what = format!("{}: {} {:?} {:?}", kind.name, row.prompt, row.chosen, row.rejected);
            let both = [&row.chosen, &row.rejected].map(|said| Completion::from(said.as_str()));
            let group = encoder(&text, true).group("a", &turns, &both).unwrap();
            parted += usize::from(group.prompt.len() < encoder(&text, true).prompt("a", &turns).unwrap().len());
            assert_eq!(group.prompt, row.prompt_ids, "{what}");
            for (own, golden) in group.completions.iter().zip([&row.chosen_ids, &row.rejected_ids]) {
                // TRL goes on with what the template writes after the end of the turn.
                let end = golden.iter().rposition(|&id| id == 2).unwrap();
                assert_eq!(own, &golden[..=end], "{what}");
            }
            // The same without the end.
            let cut = both.map(|whole| Completion { finish: Finish::Length, ..whole });
            if let Ok(cut) = encoder(&text, true).group("a", &turns, &cut) {
                assert!(cut.completions.iter().all(|tokens| !tokens.contains(&2)), "{what}");
            }
        }
    }
    assert!(parted > 0, "no prompt that joins with its completion");
}

/// Log-probs of sampled rows, written and read in between, beside those of the very tokens that the engine drew.
fn drawn_is_scored<B: Backend>(backend: &B) {
    let mut seen = BTreeSet::new();
    // One template of each tokenizer.
    for kind in kinds().into_iter().step_by(3) {
        let files = folder(&kind);
        let text = text(&files);
        let model = Llama::new(backend.clone(), &hf::load(&files).unwrap().0, false).unwrap();
        for raw in [false, true] {
            let encoder = encoder(&text, raw);
            let policy = Policy { model: &model, adapter: None, encoder, fingerprint: "of tiny" };
            let prompt = |(i, text): (usize, &&str)| Prompt { id: i.to_string(), prompt: Turns::Text((*text).into()) };
            let prompts: Vec<Prompt> = ["Plum\n", "a"].iter().enumerate().map(prompt).collect();
            let options =
                SampleOptions { completions: 3, max_new_tokens: 6, temperature: 1.0, top_p: 1.0, ..Default::default() };
            let mut store = Memory::default();
            let output = Output { store: &mut store, name: "c" };
            block_on(sample(policy, &prompts, &options, 3, output, &mut ())).unwrap();
            let rows: Vec<Completions> = read_jsonl("c", &*store.files["c"]).unwrap();
            let output = Output { store: &mut store, name: "s" };
            block_on(score(policy, &rows, &ScoreOptions::default(), output, &mut ())).unwrap();
            let scores: Vec<Scores> = read_jsonl("s", &*store.files["s"]).unwrap();

            let requests = requests(encoder, &prompts, &options).unwrap();
            let generate = GenerateOptions {
                max_new_tokens: 6,
                sampling: options.sampling(),
                seed: 3,
                stop_tokens: text.stop_tokens().to_vec(),
                slots: 4,
            };
            let mut drawn = BTreeMap::new();
            let told = |made: cream_engine::Drawn<'_>| -> cream_engine::Result<()> {
                if let Some(finish) = made.finish {
                    drawn.insert((made.request, made.completion), (made.tokens.to_vec(), finish));
                }
                Ok(())
            };
            block_on(model.generate(None, &requests, &generate, told)).unwrap();
            for ((request, completion), (tokens, finish)) in drawn {
                let (row, scored) = (&rows[request], &scores[request]);
                let said = &row.completions[completion];
                assert_eq!((said.token_ids.as_ref(), said.finish), (Some(&tokens), finish), "{}", kind.name);
                let group = Group { prompt: requests[request].prompt.clone(), completions: vec![tokens.clone()] };
                let alone = block_on(model.token_logps(None, &Batch::new(&[group], 320).unwrap())).unwrap();
                let alone: f64 = alone.into_iter().map(f64::from).sum();
                let logps = scored.logps[completion];
                assert!((alone - logps).abs() <= SAME_TOKENS * alone.abs().max(1.0), "{}: {alone}, {logps}", kind.name);
                assert_eq!(scored.tokens[completion], tokens.len());
                // Whether its text alone, with an end, would have been other tokens.
                let anew = encoder.group("a", &row.prompt, &[said.text.as_str().into()]);
                seen.insert((finish, anew.is_ok_and(|anew| anew.completions == [tokens])));
            }
        }
    }
    let anew = seen.contains(&(Finish::Stop, false)) && seen.contains(&(Finish::Length, false));
    assert!(anew, "each would have been the same, had its text been encoded anew: {seen:?}");
}

#[test]
fn what_is_drawn_is_scored_on_the_cpu() {
    drawn_is_scored(&Cpu::new());
}

#[test]
#[cfg(feature = "gpu")]
fn what_is_drawn_is_scored_on_a_gpu() {
    use cream_engine::gpu::{Gpu, adapters};
    if block_on(adapters()).is_empty() {
        let required = std::env::var_os("CREAM_REQUIRE_GPU").is_some_and(|value| value == "1");
        assert!(!required, "CREAM_REQUIRE_GPU=1, and wgpu sees no adapter");
        return eprintln!("skipped: no adapter for wgpu");
    }
    drawn_is_scored(&block_on(Gpu::new(0)).unwrap());
}

#[test]
fn tokens_of_another_text_are_refused() {
    let files = files();
    let text = text(&files);
    let drawn = |ids: &[u32], said: &str, finish| Completion { text: said.into(), token_ids: Some(ids.into()), finish };
    let letter = crate::testing::letter;
    let group = |completion: Completion, context: usize| {
        let encoder = Encoder { context, ..encoder(&text, false) };
        encoder.group("a", &Turns::Text(letter(10)), &[completion]).map_err(|e| e.to_string())
    };
    let good = group(drawn(&[40, 41, 2], &(letter(40) + &letter(41)), Finish::Stop), 256).unwrap();
    assert_eq!(good.completions, [[40, 41, 2]]);
    let cut = group(drawn(&[40, 41], &(letter(40) + &letter(41)), Finish::Length), 256).unwrap();
    assert_eq!(cut.completions, [[40, 41]]);
    for (completion, context, expected) in [
        (drawn(&[40, 2], &letter(41), Finish::Stop), 256, "completion 0: its token_ids are of another text"),
        (drawn(&[40], &letter(40), Finish::Stop), 256, "40 at the end of what ends by \"stop\", expected one of [2]"),
        (drawn(&[400, 2], &letter(41), Finish::Stop), 256, "token 400, expected below 320"),
        (Completion { finish: Finish::Length, ..Completion::from("") }, 256, "completion 0: no tokens"),
        (
            Completion::from(letter(40)),
            5,
            "completion 0: 4 tokens before it and 2 of its own, expected at most 5 in all",
        ),
        (
            drawn(&[40, 2], &letter(40), Finish::Stop),
            5,
            "4 tokens before it and 2 of its own, expected at most 5 in all",
        ),
    ] {
        let message = group(completion, context).unwrap_err();
        assert!(message.starts_with("prompt \"a\": ") && message.contains(expected), "{message}: {expected}");
    }
}

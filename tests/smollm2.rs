use std::env;
use std::fs;
use std::path::PathBuf;

use cream::core::Sampling;
use cream::engine::{Batch, Cpu, Finish, GenerateOptions, Group, Llama, Message, Request, Text, gguf};
use pollster::block_on;
use serde::Deserialize;

use crate::support::{done, golden, text};

/// Of a completion's token log-probs as a vector, and of their sum: two f32 implementations that add in other orders.
const RELATIVE: f64 = 1e-3;

#[derive(Deserialize)]
struct Golden {
    rows: Vec<Row>,
}

/// A row of tests/golden/smollm2.json, made by make_smollm2.py.
#[derive(Deserialize)]
struct Row {
    messages: Vec<Message>,
    completion: String,
    prompt_tokens: Vec<u32>,
    completion_tokens: Vec<u32>,
    token_logps: Vec<f64>,
    greedy_tokens: Vec<u32>,
    greedy: String,
}

fn rows() -> Vec<Row> {
    let json = fs::read(golden().join("smollm2.json")).unwrap();
    serde_json::from_slice::<Golden>(&json).unwrap().rows
}

/// The file that `cargo xtask model` fetches. Where it is missing the test is skipped, except in CI.
pub(crate) fn file() -> Option<PathBuf> {
    let base = env::var_os("XDG_CACHE_HOME").filter(|base| !base.is_empty()).map(PathBuf::from);
    let base = base.unwrap_or_else(|| PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cache"));
    let path = base.join("cream/models/SmolLM2-135M-Instruct.Q4_1.gguf");
    if path.exists() {
        return Some(path);
    }
    assert!(env::var_os("CI").is_none(), "{}: missing, and CI needs it (cargo xtask model)", path.display());
    eprintln!("skipped: SmolLM2 is not at {} (cargo xtask model)", path.display());
    None
}

fn load() -> Option<(Llama<Cpu>, Text)> {
    let bytes = fs::read(file()?).unwrap();
    let (checkpoint, text) = gguf::load("SmolLM2", &bytes).unwrap();
    Some((Llama::new(Cpu::new(), &checkpoint, false).unwrap(), text))
}

#[test]
fn tokens_are_those_of_hugging_face() {
    let Some((_, text)) = load() else { return };
    for row in rows() {
        assert_eq!(text.prompt(&row.messages).unwrap(), row.prompt_tokens, "{:?}", row.messages);
        let whole = text.prompt_and_completion(&row.messages, &row.completion, Finish::Stop).unwrap();
        assert_eq!(whole, [&row.prompt_tokens[..], &row.completion_tokens].concat(), "{:?}", row.completion);
        assert_eq!(text.said(&row.completion_tokens, Finish::Stop).unwrap(), row.completion);
    }
}

#[test]
fn logps_are_those_of_transformers_in_f32() {
    let Some((model, _)) = load() else { return };
    let rows = rows();
    let group =
        |row: &Row| Group { prompt: row.prompt_tokens.clone(), completions: vec![row.completion_tokens.clone()] };
    let groups: Vec<Group> = rows.iter().map(group).collect();
    let batch = Batch::new(&groups, model.config().vocab_size).unwrap();
    let logps = block_on(model.token_logps(None, &batch)).unwrap();
    for (row, logps) in rows.iter().zip(batch.split(&logps)) {
        let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
        let difference = norm(&mut logps.iter().zip(&row.token_logps).map(|(&l, expected)| f64::from(l) - expected));
        let size = norm(&mut row.token_logps.iter().copied());
        let (sum, expected) = (logps.iter().map(|&l| f64::from(l)).sum::<f64>(), row.token_logps.iter().sum::<f64>());
        println!("{:.1e} by token, {:.1e} in sum", difference / size, (sum - expected).abs() / expected.abs());
        assert!(difference <= RELATIVE * size, "{:?}: {logps:?}, expected {:?}", row.completion, row.token_logps);
        assert!(
            (sum - expected).abs() <= RELATIVE * expected.abs(),
            "{:?}: {sum}, expected {expected}",
            row.completion
        );
    }
}

#[test]
fn greedy_answers_are_those_of_transformers() {
    let Some((model, text)) = load() else { return };
    let rows = rows();
    let request = |row: &Row| Request { id: row.completion.clone(), prompt: row.prompt_tokens.clone(), completions: 1 };
    let requests: Vec<Request> = rows.iter().map(request).collect();
    let options = GenerateOptions {
        max_new_tokens: rows[0].greedy_tokens.len().max(24),
        sampling: Sampling { temperature: 0.0, ..Sampling::default() },
        seed: 0,
        stop_tokens: text.stop_tokens().to_vec(),
        slots: 3,
    };
    let mut answers = vec![String::new(); rows.len()];
    block_on(model.generate(None, &requests, &options, |drawn| -> cream::engine::Result<()> {
        if let Some(finish) = drawn.finish {
            answers[drawn.request] = text.said(drawn.tokens, finish)?;
        }
        Ok(())
    }))
    .unwrap();
    for (row, answer) in rows.iter().zip(&answers) {
        assert_eq!(*answer, row.greedy, "{:?}", row.messages);
    }
}

#[test]
fn the_program_answers_in_english() {
    let Some(file) = file() else { return };
    let model = text(&file);
    let ask = |question: &str, rest: &[&str]| done(&[&["generate", "--model", &model, question][..], rest].concat());
    assert_eq!(ask("What is the capital of France?", &["--temperature", "0"]), "The capital of France is Paris.\n");
    let story = ask("Tell me about the sea in three sentences.", &["--max-new-tokens", "80", "--seed", "1"]);
    let words: Vec<String> = story.to_lowercase().split(|c: char| !c.is_alphabetic()).map(str::to_owned).collect();
    let common = ["the", "a", "of", "and", "is", "in", "to", "it", "that", "with", "its", "sea", "ocean", "are"];
    let known = words.iter().filter(|word| common.contains(&word.as_str())).count();
    assert!(words.len() > 20 && known * 5 > words.len(), "{known} common words of {}: {story}", words.len());
}

use cream_engine::Budget;
use pollster::block_on;

use super::*;
use crate::eval::{AnswerMode, AnswerRow, ChoiceRow, EvalOptions, PreferenceRow};
use crate::pair::{Cut, Level, PairOptions};
use crate::rows::{Completion, Completions, Rewards, Turns};
use crate::sample::SampleOptions;
use crate::store::Memory;
use crate::testing::{Log, files, letter, model, outlines, prompts, supervised, text};
use crate::train::TrainOptions;

fn config() -> RunConfig {
    let train = TrainOptions {
        epochs: Some(1),
        learning_rate: Some(1e-2),
        batch_size: 3,
        save_steps: 1,
        ..TrainOptions::default()
    };
    let sample = SampleOptions { completions: 3, max_new_tokens: 4, chunk_size: 2, ..SampleOptions::default() };
    let pair = PairOptions { cut: Cut::Keep, ..PairOptions::default() };
    RunConfig { sample, pair, sft: train.clone(), train, iterations: 2, ..RunConfig::default() }
}

fn tasks() -> Vec<Task> {
    let row = |i: usize| ChoiceRow {
        id: i.to_string(),
        question: letter(10 + i),
        choices: (0..4).map(|choice| letter(60 + 7 * i + choice)).collect(),
        answer: i % 4,
    };
    vec![Task { name: "letters".into(), rows: TaskRows::Choices((0..6).map(row).collect()) }]
}

fn call(
    config: &RunConfig,
    methods: &[Method],
    with_sft: bool,
    store: &mut Memory,
    log: &mut Log,
) -> Result<Comparison> {
    let options = CompareOptions { methods, tasks: &tasks(), eval: &EvalOptions::default() };
    call_with(config, options, with_sft, true, store, log)
}

fn call_with(
    config: &RunConfig,
    options: CompareOptions<'_>,
    with_sft: bool,
    with_rewards: bool,
    store: &mut Memory,
    log: &mut Log,
) -> Result<Comparison> {
    let files = files();
    let (text, sft) = (text(&files), if with_sft { supervised(4) } else { Vec::new() });
    let mut load = |_: Option<&str>, trainable: bool| Ok(model(&files, trainable));
    let mut letters = |rows: &[Completions]| {
        let reward = |said: &Completion| Some(said.text.chars().map(|letter| f64::from(u32::from(letter))).sum());
        let row =
            |row: &Completions| Rewards { id: row.id.clone(), rewards: row.completions.iter().map(reward).collect() };
        Ok(rows.iter().map(row).collect())
    };
    let inputs = RunInputs {
        config,
        prompts: &prompts(4),
        sft: &sft,
        text: &text,
        base_model: "tiny",
        fingerprint: "of tiny",
        context: 256,
        outlines: Some(&outlines(&files, Budget::default())),
        load: &mut load,
        external: if with_rewards { Some(&mut letters) } else { None },
    };
    block_on(compare(inputs, options, store, log))
}

const METHODS: [Method; 3] = [Method::Cream, Method::Srlm, Method::Oracle];

#[test]
fn all_methods_from_one_m1() {
    let (mut store, mut log) = (Memory::default(), Log::new(usize::MAX));
    let comparison = call(&config(), &METHODS, true, &mut store, &mut log).unwrap();
    let begun = log.updates.iter().filter(|(stage, done, _)| stage.starts_with("sft ") && *done == 0);
    assert_eq!(begun.count(), 1);
    for method in ["cream", "srlm", "oracle"] {
        for file in ["adapter_model.safetensors", "adapter_config.json", "metrics.jsonl", "summary.json"] {
            let name = format!("{method}/iteration-0/{file}");
            assert!(store.files[&name] == store.files[&format!("sft-only/iteration-0/{file}")], "{name}");
        }
        // The first round starts at the same completions.
        let completions = |method: &str| &store.files[&format!("{method}/iteration-1/completions.jsonl")];
        assert!(completions(method) == completions("cream"));
        assert!(store.files.contains_key(&format!("{method}/iteration-2/eval.json")));
    }
    // Ranking once more asks the oracle nothing.
    assert!(store.exists("oracle/iteration-3/scores-current.jsonl"));
    assert!(!store.exists("oracle/iteration-3/rewards-current.jsonl"));
    for result in &comparison.methods {
        let names: Vec<_> = result.models.iter().map(|model| model.model.as_str()).collect();
        assert_eq!(names, ["M0", "M1", "M2", "M3"]);
        assert!(result.models.iter().all(|model| model.tasks.len() == 1 && model.tasks[0].n == 6));
        assert_eq!(result.models[..2], comparison.methods[0].models[..2]);
        let drifts: Vec<_> = result.models.iter().map(|model| model.drift.is_some()).collect();
        assert_eq!(drifts, [false, false, true, true]);
        assert!(result.models[1..].iter().all(|model| model.rankings.is_some() && model.mean_tokens.is_some()));
        let drift = result.models[2].drift.unwrap();
        let margin = config().beta * (drift.chosen_logps - drift.rejected_logps);
        assert_eq!(drift.margin, margin);
        // Plain DPO moves pairs apart.
        assert!(result.method == Method::Cream || drift.margin > 0.0, "{drift:?}");
    }
    assert_ne!(comparison.methods[0].models[2], comparison.methods[1].models[2]);
    let saved: Comparison = serde_json::from_slice(&store.files["compare.json"]).unwrap();
    assert_eq!(saved, comparison);

    let table = comparison.table();
    assert!(table[0].starts_with("method  model  ") && table[0].contains("letters"), "{table:?}");
    let start = |line: &String| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let starts: Vec<_> = table[1..].iter().map(start).collect();
    assert_eq!(starts, ["all M0", "all M1", "cream M2", "cream M3", "srlm M2", "srlm M3", "oracle M2", "oracle M3"]);

    // What another version measured is measured again.
    let summary = "cream/iteration-1/summary.json";
    let mut old: serde_json::Value = serde_json::from_slice(&store.files[summary]).unwrap();
    old["pairs"]["rankings"]["tau"] = (-0.875).into();
    let kept = store.files.insert(summary.into(), old.to_string().into_bytes()).unwrap();
    assert_eq!(call(&config(), &METHODS, true, &mut store, &mut Log::new(0)).unwrap(), comparison);
    store.files.insert(summary.into(), kept);

    // Again: nothing to do.
    let before = store.clone();
    let mut log = Log::new(0);
    assert_eq!(call(&config(), &METHODS, true, &mut store, &mut log).unwrap(), comparison);
    assert!(log.updates.is_empty() && store == before, "{:?}", log.updates);
}

#[test]
fn stopped_anywhere_it_ends_the_same() {
    let config = RunConfig { iterations: 1, ..config() };
    let (mut whole, mut log) = (Memory::default(), Log::new(usize::MAX));
    let methods = &METHODS[..2];
    let comparison = call(&config, methods, true, &mut whole, &mut log).unwrap();
    for stop in (0..log.updates.len()).step_by(3) {
        let mut store = Memory::default();
        call(&config, methods, true, &mut store, &mut Log::new(stop)).unwrap_err();
        let again = call(&config, methods, true, &mut store, &mut Log::new(usize::MAX)).unwrap();
        assert!(again == comparison && store == whole, "stopped at {stop}: {:?}", log.updates[stop]);
    }
}

#[test]
fn without_supervised_data_m1_is_m0() {
    let mut store = Memory::default();
    let config = RunConfig { iterations: 1, ..config() };
    let comparison = call(&config, &METHODS[..2], false, &mut store, &mut Log::new(usize::MAX)).unwrap();
    let models = &comparison.methods[0].models;
    assert_eq!(models[0].tasks, models[1].tasks);
    assert!(models[1].drift.is_none() && models[2].drift.is_some());
    // It is not set against itself.
    assert!(models[1].rankings.is_none() && models[1].mean_tokens.is_some() && models[2].rankings.is_some());
    let table = comparison.table();
    let m1: Vec<&str> = table[2].split_whitespace().collect();
    let heads: Vec<&str> = table[0].split("  ").map(str::trim).filter(|head| !head.is_empty()).collect();
    let tau = heads.len() - heads.iter().position(|&head| head == "tau").unwrap();
    assert_eq!((m1[..2].to_vec(), &m1[m1.len() - tau..][..3]), (vec!["all", "M1"], &["-"; 3][..]), "{table:?}");
    assert!(!store.exists("sft-only/config.toml"));
}

#[test]
fn settings_go_where_a_method_allows_them() {
    let mut config = config();
    (config.pair.level, config.pair.map) = (Level::PerPrompt, cream_core::consistency::Map::Clamped);
    let [cream, srlm] = [Method::Cream, Method::Srlm].map(|method| method.over(&config));
    assert_eq!((cream.pair.level, srlm.pair.level), (Level::PerPrompt, Level::Off));
    cream.validate().unwrap();
    srlm.validate().unwrap();
    let refused = |config: &RunConfig, methods: &[Method], with_sft: bool, expected: &str| {
        let mut store = Memory::default();
        let message = call(config, methods, with_sft, &mut store, &mut Log::new(0)).unwrap_err().to_string();
        assert!(message.starts_with(expected), "{message} should start with {expected}");
        assert!(store.files.is_empty());
    };
    refused(&config, &[Method::Srlm], true, "pair.level: per-prompt, expected what one of the methods allows");
    config.loss = cream_core::Loss::Ipo;
    refused(&config, &METHODS, true, "loss: ipo, expected what one of the methods allows");
    let named = RunConfig { method: Some(Method::Srlm), ..self::config() };
    refused(&named, &METHODS, true, "method: srlm, expected none in a comparison");
    refused(&self::config(), &[], true, "methods: none");
    refused(&self::config(), &[Method::Srlm, Method::Srlm], true, "methods: srlm, expected each method once");
    refused(&self::config(), &[Method::SftOnly], false, "methods: sft-only, expected others");
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_trained() {
    let answers = |prompt: String, answer: &str| {
        let row = AnswerRow { id: "a".into(), prompt: Turns::Text(prompt), answer: answer.into() };
        TaskRows::Answers(vec![row])
    };
    let choices = |question: String, choice: String| {
        let choices = vec![choice, letter(61)];
        TaskRows::Choices(vec![ChoiceRow { id: "c".into(), question, choices, answer: 0 }])
    };
    let long = || letter(60).repeat(300);
    let preferences = |chosen: String| {
        let (prompt, rejected) = (Turns::Text(letter(10)), letter(11));
        TaskRows::Preferences(vec![PreferenceRow { id: "p".into(), prompt, chosen, rejected }])
    };
    let usual = EvalOptions::default();
    let longer = EvalOptions { max_new_tokens: Some(300), ..usual.clone() };
    let letters = EvalOptions { answer_mode: Some(AnswerMode::Letter), ..usual.clone() };
    let mut unfit = config();
    unfit.sample.max_new_tokens = 255;
    let cream = &METHODS[..1];
    for (config, methods, rows, eval, expected) in [
        (
            config(),
            cream,
            answers(letter(10), "x"),
            &longer,
            "eval.max_new_tokens: 300, expected at most 252 in the task t: prompt \"a\" has 4 of the 256 tokens",
        ),
        (
            config(),
            cream,
            answers(long(), "x"),
            &usual,
            "prompt \"a\": 303 tokens and 1 new ones, expected at most 256",
        ),
        (
            config(),
            cream,
            answers(letter(10), "12"),
            &letters,
            "prompt \"a\": \"answer\" is \"12\", expected one of the mode",
        ),
        (config(), cream, choices(long(), letter(60)), &usual, "prompt \"c\": "),
        (config(), cream, choices(letter(10), long()), &usual, "prompt \"c\": "),
        (config(), cream, preferences(long()), &usual, "prompt \"p\": completion 0: "),
        // The rounds of a later method, and the ranking after the last one.
        (config(), &METHODS, answers(letter(10), "x"), &usual, "methods: oracle, expected others, where nothing gives"),
        (unfit, &[Method::SftOnly], answers(letter(10), "x"), &usual, "prompt \"p0\": 5 tokens and 255 new ones"),
    ] {
        let tasks = [Task { name: "t".into(), rows }];
        let (mut store, mut log) = (Memory::default(), Log::new(0));
        let options = CompareOptions { methods, tasks: &tasks, eval };
        let message = call_with(&config, options, true, false, &mut store, &mut log).unwrap_err().to_string();
        assert!(message.starts_with(expected), "{message} should start with {expected}");
        assert!(store.files.is_empty() && log.updates.is_empty(), "{expected}");
    }
}

#[test]
fn answers_take_what_the_context_leaves_and_it_is_told_once() {
    let row = AnswerRow { id: "a".into(), prompt: Turns::Text(letter(10)), answer: letter(11) };
    let tasks = [Task { name: "t".into(), rows: TaskRows::Answers(vec![row]) }];
    let config = RunConfig { iterations: 1, ..config() };
    let (mut store, mut log) = (Memory::default(), Log::new(usize::MAX));
    let options = CompareOptions { methods: &METHODS[..2], tasks: &tasks, eval: &EvalOptions::default() };
    let comparison = call_with(&config, options, true, true, &mut store, &mut log).unwrap();
    assert!(comparison.methods.iter().all(|method| method.models.iter().all(|model| model.tasks[0].n == 1)));
    let told = log.lines.iter().filter(|line| line.starts_with("t: answers have at most 252 tokens: "));
    assert_eq!(told.count(), 1, "{:?}", log.lines);
}

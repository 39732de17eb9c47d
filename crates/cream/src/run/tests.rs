mod ahead;
#[cfg(feature = "gpu")]
mod gpu_lost;

use cream_engine::{Budget, Cpu, Llama};
use pollster::block_on;

use super::*;
use crate::config::Tuning;
use crate::jsonl::read_jsonl;
use crate::method::Method;
use crate::pair::{Cut, Level, PairOptions, RejectedFrom, Reward, TrainReference};
use crate::rows::{Completion, Completions, Pair, Ranking, Rewards, Scores};
use crate::sample::SampleOptions;
use crate::store::Memory;
use crate::testing::{Log, Mortal, files, model, outlines, prompts, supervised, text};
use crate::train::TrainOptions;

/// Small enough to run a hundred times: 4 prompts of 3 completions, two to a chunk, two steps a round. Nearly all
/// completions are cut.
pub(super) fn config(tuning: Tuning) -> RunConfig {
    let train = TrainOptions {
        learning_rate: Some(if tuning == Tuning::Lora { 1e-2 } else { 1e-4 }),
        batch_size: 3,
        batch_tokens: 20,
        save_steps: 1,
        ..TrainOptions::default()
    };
    let sample =
        SampleOptions { completions: 3, max_new_tokens: 4, slots: 4, chunk_size: 2, ..SampleOptions::default() };
    let pair = PairOptions { cut: Cut::Keep, ..PairOptions::default() };
    let sft = TrainOptions { epochs: Some(1), ..train.clone() };
    RunConfig { tuning, sample, pair, sft, train, ..RunConfig::default() }
}

/// One call; how often a model was loaded.
fn call(
    config: &RunConfig,
    prompts: &[Prompt],
    sft: &[SftRow],
    store: &mut dyn Store,
    log: &mut Log,
) -> Result<(Vec<Summary>, usize)> {
    call_within(Budget::default(), config, prompts, sft, store, log)
}

/// The same where so much memory may be taken.
fn call_within(
    budget: Budget,
    config: &RunConfig,
    prompts: &[Prompt],
    sft: &[SftRow],
    store: &mut dyn Store,
    log: &mut Log,
) -> Result<(Vec<Summary>, usize)> {
    let mut files = files();
    // Room for what a judge reads.
    let mut shape: serde_json::Value = serde_json::from_slice(&files["config.json"]).unwrap();
    shape["max_position_embeddings"] = 1024.into();
    files.insert("config.json".into(), shape.to_string().into_bytes());
    let text = text(&files);
    // A folder of a store in memory cannot be read through the store while the run has it.
    let (mut loads, from) = (0, std::rc::Rc::new(std::cell::RefCell::new(BTreeMap::new())));
    let mut shared = Shared { store, models: from.clone() };
    let mut load = |folder: Option<&str>, trainable: bool| {
        loads += 1;
        Ok(match folder {
            None => model(&files, trainable),
            Some(folder) => model(&from.borrow()[folder], trainable),
        })
    };
    // An oracle that likes late letters.
    let mut letters = |rows: &[Completions]| {
        let reward = |said: &Completion| Some(said.text.chars().map(|letter| f64::from(u32::from(letter))).sum());
        let row =
            |row: &Completions| Rewards { id: row.id.clone(), rewards: row.completions.iter().map(reward).collect() };
        Ok(rows.iter().map(row).collect())
    };
    let inputs = RunInputs {
        config,
        prompts,
        sft,
        text: &text,
        base_model: "tiny",
        fingerprint: "of tiny",
        context: 1024,
        outlines: Some(&outlines(&files, budget)),
        load: &mut load,
        external: Some(&mut letters),
    };
    shared.remember();
    let summaries = block_on(run::<Llama<Cpu>>(inputs, &mut shared, log))?;
    Ok((summaries, loads))
}

/// Passes everything on to `store`, and keeps the models written into it for the loader.
struct Shared<'a> {
    store: &'a mut dyn Store,
    models: std::rc::Rc<std::cell::RefCell<BTreeMap<String, cream_engine::hf::Files>>>,
}

impl Shared<'_> {
    fn remember(&mut self) {
        for folder in (0..3).map(crate::iteration::folder) {
            for file in ["config.json", "model.safetensors"] {
                if let Some(bytes) = block_on(self.store.read(&format!("{folder}/{file}"))).unwrap() {
                    self.models.borrow_mut().entry(folder.clone()).or_default().insert(file.into(), bytes);
                }
            }
        }
    }
}

impl Shared<'_> {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        block_on(self.store.read(name))
    }
    fn exists(&self, name: &str) -> bool {
        block_on(self.store.exists(name)).unwrap()
    }
    fn names(&self, start: &str) -> Result<Vec<String>> {
        block_on(self.store.names(start))
    }
    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        block_on(self.store.write(name, bytes))?;
        self.remember();
        Ok(())
    }
    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        block_on(self.store.append(name, bytes))
    }
    fn truncate(&mut self, name: &str, len: usize) -> Result<()> {
        block_on(self.store.truncate(name, len))
    }
    fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        block_on(self.store.rename(from, to))
    }
    fn remove(&mut self, name: &str) -> Result<()> {
        block_on(self.store.remove(name))
    }
}

crate::store_at_once!(Shared<'_>);

fn whole(config: &RunConfig, sft: &[SftRow]) -> (Memory, Vec<Summary>, Log) {
    let (mut store, mut log) = (Memory::default(), Log::new(usize::MAX));
    let (summaries, _) = call(config, &prompts(4), sft, &mut store, &mut log).unwrap();
    (store, summaries, log)
}

fn rows<R: crate::jsonl::Row>(store: &Memory, name: &str) -> Vec<R> {
    read_jsonl(name, store.files[name].as_slice()).unwrap()
}

#[test]
fn the_directory_of_a_run() {
    let (store, summaries, log) = whole(&config(Tuning::Lora), &supervised(4));
    let names: Vec<&str> = store.files.keys().map(String::as_str).collect();
    let mut expected = vec!["config.toml".to_owned(), "inputs.json".into()];
    for t in 0..3 {
        let of_rounds: &[&str] = &[
            "completions.jsonl",
            "pairs.jsonl",
            "rankings.jsonl",
            "scores-current.jsonl",
            "scores-previous.jsonl",
            "scores-reference.jsonl",
        ];
        let of_all =
            ["adapter_config.json", "adapter_model.safetensors", "metrics.jsonl", "summary.json", "training.json"];
        let own = if t == 0 { &[] } else { of_rounds };
        expected.extend(own.iter().chain(&of_all).map(|file| format!("iteration-{t}/{file}")));
    }
    expected.sort();
    assert_eq!(names, expected);
    assert_eq!(summaries.iter().map(|s| s.iteration).collect::<Vec<_>>(), [0, 1, 2]);
    // M1 is not M0: only the previous model of round 1 is the reference, and is scored once.
    let notes = &summaries[1].pairs.as_ref().unwrap().notes;
    assert_eq!(notes[0], "the previous model is the reference: its reward is the mean log-prob per token");
    // What supervision changed is what its former self thinks the least likely.
    assert!(
        notes[1].starts_with("the mean consistency is 0.333, below 1/2: all pairs are pushed the other way"),
        "{notes:?}"
    );
    assert!(notes.iter().all(|note| log.lines.contains(note)));
    let scores = |t: usize, role: &str| rows::<Scores>(&store, &format!("iteration-{t}/scores-{role}.jsonl"));
    assert_eq!(scores(1, "previous"), scores(1, "reference"));
    assert_ne!(scores(1, "current"), scores(1, "reference"));
    assert_ne!(scores(2, "previous"), scores(2, "reference"));
    assert_ne!(scores(2, "previous"), scores(2, "current"));
    assert!(!summaries[2].pairs.as_ref().unwrap().notes.contains(&notes[0]));
    let steps: Vec<_> =
        log.updates.iter().filter(|(stage, ..)| stage == "score iteration-1/scores-previous.jsonl").collect();
    assert_eq!((steps[0].1, steps[steps.len() - 1].1, steps[0].2), (0, 4, 4));
    assert!(log.updates.iter().all(|(stage, ..)| stage != "score iteration-1/scores-reference.jsonl"));
    // Each round draws anew.
    let completions = |t: usize| rows::<Completions>(&store, &format!("iteration-{t}/completions.jsonl"));
    assert!(completions(1).iter().zip(completions(2)).all(|(one, two)| one.completions != two.completions));
}

#[test]
fn training_starts_at_its_reference() {
    let (store, summaries, log) = whole(&config(Tuning::Lora), &[]);
    // Without supervised data all three models of round 1 are M0: it has no former self.
    let first = summaries[0].pairs.as_ref().unwrap();
    assert!(first.notes.len() == 2 && first.notes[0].starts_with("there is no former self yet: "), "{:?}", first.notes);
    assert!(log.lines.contains(&first.notes[0]));
    assert_eq!((first.mean_tau, first.mean_consistency, first.rankings), (None, None, None));
    let rankings = rows::<Ranking>(&store, "iteration-1/rankings.jsonl");
    assert!(rankings.iter().all(|row| row.agreement.is_none() && row.previous_rewards.iter().all(Option::is_none)));
    // In round 2 it is M0.
    let second = summaries[1].pairs.as_ref().unwrap();
    assert_eq!(second.notes[0], "the previous model is the reference: its reward is the mean log-prob per token");
    assert!(second.mean_tau.is_some() && second.rankings.is_some());
    assert_eq!(store.files["iteration-1/scores-current.jsonl"], store.files["iteration-1/scores-previous.jsonl"]);
    assert!(rows::<Pair>(&store, "iteration-1/pairs.jsonl").iter().all(|pair| pair.consistency == 1.0));
    for summary in &summaries {
        let training = &summary.training;
        assert_eq!(training.steps, 2);
        assert!(training.first_margin.unwrap().abs() < crate::testing::LAYOUT, "{training:?}");
        assert!((training.first_loss - std::f64::consts::LN_2).abs() < crate::testing::LAYOUT, "{training:?}");
    }
    // M2 is not scored as M1, which is M0 here.
    assert_eq!(store.files["iteration-2/scores-previous.jsonl"], store.files["iteration-2/scores-reference.jsonl"]);
    assert_ne!(store.files["iteration-2/scores-current.jsonl"], store.files["iteration-2/scores-reference.jsonl"]);
}

/// Dies at every single change of the store in turn, and is taken up.
fn survives_death_anywhere(config: &RunConfig, sft: &[SftRow]) {
    let (whole, ..) = whole(config, sft);
    for changes in 0.. {
        let mut mortal = Mortal { inner: Memory::default(), changes_left: changes };
        let died = call(config, &prompts(4), sft, &mut mortal, &mut Log::new(usize::MAX)).is_err();
        let mut store = mortal.inner;
        call(config, &prompts(4), sft, &mut store, &mut Log::new(usize::MAX)).unwrap();
        let differ: Vec<_> = whole.files.iter().filter(|&(name, bytes)| store.files.get(name) != Some(bytes)).collect();
        let names: Vec<_> = differ.iter().map(|(name, _)| name).collect();
        assert!(names.is_empty(), "after {changes} changes: {names:?}");
        assert!(whole.files.keys().eq(store.files.keys()), "after {changes} changes: {:?}", store.files.keys());
        if !died {
            assert!(changes > 30, "{changes}");
            return;
        }
    }
}

#[test]
fn an_adapters_run_survives_death_anywhere() {
    survives_death_anywhere(&config(Tuning::Lora), &supervised(4));
}

#[test]
fn a_run_without_supervision_survives_death_anywhere() {
    survives_death_anywhere(&config(Tuning::Lora), &[]);
}

#[test]
fn a_full_run_survives_death_anywhere() {
    survives_death_anywhere(&RunConfig { iterations: 1, ..config(Tuning::Full) }, &supervised(4));
}

/// Everything that leaves further files: a judge of both models, anchors, replay.
fn with_every_file() -> RunConfig {
    let mut config = config(Tuning::Lora);
    config.pair.reward = Reward::Judge;
    config.pair.rejected_from = RejectedFrom::Initial;
    (config.judge.votes, config.judge.max_new_tokens, config.replay) = (2, 2, 1);
    config
}

#[test]
fn a_judged_anchored_replayed_run_survives_death_anywhere() {
    // A random model says nothing that can be read as points: rewards are written by hand.
    let mut config = with_every_file();
    config.pair.reward = Reward::External;
    config.pair.level = Level::Off;
    survives_death_anywhere(&config, &supervised(4));
}

#[test]
fn anchors_are_drawn_once_and_follow_the_rounds_own() {
    let mut config = with_every_file();
    (config.pair.reward, config.pair.level) = (Reward::External, Level::Off);
    let (store, summaries, _) = whole(&config, &supervised(4));
    let anchors = rows::<Completions>(&store, "anchors.jsonl");
    for t in 1..=2 {
        let own = rows::<Completions>(&store, &format!("iteration-{t}/sampled.jsonl"));
        let all = rows::<Completions>(&store, &format!("iteration-{t}/completions.jsonl"));
        for ((own, anchors), all) in own.iter().zip(&anchors).zip(&all) {
            assert_eq!(all.completions, [own.completions.clone(), anchors.completions.clone()].concat());
        }
        for pair in rows::<Pair>(&store, &format!("iteration-{t}/pairs.jsonl")) {
            let anchors = anchors.iter().find(|row| row.id == pair.id).unwrap();
            assert!(anchors.completions.contains(&pair.rejected) && pair.consistency == 1.0);
        }
    }
    assert_eq!(summaries.len(), 3);
}

#[test]
fn earlier_pairs_come_back_with_the_reference_of_the_round() {
    for train_reference in [TrainReference::Round, TrainReference::Initial] {
        let mut config = config(Tuning::Lora);
        (config.replay, config.iterations, config.pair.train_reference) = (5, 3, train_reference);
        let (store, ..) = whole(&config, &supervised(4));
        assert!(!store.exists("iteration-1/replay.jsonl"));
        let first = rows::<Pair>(&store, "iteration-1/pairs.jsonl");
        let second = rows::<Pair>(&store, "iteration-2/pairs.jsonl");
        let again = rows::<Pair>(&store, "iteration-3/replay.jsonl");
        assert_eq!(again.len(), first.len() + second.len());
        assert_eq!(again[0].id, format!("iteration-1/{}", first[0].id));
        assert_eq!((&again[0].chosen, again[0].consistency), (&first[0].chosen, first[0].consistency));
        let same = again[0].ref_chosen_logps == first[0].ref_chosen_logps;
        assert_eq!(same, train_reference == TrainReference::Initial);
        if train_reference == TrainReference::Initial {
            let reference = rows::<Scores>(&store, "iteration-1/scores-reference.jsonl");
            assert!(reference[0].logps.contains(&first[0].ref_chosen_logps));
        } else {
            let scored = rows::<Scores>(&store, "iteration-3/scores-replay.jsonl");
            assert_eq!([again[0].ref_chosen_logps, again[0].ref_rejected_logps], scored[0].logps[..]);
        }
        let tokens = |t: usize| rows_of_metrics(&store, t).last().unwrap().num_tokens;
        assert!(tokens(3) > tokens(1));
    }
}

fn rows_of_metrics(store: &Memory, t: usize) -> Vec<crate::rows::MetricsRow> {
    let text = std::str::from_utf8(&store.files[&format!("iteration-{t}/metrics.jsonl")]).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_judge_asks_both_models_where_the_consistency_is_measured() {
    let mut config = with_every_file();
    config.pair.rejected_from = RejectedFrom::Current;
    for (level, previous) in [(Level::PerPrompt, true), (Level::Off, false)] {
        config.pair.level = level;
        let mut store = Memory::default();
        // A random model gives no points that can be read.
        let message = call(&config, &prompts(4), &supervised(4), &mut store, &mut Log::new(usize::MAX)).unwrap_err();
        let expected = "no pair from 4 prompts; of the first: 0 of 3 completions have a reward";
        assert!(message.to_string().contains(expected), "{message}");
        assert!(store.exists("iteration-1/judgements-current.jsonl"));
        assert_eq!(store.exists("iteration-1/judgements-previous.jsonl"), previous);
        let judgements = rows::<Completions>(&store, "iteration-1/judgements-current.jsonl");
        assert_eq!((judgements.len(), judgements[0].completions.len()), (12, 2));
        // Points that a reader puts there are used.
        let points = |own: [f64; 3]| {
            let row = |i: usize| format!("{{\"id\":\"p{i}\",\"rewards\":[{},{},{}]}}\n", own[0], own[1], own[2]);
            (0..4).map(row).collect::<String>().into_bytes()
        };
        store.files.insert("iteration-1/rewards-current.jsonl".into(), points([1.0, 4.0, 2.5]));
        store.files.insert("iteration-1/rewards-previous.jsonl".into(), points([1.0, 2.0, 3.0]));
        let one = RunConfig { iterations: 1, ..config.clone() };
        store.files.remove("config.toml");
        let (summaries, _) = call(&one, &prompts(4), &supervised(4), &mut store, &mut Log::new(usize::MAX)).unwrap();
        let pairs = rows::<Pair>(&store, "iteration-1/pairs.jsonl");
        let completions = rows::<Completions>(&store, "iteration-1/completions.jsonl");
        assert_eq!(pairs[0].chosen, completions[0].completions[1]);
        assert!((pairs[0].consistency - if previous { 2.0 / 3.0 } else { 1.0 }).abs() < 1e-12);
        assert_eq!(summaries[1].pairs.as_ref().unwrap().mean_reward_margin, Some(3.0));
    }
}

#[test]
fn a_model_is_known_by_its_number_not_by_its_log_probs() {
    // Supervised fine-tuning that moves nothing: M1 gives the log-probs of M0, and is not M0.
    let mut config = config(Tuning::Lora);
    config.sft.learning_rate = Some(1e-30);
    let mut store = Memory::default();
    let called = call(&config, &prompts(4), &supervised(4), &mut store, &mut Log::new(usize::MAX));
    let scores = |role: &str| rows::<Scores>(&store, &format!("iteration-1/scores-{role}.jsonl"));
    assert_eq!(scores("current"), scores("reference"));
    let expected = "iteration-1/pairs.jsonl: no pair from 4 prompts; of the first: all 3 rewards are equal";
    assert_eq!(called.unwrap_err().to_string(), expected);
}

#[test]
fn without_supervised_data_a_judge_is_not_asked_for_a_second_opinion_of_its_own() {
    let mut config = with_every_file();
    config.pair.rejected_from = RejectedFrom::Current;
    config.iterations = 1;
    let mut store = Memory::default();
    let points = (0..4).map(|i| format!("{{\"id\":\"p{i}\",\"rewards\":[1,4,2.5]}}\n")).collect::<String>();
    store.files.insert("iteration-1/rewards-current.jsonl".into(), points.into_bytes());
    let (summaries, _) = call(&config, &prompts(4), &[], &mut store, &mut Log::new(usize::MAX)).unwrap();
    assert!(
        !store.exists("iteration-1/judgements-previous.jsonl") && !store.exists("iteration-1/rewards-previous.jsonl")
    );
    let report = summaries[0].pairs.as_ref().unwrap();
    assert_eq!((report.mean_tau, report.mean_consistency, report.mean_reward_margin), (None, None, Some(3.0)));
    assert!(rows::<Pair>(&store, "iteration-1/pairs.jsonl").iter().all(|pair| pair.consistency == 1.0));
}

#[test]
fn supervised_fine_tuning_alone_is_iteration_0() {
    let config = RunConfig { iterations: 0, method: Some(Method::SftOnly), ..config(Tuning::Lora) };
    let (store, summaries, _) = whole(&config, &supervised(4));
    assert_eq!(summaries.len(), 1);
    let (other, ..) = whole(&self::config(Tuning::Lora), &supervised(4));
    for file in ["adapter_model.safetensors", "metrics.jsonl", "summary.json"] {
        let name = format!("iteration-0/{file}");
        assert!(store.files[&name] == other.files[&name], "{name}");
    }
    let message = call(&config, &prompts(4), &[], &mut Memory::default(), &mut Log::new(0)).unwrap_err().to_string();
    assert_eq!(message, "iterations: 0, expected at least 1 where there is no supervised data");
}

#[test]
fn a_caller_may_stop_it_at_every_report() {
    let config = RunConfig { iterations: 1, ..config(Tuning::Lora) };
    let (whole, _, log) = whole(&config, &supervised(4));
    for stop in 0..log.updates.len() {
        let mut store = Memory::default();
        let stopped = call(&config, &prompts(4), &supervised(4), &mut store, &mut Log::new(stop));
        assert_eq!(stopped.unwrap_err().to_string(), "stopped");
        call(&config, &prompts(4), &supervised(4), &mut store, &mut Log::new(usize::MAX)).unwrap();
        assert!(store == whole, "stopped at report {stop}: {:?}", log.updates[stop]);
    }
}

#[test]
fn what_is_done_is_not_done_again() {
    let config = config(Tuning::Lora);
    let (mut store, summaries, _) = whole(&config, &supervised(4));
    let before = store.clone();
    let mut log = Log::new(0);
    let (again, loads) = call(&config, &prompts(4), &supervised(4), &mut store, &mut log).unwrap();
    assert_eq!((again, loads, store), (summaries, 0, before));
    assert!(log.updates.is_empty());
}

#[test]
fn more_iterations_go_on_from_where_it_ended() {
    let one = RunConfig { iterations: 1, ..config(Tuning::Lora) };
    let (mut store, ..) = whole(&one, &supervised(4));
    call(&config(Tuning::Lora), &prompts(4), &supervised(4), &mut store, &mut Log::new(usize::MAX)).unwrap();
    assert!(store == whole(&config(Tuning::Lora), &supervised(4)).0);
    let message = call(&one, &prompts(4), &supervised(4), &mut store, &mut Log::new(0)).unwrap_err().to_string();
    assert!(message.starts_with("config.toml: iterations was 2 when this run began and is 1 now"), "{message}");
}

#[test]
fn other_settings_or_inputs_are_refused() {
    let config = RunConfig { iterations: 1, ..config(Tuning::Lora) };
    let (mut store, ..) = whole(&config, &[]);
    // A run of before: its completions have no tokens.
    let mut old = store.clone();
    let mut inputs: BTreeMap<String, String> = serde_json::from_slice(&old.files[INPUTS]).unwrap();
    assert_eq!(inputs.remove("format").as_deref(), Some(FORMAT));
    for (format, found) in [(None, "1"), (Some("3"), "3")] {
        inputs.extend(format.map(|format| ("format".to_owned(), format.to_owned())));
        old.files.insert(INPUTS.into(), serde_json::to_vec(&inputs).unwrap());
        let message = call(&config, &prompts(4), &[], &mut old, &mut Log::new(0)).unwrap_err().to_string();
        let expected = format!("inputs.json: a run of format {found}, expected 2: of another version of this program");
        assert!(message.starts_with(&expected), "{message}");
    }
    let before = store.clone();
    let mut refused = |config: &RunConfig, prompts: &[Prompt], sft: &[SftRow], expected: &str| {
        let message = call(config, prompts, sft, &mut store, &mut Log::new(0)).unwrap_err().to_string();
        assert!(message.contains(expected), "{message} should contain {expected}");
    };
    let mut other = config.clone();
    other.sample.top_p = 0.5;
    refused(&other, &prompts(4), &[], "config.toml: sample.top_p was 0.95");
    refused(&other, &prompts(4), &[], "when this run began and is 0.5 now; give the same, or another directory");
    let mut other = config.clone();
    other.pair.level = Level::Fixed(0.7);
    refused(
        &other,
        &prompts(4),
        &[],
        "config.toml: pair.level was \"mean\" when this run began and is \"fixed:0.7\" now",
    );
    let other = RunConfig { method: Some(Method::Cream), ..config.clone() };
    refused(&other, &prompts(4), &[], "config.toml: method was unset when this run began and is \"cream\" now");
    let other = RunConfig { beta: 0.2, ..config.clone() };
    refused(&other, &prompts(4), &[], "config.toml: beta was 0.1 when this run began and is 0.2 now");
    refused(&config, &prompts(5), &[], "inputs.json: prompts was ");
    refused(&config, &prompts(4), &supervised(1), "inputs.json: sft was ");
    refused(&config, &[], &[], "prompts: none, expected at least one");
    assert!(store == before);
}

#[test]
fn a_round_without_pairs_says_why() {
    let mut config = config(Tuning::Lora);
    config.pair.min_margin = 1e9;
    let mut store = Memory::default();
    let message = call(&config, &prompts(4), &[], &mut store, &mut Log::new(usize::MAX)).unwrap_err().to_string();
    assert!(
        message.starts_with("iteration-1/pairs.jsonl: no pair from 4 prompts; of the first: margin is "),
        "{message}"
    );
}

/// Of every judgement, and so of the run, where there is no room for any.
#[test]
fn a_judgement_too_long_is_a_completion_without_a_reward() {
    let mut config = config(Tuning::Lora);
    (config.pair.reward, config.pair.level, config.judge.votes) = (Reward::Judge, Level::Off, 1);
    let room = |config: &RunConfig, store: &mut Memory, log: &mut Log| {
        call(config, &prompts(4), &[], store, log).map(drop).map_err(|e| e.to_string())
    };
    let mut log = Log::new(usize::MAX);
    config.judge.max_new_tokens = 1000;
    let mut store = Memory::default();
    let message = room(&config, &mut store, &mut log).unwrap_err();
    assert!(message.contains("of the first: 0 of 3 completions have a reward"), "{message}");
    let said =
        "iteration-1/rewards-current.jsonl: 12 completions have no reward: with them the judge would read too much";
    assert!(log.lines.iter().any(|line| line == said), "{:?}", log.lines);
    assert_eq!(store.files["iteration-1/judgements-current.jsonl"], b"");
    // Taken up, it ends the same.
    assert_eq!(room(&config, &mut store, &mut Log::new(usize::MAX)).unwrap_err(), message);
}

#[test]
#[cfg(not(target_arch = "wasm32"))]
fn a_folder_holds_what_memory_holds() {
    let path = std::env::temp_dir().join(format!("cream-run-{}", std::process::id()));
    let mut store = crate::directory::Directory::lock(&path).unwrap();
    let config = RunConfig { iterations: 1, ..config(Tuning::Lora) };
    call(&config, &prompts(4), &supervised(4), &mut store, &mut Log::new(usize::MAX)).unwrap();
    let (whole, ..) = whole(&config, &supervised(4));
    for (name, bytes) in &whole.files {
        assert!(store.read(name).unwrap().as_ref() == Some(bytes), "{name}");
    }
    let count = |folder: &std::path::Path| {
        std::fs::read_dir(folder).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_file()).count()
    };
    let files = count(&path) + count(&path.join("iteration-0")) + count(&path.join("iteration-1"));
    // The lock is the only other file.
    assert_eq!(files, whole.files.len() + 1);
    std::fs::remove_dir_all(path).unwrap();
}

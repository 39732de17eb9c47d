//! Memory planned for the whole run at its start.

use super::*;
use crate::progress::Stage;

/// A special token that was drawn is read back as the letters of its name: some completions are longer than planned.
const READ_BACK: f64 = 1.1;

/// A plan that was told: its stage and bytes.
type Plan = (String, u64);

/// The plans that were made at the start, and those that stages made of their own.
fn told(log: &Log) -> (Vec<Plan>, Vec<Plan>) {
    let plan = |lines: &str| {
        let (stage, rest) = lines.split_once(": memory planned\n").unwrap();
        let bytes = rest.rsplit_once("in all").unwrap().1.trim().strip_suffix(" bytes").unwrap();
        (stage.to_owned(), bytes.parse().unwrap())
    };
    let ahead = |lines: &String| lines.strip_prefix("to come, at most: ").map(str::to_owned);
    let own = log.details.iter().filter(|lines| ahead(lines).is_none());
    (log.details.iter().filter_map(ahead).map(|lines| plan(&lines)).collect(), own.map(|lines| plan(lines)).collect())
}

/// The plans of a run that stops at its first report.
fn planned(config: &RunConfig, sft: &[SftRow]) -> Vec<Plan> {
    let mut log = Log::new(0);
    call(config, &prompts(4), sft, &mut Memory::default(), &mut log).unwrap_err();
    told(&log).0
}

#[test]
fn every_stage_is_planned_before_the_first() {
    let stages = |config: &RunConfig, sft: &[SftRow]| {
        planned(config, sft).into_iter().map(|(stage, _)| stage).collect::<Vec<_>>()
    };
    assert_eq!(stages(&config(Tuning::Lora), &[]), ["sample", "score", "train"]);
    assert_eq!(stages(&config(Tuning::Full), &supervised(4)), ["sft", "sample", "score", "train"]);
    // The judge samples too.
    assert_eq!(stages(&with_every_file(), &[]), ["sample", "sample", "score", "train"]);
    let only = RunConfig { iterations: 0, ..config(Tuning::Lora) };
    assert_eq!(stages(&only, &supervised(4)), ["sft"]);
}

#[test]
fn no_stage_plans_more_than_was_planned_for_it() {
    let mut anchored = with_every_file();
    (anchored.pair.reward, anchored.pair.level) = (Reward::External, Level::Off);
    for (config, sft) in [
        (config(Tuning::Lora), supervised(4)),
        (config(Tuning::Full), supervised(4)),
        (anchored, vec![]),
        (with_every_file(), vec![]),
    ] {
        let mut log = Log::new(usize::MAX);
        // The judge of a random model gives no points, which ends the last of these runs before training.
        let ended = call(&config, &prompts(4), &sft, &mut Memory::default(), &mut log);
        assert!(ended.is_ok() || config.pair.reward == Reward::Judge, "{ended:?}");
        let (ahead, own) = told(&log);
        assert!(own.len() >= 4, "{own:?}");
        for (stage, bytes) in own {
            let most = ahead.iter().filter(|(other, _)| *other == stage).map(|(_, bytes)| *bytes).max().unwrap();
            assert!(bytes as f64 <= READ_BACK * most as f64, "{stage} plans {bytes}, of {ahead:?}");
        }
    }
}

#[test]
fn a_stage_that_cannot_fit_is_refused_before_the_first() {
    let mut config = config(Tuning::Lora);
    config.train.batch_tokens = 100;
    let plans = planned(&config, &[]);
    let (stage, needed) = plans.iter().max_by_key(|(_, bytes)| bytes).unwrap().clone();
    assert_eq!(stage, "train");
    let within = |bytes: u64, adapt: bool, store: &mut Memory, log: &mut Log| {
        let budget = Budget { bytes: Some(bytes), adapt };
        call_within(budget, &config, &prompts(4), &[], store, log).map(|(_, loads)| loads)
    };
    let mut store = Memory::default();
    let error = within(needed - 1, false, &mut store, &mut Log::new(usize::MAX)).unwrap_err();
    assert!(matches!(error, Error::Memory { stage: Stage::Train, .. }), "{error}");
    let message = error.to_string();
    let expected =
        format!("train: {needed} bytes of memory are needed and {} may be taken; train.recompute", needed - 1);
    assert!(message.starts_with(&expected), "{message}");
    // The same folder takes other settings then.
    assert!(store.files.is_empty(), "{:?}", store.files.keys());

    let mut log = Log::new(usize::MAX);
    within(needed - 1, true, &mut store, &mut log).unwrap();
    let expected = format!("to come, at most: train: {needed} bytes do not fit in {}; train.recompute", needed - 1);
    assert!(log.lines.iter().any(|line| line.starts_with(&expected)), "{:?}", log.lines);

    // What is done already needs no memory.
    assert_eq!(within(1, false, &mut store, &mut Log::new(0)).unwrap(), 0);
    let message = within(1, true, &mut Memory::default(), &mut Log::new(0)).unwrap_err().to_string();
    assert!(message.starts_with("sample: ") && message.contains("its weights alone are"), "{message}");
}

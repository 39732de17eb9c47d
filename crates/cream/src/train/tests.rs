use cream_core::{Loss, PairLogps};
use cream_engine::{Adapter, Cpu, LoraConfig};
use pollster::block_on;

use super::*;
use crate::rows::{Completion, GivenPair, Pair, SftRow, Turns};
use crate::score::ScoreOptions;
use crate::store::Memory;
use crate::testing::{LAYOUT, Log, Tiny, letter, supervised};

fn pairs(consistency: f64) -> Vec<Pair> {
    let pair = |i: usize| Pair {
        id: i.to_string(),
        prompt: Turns::Text(letter(10 + i)),
        chosen: (letter(60 + i) + &letter(70 + i)).into(),
        rejected: letter(80 + i).into(),
        consistency,
        ref_chosen_logps: -18.0 - i as f64,
        ref_rejected_logps: -12.0,
    };
    (0..5).map(pair).collect()
}

fn options() -> TrainOptions {
    TrainOptions { epochs: Some(4), learning_rate: Some(1e-2), batch_size: 3, save_steps: 3, ..TrainOptions::default() }
}

/// What is trained on.
enum Rows<'a> {
    Pairs(&'a [Pair]),
    Supervised(&'a [SftRow]),
}

/// Trains a fresh adapter, or all weights.
fn fit_in(
    store: &mut Memory,
    rows: &Rows<'_>,
    options: &TrainOptions,
    adapter: bool,
    log: &mut Log,
) -> Result<TrainSummary> {
    fit_by(&PreferenceLoss::default(), store, rows, options, adapter, log)
}

/// The same by a loss.
fn fit_by(
    loss: &PreferenceLoss,
    store: &mut Memory,
    rows: &Rows<'_>,
    options: &TrainOptions,
    adapter: bool,
    log: &mut Log,
) -> Result<TrainSummary> {
    let mut tiny = Tiny::new();
    let lora = LoraConfig { r: 4, ..LoraConfig::default() };
    let mut fresh = adapter.then(|| Adapter::new(&Cpu::new(), tiny.model.config(), lora, 1).unwrap());
    let context = tiny.model.config().max_position_embeddings;
    let encoder = Encoder { text: &tiny.text, raw: false, max_prompt_tokens: Encoder::MAX_PROMPT_TOKENS, context };
    let trainee = Trainee {
        model: &mut tiny.model,
        adapter: fresh.as_mut(),
        encoder,
        fingerprint: "of tiny",
        base_model: "tiny",
    };
    let output = Output { store, name: "" };
    match rows {
        Rows::Pairs(pairs) => block_on(train(trainee, pairs, loss, options, 1, output, log)),
        Rows::Supervised(rows) => block_on(sft(trainee, rows, options, 1, output, log)),
    }
}

fn fitted(rows: &Rows<'_>, options: &TrainOptions) -> (Memory, Vec<MetricsRow>, TrainSummary) {
    let mut store = Memory::default();
    let summary = fit_in(&mut store, rows, options, true, &mut Log::new(usize::MAX)).unwrap();
    let lines = std::str::from_utf8(&store.files["metrics.jsonl"]).unwrap();
    let metrics = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (store, metrics, summary)
}

#[test]
fn the_consistency_of_metrics_is_that_of_the_loss() {
    for (loss, expected) in [(Loss::Cream, 0.75), (Loss::Dpo, 1.0), (Loss::Ipo, 1.0)] {
        let mut store = Memory::default();
        let loss = PreferenceLoss { loss, ..PreferenceLoss::default() };
        let all = TrainOptions { epochs: Some(1), batch_size: 5, ..options() };
        fit_by(&loss, &mut store, &Rows::Pairs(&pairs(0.75)), &all, true, &mut Log::new(usize::MAX)).unwrap();
        let row: MetricsRow = serde_json::from_slice(&store.files["metrics.jsonl"]).unwrap();
        assert!(close(row.preference.unwrap().consistency, expected), "{loss:?}");
    }
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= LAYOUT * b.abs().max(1.0)
}

#[test]
fn metrics_of_the_first_step_are_the_loss_by_hand() {
    let all = TrainOptions { batch_size: 5, ..options() };
    let (_, metrics, summary) = fitted(&Rows::Pairs(&pairs(0.75)), &all);
    let tiny = Tiny::new();
    let logp = |pair: &Pair, completion: &Completion| {
        let group = tiny.encoder().group("", &pair.prompt, std::slice::from_ref(completion)).unwrap();
        let batch = Batch::new(&[group], 320).unwrap();
        block_on(tiny.model.token_logps(None, &batch)).unwrap().into_iter().map(f64::from).sum::<f64>()
    };
    let (mut loss, mut mean) = (0.0, PreferenceMetrics::default());
    for pair in &pairs(0.75) {
        let logps = PairLogps {
            chosen: logp(pair, &pair.chosen),
            rejected: logp(pair, &pair.rejected),
            reference_chosen: pair.ref_chosen_logps,
            reference_rejected: pair.ref_rejected_logps,
        };
        let own = Loss::Cream.evaluate(0.1, 0.75, &logps).unwrap();
        loss += own.loss / 5.0;
        mean.rewards_chosen += own.reward_chosen / 5.0;
        mean.rewards_rejected += own.reward_rejected / 5.0;
        mean.rewards_margins += own.margin / 5.0;
        mean.rewards_accuracies += if own.margin > 0.0 { 0.2 } else { 0.0 };
        mean.logps_chosen += logps.chosen / 5.0;
        mean.logps_rejected += logps.rejected / 5.0;
        mean.consistency += 0.75 / 5.0;
    }
    let first = metrics[0].preference.unwrap();
    assert!(close(metrics[0].loss, loss), "{} and {loss}", metrics[0].loss);
    for (got, expected) in [
        (first.rewards_chosen, mean.rewards_chosen),
        (first.rewards_rejected, mean.rewards_rejected),
        (first.rewards_margins, mean.rewards_margins),
        (first.rewards_accuracies, mean.rewards_accuracies),
        (first.logps_chosen, mean.logps_chosen),
        (first.logps_rejected, mean.logps_rejected),
        (first.consistency, mean.consistency),
    ] {
        assert!(close(got, expected), "{got} and {expected}");
    }
    // Prompts of 4 tokens; completions of 3 and 2, the last of which takes no row.
    assert_eq!((metrics[0].num_tokens, metrics[3].num_tokens), (5 * 7, 4 * 5 * 7));
    assert_eq!((metrics[0].epoch, metrics[3].epoch, metrics[3].step), (1.0, 4.0, 4));
    assert_eq!((summary.steps, summary.first_loss, summary.last_loss), (4, metrics[0].loss, metrics[3].loss));
    assert_eq!(summary.mean_loss, metrics.iter().map(|row| row.loss).sum::<f64>() / 4.0);
}

#[test]
fn a_step_that_the_caller_makes_is_the_trainings() {
    // One pair, since a batch has an order of its own.
    let rows = &pairs(0.75)[..1];
    let all = TrainOptions { epochs: Some(1), batch_size: rows.len(), ..options() };
    let (store, metrics, _) = fitted(&Rows::Pairs(rows), &all);
    let expected = &metrics[0];

    let tiny = Tiny::new();
    let mut model = std::rc::Rc::new(tiny.model);
    let lora = LoraConfig { r: 4, ..LoraConfig::default() };
    let mut adapter = Model::new_adapter(&model, &lora, 1).unwrap();
    let context = model.config().max_position_embeddings;
    let encoder = Encoder { text: &tiny.text, raw: false, max_prompt_tokens: Encoder::MAX_PROMPT_TOKENS, context };
    let (vocab_size, loss) = (model.config().vocab_size, PreferenceLoss::default());
    let mut learner = model.learner(Some(&mut adapter), all.adamw, false).unwrap();
    let rate = expected.learning_rate;
    let step = train_step(&mut learner, encoder, vocab_size, rows, &loss, all.batch_tokens, rate);
    let made = block_on(step).unwrap();
    drop(learner);
    assert_eq!((made.step, made.num_tokens), (1, expected.num_tokens));
    for (made, expected) in [(made.loss, expected.loss), (made.grad_norm.into(), expected.grad_norm.into())] {
        assert!(close(made, expected), "{made}, expected {expected}");
    }
    let (_, weights) = block_on(model.write_adapter(&adapter, "tiny")).unwrap();
    assert!(weights == store.files["adapter_model.safetensors"], "other weights than the training's");
}

#[test]
fn micro_batches_add_up_to_the_step() {
    for rows in [Rows::Pairs(&pairs(0.9)), Rows::Supervised(&supervised(5))] {
        let (_, whole, _) = fitted(&rows, &options());
        for (batch_tokens, recompute) in [(1, false), (10, true)] {
            let (_, parts, _) = fitted(&rows, &TrainOptions { batch_tokens, recompute, ..options() });
            for (part, whole) in parts.iter().zip(&whole) {
                assert!(close(part.loss, whole.loss), "{part:?} {whole:?}");
                assert!(close(part.grad_norm.into(), whole.grad_norm.into()), "{part:?} {whole:?}");
                assert_eq!(part.num_tokens, whole.num_tokens);
            }
        }
    }
}

#[test]
fn a_row_twice_weighs_as_one() {
    let norm = |rows: Rows<'_>| f64::from(fitted(&rows, &options()).1[0].grad_norm);
    let pair = pairs(0.9).remove(0);
    let twice = [pair.clone(), Pair { id: "again".into(), ..pair.clone() }];
    let (one, two) = (norm(Rows::Pairs(&[pair])), norm(Rows::Pairs(&twice)));
    assert!(close(one, two), "{one} and {two}");
    let twice = [supervised(1), supervised(1)].concat();
    let (one, two) = (norm(Rows::Supervised(&twice[..1])), norm(Rows::Supervised(&twice)));
    assert!(close(one, two), "{one} and {two}");
}

#[test]
fn consistency_says_which_way() {
    let margins = |consistency: f64| {
        let longer = TrainOptions { epochs: Some(12), ..options() };
        let (_, _, summary) = fitted(&Rows::Pairs(&pairs(consistency)), &longer);
        (summary.first_margin.unwrap(), summary.last_margin.unwrap())
    };
    let (first, last) = margins(1.0);
    assert!(last > first + 0.5, "{first} {last}");
    let (first, last) = margins(0.0);
    assert!(last < first - 0.5, "{first} {last}");
    let (_, last) = margins(0.5);
    assert!(last.abs() < 0.5, "{last}");
}

#[test]
fn supervision_is_learnt() {
    let (store, metrics, summary) =
        fitted(&Rows::Supervised(&supervised(5)), &TrainOptions { epochs: Some(12), ..options() });
    assert!(summary.last_loss < 0.5 * summary.first_loss, "{summary:?}");
    assert_eq!((summary.first_margin, metrics[0].preference), (None, None));
    let names: Vec<_> = store.files.keys().collect();
    assert_eq!(names, ["adapter_config.json", "adapter_model.safetensors", "metrics.jsonl", "training.json"]);
    assert!(metrics.iter().all(|row| row.learning_rate > 0.0));
}

#[test]
fn one_step_trains() {
    let one = TrainOptions { epochs: Some(1), batch_size: 5, ..options() };
    let (_, metrics, _) = fitted(&Rows::Pairs(&pairs(1.0)), &one);
    assert_eq!((metrics.len(), metrics[0].learning_rate), (1, 1e-2));
}

#[test]
fn stopped_at_any_step_it_ends_the_same() {
    let rows = pairs(0.8);
    for adapter in [true, false] {
        let mut whole = Memory::default();
        let mut log = Log::new(usize::MAX);
        let summary = fit_in(&mut whole, &Rows::Pairs(&rows), &options(), adapter, &mut log).unwrap();
        assert_eq!(log.updates.len(), 9);
        for stop in 0..log.updates.len() {
            let mut store = Memory::default();
            fit_in(&mut store, &Rows::Pairs(&rows), &options(), adapter, &mut Log::new(stop)).unwrap_err();
            let mut log = Log::new(usize::MAX);
            let again = fit_in(&mut store, &Rows::Pairs(&rows), &options(), adapter, &mut log).unwrap();
            assert!(store == whole && again == summary, "stopped at {stop}");
            // Taken up at the last saved step.
            assert_eq!(log.updates[0].1, stop.min(8) / 3 * 3 + if stop == 8 { 2 } else { 0 }, "stopped at {stop}");
        }
    }
}

#[test]
fn a_state_of_another_training_is_not_taken_up() {
    let mut store = Memory::default();
    fit_in(&mut store, &Rows::Pairs(&pairs(0.8)), &options(), true, &mut Log::new(5)).unwrap_err();
    assert!(store.exists("state.safetensors"));
    let other = TrainOptions { learning_rate: Some(2e-2), ..options() };
    let mut log = Log::new(usize::MAX);
    fit_in(&mut store, &Rows::Pairs(&pairs(0.8)), &other, true, &mut log).unwrap();
    assert_eq!(log.updates[0].1, 0);
    assert!(store == fitted(&Rows::Pairs(&pairs(0.8)), &other).0);
}

#[test]
fn mistakes_are_named() {
    let fails = |rows: Rows<'_>, options: &TrainOptions| {
        let mut store = Memory::default();
        let message = fit_in(&mut store, &rows, options, true, &mut Log::new(usize::MAX)).unwrap_err().to_string();
        (message, store.files.is_empty())
    };
    let (none, no_rows) = ("pairs: none, expected at least one", "supervised data: no rows, expected at least one");
    assert_eq!(fails(Rows::Pairs(&[]), &options()), (none.to_owned(), true));
    assert_eq!(fails(Rows::Supervised(&[]), &options()), (no_rows.to_owned(), true));
    let wrong = TrainOptions { batch_size: 0, ..options() };
    assert_eq!(fails(Rows::Pairs(&pairs(1.0)), &wrong), ("batch_size: 0, expected at least 1".to_owned(), true));
    // Denormal: a device may divide by 0 instead.
    let mut tiny = options();
    tiny.adamw.eps = 1e-40;
    let (message, untouched) = fails(Rows::Pairs(&pairs(1.0)), &tiny);
    assert!(message.starts_with("adamw.eps: ") && untouched, "{message}");
    let wild = TrainOptions { learning_rate: Some(1e30), ..options() };
    let (message, _) = fails(Rows::Pairs(&pairs(1.0)), &wild);
    assert!(message.contains("log-prob is NaN, not a finite number"), "{message}");
    let (message, _) = fails(Rows::Supervised(&supervised(5)), &wild);
    assert!(message.starts_with("prompt \"row ") && message.contains("log-prob is NaN, not a finite"), "{message}");
}

/// A pair whose gradient is too large for a norm: what is on disk is what the step before it left.
#[test]
fn a_step_that_diverges_leaves_the_last_good_state() {
    // Whose gradient has no bound.
    let ipo = PreferenceLoss { loss: Loss::Ipo, ..PreferenceLoss::default() };
    let options = TrainOptions { epochs: Some(1), batch_size: 1, save_steps: 1, ..options() };
    let fit = |rows: &[Pair], log: &mut Log| {
        let mut store = Memory::default();
        let message = fit_by(&ipo, &mut store, &Rows::Pairs(rows), &options, true, log).unwrap_err().to_string();
        (message, store)
    };
    let mut steps = Vec::new();
    for broken in 0..5 {
        let mut rows = pairs(0.8);
        rows[broken].ref_chosen_logps = -1e25;
        let mut log = Log::new(usize::MAX);
        let (message, store) = fit(&rows, &mut log);
        // What was told: the start, and each step.
        let step = log.updates.len();
        let expected = "gradient norm is inf, expected a finite number; the weights are as they were before this step; \
                        a smaller learning rate may help";
        assert_eq!(message, format!("step {step}: {expected}"));
        let (_, before) = fit(&rows, &mut Log::new(step - 1));
        assert!(store == before, "step {step}");
        assert_eq!(store.exists("state.safetensors"), step > 1);
        steps.push(step);
    }
    steps.sort();
    assert_eq!(steps, [1, 2, 3, 4, 5]);
}

#[test]
fn pairs_of_others_are_given_weight_and_reference() {
    let tiny = Tiny::new();
    let given = |number: usize, Pair { id, prompt, chosen, rejected, .. }: Pair, rest: Option<(f64, [f64; 2])>| {
        let (consistency, ref_logps) = rest.unzip();
        let id = (number > 1).then_some(id);
        (number, GivenPair { id, prompt, chosen, rejected, consistency, ref_logps })
    };
    let (mut store, mut log) = (Memory::default(), Log::new(usize::MAX));
    let all: Vec<Pair> = pairs(0.5);
    let rows = vec![given(1, all[0].clone(), None), given(2, all[1].clone(), Some((0.25, [-1.0, -2.0])))];
    let mut complete = |rows: &[(usize, GivenPair)], log: &mut Log| {
        let output = Output { store: &mut store, name: "out" };
        block_on(complete_pairs(tiny.policy(), rows.to_vec(), &ScoreOptions::default(), output, log)).unwrap()
    };
    let made = complete(&rows, &mut log);
    assert_eq!((made[0].id.as_str(), made[1].id.as_str()), ("line 1", "1"));
    assert_eq!((made[0].consistency, made[1].consistency), (1.0, 0.25));
    assert_eq!((made[1].ref_chosen_logps, made[1].ref_rejected_logps), (-1.0, -2.0));
    let group = tiny.encoder().group("", &all[0].prompt, &[all[0].chosen.clone(), all[0].rejected.clone()]).unwrap();
    let batch = Batch::new(std::slice::from_ref(&group), 320).unwrap();
    let logps = block_on(tiny.model.token_logps(None, &batch)).unwrap();
    let sums: Vec<f64> = batch.split(&logps).map(|own| own.iter().map(|&l| f64::from(l)).sum()).collect();
    assert!(close(made[0].ref_chosen_logps, sums[0]) && close(made[0].ref_rejected_logps, sums[1]), "{sums:?}");
    let said = ["1 of 2 pairs have no consistency: theirs is 1, plain DPO", "1 pairs have no reference"];
    assert!(log.lines.iter().zip(said).all(|(line, said)| line.starts_with(said)), "{:?}", log.lines);
    // Taken up: the reference is not computed again, not even by a model that has been trained since.
    let scored = log.updates.len();
    assert_eq!(complete(&rows, &mut log), made);
    assert_eq!(log.updates.len(), scored);
    let other = vec![given(1, all[2].clone(), None)];
    assert_ne!(complete(&other, &mut log)[0].ref_chosen_logps, made[0].ref_chosen_logps);
    assert!(log.updates.len() > scored);
}

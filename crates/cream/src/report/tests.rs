use super::*;
use crate::jsonl::to_jsonl;
use crate::rows::Completion;
use crate::store::Memory;

const T1: &str = "iteration-1";

/// A round of `agreements.len()` prompts of two completions; a pair for each that has an agreement.
fn round(agreements: &[Option<f64>]) -> Memory {
    let id = |i: usize| format!("p{i}");
    let completions: Vec<_> = (0..agreements.len())
        .map(|i| Completions {
            id: id(i),
            prompt: Turns::Text(format!("question {i}")),
            completions: [format!("good {i}"), "é".repeat(LONGEST_TEXT + 1)].map(Completion::from).into(),
        })
        .collect();
    let scores: Vec<_> = completions
        .iter()
        .map(|row| Scores {
            id: row.id.clone(),
            prompt: row.prompt.clone(),
            completions: row.completions.clone(),
            logps: vec![-1.0, -2.0],
            tokens: vec![3, 6],
        })
        .collect();
    let ranking = |(i, &agreement)| Ranking {
        id: id(i),
        rewards: vec![Some(2.0), Some(1.0)],
        previous_rewards: vec![Some(0.5), None],
        agreement,
    };
    let rankings: Vec<_> = agreements.iter().enumerate().map(ranking).collect();
    let pairs: Vec<_> = completions
        .iter()
        .zip(agreements)
        .filter(|(_, agreement)| agreement.is_some())
        .map(|(row, _)| Pair {
            id: row.id.clone(),
            prompt: row.prompt.clone(),
            chosen: row.completions[0].clone(),
            rejected: row.completions[1].clone(),
            consistency: 0.5,
            ref_chosen_logps: -1.0,
            ref_rejected_logps: -2.0,
        })
        .collect();
    let mut store = Memory::default();
    store.write(CONFIG, b"seed = 7\niterations = 1\n").unwrap();
    for (file, bytes) in [
        ("completions.jsonl", to_jsonl(&completions)),
        ("scores-current.jsonl", to_jsonl(&scores)),
        (RANKINGS, to_jsonl(&rankings)),
        ("pairs.jsonl", to_jsonl(&pairs)),
        ("metrics.jsonl", b"{\"step\":1,\"epoch\":1,\"loss\":0.5,\"grad_norm\":1,\"learning_rate\":1,\"num_tokens\":9}\n{\"step\":2,\"ep".to_vec()),
    ] {
        store.write(&join(T1, file), &bytes).unwrap();
    }
    store
}

#[test]
fn a_round_by_hand() {
    let report = pollster::block_on(Report::read(&round(&[Some(1.0), None, Some(-1.0), Some(-0.8)]))).unwrap();
    let [step] = &report.iterations[..] else { panic!("one iteration") };
    assert_eq!((step.iteration, step.seed, step.summary.as_ref()), (1, (1 << 32) + 7, None));
    // The second is being written.
    assert_eq!((step.metrics.len(), step.metrics[0].loss), (1, 0.5));
    let round = step.round.as_ref().unwrap();
    assert_eq!((round.prompts, round.mean_tokens), (4, 4.5));
    assert_eq!(round.histogram, [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    let ids: Vec<&str> = round.shown.iter().map(|prompt| prompt.ranking.id.as_str()).collect();
    assert_eq!(ids, ["p2", "p3", "p0"]);
    let first = &round.shown[0];
    assert_eq!((first.prompt.as_str(), first.chosen.as_deref()), ("question 2", Some("good 2")));
    let cut = "é".repeat(LONGEST_TEXT) + "…";
    assert_eq!((&first.completions[1], first.rejected.as_ref()), (&cut, Some(&cut)));
    let setting = |key: &str| report.settings.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone());
    assert_eq!((setting("seed"), setting("sample.top_p")), (Some(7.into()), Some(0.95.into())));
    assert_eq!(report.compare, None);
}

#[test]
fn a_round_without_a_second_ranking_is_shown_as_it_comes() {
    let mut store = round(&[None; 100]);
    let report = pollster::block_on(Report::read(&store)).unwrap();
    let found = report.iterations[0].round.as_ref().unwrap();
    assert_eq!((found.histogram.iter().sum::<usize>(), found.shown.len()), (0, MOST_PROMPTS));
    let ids: Vec<&str> = found.shown.iter().map(|prompt| prompt.ranking.id.as_str()).collect();
    assert_eq!((ids[0], ids[29], ids[30], ids[59]), ("p0", "p29", "p70", "p99"));
    // The initial model's completions come after the current one's, and are not the current one's length.
    let config = b"iterations = 1\n[sample]\ncompletions = 1\n[pair]\nrejected_from = \"initial\"\n";
    store.write(CONFIG, config).unwrap();
    let report = pollster::block_on(Report::read(&store)).unwrap();
    assert_eq!(report.iterations[0].round.as_ref().unwrap().mean_tokens, 3.0);
}

/// As a summary was written when consistency was measured of every model against itself.
#[test]
fn a_summary_of_before_is_read() {
    let mut store = round(&[Some(1.0)]);
    let summary = br#"{"iteration":1,"seed":4294967303,"pairs":{"prompts":1,"pairs":1,"mean_tau":1.0,"mean_consistency":1.0,
        "mean_reward_margin":0.5,"mean_tokens":4.5,"rankings":{"tau":1.0,"spearman":1.0,"top_order":1.0},"skipped":[],"notes":[]},
        "training":{"steps":1,"mean_loss":0.5,"first_loss":0.5,"last_loss":0.5,"first_margin":0.0,"last_margin":0.0}}"#;
    store.write("iteration-1/summary.json", summary).unwrap();
    let report = pollster::block_on(Report::read(&store)).unwrap();
    let pairs = report.iterations[0].summary.as_ref().unwrap().pairs.as_ref().unwrap();
    assert_eq!((pairs.mean_tau, pairs.rankings.unwrap().spearman), (Some(1.0), Some(1.0)));
}

#[test]
fn of_many_prompts_both_ends_are_shown_and_all_are_counted() {
    let agreements: Vec<_> = (0..=200).map(|i| Some(f64::from(i) / 100.0 - 1.0)).collect();
    let report = pollster::block_on(Report::read(&round(&agreements))).unwrap();
    let round = report.iterations[0].round.as_ref().unwrap();
    assert_eq!(round.histogram.iter().sum::<usize>(), 201);
    let shown: Vec<&str> = round.shown.iter().map(|prompt| prompt.ranking.id.as_str()).collect();
    assert_eq!((shown.len(), shown[0], shown[29], shown[30], shown[59]), (60, "p0", "p29", "p171", "p200"));
}

#[test]
fn conversations_are_one_text() {
    let turn = |role: &str, content: &str| cream_engine::Message { role: role.into(), content: content.into() };
    assert_eq!(in_one(&Turns::Messages(vec![turn("user", "Hi")])), "Hi");
    let both = Turns::Messages(vec![turn("system", "Be brief."), turn("user", "Hi")]);
    assert_eq!(in_one(&both), "system: Be brief.\nuser: Hi\n");
}

#[test]
fn mistakes_name_the_file() {
    let fails = |name: &str, bytes: &[u8], expected: &str| {
        let mut store = round(&[Some(1.0)]);
        store.write(name, bytes).unwrap();
        let message = pollster::block_on(Report::read(&store)).unwrap_err().to_string();
        assert!(message.contains(expected), "{message} should contain {expected}");
    };
    let message = pollster::block_on(Report::read(&Memory::default())).unwrap_err().to_string();
    assert_eq!(message, "config.toml: not there, expected the folder of a run");
    fails(CONFIG, b"seeds = 1", "config.toml: unknown key seeds");
    fails(CONFIG, b"\xff", "config.toml: ");
    fails("compare.json", b"{", "compare.json: ");
    fails("timings.json", b"[]", "timings.json: ");
    fails("iteration-1/metrics.jsonl", b"{}\n", "iteration-1/metrics.jsonl: missing field");
    fails("iteration-1/rankings.jsonl", b"{}\n", "iteration-1/rankings.jsonl: line 1: no \"id\"");
    let other = b"{\"id\":\"q\",\"prompt\":\"x\",\"completions\":[\"y\"]}\n";
    fails("iteration-1/completions.jsonl", other, "iteration-1/completions.jsonl: no id \"p0\"");
    let fewer = b"{\"id\":\"p0\",\"prompt\":\"x\",\"completions\":[\"y\"]}\n";
    fails("iteration-1/completions.jsonl", fewer, "1 completions of \"p0\", expected 2");
}

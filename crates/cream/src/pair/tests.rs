use super::*;
use crate::rows::Turns;
use proptest::prelude::*;

/// Scores of prompts p0, p1, … with completions c0, c1, … of 1, 2, … tokens.
fn scores(logps: &[&[f64]]) -> Vec<Scores> {
    let row = |(i, logps): (usize, &&[f64])| Scores {
        id: format!("p{i}"),
        prompt: Turns::Text("x".into()),
        completions: (0..logps.len()).map(|i| format!("c{i}")).collect(),
        logps: logps.to_vec(),
        tokens: (1..=logps.len()).collect(),
    };
    logps.iter().enumerate().map(row).collect()
}

fn options(level: Level) -> PairOptions {
    PairOptions { level, ..PairOptions::default() }
}

#[test]
fn by_hand() {
    let reference = scores(&[&[-10.0, -10.0, -10.0], &[-20.0, -20.0, -20.0]]);
    // p0: rewards 1, 2, 3 and 1, 2, 3: tau 1. p1: rewards 3, 1, 2 and 1, 2, 3: of three pairs one is concordant.
    let current = scores(&[&[-9.0, -8.0, -7.0], &[-17.0, -19.0, -18.0]]);
    let previous = scores(&[&[-9.0, -8.0, -7.0], &[-19.0, -18.0, -17.0]]);
    let Pairing { pairs, rankings, report } =
        pair(&current, &previous, &reference, 0.5, &options(Level::PerPrompt)).unwrap();
    assert_eq!(
        pairs[0],
        Pair {
            id: "p0".into(),
            prompt: Turns::Text("x".into()),
            chosen: "c2".into(),
            rejected: "c0".into(),
            consistency: 1.0,
            ref_chosen_logps: -7.0,
            ref_rejected_logps: -9.0,
        }
    );
    assert_eq!((pairs[1].chosen.as_str(), pairs[1].rejected.as_str()), ("c0", "c1"));
    assert_eq!(pairs[1].consistency, (-1.0 / 3.0 + 1.0) / 2.0);
    let ranking = |id: &str, rewards: [f64; 3], agreement| Ranking {
        id: id.into(),
        rewards: rewards.map(Some).into(),
        previous_rewards: [0.5, 1.0, 1.5].map(Some).into(),
        agreement: Some(agreement),
    };
    assert_eq!(rankings, [ranking("p0", [0.5, 1.0, 1.5], 1.0), ranking("p1", [1.5, 0.5, 1.0], -1.0 / 3.0)]);
    assert_eq!(report.mean_reward_margin, Some(1.0));
    assert_eq!(report.mean_tau, Some((1.0 - 1.0 / 3.0) / 2.0));
    assert!(report.notes.is_empty() && report.skipped.is_empty());

    let mean = pair(&current, &previous, &reference, 0.5, &options(Level::Mean)).unwrap();
    assert_eq!(mean.report, report);
    assert!(mean.pairs.iter().all(|pair| Some(pair.consistency) == report.mean_consistency));
}

#[test]
fn round_1_takes_the_mean_logp_of_the_reference() {
    // Per token -4, -1, -2: the previous model prefers c1, then c2; by the sum it would prefer c1, then c0.
    let reference = scores(&[&[-4.0, -2.0, -6.0]]);
    let current = scores(&[&[-6.0, -1.0, -7.0]]);
    let Pairing { pairs, report, .. } = pair(&current, &reference, &reference, 0.1, &PairOptions::default()).unwrap();
    // Rewards -0.2, 0.1, -0.1: the same order.
    assert_eq!(pairs[0].consistency, 1.0);
    assert_eq!((pairs[0].chosen.as_str(), pairs[0].rejected.as_str()), ("c1", "c0"));
    assert_eq!(report.notes, ["the previous model is the reference: its reward is the mean log-prob per token"]);
}

#[test]
fn without_supervised_training_round_1_is_dpo_on_the_mean_logp() {
    let reference = scores(&[&[-4.0, -2.0, -6.0]]);
    let Pairing { pairs, report, .. } = pair(&reference, &reference, &reference, 0.1, &PairOptions::default()).unwrap();
    assert_eq!(pairs[0].consistency, 1.0);
    assert_eq!((pairs[0].chosen.as_str(), pairs[0].rejected.as_str()), ("c1", "c0"));
    assert_eq!((report.mean_tau, report.notes.len()), (Some(1.0), 2));
}

#[test]
fn prompts_without_a_pair_are_told_and_have_no_part_in_the_mean() {
    let reference = scores(&[&[-9.0, -9.0], &[-9.0, -9.0], &[-9.0, -9.0]]);
    let current = scores(&[&[-8.0, -8.0], &[-8.0, -7.0], &[-8.0, -8.5]]);
    let previous = scores(&[&[-8.0, -7.0], &[-8.0, -7.0], &[-7.0, -8.0]]);
    let options = PairOptions { min_margin: 0.75, ..PairOptions::default() };
    let Pairing { pairs, rankings, report } = pair(&current, &previous, &reference, 1.0, &options).unwrap();
    let agreements: Vec<_> = rankings.iter().map(|ranking| (ranking.id.as_str(), ranking.agreement)).collect();
    assert_eq!(agreements, [("p0", None), ("p1", Some(1.0)), ("p2", Some(1.0))]);
    assert_eq!(pairs.iter().map(|pair| pair.id.as_str()).collect::<Vec<_>>(), ["p1"]);
    let skipped: Vec<_> = report.skipped.iter().map(|s| (s.id.as_str(), s.reason.as_str())).collect();
    assert_eq!(skipped, [("p0", "all 2 rewards are equal"), ("p2", "margin is 0.5, expected at least 0.75")]);
    assert_eq!((report.prompts, report.pairs, report.mean_consistency), (3, 1, Some(1.0)));

    let none = pair(&reference, &current, &current, 1.0, &options).unwrap();
    assert_eq!((none.pairs.len(), none.report.skipped.len()), (1, 2));
    let equal = &scores(&[&[-9.0, -18.0]])[..];
    let none = pair(equal, equal, equal, 1.0, &options).unwrap();
    assert_eq!((none.pairs.len(), none.report.mean_tau), (0, None));
}

#[test]
fn an_undefined_agreement_gives_no_pair() {
    let reference = scores(&[&[-9.0, -9.0], &[-8.0, -7.0]]);
    let current = scores(&[&[-8.0, -7.0], &[-8.0, -6.0]]);
    let previous = scores(&[&[-8.0, -8.0], &[-8.0, -6.0]]);
    let options = PairOptions { consistency: Kind::KendallB, ..PairOptions::default() };
    let Pairing { pairs, report, .. } = pair(&current, &previous, &reference, 1.0, &options).unwrap();
    assert_eq!((pairs.len(), report.skipped[0].id.as_str(), report.mean_tau), (1, "p0", Some(1.0)));
}

#[test]
fn mistakes_name_the_file_and_the_id() {
    let current = scores(&[&[-1.0, -2.0], &[-1.0, -2.0]]);
    let check = |other: &[Scores], expected: &str| {
        let message = pair(&current, other, &current, 0.1, &PairOptions::default()).unwrap_err().to_string();
        assert_eq!(message, format!("previous scores: {expected}"));
    };
    let mut other = current.clone();
    other[1].id = "q".into();
    check(&other, "row 2 has id \"q\", expected \"p1\" as in the current scores");
    let mut other = current.clone();
    other[1].completions[0] = "other".into();
    check(&other, "row 2, id \"p1\", has another prompt or completions than the current scores");
    check(&current[..1], "1 rows, expected 2 as in the current scores");

    let one = scores(&[&[-1.0]]);
    let message = pair(&one, &one, &one, 0.1, &PairOptions::default()).unwrap_err().to_string();
    assert_eq!(message, "prompt \"p0\": 1 completions, at least 2 needed");
    let reference = scores(&[&[-3.0, -2.0], &[-1.0, -2.0]]);
    assert!(pair(&current, &current, &reference, 0.0, &PairOptions::default()).is_err());
    let options = PairOptions { min_margin: -1.0, ..PairOptions::default() };
    assert!(pair(&current, &current, &reference, 0.1, &options).is_err());
}

proptest! {
    /// Against the definitions, written out.
    #[test]
    fn the_paper_step_by_step(
        rows in prop::collection::vec((-50.0..-1.0, -50.0..-1.0, -50.0..-1.0), 2..9), beta in 0.05..1.0,
    ) {
        let column = |get: fn(&(f64, f64, f64)) -> f64| rows.iter().map(get).collect::<Vec<_>>();
        let (now, before, base) = (column(|row| row.0), column(|row| row.1), column(|row| row.2));
        let [current, previous, reference] = [&now, &before, &base].map(|logps| scores(&[logps]));
        let Pairing { pairs, .. } = pair(&current, &previous, &reference, beta, &PairOptions::default()).unwrap();
        let rewards: Vec<f64> = now.iter().zip(&base).map(|(own, base)| beta * (own - base)).collect();
        let earlier: Vec<f64> = before.iter().zip(&base).map(|(own, base)| beta * (own - base)).collect();
        let (mut sum, n) = (0.0, rows.len());
        for i in 0..n {
            for j in 0..i {
                sum += ((rewards[i] - rewards[j]) * (earlier[i] - earlier[j])).signum();
            }
        }
        let tau = 2.0 * sum / (n * (n - 1)) as f64;
        prop_assert!((pairs[0].consistency - (tau + 1.0) / 2.0).abs() <= f64::EPSILON);
        let place = |name: &str| name[1..].parse::<usize>().unwrap();
        let (chosen, rejected) = (place(&pairs[0].chosen), place(&pairs[0].rejected));
        prop_assert!(rewards.iter().all(|&reward| reward <= rewards[chosen] && reward >= rewards[rejected]));
        prop_assert_eq!(pairs[0].ref_chosen_logps, now[chosen]);
    }
}

use super::*;
use crate::rows::Turns;
use cream_core::consistency::{Kind, Map};
use proptest::prelude::*;

/// Scores of prompts p0, p1, … with completions c0, c1, … of 1, 2, … tokens.
fn scores(logps: &[&[f64]]) -> Vec<Scores> {
    let row = |(i, logps): (usize, &&[f64])| Scores {
        id: format!("p{i}"),
        prompt: Turns::Text("x".into()),
        completions: (0..logps.len()).map(|i| format!("c{i}").into()).collect(),
        logps: logps.to_vec(),
        tokens: (1..=logps.len()).collect(),
    };
    logps.iter().enumerate().map(row).collect()
}

/// Of scores alone, of three models.
fn pair(
    current: &[Scores],
    previous: &[Scores],
    reference: &[Scores],
    beta: f64,
    options: &PairOptions,
) -> Result<Pairing> {
    super::pair(&inputs(current, Previous::Model(previous), reference), beta, options)
}

fn inputs<'a>(current: &'a [Scores], previous: Previous<'a>, reference: &'a [Scores]) -> PairInputs<'a> {
    PairInputs { current, previous, reference, rewards: None, previous_rewards: None, anchors: 0 }
}

fn given(rewards: &[&[Option<f64>]]) -> Vec<Rewards> {
    let row = |(i, rewards): (usize, &&[Option<f64>])| Rewards { id: format!("p{i}"), rewards: rewards.to_vec() };
    rewards.iter().enumerate().map(row).collect()
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
    assert_eq!((pairs[1].chosen.text.as_str(), pairs[1].rejected.text.as_str()), ("c0", "c1"));
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
    assert!(report.notes.len() == 1 && report.skipped.is_empty());

    let mean = pair(&current, &previous, &reference, 0.5, &options(Level::Mean)).unwrap();
    assert_eq!(mean.report, PairReport { notes: Vec::new(), ..report.clone() });
    assert!(mean.pairs.iter().all(|pair| Some(pair.consistency) == report.mean_consistency));
}

#[test]
fn round_1_takes_the_mean_logp_of_the_reference() {
    // Per token -4, -1, -2: the previous model prefers c1, then c2; by the sum it would prefer c1, then c0.
    let reference = scores(&[&[-4.0, -2.0, -6.0]]);
    let current = scores(&[&[-6.0, -1.0, -7.0]]);
    let inputs = inputs(&current, Previous::Reference, &reference);
    let Pairing { pairs, report, .. } = super::pair(&inputs, 0.1, &PairOptions::default()).unwrap();
    // Rewards -0.2, 0.1, -0.1: the same order.
    assert_eq!(pairs[0].consistency, 1.0);
    assert_eq!((pairs[0].chosen.text.as_str(), pairs[0].rejected.text.as_str()), ("c1", "c0"));
    assert_eq!(report.notes, ["the previous model is the reference: its reward is the mean log-prob per token"]);
}

#[test]
fn without_a_former_self_nothing_is_measured() {
    let reference = scores(&[&[-4.0, -2.0, -6.0]]);
    let ranks =
        "; no consistency is measured, and the round is plain DPO (supervised data before it would make a former self)";
    for (level, map, expected, measures) in [
        (Level::Mean, Map::Linear, 1.0, true),
        (Level::PerPrompt, Map::Linear, 1.0, true),
        (Level::PerPrompt, Map::Threshold(0.9), 1.0, true),
        (Level::Off, Map::Linear, 1.0, false),
        (Level::Fixed(0.7), Map::Linear, 0.7, false),
    ] {
        let options = PairOptions { level, map, ..PairOptions::default() };
        let none_yet = inputs(&reference, Previous::NoneYet, &reference);
        let Pairing { pairs, rankings, report } = super::pair(&none_yet, 0.1, &options).unwrap();
        // By the mean log-probs per token, -4, -1 and -2.
        assert_eq!((pairs[0].chosen.text.as_str(), pairs[0].rejected.text.as_str()), ("c1", "c0"));
        assert_eq!((pairs[0].consistency, report.mean_reward_margin), (expected, Some(3.0)), "{level}");
        assert_eq!((report.mean_tau, report.mean_consistency, report.rankings), (None, None, None), "{level}");
        assert_eq!((rankings[0].agreement, &rankings[0].previous_rewards), (None, &vec![None; 3]));
        let [note] = &report.notes[..] else { panic!("{level}: {:?}", report.notes) };
        assert!(note.starts_with("there is no former self yet: the current model is the reference, and its mean"));
        assert_eq!(note.ends_with(ranks), measures, "{note}");
    }
    // Points rank by themselves; what is missing is a second opinion, and only where it is asked for.
    let points = given(&[&[Some(1.0), Some(4.0), Some(2.0)]]);
    let judged = PairInputs { rewards: Some(&points), ..inputs(&reference, Previous::NoneYet, &reference) };
    for (level, notes) in [(Level::PerPrompt, 1), (Level::Off, 0)] {
        let options = PairOptions { reward: Reward::Judge, level, ..PairOptions::default() };
        let Pairing { pairs, report, .. } = super::pair(&judged, 0.1, &options).unwrap();
        assert_eq!((pairs[0].chosen.text.as_str(), pairs[0].consistency), ("c1", 1.0));
        assert_eq!((report.mean_tau, report.mean_consistency, report.notes.len()), (None, None, notes));
    }
    // A second ranking from elsewhere is one.
    let second = given(&[&[Some(1.0), Some(2.0), Some(3.0)]]);
    let both = PairInputs { previous_rewards: Some(&second), ..inputs(&reference, Previous::NoneYet, &reference) };
    let Pairing { pairs, report, .. } = super::pair(&both, 0.1, &PairOptions::default()).unwrap();
    assert_eq!((pairs[0].consistency, report.mean_tau, report.rankings), (2.0 / 3.0, Some(1.0 / 3.0), None));
    assert!(report.notes[0].ends_with("; the consistency is that with the previous rewards given"));
    // Other numbers are those of another model.
    let other = scores(&[&[-4.0, -2.5, -6.0]]);
    let wrong = super::pair(&inputs(&other, Previous::NoneYet, &reference), 0.1, &PairOptions::default());
    let expected = "reference scores: id \"p0\" has other log-probs than in the current scores, of the same model";
    assert_eq!(wrong.unwrap_err().to_string(), expected);
}

/// A model that training has not moved is still another model than the reference.
#[test]
fn equal_numbers_are_not_the_same_model() {
    let reference = scores(&[&[-4.0, -2.0, -6.0]]);
    let moved = scores(&[&[-3.0, -2.0, -7.0]]);
    for (current, previous, expected) in [
        (&reference, Previous::Reference, "all 3 rewards are equal"),
        (&reference, Previous::Model(&moved), "all 3 rewards are equal"),
        (&moved, Previous::Model(&reference), "one of the two rankings is constant, so that they have no agreement"),
    ] {
        let Pairing { pairs, report, .. } =
            super::pair(&inputs(current, previous, &reference), 0.1, &PairOptions::default()).unwrap();
        assert_eq!((pairs.len(), report.skipped[0].reason.as_str()), (0, expected));
        let none = Rankings { tau: None, spearman: None, top_order: None };
        assert_eq!((report.mean_tau, report.mean_consistency, report.rankings), (None, None, Some(none)));
    }
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

    let equal = &scores(&[&[-9.0, -18.0]])[..];
    let none = super::pair(&inputs(equal, Previous::NoneYet, equal), 1.0, &options).unwrap();
    assert_eq!((none.pairs.len(), none.report.mean_tau), (0, None));
}

#[test]
fn means_are_over_the_pairs_trained_on() {
    let reference = scores(&[&[-9.0, -9.0], &[-9.0, -9.0], &[-9.0, -9.0]]);
    // Margins 1, 0.5 and 2; tau -1, 1 and 1.
    let current = scores(&[&[-8.0, -7.0], &[-8.0, -8.5], &[-8.0, -6.0]]);
    let previous = scores(&[&[-7.0, -8.0], &[-7.0, -8.0], &[-7.0, -6.0]]);
    for (min_margin, map, tau) in [
        (0.0, Map::Linear, 1.0 / 3.0),
        (0.75, Map::Linear, 0.0),
        (1.5, Map::Linear, 1.0),
        (0.75, Map::Threshold(0.5), 1.0),
    ] {
        for level in [Level::Mean, Level::PerPrompt, Level::Off, Level::Fixed(0.7)] {
            let map = if level.is_measured() { map } else { Map::Linear };
            let options = PairOptions { min_margin, level, map, ..PairOptions::default() };
            let Pairing { pairs, rankings, report } = pair(&current, &previous, &reference, 1.0, &options).unwrap();
            if level.is_measured() {
                assert_eq!((report.mean_tau, report.mean_consistency), (Some(tau), Some((tau + 1.0) / 2.0)), "{level}");
                let mean = pairs.iter().map(|pair| pair.consistency).sum::<f64>() / pairs.len() as f64;
                assert_eq!(Some(mean), report.mean_consistency, "{level}, margin {min_margin}");
            } else {
                assert_eq!(report.mean_consistency, None, "{level}: it is set, not measured");
            }
            // Of every prompt that both models rank, with a pair or without.
            let agreements: Vec<_> = rankings.iter().map(|ranking| ranking.agreement).collect();
            assert_eq!(agreements, [Some(-1.0), Some(1.0), Some(1.0)]);
            assert_eq!(report.rankings.unwrap().tau, Some(1.0 / 3.0));
        }
    }
}

#[test]
fn pairs_pushed_the_other_way_are_told() {
    // tau 1, -1/3 and -1: C 1, 1/3 and 0.
    let [current, previous, reference] = disputed();
    let reversed = scores(&[&[-7.0, -8.0, -9.0], &[-19.0, -18.0, -17.0], &[-6.0, -7.0, -8.0]]);
    let all = "below 1/2: all pairs are pushed the other way, the rejected completion over the chosen";
    let some = "and are pushed the other way, the rejected completion over the chosen";
    for (previous, level, expected) in [
        (&previous, Level::Mean, Some(format!("the mean consistency is 0.444, {all}"))),
        (
            &previous,
            Level::PerPrompt,
            Some(format!("2 of 3 pairs have a consistency below 1/2 (mean 0.444) {some}, as the pairs are on average")),
        ),
        (&reversed, Level::Mean, Some(format!("the mean consistency is 0.111, {all}"))),
        (&previous, Level::Fixed(0.25), Some(format!("the mean consistency is 0.250, {all}"))),
        (&previous, Level::Fixed(0.5), None),
        (&previous, Level::Off, None),
        (&current, Level::Mean, None),
        (&current, Level::PerPrompt, None),
    ] {
        let report = pair(&current, previous, &reference, 0.5, &options(level)).unwrap().report;
        assert_eq!(report.notes, Vec::from_iter(expected), "{level}");
    }
    // A mean above 1/2 may hide pairs below it.
    let one = scores(&[&[-9.0, -8.0, -7.0], &[-17.0, -19.0, -18.0], &[-6.0, -7.0, -8.0]]);
    let report = pair(&current, &one, &reference, 0.5, &options(Level::PerPrompt)).unwrap().report;
    assert_eq!(report.notes, [format!("1 of 3 pairs have a consistency below 1/2 (mean 0.667) {some}")]);
    assert!(pair(&current, &one, &reference, 0.5, &options(Level::Mean)).unwrap().report.notes.is_empty());
}

const KINDS: [Kind; 7] = [
    Kind::Kendall,
    Kind::KendallB,
    Kind::KendallOrdinal,
    Kind::Spearman,
    Kind::SpearmanOrdinal,
    Kind::TopOrder,
    Kind::TopOrderOrdinal,
];

#[test]
fn a_constant_ranking_agrees_with_none_by_any_measure() {
    // The previous model does not tell p0's completions apart, the current one p1's; both rank p2 alike.
    let reference = scores(&[&[-9.0, -9.0], &[-9.0, -9.0], &[-8.0, -7.0]]);
    let current = scores(&[&[-8.0, -7.0], &[-8.0, -8.0], &[-8.0, -6.0]]);
    let previous = scores(&[&[-8.0, -8.0], &[-8.0, -7.0], &[-8.0, -6.0]]);
    for consistency in KINDS {
        for (level, paired) in
            [(Level::Mean, vec!["p2"]), (Level::PerPrompt, vec!["p2"]), (Level::Off, vec!["p0", "p2"])]
        {
            let options = PairOptions { consistency, level, ..PairOptions::default() };
            let Pairing { pairs, rankings, report } = pair(&current, &previous, &reference, 1.0, &options).unwrap();
            assert_eq!(
                pairs.iter().map(|pair| pair.id.as_str()).collect::<Vec<_>>(),
                paired,
                "{consistency:?} {level}"
            );
            assert!(pairs.iter().all(|pair| pair.consistency == 1.0), "{consistency:?} {level}");
            let agreements: Vec<_> = rankings.iter().map(|ranking| ranking.agreement).collect();
            assert_eq!((agreements, report.mean_tau), (vec![None, None, Some(1.0)], Some(1.0)), "{consistency:?}");
            let all = Rankings { tau: Some(1.0), spearman: Some(1.0), top_order: Some(1.0) };
            assert_eq!(report.rankings, Some(all), "{consistency:?} {level}");
        }
        // Points: the previous model gave one number to all, or to one alone.
        let now = given(&[&[Some(1.0), Some(2.0)], &[Some(1.0), Some(2.0)], &[Some(1.0), Some(2.0)]]);
        let before = given(&[&[Some(3.0), Some(3.0)], &[None, Some(2.0)], &[Some(1.0), Some(2.0)]]);
        let judged = PairInputs {
            rewards: Some(&now),
            previous_rewards: Some(&before),
            ..inputs(&current, Previous::Model(&previous), &reference)
        };
        let options = PairOptions { consistency, reward: Reward::Judge, ..PairOptions::default() };
        let report = super::pair(&judged, 1.0, &options).unwrap().report;
        assert_eq!((report.pairs, report.mean_consistency), (1, Some(1.0)), "{consistency:?}");
        let expected = "one of the two rankings is constant, so that they have no agreement";
        assert!(report.skipped.iter().all(|skipped| skipped.reason == expected), "{:?}", report.skipped);
    }
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

/// p0: tau 1; p1: tau -1/3; p2: tau -1, of rewards 1, 2, 3 and so on.
fn disputed() -> [Vec<Scores>; 3] {
    let reference = scores(&[&[-10.0, -10.0, -10.0], &[-20.0, -20.0, -20.0], &[-9.0, -9.0, -9.0]]);
    let current = scores(&[&[-9.0, -8.0, -7.0], &[-17.0, -19.0, -18.0], &[-8.0, -7.0, -6.0]]);
    let previous = scores(&[&[-9.0, -8.0, -7.0], &[-19.0, -18.0, -17.0], &[-6.0, -7.0, -8.0]]);
    [current, previous, reference]
}

#[test]
fn level_and_map_make_the_consistency() {
    let [current, previous, reference] = disputed();
    let third = 1.0 / 3.0;
    for (level, map, expected, tau) in [
        (Level::PerPrompt, Map::Linear, vec![1.0, third, 0.0], -third / 3.0),
        (Level::PerPrompt, Map::Clamped, vec![1.0, 0.5, 0.5], -third / 3.0),
        (Level::PerPrompt, Map::Threshold(0.25), vec![1.0, third], third),
        (Level::Mean, Map::Linear, vec![4.0 / 9.0; 3], -third / 3.0),
        (Level::Mean, Map::Clamped, vec![2.0 / 3.0; 3], -third / 3.0),
        (Level::Mean, Map::Threshold(0.5), vec![1.0], 1.0),
        (Level::Fixed(0.7), Map::Linear, vec![0.7; 3], -third / 3.0),
        (Level::Off, Map::Linear, vec![1.0; 3], -third / 3.0),
    ] {
        let options = PairOptions { level, map, ..PairOptions::default() };
        let Pairing { pairs, report, .. } = pair(&current, &previous, &reference, 0.5, &options).unwrap();
        let found: Vec<f64> = pairs.iter().map(|pair| pair.consistency).collect();
        assert_eq!(found.len(), expected.len(), "{level} {map}: {found:?}");
        let close = |found: f64, expected: f64| (found - expected).abs() <= 4.0 * f64::EPSILON;
        let all_close = found.iter().zip(&expected).all(|(&found, &expected)| close(found, expected));
        assert!(all_close, "{level} {map}: {found:?}, expected {expected:?}");
        assert!(close(report.mean_tau.unwrap(), tau), "{level} {map}: {report:?}");
        // How far the models' rankings agree is told whatever is made of it.
        let rankings = report.rankings.unwrap();
        assert!(close(rankings.tau.unwrap(), -third / 3.0) && close(rankings.top_order.unwrap(), third));
        assert_eq!(report.mean_tokens, Some(2.0));
    }
    let options = PairOptions { level: Level::PerPrompt, map: Map::Threshold(0.25), ..PairOptions::default() };
    let report = pair(&current, &previous, &reference, 0.5, &options).unwrap().report;
    assert_eq!(report.skipped[0].reason, "the two rankings agree by -1, too little for map threshold:0.25");
}

#[test]
fn length_changes_the_reward() {
    // Of 1, 2 and 3 tokens; log-ratios 2, 3 and 3.3, so 2, 1.5 and 1.1 per token.
    let reference = scores(&[&[-9.0, -9.0, -9.0]]);
    let current = scores(&[&[-7.0, -6.0, -5.7]]);
    let previous = scores(&[&[-8.0, -7.0, -6.0]]);
    let paired = |reward: Reward| {
        let options = PairOptions { reward, ..options(Level::Off) };
        let pairing = pair(&current, &previous, &reference, 1.0, &options).unwrap();
        (pairing.pairs[0].chosen.clone(), pairing.pairs[0].rejected.clone(), pairing.report)
    };
    let (chosen, rejected, implicit) = paired(Reward::Implicit);
    assert_eq!((chosen.text.as_str(), rejected.text.as_str()), ("c2", "c0"));
    let (chosen, rejected, report) = paired(Reward::LengthNormalised);
    assert_eq!((chosen.text.as_str(), rejected.text.as_str()), ("c0", "c2"));
    // The previous model's 1, 1 and 1 per token rank nothing.
    assert_eq!((report.mean_tau, report.rankings), (None, implicit.rankings));
    let (chosen, rejected, _) = paired(Reward::LengthPenalised(0.5));
    // 1.5, 2 and 1.8.
    assert_eq!((chosen.text.as_str(), rejected.text.as_str()), ("c1", "c0"));
}

#[test]
fn length_changes_nothing_where_the_mean_logp_ranks() {
    // Of 1, 2 and 3 tokens: -4, -1 and -0.5 per token, which a price of 2 for each token would turn into -6, -5 and -6.5.
    let reference = scores(&[&[-4.0, -2.0, -1.5]]);
    let current = scores(&[&[-9.0, -8.0, -6.0]]);
    for reward in [Reward::Implicit, Reward::LengthNormalised, Reward::LengthPenalised(2.0)] {
        let options = PairOptions { reward, ..PairOptions::default() };
        let ranking = |inputs: &PairInputs<'_>| super::pair(inputs, 1.0, &options).unwrap().rankings.remove(0);
        let means = [-4.0, -1.0, -0.5].map(Some);
        let first = ranking(&inputs(&current, Previous::Reference, &reference));
        assert_eq!(first.previous_rewards, means, "{reward}");
        // The current model's log-ratios -5, -6 and -4.5 have the price that the reward says, in the same units.
        let own = match reward {
            Reward::LengthNormalised => [-5.0, -3.0, -1.5],
            Reward::LengthPenalised(_) => [-7.0, -10.0, -10.5],
            _ => [-5.0, -6.0, -4.5],
        };
        assert_eq!(first.rewards, own.map(Some), "{reward}");
        let alone = ranking(&inputs(&reference, Previous::NoneYet, &reference));
        assert_eq!(alone.rewards, means, "{reward}");
    }
}

#[test]
fn given_rewards_rank_and_those_without_one_do_not() {
    let [current, previous, reference] = disputed();
    let rewards = given(&[&[Some(1.0), None, Some(2.0)], &[None, Some(1.0), None], &[Some(5.0), Some(5.0), Some(5.0)]]);
    let options = PairOptions { reward: Reward::External, ..options(Level::Off) };
    let with = PairInputs { rewards: Some(&rewards), ..inputs(&current, Previous::Model(&previous), &reference) };
    let Pairing { pairs, report, .. } = super::pair(&with, 0.5, &options).unwrap();
    assert_eq!((pairs[0].chosen.text.as_str(), pairs[0].rejected.text.as_str(), pairs.len()), ("c2", "c0", 1));
    let reasons: Vec<_> = report.skipped.iter().map(|skipped| skipped.reason.as_str()).collect();
    assert_eq!(reasons, ["1 of 3 completions have a reward", "all 3 rewards are equal"]);
    assert_eq!((report.mean_tau, report.mean_reward_margin), (None, Some(1.0)));
    // Of the implicit rewards.
    assert!(report.rankings.unwrap().tau.is_some());

    let earlier = given(&[&[Some(3.0), None, Some(1.0)], &[Some(0.0); 3], &[Some(0.0); 3]]);
    let judged = PairOptions { reward: Reward::Judge, level: Level::PerPrompt, ..PairOptions::default() };
    let both = PairInputs { previous_rewards: Some(&earlier), ..with };
    assert_eq!(super::pair(&both, 0.5, &judged).unwrap().pairs[0].consistency, 0.0);

    let message =
        |inputs: &PairInputs<'_>, options: &PairOptions| super::pair(inputs, 0.5, options).unwrap_err().to_string();
    assert_eq!(message(&with, &judged), "previous rewards: none, expected some with reward judge");
    assert_eq!(message(&with, &PairOptions::default()), "rewards: given, expected none with reward implicit");
    let none = inputs(&current, Previous::Model(&previous), &reference);
    assert_eq!(message(&none, &options), "rewards: none, expected some with reward external");
    let few = PairInputs { rewards: Some(&rewards[..2]), ..with };
    assert_eq!(message(&few, &options), "rewards: 2 rows, expected 3 as in the current scores");
    let short = given(&[&[Some(1.0)], &[None], &[None]]);
    let short = PairInputs { rewards: Some(&short), ..with };
    assert_eq!(
        message(&short, &options),
        "rewards: row 1, id \"p0\", has 1 rewards, expected one for each of 3 completions"
    );
}

#[test]
fn rejected_from_the_initial_model() {
    // c0 and c1 are the current model's, c2 and c3 the initial one's: rewards 1, 4 and 2, -1.
    let reference = scores(&[&[-9.0; 4], &[-9.0; 4]]);
    let current = scores(&[&[-8.0, -5.0, -7.0, -10.0], &[-9.0, -10.0, -8.0, -7.0]]);
    let previous = scores(&[&[-8.0, -5.0, -10.0, -7.0], &[-9.0, -10.0, -9.0, -9.0]]);
    let options = PairOptions { rejected_from: RejectedFrom::Initial, ..PairOptions::default() };
    let anchored = PairInputs { anchors: 2, ..inputs(&current, Previous::Model(&previous), &reference) };
    let Pairing { pairs, report, .. } = super::pair(&anchored, 1.0, &options).unwrap();
    assert_eq!((pairs[0].chosen.text.as_str(), pairs[0].rejected.text.as_str()), ("c1", "c3"));
    assert_eq!((pairs[0].ref_rejected_logps, report.mean_reward_margin), (-10.0, Some(5.0)));
    // Only its own completions are ranked.
    assert_eq!((report.mean_tau, report.mean_tokens), (Some(1.0), Some(1.5)));
    assert_eq!(report.skipped[0].reason, "no completion is better than the worst of the initial model's");
    let plain = PairInputs { anchors: 0, ..anchored };
    assert!(super::pair(&plain, 1.0, &options).unwrap_err().to_string().starts_with("anchors: 0, expected some"));
    assert!(super::pair(&anchored, 1.0, &PairOptions::default()).is_err());
    let many = PairInputs { anchors: 5, ..anchored };
    assert_eq!(
        super::pair(&many, 1.0, &options).unwrap_err().to_string(),
        "prompt \"p0\": 4 completions and 5 anchors"
    );
}

#[test]
fn the_reference_of_training_is_the_round_s_or_m0() {
    let [current, previous, reference] = disputed();
    let options = PairOptions { train_reference: TrainReference::Initial, ..PairOptions::default() };
    let pairs = pair(&current, &previous, &reference, 0.5, &options).unwrap().pairs;
    assert_eq!((pairs[1].ref_chosen_logps, pairs[1].ref_rejected_logps), (-20.0, -20.0));
    let pairs = pair(&current, &previous, &reference, 0.5, &PairOptions::default()).unwrap().pairs;
    assert_eq!((pairs[1].ref_chosen_logps, pairs[1].ref_rejected_logps), (-17.0, -19.0));
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
        let (chosen, rejected) = (place(&pairs[0].chosen.text), place(&pairs[0].rejected.text));
        prop_assert!(rewards.iter().all(|&reward| reward <= rewards[chosen] && reward >= rewards[rejected]));
        prop_assert_eq!(pairs[0].ref_chosen_logps, now[chosen]);
    }
}

#[test]
fn what_was_cut_is_ranked_and_not_chosen() {
    let reference = scores(&[&[-10.0; 4][..]; 4]);
    let previous = scores(&[&[-9.0, -8.0, -7.0, -6.0][..]; 4]);
    // The best, the worst, all, and all but the worst were cut.
    let cut: [&[usize]; 4] = [&[3], &[0], &[0, 1, 2, 3], &[1, 2, 3]];
    let with_cut = |mut rows: Vec<Scores>| {
        for (row, places) in rows.iter_mut().zip(cut) {
            places.iter().for_each(|&place| row.completions[place].finish = cream_engine::Finish::Length);
        }
        rows
    };
    let [current, previous, reference] = [previous.clone(), previous, reference].map(with_cut);
    let paired = |cut: Cut, reward: Reward| {
        let options = PairOptions { cut, reward, level: Level::PerPrompt, ..PairOptions::default() };
        let Pairing { pairs, rankings, report } = pair(&current, &previous, &reference, 1.0, &options).unwrap();
        let pairs: Vec<String> =
            pairs.iter().map(|pair| format!("{} {} {}", pair.id, pair.chosen.text, pair.rejected.text)).collect();
        let skipped: Vec<String> = report.skipped.iter().map(|skip| format!("{}: {}", skip.id, skip.reason)).collect();
        assert_eq!((report.cut, report.pairs), (9, pairs.len()));
        let ranked = rankings.iter().map(|row| row.rewards.iter().flatten().count()).collect::<Vec<_>>();
        (pairs, skipped, report.notes.join("; "), ranked)
    };
    let (pairs, skipped, notes, ranked) = paired(Cut::Rank, Reward::Implicit);
    assert_eq!(pairs, ["p0 c2 c0", "p1 c3 c0"]);
    let none = "p2: all 4 completions were cut, and none is chosen (sample.max_new_tokens, pair.cut)";
    assert_eq!(skipped, [none, "p3: no completion that ended is better than the worst"]);
    assert_eq!(notes, "9 of 16 completions were cut at the longest length: they are ranked, and none is chosen");
    assert_eq!(ranked, [4; 4]);
    let (pairs, skipped, notes, ranked) = paired(Cut::Keep, Reward::Implicit);
    assert_eq!((pairs.len(), pairs[0].as_str(), skipped.len()), (4, "p0 c3 c0", 0));
    assert!(notes.ends_with("they count as those that ended"), "{notes}");
    assert_eq!(ranked, [4; 4]);
    let (pairs, skipped, notes, ranked) = paired(Cut::Drop, Reward::Implicit);
    assert_eq!(pairs, ["p0 c2 c0", "p1 c3 c1"]);
    assert_eq!(skipped, ["p2: 0 of 4 completions have a reward", "p3: 1 of 4 completions have a reward"]);
    assert!(notes.ends_with("they are dropped"), "{notes}");
    assert_eq!(ranked, [3, 3, 0, 1]);
    // The rejected one may be an anchor that was cut, unless those are dropped.
    for (cut, expected) in [(Cut::Rank, "c2 c3"), (Cut::Drop, "")] {
        let inputs =
            PairInputs { anchors: 1, ..inputs(&current[..1], Previous::Model(&previous[..1]), &reference[..1]) };
        let mut worst = current[..1].to_vec();
        worst[0].logps[3] = -30.0;
        let inputs = PairInputs { current: &worst, ..inputs };
        let options = PairOptions { cut, rejected_from: RejectedFrom::Initial, ..options(Level::Off) };
        let pairing = super::pair(&inputs, 1.0, &options).unwrap();
        let pairs: Vec<String> =
            pairing.pairs.iter().map(|pair| format!("{} {}", pair.chosen.text, pair.rejected.text)).collect();
        assert_eq!(pairs.concat(), expected);
    }
}

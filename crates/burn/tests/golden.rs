//! The loss and its gradient against the golden cases of every door, and log-probs against the plain formula, on flex.

#![allow(clippy::unwrap_used, reason = "all of it is tests")]

use burn_core::tensor::{Bool, Device, Int, Tensor, TensorData};
use cream_burn::{CreamLossConfig, PairLogps, completion_logps};

/// Burn computes in f32: relative above 1, absolute below.
const TOLERANCE: f64 = 1e-5;

fn assert_close(found: f32, expected: f64, what: &str) {
    let within = TOLERANCE * expected.abs().max(1.0);
    assert!((f64::from(found) - expected).abs() <= within, "{what}: {found}, expected {expected}");
}

/// The cases of CREAM's and DPO's loss: beta, inputs and expected numbers, less those of the likelihood term that Burn's loss
/// does not have.
fn cases() -> Vec<(String, f64, [f64; 5], Vec<f64>)> {
    let table = std::fs::read_to_string("../../tests/golden/doors.txt").unwrap();
    let mut cases = Vec::new();
    for line in table.lines().filter(|line| line.starts_with("pair-loss ")) {
        let (arguments, expected) = line.split_once(" = ").unwrap();
        let words: Vec<&str> = arguments.split(' ').collect();
        let numbers: Vec<f64> = words[2..].iter().map(|word| word.parse().unwrap()).collect();
        let &[beta, consistency, chosen, rejected, ref_chosen, ref_rejected, sft_weight, tokens] = &numbers[..] else {
            panic!("{line}")
        };
        if words[1] == "ipo" || expected == "error" {
            continue;
        }
        let consistency = if words[1] == "dpo" { 1.0 } else { consistency };
        let mut expected: Vec<f64> = expected.split(' ').map(|word| word.parse().unwrap()).collect();
        let likelihood = sft_weight / tokens;
        expected[0] += likelihood * chosen;
        expected[4] += likelihood;
        cases.push((line.to_owned(), beta, [chosen, rejected, ref_chosen, ref_rejected, consistency], expected));
    }
    cases
}

#[test]
fn losses_and_gradients_are_the_golden_ones() {
    let device = Device::flex().autodiff();
    let cases = cases();
    assert!(cases.len() >= 20, "{} cases", cases.len());
    for (line, beta, inputs, expected) in cases {
        // In f32 a margin has the rounding of the log-probs, times beta.
        let leaf = |value: f64| Tensor::<1>::from_floats([value as f32], &device).require_grad();
        let [chosen, rejected, ref_chosen, ref_rejected] = [0, 1, 2, 3].map(|i| leaf(inputs[i]));
        let consistency = Tensor::<1>::from_floats([inputs[4] as f32], &device);
        let policy = PairLogps { chosen: chosen.clone(), rejected: rejected.clone() };
        let reference = PairLogps { chosen: ref_chosen.clone(), rejected: ref_rejected.clone() };
        let loss = CreamLossConfig::new().with_beta(beta).init().forward(policy, reference, consistency);
        let gradients = loss.backward();
        // Loss, margin, rewards, then the four derivatives.
        assert_close(loss.into_scalar::<f32>(), expected[0], &line);
        for (leaf, expected) in [chosen, rejected, ref_chosen, ref_rejected].iter().zip(&expected[4..]) {
            assert_close(leaf.grad(&gradients).unwrap().into_scalar::<f32>(), *expected, &line);
        }
    }
}

#[test]
fn a_batch_is_its_pairs() {
    let device = Device::flex();
    let cases: Vec<_> = cases().into_iter().filter(|(_, beta, ..)| *beta == 0.1).collect();
    assert!(cases.len() >= 5, "{} cases", cases.len());
    let column = |i: usize| {
        Tensor::<1>::from_data(
            TensorData::from(&*cases.iter().map(|case| case.2[i] as f32).collect::<Vec<_>>()),
            &device,
        )
    };
    let policy = || PairLogps { chosen: column(0), rejected: column(1) };
    let reference = || PairLogps { chosen: column(2), rejected: column(3) };
    let loss = CreamLossConfig::new().init();
    let each: Vec<f32> = loss.forward_no_reduction(policy(), reference(), column(4)).into_data().try_to_vec().unwrap();
    let margins: Vec<f32> = loss.margins(policy(), reference()).into_data().try_to_vec().unwrap();
    for ((found, margin), (line, _, _, expected)) in each.iter().zip(&margins).zip(&cases) {
        assert_close(*found, expected[0], line);
        assert_close(*margin, expected[1], line);
    }
    let mean = loss.forward(policy(), reference(), column(4)).into_scalar::<f32>();
    assert_close(mean, each.iter().map(|&loss| f64::from(loss)).sum::<f64>() / each.len() as f64, "mean");
}

/// Far from 0 one of the two logarithms is that of a number that is 0 in f32.
#[test]
fn extreme_margins_stay_finite() {
    let device = Device::flex().autodiff();
    for (margin, consistency) in [(1e6f32, 0.25f32), (-1e6, 0.25), (1e6, 1.0), (-1e6, 0.0), (0.0, 0.5)] {
        let chosen = Tensor::<1>::from_floats([margin], &device).require_grad();
        let zero = || Tensor::<1>::from_floats([0.0], &device);
        let policy = PairLogps { chosen: chosen.clone(), rejected: zero() };
        let reference = PairLogps { chosen: zero(), rejected: zero() };
        let weight = Tensor::<1>::from_floats([consistency], &device);
        let loss = CreamLossConfig::new().with_beta(1.0).init().forward(policy, reference, weight);
        let gradient = chosen.grad(&loss.backward()).unwrap().into_scalar::<f32>();
        let (z, c) = (f64::from(margin), f64::from(consistency));
        let expected = if z > 0.0 { (1.0 - c) * z } else { -c * z } + (-z.abs()).exp().ln_1p();
        assert_close(loss.into_scalar::<f32>(), expected, "loss");
        assert_close(gradient, 1.0 / (1.0 + (-z).exp()) - c, "gradient");
    }
}

#[test]
#[should_panic(expected = "beta is 0, expected a positive number")]
fn a_beta_of_nothing_is_refused() {
    CreamLossConfig::new().with_beta(0.0).init();
}

#[test]
fn completions_are_summed_over_their_tokens() {
    let device = Device::flex().autodiff();
    let (batch, length, vocabulary) = (3, 5, 7);
    let logit = |i: usize| ((i * 37 % 101) as f32 - 50.0) / 16.0;
    let values: Vec<f32> = (0..batch * length * vocabulary).map(logit).collect();
    let tokens: Vec<i32> = (0..batch * length).map(|i| (i * 5 % vocabulary) as i32).collect();
    // The first counts from its own first token on, which nothing predicts; the last has padding behind.
    let mask = [[true; 5], [false, false, true, true, true], [false, true, true, false, false]];
    let logits = Tensor::<1>::from_data(TensorData::from(&values[..]), &device)
        .reshape([batch, length, vocabulary])
        .require_grad();
    let ids = Tensor::<1, Int>::from_data(TensorData::from(&tokens[..]), &device).reshape([batch, length]);
    let found = completion_logps(logits.clone(), ids, Tensor::<2, Bool>::from_data(mask, &device));
    let gradients = logits.grad(&found.clone().sum().backward()).unwrap();
    let gradients: Vec<f32> = gradients.into_data().try_to_vec().unwrap();
    let found: Vec<f32> = found.into_data().try_to_vec().unwrap();
    for row in 0..batch {
        let mut sum = 0.0;
        for t in 0..length {
            let of = |v: usize| f64::from(values[(row * length + t) * vocabulary + v]);
            let total: f64 = (0..vocabulary).map(|v| of(v).exp()).sum();
            let counted = t + 1 < length && mask[row][t + 1];
            let target = tokens[row * length + (t + 1) % length] as usize;
            if counted {
                sum += of(target) - total.ln();
            }
            for v in 0..vocabulary {
                let expected = if counted { f64::from(u8::from(v == target)) - of(v).exp() / total } else { 0.0 };
                assert_close(gradients[(row * length + t) * vocabulary + v], expected, "gradient");
            }
        }
        assert_close(found[row], sum, "log-prob");
    }
}

//! Golden values of scipy and torch, made by tests/golden/make_golden.py.

use crate::consistency::Kind;
use crate::tolerances::{GOLDEN, GOLDEN_F32};
use crate::{Loss, PairLogps, Ties, completion_logps, implicit_reward, ranks};
use serde_json::Value;
use std::vec;
use std::vec::Vec;

fn read(name: &str) -> Value {
    let path = std::format!("../../tests/golden/{name}");
    serde_json::from_slice(&std::fs::read(&path).expect(&path)).expect(&path)
}

fn list(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn assert_close(got: f64, expected: f64, tolerance: f64, what: &str) {
    assert!((got - expected).abs() <= tolerance, "{what}: {got}, expected {expected}");
}

#[test]
fn consistency_is_that_of_scipy() {
    let golden = read("consistency.json");
    let rows = golden["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 14);
    for (i, row) in rows.iter().enumerate() {
        let (current, previous) = (list(&row["current"]), list(&row["previous"]));
        for (kind, key) in [
            (Kind::Kendall, "tau_a"),
            (Kind::KendallB, "tau_b"),
            (Kind::KendallOrdinal, "tau_ordinal"),
            (Kind::Spearman, "spearman"),
        ] {
            let got = kind.agreement(&current, &previous, &mut []).unwrap();
            assert_eq!(got.is_some(), row[key].is_f64(), "{key} of row {i}");
            if let Some(got) = got {
                assert_close(got, row[key].as_f64().unwrap(), GOLDEN, key);
            }
        }
        for (values, ties, key) in [
            (&current, Ties::Ordinal, "ordinal_ranks_current"),
            (&previous, Ties::Ordinal, "ordinal_ranks_previous"),
            (&current, Ties::Average, "average_ranks_current"),
        ] {
            let (mut order, mut out) = (vec![0; values.len()], vec![0.0; values.len()]);
            ranks(values, ties, &mut order, &mut out).unwrap();
            assert_eq!(out, list(&row[key]), "{key} of row {i}");
        }
    }
}

#[test]
fn loss_is_that_of_torch() {
    for name in ["tied/golden.json", "untied/golden.json"] {
        let golden = read(name);
        let beta = golden["beta"].as_f64().unwrap();
        let logps = |sequence: usize, key: &str| {
            let token_logps: Vec<f32> =
                list(&golden["sequences"][sequence][key]).iter().map(|&logp| logp as f32).collect();
            completion_logps(&token_logps).unwrap()
        };
        let pairs = golden["pairs"].as_array().unwrap();
        assert_eq!(pairs.len(), 4);
        for (i, pair) in pairs.iter().enumerate() {
            let logps = PairLogps {
                chosen: logps(2 * i, "token_logps"),
                rejected: logps(2 * i + 1, "token_logps"),
                reference_chosen: logps(2 * i, "reference_token_logps"),
                reference_rejected: logps(2 * i + 1, "reference_token_logps"),
            };
            let got = Loss::Cream.evaluate(beta, pair["consistency"].as_f64().unwrap(), &logps).unwrap();
            let reward = implicit_reward(beta, logps.chosen, logps.reference_chosen).unwrap();
            for (got, key) in [
                (got.loss, "loss"),
                (got.margin, "margins"),
                (got.reward_chosen, "rewards_chosen"),
                (got.reward_rejected, "rewards_rejected"),
                (got.d_chosen / beta, "dloss_dmargin"),
                (reward, "rewards_chosen"),
            ] {
                assert_close(got, golden["dpo"][key][i].as_f64().unwrap(), GOLDEN_F32, key);
            }
        }
    }
}

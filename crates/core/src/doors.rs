//! The cases that every door to this crate is tested with: tests/golden/doors.txt, made by make_doors.py.

use std::string::String;
use std::vec;
use std::vec::Vec;

use crate::consistency::{Kind, Map, mean};
use crate::tolerances::GOLDEN;
use crate::{Error, Loss, PairLogps, Ties, choose_pair, completion_logps, implicit_reward, mean_logps, ranks};

/// The arguments of a case, taken one after the other.
struct Words<'a>(std::str::SplitWhitespace<'a>);

impl<'a> Words<'a> {
    fn word(&mut self) -> &'a str {
        self.0.next().expect("a line is long enough")
    }

    fn number(&mut self) -> f64 {
        self.word().parse().expect("a number")
    }

    fn list(&mut self) -> Vec<f64> {
        (0..self.number() as usize).map(|_| self.number()).collect()
    }
}

fn measure(name: &str) -> Kind {
    match name {
        "kendall" => Kind::Kendall,
        "kendall-b" => Kind::KendallB,
        "kendall-ordinal" => Kind::KendallOrdinal,
        "spearman" => Kind::Spearman,
        "spearman-ordinal" => Kind::SpearmanOrdinal,
        "top-order" => Kind::TopOrder,
        "top-order-ordinal" => Kind::TopOrderOrdinal,
        other => panic!("{other}"),
    }
}

/// What a case gives; `None` where the quantity is undefined.
fn call(name: &str, words: &mut Words<'_>) -> Result<Option<Vec<f64>>, Error> {
    let one = |number: f64| Some(vec![number]);
    Ok(match name {
        "agreement" => {
            let (measure, current, previous) = (measure(words.word()), words.list(), words.list());
            let mut scratch = vec![0; measure.scratch_len(current.len())];
            measure.agreement(&current, &previous, &mut scratch)?.and_then(one)
        }
        "ranks" => {
            let ties = if words.word() == "ordinal" { Ties::Ordinal } else { Ties::Average };
            let values = words.list();
            let (mut order, mut out) = (vec![0; values.len()], vec![0.0; values.len()]);
            ranks(&values, ties, &mut order, &mut out)?;
            Some(out)
        }
        "consistency" => {
            let (map, threshold, agreement) = (words.word(), words.number(), words.number());
            let map = match map {
                "linear" => Map::Linear,
                "clamped" => Map::Clamped,
                _ => Map::Threshold(threshold),
            };
            map.apply(agreement)?.and_then(one)
        }
        "mean-consistency" => one(mean(&words.list())?),
        "completion-logps" => {
            let logps: Vec<f32> = words.list().into_iter().map(|logp| logp as f32).collect();
            one(completion_logps(&logps)?)
        }
        "mean-logps" => one(mean_logps(words.number(), words.number() as usize)?),
        "implicit-reward" => one(implicit_reward(words.number(), words.number(), words.number())?),
        "choose-pair" => {
            let minimum = words.number();
            choose_pair(&words.list(), minimum)?.map(|pair| vec![pair.chosen as f64, pair.rejected as f64, pair.margin])
        }
        "pair-loss" => {
            let loss = match words.word() {
                "cream" => Loss::Cream,
                "dpo" => Loss::Dpo,
                _ => Loss::Ipo,
            };
            let (beta, consistency) = (words.number(), words.number());
            let logps = PairLogps {
                chosen: words.number(),
                rejected: words.number(),
                reference_chosen: words.number(),
                reference_rejected: words.number(),
            };
            let (weight, tokens) = (words.number(), words.number() as usize);
            let pair = loss.evaluate(beta, consistency, &logps)?.with_sft(weight, logps.chosen, tokens)?;
            Some(pair.numbers().to_vec())
        }
        other => panic!("{other}"),
    })
}

#[test]
fn every_case_of_the_doors() {
    let path = "../../tests/golden/doors.txt";
    let text = String::from_utf8(std::fs::read(path).expect(path)).unwrap();
    assert_eq!(text.lines().count(), 353);
    for (number, line) in text.lines().enumerate() {
        let mut words = Words(line.split_whitespace());
        let name = words.word();
        let got = call(name, &mut words);
        assert_eq!(words.word(), "=", "line {}", number + 1);
        let expected: Vec<_> = words.0.collect();
        let good = match (&got, expected[0]) {
            (Err(_), "error") | (Ok(None), "undefined") => true,
            (Ok(Some(got)), first) if first.parse::<f64>().is_ok() => {
                let close = |(got, expected): (&f64, &&str)| {
                    let expected: f64 = expected.parse().unwrap();
                    (got - expected).abs() <= GOLDEN * expected.abs().max(1.0)
                };
                got.len() == expected.len() && got.iter().zip(&expected).all(close)
            }
            _ => false,
        };
        assert!(good, "line {}, {name}: {got:?}, expected {expected:?}", number + 1);
    }
}

use std::fs;

use serde_json::{Value, json};

use crate::smollm2;
use crate::support::{done, fails, file, folder, golden, text, tiny_model};

/// A choice's log-likelihood: two f32 implementations that add in other orders, relative.
const RELATIVE: f64 = 1e-3;

fn rows(path: &str) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A file of JSON rows.
fn jsonl(folder: &std::path::Path, name: &str, rows: &[Value]) -> String {
    file(folder, name, &rows.iter().map(|row| format!("{row}\n")).collect::<String>())
}

#[test]
fn choices_have_the_log_likelihoods_of_transformers() {
    let Some(model) = smollm2::file() else { return };
    let folder = folder("eval-golden");
    let expected: Value = serde_json::from_slice(&fs::read(golden().join("eval.json")).unwrap()).unwrap();
    let expected = expected["rows"].as_array().unwrap();
    let task = jsonl(&folder, "own.jsonl", expected);
    let (model, output) = (text(&model), text(&folder.join("rows.jsonl")));
    let args = ["eval", "--model", &model, "--task", &task, "--output", &output, "--json", "--batch-tokens", "100"];
    let report: Value = serde_json::from_str(&done(&args)).unwrap();
    let outcomes = rows(&output);
    assert_eq!(outcomes.len(), expected.len());
    for (outcome, expected) in outcomes.iter().zip(expected) {
        for key in ["id", "tokens", "acc", "acc_norm"] {
            assert_eq!(outcome[key], expected[key], "{key} of {expected}");
        }
        let logps =
            |row: &Value| row["logps"].as_array().unwrap().iter().map(|l| l.as_f64().unwrap()).collect::<Vec<_>>();
        for (logp, expected) in logps(outcome).into_iter().zip(logps(expected)) {
            println!("{logp:.5} {expected:.5} {:.1e}", (logp - expected).abs() / expected.abs());
            assert!((logp - expected).abs() <= RELATIVE * expected.abs(), "{logp}, expected {expected}: {outcome}");
        }
    }
    let share = |key: &str| expected.iter().filter(|row| row[key] == true).count() as f64 / expected.len() as f64;
    assert_eq!((report["acc"].as_f64(), report["acc_norm"].as_f64()), (Some(share("acc")), Some(share("acc_norm"))));
    let (p, n) = (share("acc"), expected.len() as f64);
    assert_eq!(report["stderr"].as_f64(), Some((p * (1.0 - p) / (n - 1.0)).sqrt()));
}

#[test]
fn a_written_answer_is_read_from_the_chat() {
    let Some(model) = smollm2::file() else { return };
    let folder = folder("eval-answers");
    let task = jsonl(
        &folder,
        "capitals.jsonl",
        &[json!({"id": 1, "question": "What is the capital of France?", "answer": "The capital  of france is Paris."})],
    );
    let report = done(&["eval", "--model", &text(&model), "--task", &task, "--json", "--max-new-tokens", "20"]);
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(
        (&report["acc"], &report["answer_mode"], &report["stderr"]),
        (&json!(1.0), &json!("exact"), &Value::Null)
    );
}

#[test]
fn three_kinds_of_tasks_in_a_table() {
    let folder = folder("eval-table");
    let model = tiny_model(&folder);
    let choice = |id: u32| json!({"id": id, "question": "Which one?", "choices": ["a", "bc", "d"], "answer": 1});
    let choices = jsonl(&folder, "choices.jsonl", &[choice(1), choice(2), choice(3)]);
    let answers = jsonl(&folder, "answers.jsonl", &[json!({"question": "2 + 2?", "answer": "4"})]);
    let preferences =
        jsonl(&folder, "preferences.jsonl", &[json!({"prompt": "Hi", "chosen": "Hello!", "rejected": "No"})]);
    let output = text(&folder.join("rows.jsonl"));
    let mut args = vec!["eval", "--model", &model, "--task", &choices, "--task", &answers, "--max-new-tokens", "4"];
    let table = done(&[&args[..], &["--limit", "2", "--output", &output]].concat());
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["task", "n", "measure", "value", "stderr"]);
    assert_eq!(lines[1][..3], ["choices", "2", "acc"]);
    assert_eq!(lines[2][..3], ["choices", "2", "acc_norm"]);
    assert_eq!(lines[3][..3], ["answers", "1", "acc"]);
    assert_eq!(rows(&output).iter().map(|row| &row["task"]).collect::<Vec<_>>(), ["choices", "choices", "answers"]);
    assert_ne!(done(&[&args[..], &["--json"]].concat()), done(&[&args[..], &["--json", "--chat"]].concat()));

    fs::create_dir(folder.join("more")).unwrap();
    let same = jsonl(&folder.join("more"), "choices.jsonl", &[choice(1)]);
    let table = done(&[&args[..], &["--task", &same]].concat());
    for path in [&choices, &same] {
        assert!(table.lines().any(|line| line.starts_with(&format!("{path} "))), "{path}: {table}");
    }
    args.extend(["--task", &preferences]);
    fails(&args, 1, &["preferences, expected --adapter or --reference"]);
    args.extend(["--reference", &model]);
    let table = done(&args);
    assert!(table.contains("1 ties; the longer one: preferred undefined, chosen 100.0 %"), "{table}");
}

#[test]
fn mistakes_in_tasks_and_what_skipping_does() {
    let folder = folder("eval-mistakes");
    let model = tiny_model(&folder);
    let good = "{\"id\":\"a\",\"question\":\"q\",\"choices\":[\"x\",\"y\"],\"answer\":0}\n";
    let bad = file(
        &folder,
        "bad.jsonl",
        &format!("{good}{{\"id\":\"b\",\"question\":\"q\",\"choices\":[\"x\"],\"answer\":0}}\n"),
    );
    let eval = |task: &str, rest: &[&str]| {
        [&["eval", "--model", &model, "--task", task][..], rest]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    fails(&eval(&bad, &[]), 1, &["bad.jsonl: line 2: \"choices\" is [\"x\"], expected at least two"]);
    let output = crate::support::cream(&eval(&bad, &["--skip-bad", "--quiet", "--json"])).output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("bad.jsonl: 1 bad rows passed over, the first: "));
    let mixed = file(&folder, "mixed.jsonl", &format!("{good}{{\"question\":\"q\",\"answer\":\"x\"}}\n"));
    fails(&eval(&mixed, &[]), 1, &["mixed.jsonl: line 2: a prompt with an \"answer\", expected a question"]);
    let empty = file(&folder, "empty.jsonl", "");
    fails(&eval(&empty, &[]), 1, &["empty.jsonl: no rows"]);
    fails(&eval(&text(&folder.join("none")), &[]), 1, &["cannot read", "none"]);
    fails(&eval(&bad, &["--answer-mode", "words"]), 2, &["number", "letter", "exact"]);
    fails(&eval(&bad, &["--limit", "0"]), 2, &["--limit"]);
}

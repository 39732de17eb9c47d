use std::fs;

use serde_json::Value;

use crate::support::{
    assert_same_tree, cream, done, fails, file, folder, prompts, rows, text, tiny_model, tree, words,
};

const SMALL: &str = "--cut keep -n 3 --max-new-tokens 6 --learning-rate 0.01 --batch-size 2 --lora-r 4 --iterations 1";
/// The tiny model has a window of 256 tokens: no room for a judge's instruction, nor for long tasks.
const ROWS: &str = "{\"id\":\"a\",\"question\":\"Who?\",\"choices\":[\"I\",\"you\",\"it\"],\"answer\":1}\n\
                    {\"id\":\"b\",\"question\":\"When?\",\"choices\":[\"now\",\"then\"],\"answer\":0}\n";
const SFT: &str = "{\"prompt\":\"Hi\",\"completion\":\"Good day\"}\n";

/// A program for sh that gives three completions the rewards 1, 3 and 2.
const REWARDS: &str = r#"sed -E 's/^\{("id":"[^"]*").*/{\1,"rewards":[1,3,2]}/'"#;

#[test]
#[cfg(unix)]
fn an_oracle_s_program_or_file_decides() {
    let folder = folder("oracle");
    let (model, prompts) = (tiny_model(&folder), prompts(&folder, 4));
    let at = |name: &str| text(&folder.join(name));
    let run = |output: &str| {
        words!("run --model {model} --prompts {prompts} --output {output} --method oracle {SMALL} --quiet")
    };
    let (by_command, by_file) = (at("command"), at("file"));
    done(&[&run(&by_command)[..], &["--reward-command".into(), REWARDS.into()]].concat());
    let completions = rows(&format!("{by_command}/iteration-1/completions.jsonl"));
    for (pair, row) in rows(&format!("{by_command}/iteration-1/pairs.jsonl")).iter().zip(&completions) {
        assert_eq!((&pair["chosen"], &pair["rejected"]), (&row["completions"][1], &row["completions"][0]));
        assert_eq!(pair["consistency"], 1.0);
    }
    let kept = fs::read_to_string(format!("{by_command}/config.toml")).unwrap();
    for line in ["method = \"oracle\"", "reward = \"external\"", "level = \"off\"", "loss = \"dpo\""] {
        assert!(kept.lines().any(|kept| kept == line), "{kept}: expected {line}");
    }
    // Without the program the run stops, names the file, and goes on when it is there.
    fails(&run(&by_file), 1, &["iteration-1/rewards-current.jsonl: missing, expected {\"id\", \"rewards\": […]}"]);
    let rewards = format!("{by_command}/iteration-1/rewards-current.jsonl");
    fs::copy(&rewards, format!("{by_file}/iteration-1/rewards-current.jsonl")).unwrap();
    done(&run(&by_file));
    assert_same_tree(&folder.join("command"), &folder.join("file"), "by command and by file");

    // The same pairs by hand.
    let (step, pairs) = (format!("{by_command}/iteration-1"), at("pairs.jsonl"));
    let scores = words!(
        "--current {step}/scores-current.jsonl --previous {step}/scores-previous.jsonl --reference {step}/scores-reference.jsonl"
    );
    let by_hand = words!("pair --output {pairs} --reward external --level off --cut keep");
    done(&[&by_hand[..], &scores, &words!("--rewards {rewards}")].concat());
    assert!(fs::read(&pairs).unwrap() == fs::read(format!("{step}/pairs.jsonl")).unwrap());
    fails(&[&by_hand[..], &scores].concat(), 1, &["rewards: none, expected some with reward external"]);

    for (command, parts) in [
        ("exit 3", ["--reward-command \"exit 3\"", "exit status: 3"]),
        ("cat", ["--reward-command", "line 1: no \"rewards\""]),
        (
            "head -n 1 | sed -E 's/^\\{(\"id\":\"[^\"]*\").*/{\\1,\"rewards\":[1,3,2]}/'",
            ["external rewards", "1 rows, expected 4"],
        ),
    ] {
        let run = run(&at("wrong"));
        fails(&[&run[..], &["--reward-command".into(), command.into()]].concat(), 1, &parts);
    }
}

#[test]
fn every_knob_is_in_the_settings_that_a_run_keeps() {
    let folder = folder("knobs");
    let (model, prompts) = (tiny_model(&folder), prompts(&folder, 3));
    let run = text(&folder.join("run"));
    let knobs = "--level per-prompt --map clamped --reward length-penalised:0.01 --consistency kendall-b --rejected-from initial \
                 --train-reference initial --sft-weight 0.5 --replay 1 --judge-votes 2 --judge-max-new-tokens 64";
    let flags: Vec<&str> = knobs.split_whitespace().collect();
    let begin = words!("run --model {model} --prompts {prompts} --output {run} {SMALL}");
    let begin: Vec<&str> = begin.iter().map(String::as_str).collect();
    done(&[&begin[..], &flags].concat());
    let kept = fs::read_to_string(format!("{run}/config.toml")).unwrap();
    for line in [
        "level = \"per-prompt\"",
        "map = \"clamped\"",
        "reward = \"length-penalised:0.01\"",
        "consistency = \"kendall-b\"",
        "rejected_from = \"initial\"",
        "train_reference = \"initial\"",
        "sft_weight = 0.5",
        "replay = 1",
        "votes = 2",
    ] {
        assert!(kept.lines().any(|kept| kept == line), "{kept}: expected {line}");
    }
    let but_one = knobs.replace("--consistency kendall-b ", "");
    let but_one: Vec<&str> = but_one.split_whitespace().collect();
    let expected = "config.toml: pair.consistency was \"kendall-b\" when this run began and is \"kendall\" now";
    fails(&[&begin[..], &but_one].concat(), 1, &[expected]);
    let other = text(&folder.join("other"));
    let refused = |flags: &str, code: i32, parts: &[&str]| {
        let begin = words!("run --model {model} --prompts {prompts} --output {other} {flags}");
        fails(&begin, code, parts);
    };
    refused("--method srlm --level mean", 1, &["pair.level: mean, expected off with method srlm"]);
    refused("--method cream --reward judge", 1, &["pair.reward: judge, expected implicit with method cream"]);
    refused("--method sft-only --iterations 2", 1, &["iterations: 2, expected 0 with method sft-only"]);
    refused("--method sft-only", 1, &["iterations: 0, expected at least 1 where there is no supervised data"]);
    refused("--loss dpo", 1, &["pair.level: mean, expected off with loss dpo, which makes no use of the consistency"]);
    refused("--level off --map clamped", 1, &["pair.map: clamped, expected linear with level off"]);
    refused("--reward external", 1, &["pair.level: mean, expected off or fixed:C with reward external"]);
    refused("--reward-command cat", 1, &["--reward-command: the reward is implicit, expected external"]);
    refused("--level fixed:2", 1, &["pair.level: fixed:2, expected fixed:C with C from 0 to 1"]);
    refused("--sft-weight -1", 1, &["sft_weight: -1, expected 0 or a positive number"]);
    refused("--level fixed", 2, &["--level", "expected mean, per-prompt, fixed:C"]);
    refused("--method dpo", 2, &["--method", "srlm-judge"]);
    assert!(!folder.join("other/config.toml").exists());
}

#[test]
fn losses_train_apart() {
    let folder = folder("losses");
    let (model, prompts) = (tiny_model(&folder), prompts(&folder, 4));
    let run = text(&folder.join("run"));
    done(&words!("run --model {model} --prompts {prompts} --output {run} {SMALL} --level fixed:0.7"));
    let pairs = format!("{run}/iteration-1/pairs.jsonl");
    let first_loss = |name: &str, flags: &str| {
        let out = text(&folder.join(name));
        let train = format!("train --model {model} --pairs {pairs} --output {out} --batch-size 4 --json{flags}");
        let summary: Value = serde_json::from_str(&done(&words!("{train}"))).unwrap();
        summary["first_loss"].as_f64().unwrap()
    };
    // At the reference the margin is 0: log 2 for DPO and CREAM, (1 / (2 beta))^2 for IPO.
    let (cream, dpo, ipo) =
        (first_loss("cream", ""), first_loss("dpo", " --loss dpo"), first_loss("ipo", " --loss ipo --beta 0.5"));
    assert!((cream - 2.0_f64.ln()).abs() < 1e-3 && (dpo - cream).abs() < 1e-3, "{cream} {dpo}");
    assert!((ipo - 1.0).abs() < 1e-2, "{ipo}");
    assert!(first_loss("sft", " --sft-weight 1") > cream + 1.0);
}

#[test]
#[cfg(unix)]
fn methods_are_compared_in_one_table() {
    let folder = folder("compare");
    let (model, prompts) = (tiny_model(&folder), prompts(&folder, 3));
    let (task, sft) = (file(&folder, "task.jsonl", ROWS), file(&folder, "sft.jsonl", SFT));
    let out = text(&folder.join("out"));
    let args = words!(
        "compare --model {model} --prompts {prompts} --sft {sft} --task {task} --output {out} --methods cream,srlm,oracle {SMALL}"
    );
    let args = [&args[..], &["--reward-command".into(), REWARDS.into()]].concat();
    let table = done(&args);
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..6], ["method", "model", "task", "tau", "rho", "top"], "{table}");
    let starts: Vec<_> = lines[1..].iter().map(|line| line[..2].join(" ")).collect();
    assert_eq!(starts, ["all M0", "all M1", "cream M2", "srlm M2", "oracle M2"], "{table}");
    let before = tree(&folder.join("out"));
    let json = done(&[&args[..], &["--json".into()]].concat());
    assert!(tree(&folder.join("out")) == before, "nothing is left to do");
    let comparison: Value = serde_json::from_str(&json).unwrap();
    let saved: Value = serde_json::from_slice(&fs::read(format!("{out}/compare.json")).unwrap()).unwrap();
    assert_eq!(comparison, saved);
    assert_eq!(comparison["methods"][2]["models"][2]["tasks"][0]["n"], 2);
    let again = words!("compare --model {model} --prompts {prompts} --output {out}/no --methods sft-only");
    fails(&again, 1, &["methods: sft-only, expected others, where there is no supervised data"]);
    assert!(cream(&["compare", "--help"]).output().unwrap().status.success());
}

#[test]
fn pairs_as_trl_has_them_are_trained_on() {
    let folder = folder("trl");
    let model = tiny_model(&folder);
    let turn = |role: &str, content: &str| format!("[{{\"role\":\"{role}\",\"content\":\"{content}\"}}]");
    let row = |i: usize| match i % 2 {
        0 => format!("{{\"prompt\":\"Give {i}.\",\"chosen\":\"Yes {i}\",\"rejected\":\"No\"}}\n"),
        _ => {
            let [prompt, chosen, rejected] =
                [turn("user", "Why?"), turn("assistant", &format!("So {i}.")), turn("assistant", "I")];
            format!("{{\"prompt\":{prompt},\"chosen\":{chosen},\"rejected\":{rejected}}}\n")
        }
    };
    let pairs = file(&folder, "trl.jsonl", &(0..4).map(row).collect::<String>());
    let out = text(&folder.join("out"));
    let train =
        words!("train --model {model} --pairs {pairs} --output {out} --batch-size 4 --epochs 2 --learning-rate 0.01");
    let said = cream(&train).output().unwrap();
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(said.contains("4 of 4 pairs have no consistency: theirs is 1, plain DPO"), "{said}");
    assert!(said.contains("4 pairs have no reference"), "{said}");
    let metrics = rows(&format!("{out}/metrics.jsonl"));
    let of = |step: usize, key: &str| metrics[step][key].as_f64().unwrap();
    // The reference is the model itself, before its first step and not after.
    assert!(of(0, "rewards/margins").abs() < 1e-6 && of(1, "rewards/margins") > 0.0, "{metrics:?}");
    assert_eq!(of(0, "consistency"), 1.0);
}

#[test]
fn a_run_s_own_settings_are_compared_with() {
    let folder = folder("compare-config");
    let (model, prompts) = (tiny_model(&folder), prompts(&folder, 3));
    // Its window of 256 tokens leaves less than the usual 256 for an answer.
    let task = file(&folder, "answers.jsonl", "{\"question\":\"Who?\",\"answer\":\"I\"}\n");
    let at = |name: &str| text(&folder.join(name));
    for method in ["srlm", "cream"] {
        let run = at(method);
        done(&words!("run --model {model} --prompts {prompts} --output {run} --method {method} --seed 3 {SMALL}"));
    }
    let compare = |config: &str, output: &str, more: &str| {
        words!("compare --model {model} --prompts {prompts} --task {task} --config {config} --output {output}{more}")
    };
    let of_srlm = format!("{}/config.toml", at("srlm"));
    let out = cream(&compare(&of_srlm, &at("one"), "")).output().unwrap();
    let stderr = String::from_utf8(out.stderr).unwrap();
    assert!(out.status.success(), "{stderr}");
    let put_aside = format!("{of_srlm}: the method srlm is put aside, with its pair.level, loss\n");
    assert!(stderr.contains(&put_aside), "{stderr}");
    assert_eq!(stderr.matches("answers: answers have at most ").count(), 1, "{stderr}");
    // A comparison's runs are the runs that were: the same settings, completions and adapters.
    for method in ["srlm", "cream"] {
        for file in ["config.toml", "iteration-1/completions.jsonl", "iteration-1/adapter_model.safetensors"] {
            let [alone, compared] = [at(method), format!("{}/{method}", at("one"))].map(|run| format!("{run}/{file}"));
            assert!(fs::read(&alone).unwrap() == fs::read(&compared).unwrap(), "{alone} and {compared}");
        }
    }
    // One that a comparison kept, and a level for the methods that allow it.
    let kept = format!("{}/cream/config.toml", at("one"));
    let flags = " --level per-prompt --eval-max-new-tokens 4 --answer-mode letter --limit 1 --chat --json";
    let report: Value = serde_json::from_str(&done(&compare(&kept, &at("two"), flags))).unwrap();
    assert_eq!(report["methods"][0]["models"][0]["tasks"][0]["answer_mode"], "letter");
    for (method, level) in [("cream", "level = \"per-prompt\""), ("srlm", "level = \"off\"")] {
        let config = fs::read_to_string(format!("{}/{method}/config.toml", at("two"))).unwrap();
        assert!(config.lines().any(|line| line == level), "{config}: expected {level}");
    }
    let refused = |config: &str, more: &str, parts: &[&str]| {
        fails(&compare(config, &at("no"), &format!("{more} --quiet")), 1, parts);
        assert!(!folder.join("no/cream").exists(), "{more}");
    };
    refused(
        &kept,
        " --eval-max-new-tokens 256",
        &["eval.max_new_tokens: 256, expected at most", "answers", "256 tokens"],
    );
    refused(&kept, " --answer-mode number", &["\"answer\" is \"I\", expected one of the mode number"]);
    refused(&kept, " --methods cream,oracle", &["methods: oracle, expected others", "external rewards"]);
    let against = file(&folder, "against.toml", "method = \"srlm\"\n[pair]\nlevel = \"mean\"\n");
    refused(&against, "", &["pair.level: mean, expected off with method srlm"]);
}

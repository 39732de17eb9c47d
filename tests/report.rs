use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{assert_same_tree, done, fails, file, folder, prompts, text, tiny_model};

/// What must never become part of the page.
const MARKUP: &str =
    "</script><script>window.hacked = 1</script><img src=x onerror=\"window.hacked = 2\"><!-- /* page.js */";

/// A run with supervised data and two rounds; its folder, and the arguments that made it.
fn run(folder: &Path, more: &[&str]) -> (PathBuf, Vec<String>) {
    run_of(folder, true, more)
}

fn run_of(folder: &Path, supervised: bool, more: &[&str]) -> (PathBuf, Vec<String>) {
    let sft = "{\"prompt\":\"Hi\",\"completion\":\"Good day\"}\n{\"prompt\":\"Bye\",\"completion\":\"See you\"}\n";
    let settings = "[sft]\nepochs = 3\nbatch_size = 1\n[train]\nepochs = 2\nbatch_size = 4\nlearning_rate = 0.01\n\
                    [sample]\nmax_new_tokens = 16\n[pair]\ncut = \"keep\"\n";
    let (model, sft, settings) =
        (tiny_model(folder), file(folder, "sft.jsonl", sft), file(folder, "settings.toml", settings));
    let (prompts, run) = (prompts(folder, 12), folder.join("run"));
    let output = text(&run);
    let args = ["run", "--model", &model, "--prompts", &prompts, "--config", &settings, "--output", &output];
    let sft = ["--sft", &sft];
    let args = [&args[..], if supervised { &sft } else { &[] }, more].concat();
    done(&args);
    (run, args.into_iter().map(str::to_owned).collect())
}

/// What a page was made from.
fn data(page: &Path) -> Value {
    let page = fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once("<script type=\"application/json\" id=\"report\">").unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

fn lines(path: PathBuf) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_run_ends_with_a_page_that_tells_what_its_files_tell() {
    let folder = folder("report");
    let (run, args) = run(&folder, &[]);
    let report = data(&run.join("report.html"));
    for t in 0..=2 {
        let (told, step) = (&report["iterations"][t], run.join(format!("iteration-{t}")));
        assert_eq!(told["metrics"], Value::Array(lines(step.join("metrics.jsonl"))));
        let summary: Value = serde_json::from_slice(&fs::read(step.join("summary.json")).unwrap()).unwrap();
        assert_eq!(told["summary"], summary);
        if t == 0 {
            assert_eq!(told["round"], Value::Null);
            continue;
        }
        // The mean over the prompts is that of what each of them says.
        let rankings = lines(step.join("rankings.jsonl"));
        let taus: Vec<f64> = rankings.iter().filter_map(|row| row["agreement"].as_f64()).collect();
        let mean = taus.iter().sum::<f64>() / taus.len() as f64;
        assert_eq!(summary["pairs"]["mean_tau"].as_f64(), Some(mean));
        let counted: u64 = told["round"]["histogram"].as_array().unwrap().iter().filter_map(Value::as_u64).sum();
        assert_eq!((counted as usize, told["round"]["shown"].as_array().unwrap().len()), (taus.len(), taus.len()));
    }
    let stages = report["timings"]["stages"].as_array().unwrap();
    let outputs: Vec<&str> = stages.iter().map(|stage| stage["output"].as_str().unwrap()).collect();
    assert_eq!(outputs[..3], ["iteration-0", "iteration-1/completions.jsonl", "iteration-1/scores-current.jsonl"]);
    assert!(stages.iter().all(|stage| stage["seconds"].as_f64() > Some(0.0)), "{stages:?}");
    assert_eq!(report["timings"]["model"], text(&folder.join("model")));

    // By hand, again, and after a call that had nothing to do: the same.
    let (page, other) = (fs::read(run.join("report.html")).unwrap(), folder.join("pages/page.html"));
    done(&["report", &text(&run), "--output", &text(&other)]);
    assert!(fs::read(&other).unwrap() == page);
    done(&args);
    assert!(fs::read(run.join("report.html")).unwrap() == page);
    assert!(page.len() < 300_000, "{} bytes", page.len());
    let page = String::from_utf8(page).unwrap();
    for outside in ["src=\"", "href=", "@import", "url("] {
        assert!(!page.contains(outside), "the page has {outside}");
    }

    let nowhere = text(&folder.join("nowhere"));
    fails(&["report", &nowhere], 1, &["nowhere: not there, expected the folder of a run"]);
    assert!(!folder.join("nowhere").exists());
    fails(&["report", &text(&folder)], 1, &["config.toml: not there, expected the folder of a run"]);
}

#[test]
fn a_first_round_without_supervised_data_shows_no_number_that_means_nothing() {
    let folder = folder("report-without-sft");
    let (run, _) = run_of(&folder, false, &[]);
    let report = data(&run.join("report.html"));
    let [first, second] = [0, 1].map(|i| &report["iterations"][i]);
    for key in ["mean_tau", "mean_consistency", "rankings"] {
        assert_eq!(first["summary"]["pairs"][key], Value::Null, "{key}");
        assert_ne!(second["summary"]["pairs"][key], Value::Null, "{key}");
    }
    let notes = first["summary"]["pairs"]["notes"].as_array().unwrap();
    assert!(notes[0].as_str().unwrap().starts_with("there is no former self yet"), "{notes:?}");
    let counted =
        |step: &Value| -> u64 { step["round"]["histogram"].as_array().unwrap().iter().filter_map(Value::as_u64).sum() };
    assert!(counted(first) == 0 && counted(second) > 0);
    assert_eq!(first["round"]["shown"].as_array().unwrap().len(), 12);
}

#[test]
fn the_page_in_a_browser() {
    // With supervised data: loss, margins, accuracies, consistency, the supervised loss, a histogram a round, the slopes.
    // Without, there is no supervised loss, and the first round has no second ranking, and no histogram.
    for (name, supervised, charts) in [("browser", true, "8"), ("browser-without-sft", false, "6")] {
        let folder = folder(name);
        let (run, _) = run_of(&folder, supervised, &[]);
        for t in 1..=2 {
            put_markup(&run.join(format!("iteration-{t}")));
        }
        let page = folder.join("page.html");
        done(&["report", &text(&run), "--output", &text(&page)]);
        let last = data(&page)["iterations"].as_array().unwrap().last().unwrap().clone();
        let texts = last["round"]["shown"][0]["completions"].as_array().unwrap().clone();
        assert!(texts.iter().all(|text| text.as_str().unwrap().ends_with(MARKUP)));

        let browser = std::path::absolute("tests/browser").unwrap();
        let chromium = Path::new("/usr/bin/chromium");
        for needed in [chromium, &browser.join("node_modules")] {
            if !needed.exists() {
                assert!(
                    env::var_os("CI").is_none(),
                    "{}: missing, and CI needs it (cargo xtask test)",
                    needed.display()
                );
                eprintln!("skipped: the report in a browser needs {} (cargo xtask test)", needed.display());
                return;
            }
        }
        let output = Command::new("node")
            .args([&text(&browser.join("report.mjs")), &text(chromium), &text(&page), charts, &text(&folder)])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for screenshot in ["light.png", "dark.png", "phone.png"] {
            assert!(folder.join(screenshot).exists(), "{screenshot}");
        }
    }
}

/// Puts markup at the end of every prompt and completion of an iteration.
fn put_markup(step: &Path) {
    for name in ["completions.jsonl", "pairs.jsonl"] {
        let mut rows = lines(step.join(name));
        for row in &mut rows {
            let row = row.as_object_mut().unwrap();
            for key in ["prompt", "chosen", "rejected"] {
                if let Some(Value::String(text)) = row.get_mut(key) {
                    text.push_str(MARKUP);
                }
            }
            if let Some(Value::Array(completions)) = row.get_mut("completions") {
                completions.iter_mut().for_each(|text| *text = (text.as_str().unwrap().to_owned() + MARKUP).into());
            }
        }
        let rows: String = rows.iter().map(|row| format!("{row}\n")).collect();
        fs::write(step.join(name), rows).unwrap();
    }
}

#[test]
fn tensorboard_has_the_numbers_of_the_metrics() {
    let folder = folder("tensorboard");
    let (run, args) = run(&folder, &["--log", "tensorboard"]);
    for t in 0..=2 {
        let step = run.join(format!("iteration-{t}"));
        assert_eq!(events(&step.join(EVENTS)), metrics(&step), "iteration {t}");
    }
    // A killed training is taken up: no step twice.
    let step = run.join("iteration-2");
    for file in ["summary.json", "adapter_config.json"] {
        fs::remove_file(step.join(file)).unwrap();
    }
    done(&args);
    assert_eq!(events(&step.join(EVENTS)), metrics(&step));

    let (model, out) = (text(&folder.join("model")), folder.join("adapter"));
    let pairs = text(&run.join("iteration-1/pairs.jsonl"));
    done(&["train", "--model", &model, "--pairs", &pairs, "--output", &text(&out), "--log", "tensorboard"]);
    assert_eq!(events(&out.join(EVENTS)), metrics(&out));
    let plain = folder.join("plain");
    done(&["train", "--model", &model, "--pairs", &pairs, "--output", &text(&plain)]);
    fs::remove_file(out.join(EVENTS)).unwrap();
    assert_same_tree(&out, &plain, "logging changes nothing else");
    fails(&["train", "--log", "wandb"], 2, &["tensorboard"]);
}

const EVENTS: &str = "events.out.tfevents.cream";

/// (step, key, value) in the order of the file.
fn metrics(step: &Path) -> Vec<(u64, String, f32)> {
    let of = |row: &Value| {
        let number = |(key, value): (&String, &Value)| (key.clone(), value.as_f64().unwrap() as f32);
        let step = row["step"].as_u64().unwrap();
        let row = row.as_object().unwrap().iter().map(number).filter(|(key, _)| key != "step");
        row.map(|(key, value)| (step, key, value)).collect::<Vec<_>>()
    };
    lines(step.join("metrics.jsonl")).iter().flat_map(of).collect()
}

/// The same out of an event file; the checksums are the program's own test's.
fn events(path: &Path) -> Vec<(u64, String, f32)> {
    let bytes = fs::read(path).unwrap();
    let (mut rest, mut found) = (bytes.as_slice(), Vec::new());
    while let Some((length, after)) = rest.split_first_chunk::<8>() {
        let length = u64::from_le_bytes(*length) as usize;
        let event = fields(&after[4..4 + length]);
        rest = &after[4 + length + 4..];
        let step = event.iter().find(|(number, _)| *number == 2).map_or(0, |(_, bytes)| varint(&mut bytes.as_slice()));
        for (_, summary) in event.iter().filter(|(number, _)| *number == 5) {
            for (_, value) in fields(summary) {
                let value = fields(&value);
                let (tag, number) = (String::from_utf8(value[0].1.clone()).unwrap(), value[1].1.as_slice());
                found.push((step, tag, f32::from_le_bytes(number.try_into().unwrap())));
            }
        }
    }
    found
}

/// Numbers and bytes of a message's fields.
fn fields(mut message: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let length = match key & 7 {
            0 => message.iter().take_while(|&&byte| byte >= 0x80).count() + 1,
            1 => 8,
            2 => varint(&mut message) as usize,
            5 => 4,
            other => panic!("wire type {other}"),
        };
        let (value, rest) = message.split_at(length);
        fields.push((key >> 3, value.to_vec()));
        message = rest;
    }
    fields
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
        shift += 7;
    }
}

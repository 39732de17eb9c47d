use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::resume::Case;
use crate::support::{assert_same_logps, done, folder, gpu, prompts, rows, text, tiny_model, tree, words};

/// Share of a completion's log-prob: sums in f32 in another order, and `exp` off by units in the last place, make 4e-8; a
/// norm without its epsilon makes 2e-5.
const BETWEEN_DEVICES: f64 = 1e-5;
/// The same where products round their factors to f16.
const COOPERATIVE: f64 = 5e-3;

/// Few tokens: a software adapter takes a second for them.
const SMALL: &str =
    "--cut keep --iterations 1 -n 3 --max-new-tokens 8 --learning-rate 0.01 --batch-size 2 --save-steps 1";

#[test]
fn scores_are_those_of_the_cpu() {
    let Some(gpu) = gpu() else { return };
    let folder = folder("gpu-score");
    let (model, prompts) = (tiny_model(&folder), prompts(&folder, 3));
    let [run, on_cpu, on_gpu] = ["run", "cpu.jsonl", "gpu.jsonl"].map(|name| text(&folder.join(name)));
    done(&words!("run --model {model} --prompts {prompts} --output {run} {SMALL}"));
    let input = format!("{run}/iteration-1/completions.jsonl");
    for adapter in ["".to_owned(), format!(" --adapter {run}/iteration-1")] {
        let score = format!("score --model {model}{adapter} --input {input}");
        done(&words!("{score} --output {on_cpu}"));
        done(&words!("{score} --output {on_gpu} --device {gpu}"));
        assert_same_scores(&on_gpu, &on_cpu);
    }
}

fn assert_same_scores(left: &str, right: &str) {
    let (left, right) = (rows(left), rows(right));
    assert_eq!(left.len(), right.len());
    let cooperative = done(&["devices", "--json"]).contains("cooperative");
    let tolerance = if cooperative { COOPERATIVE } else { BETWEEN_DEVICES };
    left.iter().zip(&right).for_each(|(left, right)| assert_same_logps(left, right, tolerance));
}

#[test]
fn a_bench_is_of_the_gpu() {
    let Some(gpu) = gpu() else { return };
    let model = tiny_model(&folder("gpu-bench"));
    let lines = done(&words!("bench --json --quick --model {model} --stages score,kernels --device {gpu}"));
    let rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(rows.iter().all(|row| row["device"] == gpu), "{lines}");
    // Its buffers, not the process, which is larger by far.
    let score = rows.iter().find(|row| row["stage"] == "score").unwrap();
    assert!(score["peak_mib"].as_f64().unwrap() < 10.0, "{score}");
    let kernels: Vec<&Value> = rows.iter().filter(|row| row["stage"] == "kernels").collect();
    assert!(kernels.len() > 30 && kernels.iter().all(|row| row["us"].as_f64().unwrap() > 0.0), "{lines}");
}

#[test]
fn a_run_begun_on_one_device_ends_on_the_other() {
    let Some(gpu) = gpu() else { return };
    let folder = folder("gpu-run");
    let (model, prompts) = (tiny_model(&folder), prompts(&folder, 4));
    let [cpu, gpu] = ["cpu", gpu].map(|device| Case {
        args: words!("run --model {model} --prompts {prompts} {SMALL} --device {device} --output"),
    });
    let at = |name: &str| folder.join(name);
    let files = |run: &Path| tree(run).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    cpu.finish(&at("cpu"));
    gpu.finish(&at("gpu"));
    assert_eq!(files(&at("gpu")), files(&at("cpu")));

    for (first, second, name) in [(&cpu, &gpu, "cpu-gpu"), (&gpu, &cpu, "gpu-cpu")] {
        let run = at(name);
        let completions = run.join("iteration-1/completions.jsonl");
        // The first may be at its end before it is killed: then once more.
        let killed = (0..20).any(|_| {
            let _ = fs::remove_dir_all(&run);
            first.kill(&run, || completions.exists())
        });
        assert!(killed, "{name}: never killed before its end");
        let sampled = fs::read(&completions).unwrap();
        second.finish(&run);
        assert!(fs::read(&completions).unwrap() == sampled, "{name}: what the first had sampled is kept");
        assert_eq!(files(&run), files(&at("cpu")), "{name}");
        assert_eq!(rows(&text(&run.join("iteration-1/metrics.jsonl"))).len(), 2, "{name}: steps");
    }
    // The CPU's completions, scored by the GPU.
    for name in ["scores-current", "scores-previous", "scores-reference"] {
        let [left, right] = ["cpu-gpu", "cpu"].map(|run| text(&at(run).join(format!("iteration-1/{name}.jsonl"))));
        assert_same_scores(&left, &right);
    }
}

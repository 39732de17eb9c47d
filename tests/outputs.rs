use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::support::{cream, done, fails, file, folder, golden, prompts, rows, text, tiny_model, tree, words};

const QUESTION: &str = "{\"id\":\"a\",\"question\":\"q\",\"choices\":[\"x\",\"y\"],\"answer\":0}\n";
/// What `import` makes of it.
const TASK: &str = "{\"id\":\"a\",\"question\":\"q\",\"choices\":[\"x\",\"y\"],\"answer\":0}\n";
const PAIR: &str = "{\"id\":\"a\",\"prompt\":\"Hi\",\"chosen\":\"yes\",\"rejected\":\"no\",\"consistency\":1.0,\
                    \"ref_chosen_logps\":-1.0,\"ref_rejected_logps\":-1.0}\n";
const SFT: &str = "{\"prompt\":\"Hi\",\"completion\":\"Good day\"}\n";
const SMALL: &str = "-n 2 --max-new-tokens 3";

/// Scores of two completions of one prompt.
fn scores(folder: &Path, name: &str, first: f64) -> String {
    let row = format!(
        "{{\"id\":\"a\",\"prompt\":\"x\",\"completions\":[\"y\",\"z\"],\"logps\":[{first},-2.0],\"tokens\":[2,2]}}\n"
    );
    file(folder, name, &row)
}

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Runs the program with these bytes on standard input.
fn fed<A: AsRef<str>>(args: &[A], input: &[u8]) -> Output {
    let mut command = cream(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeding = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    let _ = feeding.join().unwrap();
    output
}

/// The same, which must succeed; what it printed.
fn through<A: AsRef<str>>(args: &[A], input: &[u8]) -> Vec<u8> {
    let Output { status, stdout, stderr } = fed(args, input);
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    stdout
}

#[test]
fn no_verb_writes_over_what_it_reads() {
    let folder = folder("outputs-inputs");
    let (model, prompts) = (tiny_model(&folder), prompts(&folder, 2));
    let at = |name: &str| text(&folder.join(name));
    let run = at("run");
    done(&words!("run --model {model} --prompts {prompts} --output {run} --iterations 1 --cut keep {SMALL}"));
    let adapter = format!("{run}/iteration-1");
    done(&words!("export --model {model} --adapter {adapter} --format peft --output {}", at("adapter")));
    let adapter = at("adapter");
    let completions = file(&folder, "c.jsonl", "{\"id\":\"a\",\"prompt\":\"Hi\",\"completions\":[\"y\",\"z\"]}\n");
    let [current, previous, reference] = [("current.jsonl", -1.0), ("previous.jsonl", -3.0), ("reference.jsonl", -2.5)]
        .map(|(n, l)| scores(&folder, n, l));
    let rewards = file(&folder, "rewards.jsonl", "{\"id\":\"a\",\"rewards\":[1,2]}\n");
    let [task, pairs, sft] =
        [("task.jsonl", QUESTION), ("pairs.jsonl", PAIR), ("sft.jsonl", SFT)].map(|(n, r)| file(&folder, n, r));
    let settings = file(&folder, "settings.toml", "# Mine\niterations = 1\n");
    fs::create_dir_all(folder.join("own")).unwrap();
    fs::copy(&settings, folder.join("own/config.toml")).unwrap();
    fs::create_dir_all(folder.join("demo/model")).unwrap();
    file(&folder, "demo/model/config.json", "{}");
    fs::create_dir_all(folder.join("holds")).unwrap();
    let held = at("holds/iteration-1");
    fs::create_dir_all(&held).unwrap();
    for name in names(Path::new(&model)) {
        fs::copy(format!("{model}/{name}"), format!("{held}/{name}")).unwrap();
    }
    fs::create_dir_all(folder.join("linked")).unwrap();
    #[cfg(unix)]
    for (link, target) in [("link.jsonl", "c.jsonl"), ("linked/model.safetensors", "../model/model.safetensors")] {
        std::os::unix::fs::symlink(target, folder.join(link)).unwrap();
    }
    fs::hard_link(&completions, folder.join("hard.jsonl")).unwrap();
    let partial = at("half.jsonl.0123abcd.partial");
    fs::copy(&completions, &partial).unwrap();
    let before = tree(&folder);

    let [link, hard, round] = [at("link.jsonl"), at("hard.jsonl"), at("model/../c.jsonl")];
    let sample = format!("sample --model {model} --prompts {prompts} {SMALL}");
    let score = format!("score --model {model} --adapter {adapter} --input {completions}");
    let pair = format!(
        "pair --current {current} --previous {previous} --reference {reference} --reward judge --rewards {rewards} \
         --previous-rewards {rewards} --level off"
    );
    let train = format!("train --model {model} --adapter {adapter} --pairs {pairs}");
    let begin = format!("run --model {model} --prompts {prompts} --sft {sft} --iterations 1 --cut keep {SMALL}");
    let compare = format!(
        "compare --model {model} --prompts {prompts} --sft {sft} --task {task} --iterations 1 --cut keep {SMALL}"
    );
    let export = format!("export --model {model} --adapter {adapter}");
    let gguf = format!("{export} --format gguf");
    let mut cases = vec![
        (&sample, format!("{model}/model.safetensors"), "--model"),
        (&sample, format!("{model}/config.json"), "--model"),
        (&sample, format!("{model}/generation_config.json"), "--model"),
        (&sample, prompts.clone(), "--prompts"),
        (&score, completions.clone(), "--input"),
        (&score, format!("{adapter}/adapter_config.json"), "--adapter"),
        (&score, round, "--input"),
        (&pair, current.clone(), "--current"),
        (&pair, previous.clone(), "--previous"),
        (&pair, reference.clone(), "--reference"),
        (&pair, rewards.clone(), "rewards"),
        (&train, model.clone(), "--model"),
        (&train, adapter.clone(), "--adapter"),
        (&train, run.clone(), "holds inputs.json, which makes it a run"),
        (&train, format!("{run}/iteration-1"), "an iteration of a run"),
        (&train, held.clone(), "holds config.json, which makes it a model"),
        (&export, model.clone(), "--model"),
        (&export, adapter.clone(), "--adapter"),
        (&export, run.clone(), "a run"),
        (&gguf, format!("{model}/model.safetensors"), "--model"),
        (&gguf, format!("{adapter}/adapter_model.safetensors"), "--adapter"),
        (&begin, model.clone(), "--model"),
        (&begin, adapter.clone(), "an adapter"),
        (&begin, prompts.clone(), "a file, expected a folder"),
        (&compare, model.clone(), "--model"),
        (&compare, run.clone(), "a run"),
    ];
    #[cfg(unix)]
    cases.extend([(&score, link, "--input"), (&score, hard, "--input"), (&export, at("linked"), "--model")]);
    for (call, output, what) in cases {
        fails(&[&words!("{call}")[..], &["--output".into(), output.clone()]].concat(), 1, &[&output, what]);
    }
    let others = [
        (format!("sft --model {model} --data {sft} --output {model} --full"), "--model"),
        (
            format!("score --model {model} --input {partial} --output {}", at("half.jsonl")),
            "unfinished work of that file",
        ),
        (format!("eval --model {model} --task {task} --output {task}"), "--task"),
        (format!("eval --model {model} --task {task} --reference {held} --output {held}/config.json"), "--reference"),
        (format!("import --input {task} --output {task}"), "--input"),
        (format!("report {run} --output {run}/config.toml"), "RUN"),
        (format!("report {run} --output {run}/iteration-1/pairs.jsonl"), "RUN"),
        (format!("run --model {held} --prompts {prompts} --output {}", at("holds")), "--model"),
        (format!("{begin} --config {} --output {}", at("own/config.toml"), at("own")), "--config"),
        (format!("demo --output {model}"), "a model"),
        (format!("demo --output {}", at("demo")), "model/config.json: not the demo's"),
    ];
    for (call, what) in others {
        fails(&words!("{call}"), 1, &[what]);
    }
    let after = tree(&folder).into_iter().filter(|(name, _)| !name.ends_with(".lock")).collect::<Vec<_>>();
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    let before: Vec<_> = before.into_iter().filter(|(name, _)| !name.ends_with(".lock")).collect();
    assert_eq!(names(&after), names(&before));
    assert!(after == before, "nothing has changed");

    // What only looks alike is allowed.
    done(&words!("{sample} --output {model}/c.jsonl"));
    done(&words!("{sample} --output {model}/c.jsonl"));
    done(&words!("report {run} --output {run}/report.html"));
    done(&words!("train --model {model} --pairs {pairs} --output {}", at("fresh")));
    done(&words!("train --model {model} --pairs {pairs} --output {}", at("fresh")));
    done(&words!("{export} --output {}", at("merged")));
    done(&words!("{export} --output {}", at("merged")));
}

#[test]
fn standard_input_and_output_are_files_called_minus() {
    let folder = folder("outputs-minus");
    let (model, prompts) = (tiny_model(&folder), prompts(&folder, 3));
    let at = |name: &str| text(&folder.join(name));
    let read = |path: &str| fs::read(path).unwrap();
    let (c, s) = (at("c.jsonl"), at("s.jsonl"));
    done(&words!("sample --model {model} --prompts {prompts} --output {c} {SMALL}"));
    done(&words!("score --model {model} --input {c} --output {s}"));
    let drawn = through(&words!("sample --model {model} --prompts - --output - {SMALL}"), &read(&prompts));
    assert!(drawn == read(&c));
    assert!(through(&words!("score --model {model} --input - --output -"), &drawn) == read(&s));

    let [base, other] = [scores(&folder, "base.jsonl", -1.0), scores(&folder, "other.jsonl", -3.0)];
    let pair = format!("pair --previous {base} --reference {base}");
    done(&words!("{pair} --current {other} --output {}", at("pairs.jsonl")));
    let pairs = through(&words!("{pair} --current - --output -"), &read(&other));
    assert!(pairs == read(&at("pairs.jsonl")));
    done(&words!("train --model {model} --pairs {} --output {}", at("pairs.jsonl"), at("trained")));
    through(&words!("train --model {model} --pairs - --output {}", at("trained-too")), &pairs);
    assert!(tree(&folder.join("trained")) == tree(&folder.join("trained-too")));
    through(&words!("sft --model {model} --data - --output {}", at("tuned")), SFT.as_bytes());

    assert_eq!(through(&["import", "--input", "-", "--output", "-"], QUESTION.as_bytes()), TASK.as_bytes());
    let parquet = golden().join("questions.parquet");
    done(&["import", "--input", &text(&parquet), "--output", &at("questions.jsonl")]);
    let imported = through(&["import", "--input", "-", "--output", "-"], &fs::read(&parquet).unwrap());
    let lines = |bytes: &[u8]| bytes.iter().filter(|&&byte| byte == b'\n').count();
    assert_eq!(lines(&imported), rows(&at("questions.jsonl")).len());
    let named = through(&["import", "--input", "-", "--output", "-"], b"{\"question\":\"q\",\"answer\":\"x\"}");
    assert!(String::from_utf8(named).unwrap().starts_with("{\"id\":\"stdin-1\""));

    let eval = format!("eval --model {model} --task - --output");
    let Output { stdout, stderr, .. } = fed(&words!("{eval} -"), TASK.as_bytes());
    let outcome: Value = serde_json::from_slice(&stdout).unwrap();
    assert_eq!((&outcome["task"], &outcome["id"]), (&"stdin".into(), &"a".into()));
    assert!(String::from_utf8(stderr).unwrap().contains("acc_norm"), "the table is on standard error");
    let generate = words!("generate --model {model} --temperature 0 --max-new-tokens 3 -");
    assert_eq!(through(&generate, b"Why?\n"), done(&[&generate[..7], &["Why?".into()]].concat()).into_bytes());
    let config = b"iterations = 1\n[sample]\ncompletions = 2\nmax_new_tokens = 3\n[pair]\ncut = \"keep\"\n";
    through(&words!("run --model {model} --prompts {prompts} --config - --output {}", at("run")), config);
    through(
        &words!("run --model {model} --prompts - --iterations 1 --cut keep {SMALL} --output {}", at("run")),
        &read(&prompts),
    );
    let page = done(&words!("report {} --output -", at("run")));
    assert!(page.to_lowercase().starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"), "{page}");

    // A call that was cut short is taken up from the same rows.
    let lines = fs::read_to_string(&s).unwrap();
    let out = at("taken-up.jsonl");
    through(&words!("score --model {model} --input - --output {out}"), &read(&c));
    assert!(read(&out) == lines.as_bytes());

    for (args, what) in [
        (
            words!("run --model {model} --prompts - --sft - --output {}", at("no")),
            "--prompts and --sft: both are standard input",
        ),
        (words!("pair --current - --previous - --reference {base} --output {}", at("no")), "both are standard input"),
        (
            words!("pair --current {base} --previous {base} --reference {base} --output - --json"),
            "--json: standard output has",
        ),
        (
            words!("eval --model {model} --task {} --output - --json", at("questions.jsonl")),
            "--json: standard output has",
        ),
        (words!("train --model {model} --pairs - --output -"), "--output -: standard output, expected a folder"),
        (words!("score --model {model} --input - --output {}", at("no")), "standard input: no rows"),
    ] {
        fails(&args, 1, &[what]);
    }
    assert!(!folder.join("no").exists());

    // A file of that name has a path.
    fs::write(folder.join("-"), QUESTION).unwrap();
    let args = ["import", "--input", "./-", "--output", "./-out"];
    assert!(cream(&args).current_dir(&folder).status().unwrap().success());
    assert_eq!(fs::read_to_string(folder.join("-out")).unwrap(), TASK);
}

#[test]
#[cfg(unix)]
fn links_are_followed() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = folder("outputs-links");
    let (model, prompts, there) = (tiny_model(&folder), prompts(&folder, 2), folder.join("there"));
    fs::create_dir(&there).unwrap();
    fs::write(there.join("old.jsonl"), "old").unwrap();
    fs::set_permissions(there.join("old.jsonl"), fs::Permissions::from_mode(0o640)).unwrap();
    let links = folder.join("links");
    fs::create_dir(&links).unwrap();
    for (link, target) in [
        ("to-old", "../there/old.jsonl"),
        ("to-link", "to-old"),
        ("to-nothing", "../there/new.jsonl"),
        ("to-folder", "../there"),
        ("round", "back"),
        ("back", "round"),
    ] {
        symlink(target, links.join(link)).unwrap();
    }
    let sample = |output: &str| words!("sample --model {model} --prompts {prompts} --output {output} {SMALL}");
    let plain = text(&folder.join("plain.jsonl"));
    done(&sample(&plain));
    for (link, target) in [("to-old", "old.jsonl"), ("to-link", "old.jsonl"), ("to-nothing", "new.jsonl")] {
        done(&sample(&text(&links.join(link))));
        assert!(links.join(link).is_symlink(), "{link}");
        assert!(fs::read(there.join(target)).unwrap() == fs::read(&plain).unwrap(), "{link}");
        fs::write(there.join(target), "old").unwrap();
    }
    assert_eq!(fs::metadata(there.join("old.jsonl")).unwrap().permissions().mode() & 0o777, 0o640);
    done(&sample(&text(&links.join("to-folder/in.jsonl"))));
    assert_eq!(names(&there), ["in.jsonl", "new.jsonl", "old.jsonl"]);
    assert_eq!(names(&links).len(), 6, "nothing is left beside the links");
    fails(&sample(&text(&links.join("round"))), 1, &["round", "links without an end"]);
    fails(&sample(&text(&links.join("to-folder"))), 1, &["there: a folder, expected a file"]);
    fails(&sample(&format!("{plain}/")), 1, &["plain.jsonl/", "expected the name of a file"]);
    fails(&sample(&format!("{plain}/c.jsonl")), 1, &["plain.jsonl"]);
}

/// What only root can make; whether it could.
#[cfg(target_os = "linux")]
fn device(path: &str, kind: &str, major: u32, minor: u32) -> bool {
    let made = std::process::Command::new("mknod").args([path, kind, &major.to_string(), &minor.to_string()]).output();
    let made = made.is_ok_and(|output| output.status.success());
    if !made {
        let _ = writeln!(std::io::stderr(), "skipped: a device of its own, which only root can make");
    }
    made
}

#[test]
#[cfg(target_os = "linux")]
fn devices_and_pipes_are_written_to() {
    use std::os::unix::fs::{FileTypeExt, symlink};
    let folder = folder("outputs-devices");
    let (model, prompts, out) = (tiny_model(&folder), prompts(&folder, 3), folder.join("out"));
    fs::create_dir(&out).unwrap();
    let at = |name: &str| text(&out.join(name));
    let sample = |output: &str| words!("sample --model {model} --prompts {prompts} --output {output} {SMALL}");
    let plain = text(&folder.join("plain.jsonl"));
    done(&sample(&plain));
    let plain = fs::read(&plain).unwrap();

    let mut expected = vec!["full".to_owned(), "null-link".to_owned(), "pipe".to_owned()];
    symlink("/dev/full", at("full")).unwrap();
    symlink("null", at("null-link")).unwrap();
    if device(&at("null"), "c", 1, 3) && device(&at("disk"), "b", 7, 200) {
        expected.extend(["null".to_owned(), "disk".to_owned()]);
        for name in ["null", "null-link"] {
            done(&sample(&at(name)));
            assert!(fs::metadata(at("null")).unwrap().file_type().is_char_device(), "{name}");
        }
        done(&words!("import --input {} --output {}", file(&folder, "q.jsonl", QUESTION), at("null")));
        assert!(fs::metadata(at("null")).unwrap().file_type().is_char_device());
        fails(&sample(&at("disk")), 1, &["disk: a disk, expected a file"]);
    } else {
        fs::remove_file(at("null-link")).unwrap();
        expected.remove(1);
    }
    // The same program over a device that is full.
    fails(
        &[&sample(&at("full"))[..], &["--quiet".into()]].concat(),
        1,
        &["full: cannot write: No space left on device"],
    );

    assert!(std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    let pipe = at("pipe");
    let reader = std::thread::spawn(move || fs::read(pipe).unwrap());
    done(&sample(&at("pipe")));
    assert!(reader.join().unwrap() == plain);
    assert!(fs::metadata(at("pipe")).unwrap().file_type().is_fifo());
    expected.sort();
    assert_eq!(names(&out), expected, "no file beside them");

    // Standard output by its names: a pipe, and a file that keeps what it has.
    for name in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        assert!(done(&sample(name)).into_bytes() == plain, "{name}");
        let kept = file(&folder, "kept.jsonl", "kept\n");
        let stdout = File::options().append(true).open(&kept).unwrap();
        assert!(cream(&sample(name)).stdout(stdout).stderr(Stdio::null()).status().unwrap().success());
        assert!(fs::read(&kept).unwrap() == [b"kept\n", &plain[..]].concat(), "{name}");
    }
    symlink("/dev/stdout", at("stdout-link")).unwrap();
    assert!(done(&sample(&at("stdout-link"))).into_bytes() == plain);
    assert!(out.join("stdout-link").is_symlink());
    // Another file that a shell has opened.
    let script = "exec 3>>\"$KEPT\"; exec \"$@\"";
    let kept = file(&folder, "kept.jsonl", "kept\n");
    let program = cream(&sample("/dev/fd/3"));
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", script, "sh"]).arg(program.get_program()).args(program.get_args()).env("KEPT", &kept);
    assert!(shell.status().unwrap().success());
    assert!(fs::read(&kept).unwrap() == [b"kept\n", &plain[..]].concat());
}

#[test]
#[cfg(target_os = "linux")]
fn what_cannot_be_written_to_is_told_in_one_line_and_takes_nothing_with_it() {
    let folder = folder("outputs-full");
    let (model, prompts) = (tiny_model(&folder), prompts(&folder, 3));
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    let ended =
        |args: &[String], stdout: Stdio, stderr: Stdio| cream(args).stdout(stdout).stderr(stderr).output().unwrap();
    let sample = words!("sample --model {model} --prompts {prompts} --output - {SMALL} --quiet");
    let Output { status, stderr, .. } = ended(&sample, full(), Stdio::piped());
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(
        (status.code(), stderr.as_str()),
        (Some(1), "error: standard output: cannot write: No space left on device (os error 28)\n")
    );

    // Closed.
    let program = cream(&sample);
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "exec \"$@\" >&-", "sh"]).arg(program.get_program()).args(program.get_args());
    let Output { status, stderr, .. } = shell.stderr(Stdio::piped()).output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("standard output is closed") && stderr.lines().count() == 1, "{stderr}");

    // A reader that has left.
    let mut child = cream(&sample).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    assert_eq!((status.code(), String::from_utf8(stderr).unwrap().as_str()), (Some(0), ""));

    // What has a file of its own is there, whatever becomes of the summary.
    let task = file(&folder, "task.jsonl", TASK);
    let output = folder.join("rows.jsonl");
    for gone in [true, false] {
        let args = words!("eval --model {model} --task {task} --json --output {}", text(&output));
        let mut child =
            cream(&args).stdout(if gone { Stdio::piped() } else { full() }).stderr(Stdio::null()).spawn().unwrap();
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().code(), Some(i32::from(!gone)));
        assert_eq!(fs::read_to_string(&output).unwrap().lines().count(), 1);
        fs::remove_file(&output).unwrap();
    }
    // Nobody hears how it goes.
    let to_file = words!("sample --model {model} --prompts {prompts} --output {} {SMALL}", text(&output));
    assert!(ended(&to_file, Stdio::null(), full()).status.success());
    assert_eq!(rows(&text(&output)).len(), 3);
}

#[test]
fn no_unfinished_work_stays_beside_an_output_that_is_done() {
    let folder = folder("outputs-partial");
    let (model, prompts, out) = (tiny_model(&folder), prompts(&folder, 160), folder.join("out"));
    fs::create_dir(&out).unwrap();
    let c = text(&out.join("c.jsonl"));
    let sample = |seed: u32| words!("sample --model {model} --prompts {prompts} --output {c} {SMALL} --seed {seed}");
    // Killed between two of its chunks.
    let mut child = cream(&sample(1)).stderr(Stdio::null()).spawn().unwrap();
    while !names(&out).iter().any(|name| name.ends_with(".partial")) {
        assert!(child.try_wait().unwrap().is_none(), "it ended before its first chunk was there");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(names(&out)[0].starts_with("c.jsonl."), "what can be taken up stays");
    file(&out, "c.jsonl.mine.partial", "another's");
    done(&sample(2));
    assert_eq!(names(&out), ["c.jsonl", "c.jsonl.mine.partial"]);
    // A refusal leaves nothing, and a failure that would come again neither.
    fails(&[&sample(3)[..], &words!("--max-prompt-tokens 3")].concat(), 1, &["expected at most 3"]);
    assert_eq!(names(&out), ["c.jsonl", "c.jsonl.mine.partial"]);
}

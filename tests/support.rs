use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{env, fs, thread};

use serde_json::Value;

/// `a b c` as the words of a command line; `{name}` is filled in.
macro_rules! words {
    ($($arg:tt)*) => {
        format!($($arg)*).split(' ').map(str::to_owned).collect::<Vec<_>>()
    };
}
pub(crate) use words;

/// tests/golden. Cargo runs tests in their package's folder; a path from build time would be another checkout's where
/// two share a target folder.
pub(crate) fn golden() -> PathBuf {
    std::path::absolute("tests/golden").expect("a current folder")
}

/// A fresh folder for one test.
pub(crate) fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

/// A Hugging Face folder inside `folder`: two blocks of width 64, 320 tokens, a chat template.
pub(crate) fn tiny_model(folder: &Path) -> String {
    let model = folder.join("model");
    fs::create_dir_all(&model).unwrap();
    for file in ["tied/config.json", "tied/model.safetensors", "tiny/tokenizer.json", "tiny/tokenizer_config.json"] {
        let from = golden().join(file);
        fs::copy(&from, model.join(from.file_name().unwrap())).unwrap();
    }
    text(&model)
}

/// A file of `count` prompts inside `folder`.
pub(crate) fn prompts(folder: &Path, count: usize) -> String {
    let rows = (0..count).map(|i| format!("{{\"id\":\"p{i}\",\"prompt\":\"Give me {i} things.\"}}\n"));
    file(folder, "prompts.jsonl", &rows.collect::<String>())
}

/// A file inside `folder`, and its path.
pub(crate) fn file(folder: &Path, name: &str, contents: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, contents).unwrap();
    text(&path)
}

pub(crate) fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// The program, with nothing on standard input and no way to the network, on the CPU unless it is told where.
pub(crate) fn cream<A: AsRef<str>>(args: &[A]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cream"));
    if args.iter().all(|arg| arg.as_ref() != "--device") {
        command.args(["--device", "cpu"]);
    }
    command.args(args.iter().map(AsRef::as_ref)).stdin(Stdio::null()).env("HF_HUB_OFFLINE", "1");
    command
}

/// Runs the program, which must succeed; returns what it printed.
pub(crate) fn done<A: AsRef<str>>(args: &[A]) -> String {
    let Output { status, stdout, stderr } = cream(args).output().unwrap();
    let words: Vec<&str> = args.iter().map(AsRef::as_ref).collect();
    assert!(status.success(), "cream {}: {status}: {}", words.join(" "), String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// The rows of a JSONL file.
pub(crate) fn rows(path: &str) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Two rows of scores say the same of the same completions, but for this share of each log-prob.
pub(crate) fn assert_same_logps(left: &Value, right: &Value, tolerance: f64) {
    assert_eq!((&left["id"], &left["tokens"]), (&right["id"], &right["tokens"]));
    let logps = |row: &Value| row["logps"].as_array().unwrap().iter().map(|l| l.as_f64().unwrap()).collect::<Vec<_>>();
    for (left, right) in logps(left).iter().zip(logps(right)) {
        assert!((left - right).abs() <= tolerance * right.abs(), "{left} {right}");
    }
}

/// What `--device` calls the first adapter; none is a skip, and a failure where `CREAM_REQUIRE_GPU` is 1.
pub(crate) fn gpu() -> Option<&'static str> {
    const FIRST: &str = "gpu:0";
    let devices = done(&["devices", "--json"]);
    if devices.lines().any(|line| serde_json::from_str::<Value>(line).unwrap()["device"] == FIRST) {
        return Some(FIRST);
    }
    let required = env::var_os("CREAM_REQUIRE_GPU").is_some_and(|value| value == "1");
    assert!(!required, "CREAM_REQUIRE_GPU=1, and cream devices lists no adapter");
    // libtest names a test's thread after it, and would keep what println! says to itself.
    let _ = writeln!(stderr(), "skipped: {}: no adapter for wgpu", thread::current().name().unwrap_or_default());
    None
}

/// Runs the program, which must fail with `code` and one line that has all of `parts`.
pub(crate) fn fails<A: AsRef<str>>(args: &[A], code: i32, parts: &[&str]) {
    let Output { status, stdout, stderr } = cream(args).output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    let words: Vec<&str> = args.iter().map(AsRef::as_ref).collect();
    let what = format!("cream {}: {status}: {stderr}", words.join(" "));
    assert_eq!(status.code(), Some(code), "{what}");
    assert_eq!(stdout, b"", "{what}");
    assert!(stderr.starts_with("error: "), "{what}");
    assert!(code == 2 || stderr.trim_end().lines().count() == 1, "{what}");
    for part in parts {
        assert!(stderr.contains(part), "{what}: expected {part:?}");
    }
}

/// Every file under `folder`, with its contents, by its path in it.
pub(crate) fn tree(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((text(path.strip_prefix(folder).unwrap()), fs::read(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

/// Two folders hold the same files; says which do not.
pub(crate) fn assert_same_tree(left: &Path, right: &Path, what: &str) {
    let (left, right) = (tree(left), tree(right));
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&left), names(&right), "{what}");
    for ((name, left), (_, right)) in left.iter().zip(&right) {
        assert!(left == right, "{what}: {name} differs");
    }
}

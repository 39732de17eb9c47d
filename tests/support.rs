use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// tests/golden
pub(crate) fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
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

/// The program, with nothing on standard input and no way to the network.
pub(crate) fn cream<A: AsRef<str>>(args: &[A]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cream"));
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

/// `a b c` as the words of a command line; `{name}` is filled in.
macro_rules! words {
    ($($arg:tt)*) => {
        format!($($arg)*).split(' ').map(str::to_owned).collect::<Vec<_>>()
    };
}
pub(crate) use words;

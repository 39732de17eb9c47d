use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::{cream, folder, prompts, text, tiny_model, words};

/// Three completions get the rewards 1, 3 and 2.
const REWARDS: &str = r#"sed -E 's/^\{("id":"[^"]*").*/{\1,"rewards":[1,3,2]}/'"#;

/// A run that has come to where it needs rewards, and goes on from there at every call.
struct Case {
    args: Vec<String>,
    rewards: std::path::PathBuf,
}

impl Case {
    fn new(folder: &Path) -> Self {
        let (model, prompts, run) = (tiny_model(folder), prompts(folder, 3), text(&folder.join("run")));
        let args = words!(
            "run --model {model} --prompts {prompts} --output {run} --method oracle -n 3 --cut keep --max-new-tokens 6 --iterations 1 --quiet"
        );
        assert_eq!(cream(&args).output().unwrap().status.code(), Some(1), "it stops where rewards are needed");
        Case { args, rewards: folder.join("run/iteration-1/rewards-current.jsonl") }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = cream(&[&self.args[..], &["--reward-command".into(), program.into()]].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Exit code, standard error, and the last line of it.
    fn ends(&self, program: &str) -> (Option<i32>, String, String) {
        let Output { status, stderr, .. } = self.command(program).output().unwrap();
        let stderr = String::from_utf8(stderr).unwrap();
        let last = stderr.lines().last().unwrap_or_default().to_owned();
        (status.code(), stderr, last)
    }
}

#[test]
fn a_program_s_own_failure_is_told_first_and_with_its_words() {
    let folder = folder("rewards-failures");
    let case = Case::new(&folder);
    for (program, parts) in [
        ("echo 'no module named scores' >&2; exit 3", &["exit status: 3; it said: no module named scores"][..]),
        // What it wrote before it failed is not what is wrong.
        ("echo Loading; sleep 1; echo 'out of memory' >&2; exit 1", &["exit status: 1; it said: out of memory"]),
        ("head -c 1 >/dev/null; echo '{\"id\"'; echo bad >&2; exit 4", &["exit status: 4; it said: bad"]),
        ("echo first >&2; echo last >&2; kill -9 $$", &["signal: 9 (SIGKILL)", "it said: first last"]),
        ("seq 9999 >&2; exit 2", &["exit status: 2; it said: ", "9998 9999"]),
        // Without a failure, what is wrong with the answer.
        ("cat >/dev/null", &["no rows, expected at least one"]),
        ("echo 'nothing to do' >&2", &["no rows, expected at least one; it said: nothing to do"]),
        ("echo '{}'", &["line 1: no \"rewards\""]),
        ("echo; echo '[1]'", &["line 2: [1], expected a JSON object"]),
        ("head -n 1 | sed -E 's/^\\{(\"id\":\"[^\"]*\").*/{\\1,\"rewards\":[1]}/'", &["row 1", "1 rewards"]),
    ] {
        let start = Instant::now();
        let (code, stderr, last) = case.ends(program);
        assert_eq!(code, Some(1), "{program}: {stderr}");
        assert!(last.starts_with("error: "), "{program}: {stderr}");
        for part in parts {
            assert!(last.contains(part), "{program}: {last}: expected {part:?}");
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{program}");
        assert!(!case.rewards.exists());
    }
    let (_, stderr, _) = case.ends("echo 'no module named scores' >&2; exit 3");
    assert!(stderr.starts_with("no module named scores\n"), "passed on as it comes: {stderr}");
    let (_, _, last) = case.ends("seq 9999 >&2; exit 2");
    assert!(last.len() < 3000, "the last of it only");
    // One that would never end.
    let (code, _, last) = case.ends("yes");
    assert_eq!(code, Some(1));
    assert!(last.contains("line 1: column 1: not JSON"), "{last}");
}

#[test]
fn what_a_program_leaves_running_is_not_waited_for() {
    let folder = folder("rewards-leftovers");
    let case = Case::new(&folder);
    for left in ["sleep 100 &", "sleep 100 <&3 3<&- &", "(while :; do echo; sleep 0.01; done) &", "sleep 100 >&2 &"] {
        let start = Instant::now();
        let (code, stderr, _) = case.ends(&format!("exec 3<&0; {left} {REWARDS}"));
        assert_eq!(code, Some(0), "{left}: {stderr}");
        assert!(start.elapsed() < Duration::from_secs(30), "{left} took {:?}", start.elapsed());
        fs::remove_dir_all(folder.join("run/iteration-1/")).unwrap();
        fs::remove_file(folder.join("run/report.html")).unwrap();
        case.ends("exit 1");
    }
    // A failure takes what it left with it.
    let (code, _, last) = case.ends("sleep 7531 & echo oh >&2; exit 5");
    assert_eq!(code, Some(1));
    assert!(last.contains("exit status: 5; it said: oh"), "{last}");
    assert_none_runs("7531");
}

#[test]
fn a_program_need_not_read_its_input() {
    let folder = folder("rewards-unread");
    let case = Case::new(&folder);
    let rows = (0..3).map(|i| format!("{{\"id\":\"p{i}\",\"rewards\":[1,3,2]}}\\n")).collect::<String>();
    let (code, stderr, _) = case.ends(&format!("exec <&-; printf '{rows}'"));
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(fs::read_to_string(&case.rewards).unwrap().lines().count(), 3);
}

#[test]
fn ctrl_c_ends_the_program_too() {
    let folder = folder("rewards-interrupt");
    let case = Case::new(&folder);
    let begun = folder.join("begun");
    let child = case.command(&format!("sleep 7532 & touch {}; sleep 7532", text(&begun))).spawn().unwrap();
    let start = Instant::now();
    while !begun.exists() {
        assert!(start.elapsed() < Duration::from_secs(60), "the program never began");
        sleep(Duration::from_millis(5));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_none_runs("7532");
}

/// No `sleep` of so many seconds is there any more, shortly.
fn assert_none_runs(seconds: &str) {
    let runs = || {
        fs::read_dir("/proc").into_iter().flatten().flatten().any(|process| {
            fs::read(process.path().join("cmdline")).is_ok_and(|line| line == format!("sleep\0{seconds}\0").as_bytes())
        })
    };
    let start = Instant::now();
    while runs() {
        assert!(start.elapsed() < Duration::from_secs(5), "sleep {seconds} is still there");
        sleep(Duration::from_millis(20));
    }
}

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::{assert_same_tree, cream, file, folder, prompts, text, tiny_model};

/// Points in time at which a run is killed, evenly spread over what it takes undisturbed.
const KILLS: u32 = 8;
/// Starts of the names of files at whose appearance a run is killed: one for every kind of work, begun or done.
const FILES: [&str; 12] = [
    "config.toml",
    "iteration-0/state.safetensors",
    "iteration-0/adapter_model.safetensors",
    "iteration-0/summary.json",
    "iteration-1/completions.jsonl.",
    "iteration-1/scores-current.jsonl.",
    "iteration-1/scores-previous.jsonl",
    "iteration-1/scores-reference.jsonl",
    "iteration-1/pairs.jsonl",
    "iteration-1/state.safetensors",
    "iteration-2/completions.jsonl",
    "iteration-2/adapter_config.json",
];

/// A call of `cream run`, but for the folder it writes.
pub(crate) struct Case {
    pub(crate) args: Vec<String>,
}

impl Case {
    /// Two iterations after supervised fine-tuning, with work saved as often as can be.
    fn new(folder: &Path) -> Self {
        let settings = "iterations = 2\n[sample]\ncompletions = 4\nmax_new_tokens = 24\nchunk_size = 2\n[pair]\ncut = \"keep\"\n\
                        [score]\nchunk_size = 2\n[sft]\nepochs = 4\nbatch_size = 1\nsave_steps = 1\n\
                        [train]\nepochs = 2\nbatch_size = 2\nsave_steps = 2\nlearning_rate = 0.01\n";
        let sft = "{\"prompt\":\"Hi\",\"completion\":\"Good day\"}\n{\"prompt\":\"Bye\",\"completion\":\"See you\"}\n";
        let (model, prompts) = (tiny_model(folder), prompts(folder, 8));
        let (sft, settings) = (file(folder, "sft.jsonl", sft), file(folder, "settings.toml", settings));
        let args = ["run", "--model", &model, "--prompts", &prompts, "--sft", &sft, "--config", &settings, "--output"];
        Case { args: args.map(str::to_owned).to_vec() }
    }

    fn command(&self, run: &Path) -> Command {
        let mut command = cream(&[&self.args[..], &[text(run)]].concat());
        command.stderr(Stdio::piped()).stdout(Stdio::piped());
        command
    }

    fn start(&self, run: &Path) -> Child {
        self.command(run).spawn().unwrap()
    }

    /// Starts a run and kills it (SIGKILL) as soon as `now` says so; whether that was before its end.
    pub(crate) fn kill(&self, run: &Path, mut now: impl FnMut() -> bool) -> bool {
        let mut child = self.start(run);
        let mut ended = false;
        while !ended && !now() {
            sleep(Duration::from_micros(200));
            ended = child.try_wait().unwrap().is_some();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        !ended
    }

    fn kill_after(&self, run: &Path, delay: Duration) -> bool {
        let start = Instant::now();
        self.kill(run, || start.elapsed() >= delay)
    }

    pub(crate) fn finish(&self, run: &Path) {
        let output = self.command(run).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_run_killed_at_any_moment_ends_with_the_same_files() {
    let folder = folder("resume");
    let case = Case::new(&folder);
    let undisturbed = folder.join("undisturbed");
    let start = Instant::now();
    case.finish(&undisturbed);
    let takes = start.elapsed();

    let mut killed = 0;
    for (i, start) in FILES.into_iter().enumerate() {
        let run = folder.join(format!("killed-at-{i}"));
        let (subfolder, name) = start.rsplit_once('/').unwrap_or(("", start));
        killed += u32::from(case.kill(&run, || {
            let Ok(entries) = fs::read_dir(run.join(subfolder)) else { return false };
            entries.flatten().any(|entry| entry.file_name().to_str().is_some_and(|file| file.starts_with(name)))
        }));
        case.finish(&run);
        assert_same_tree(&run, &undisturbed, &format!("killed at {start}"));
    }
    assert!(killed >= FILES.len() as u32 - 2, "only {killed} kills at a file came before the end");

    for i in 1..=KILLS {
        let run = folder.join(format!("killed-{i}"));
        let delay = takes * i / (KILLS + 1);
        case.kill_after(&run, delay);
        case.finish(&run);
        assert_same_tree(&run, &undisturbed, &format!("killed after {delay:?} of {takes:?}"));
    }

    // The same folder again and again, each time a little later.
    let run = folder.join("killed-often");
    let mut delay = Duration::from_millis(20);
    while case.kill_after(&run, delay) {
        delay = delay * 5 / 4;
    }
    case.finish(&run);
    assert_same_tree(&run, &undisturbed, "killed often");
}

#[test]
#[cfg(unix)]
fn ctrl_c_says_that_the_same_command_resumes() {
    let folder = folder("interrupt");
    let case = Case::new(&folder);
    let run = folder.join("run");
    let child = case.start(&run);
    // The handler is there before the folder is.
    let start = Instant::now();
    while !run.exists() {
        assert!(start.elapsed() < Duration::from_secs(60), "the run never began");
        sleep(Duration::from_millis(1));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.ends_with("interrupted; the same command resumes where this one stopped\n"), "{stderr}");
    case.finish(&run);
}

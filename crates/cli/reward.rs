//! `--reward-command`: rewards from another program.

use std::io::{BufReader, Write};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use cream::{Completions, Reward, Rewards, to_jsonl};

/// How a run gets rewards from outside.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RewardFlags {
    /// Program that gives the rewards (with --reward external): reads completions.jsonl on stdin, writes {"id", "rewards"} in
    /// the same order on stdout. Without one, the run stops where it needs them and names the file to put there
    #[arg(long, value_name = "COMMAND")]
    reward_command: Option<String>,
}

impl RewardFlags {
    /// The command, if it has a use.
    pub(crate) fn command(&self, reward: Reward) -> Result<Option<&str>> {
        let command = self.reward_command.as_deref();
        ensure!(
            command.is_none() || reward == Reward::External,
            "--reward-command: the reward is {reward}, expected external (or --method oracle)"
        );
        Ok(command)
    }
}

/// Asks the command, in the form that a run asks in.
pub(crate) fn external(command: &str) -> impl FnMut(&[Completions]) -> cream::Result<Vec<Rewards>> {
    move |rows| rewards(command, rows).map_err(|error| cream::Error::Caller(error.into()))
}

fn rewards(command: &str, rows: &[Completions]) -> Result<Vec<Rewards>> {
    let name = format!("--reward-command {command:?}");
    let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
    let mut child = Command::new(shell)
        .args([flag, command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("{name}: cannot start {shell}"))?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let bytes = to_jsonl(rows);
    // Beside reading: either side may fill its pipe. A program that reads no further has its own reasons.
    let writer = thread::spawn(move || input.map(|mut input| input.write_all(&bytes)));
    let output = output.with_context(|| format!("{name}: no output"))?;
    let rewards = cream::read_jsonl(&name, BufReader::new(output));
    let status = child.wait().with_context(|| format!("{name}: cannot wait for it"))?;
    let _ = writer.join();
    if !status.success() {
        bail!("{name}: {status}");
    }
    Ok(rewards?)
}

//! `--reward-command`: rewards from another program.

mod program;

use std::io::BufReader;

use anyhow::{Context, Result, anyhow, bail, ensure};
use cream::{Completions, Reward, Rewards, to_jsonl};

use program::Program;

/// How a run gets rewards from outside.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RewardFlags {
    /// Program that gives the rewards (with --reward external): reads completions.jsonl on stdin, writes {"id", "rewards"} in
    /// the same order on stdout. It has no terminal, and what it leaves running is not waited for. Without a program, the run
    /// stops where it needs rewards and names the file to put there
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

/// That a program failed is told before what is wrong with its answer, which may be why; either with what it said last.
fn rewards(command: &str, rows: &[Completions]) -> Result<Vec<Rewards>> {
    let name = format!("--reward-command {command:?}");
    let mut program = Program::start(command, to_jsonl(rows)).with_context(|| format!("{name}: cannot start it"))?;
    let rewards = cream::read_jsonl(&name, BufReader::new(&mut program));
    let (status, said) = program.end(rewards.is_ok()).with_context(|| format!("{name}: cannot wait for it"))?;
    let said = if said.is_empty() { said } else { format!("; it said: {said}") };
    match status {
        Some(status) if !status.success() => bail!("{name}: {status}{said}"),
        _ => rewards.map_err(|error| anyhow!("{error}{said}")),
    }
}

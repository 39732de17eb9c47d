//! What a bench prints: one JSON object a line.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// One of them, flat.
#[derive(Debug)]
pub(crate) struct Row(String);

impl Row {
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        let (_, rest) = self.0.split_once(&format!("\"{key}\":"))?;
        Some(rest.split([',', '}']).next()?.trim().trim_matches('"'))
    }

    pub(crate) fn number(&self, key: &str) -> Option<f64> {
        self.text(key)?.parse().ok()
    }

    /// What makes two programs' rows comparable.
    pub(crate) fn title(&self) -> Option<String> {
        let stage = self.text("stage")?;
        Some(match (stage, self.text("batch")) {
            ("decode", Some(batch)) => format!("decode, batch {batch}"),
            _ => stage.to_owned(),
        })
    }

    /// Tokens a second; an iteration's rate is the inverse of its seconds.
    pub(crate) fn rate(&self) -> Option<f64> {
        self.number("tokens_per_s").or_else(|| Some(1.0 / self.number("total_s")?))
    }

    pub(crate) fn shown(&self) -> String {
        match (self.number("total_s"), self.number("tokens_per_s")) {
            (Some(seconds), _) => format!("{seconds:.1} s"),
            (_, Some(rate)) if rate < 100.0 => format!("{rate:.1}"),
            (_, Some(rate)) => format!("{rate:.0}"),
            _ => String::new(),
        }
    }
}

/// Runs a bench; its lines are shown as they come and kept.
pub(crate) fn rows(command: &mut Command) -> Result<Vec<Row>> {
    eprintln!("== {}", crate::words(command));
    let bench = command.stdout(Stdio::piped()).spawn();
    let mut bench = bench.with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let mut rows = Vec::new();
    for line in BufReader::new(bench.stdout.take().context("no pipe")?).lines() {
        let line = line.context("a bench printed what is not UTF-8")?;
        eprintln!("{line}");
        if line.starts_with('{') {
            rows.push(Row(line));
        }
    }
    let status = bench.wait()?;
    if !status.success() {
        bail!("{} ended with {status}", crate::words(command));
    }
    Ok(rows)
}

//! What the libraries report, on stderr: a bar on a terminal, a plain line every few seconds elsewhere.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use cream::{Progress, Update};
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use crate::args::Global;
use crate::files::tell;

const BETWEEN_LINES: Duration = Duration::from_secs(5);

/// Progress of one verb.
pub(crate) struct Shown {
    form: Form,
    verbose: bool,
}

enum Form {
    Quiet,
    Bar { bar: ProgressBar, stage: Option<Stage> },
    Lines { stage: Option<Stage>, last: Instant },
}

/// A stage under way.
pub(crate) struct Stage {
    output: String,
    start: Instant,
    /// Done before this call.
    done_before: usize,
}

impl Shown {
    pub(crate) fn new(global: &Global) -> Self {
        let form = if global.quiet {
            Form::Quiet
        } else if io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{prefix} {bar:24} {pos}/{len} {msg}").expect("a constant");
            Form::Bar { bar: ProgressBar::hidden().with_style(style), stage: None }
        } else {
            Form::Lines { stage: None, last: Instant::now() }
        };
        Shown { form, verbose: global.verbose }
    }
}

impl Stage {
    /// The stage that an update belongs to, and whether it starts with this one.
    fn of<'a>(stage: &'a mut Option<Stage>, update: &Update<'_>) -> (&'a Stage, bool) {
        let new = stage.as_ref().is_none_or(|stage| stage.output != update.output);
        if new {
            *stage = None;
        }
        let stage = stage.get_or_insert_with(|| Stage {
            output: update.output.to_owned(),
            start: Instant::now(),
            done_before: update.done,
        });
        (stage, new)
    }

    /// Rate, time left and training's numbers.
    fn describe(&self, update: &Update<'_>) -> String {
        let mut text = update.stage.unit().to_owned();
        let seconds = self.start.elapsed().as_secs_f64();
        let done = update.done.saturating_sub(self.done_before);
        if done > 0 && seconds > 0.0 {
            let left = update.total.saturating_sub(update.done) as f64 * seconds / done as f64;
            let left = HumanDuration(Duration::from_secs(left.round() as u64));
            text += &format!(", {:.0} tokens/s, {left:#} left", update.tokens as f64 / seconds);
        }
        if let Some(metrics) = update.metrics {
            text += &format!(", loss {:.4}", metrics.loss);
        }
        text
    }
}

impl Progress for Shown {
    fn update(&mut self, update: &Update<'_>) -> cream::Result<()> {
        match &mut self.form {
            Form::Quiet => {}
            Form::Bar { bar, stage } => {
                let (stage, new) = Stage::of(stage, update);
                if new {
                    *bar = ProgressBar::new(update.total as u64).with_style(bar.style());
                    bar.set_prefix(format!("{} {}", update.stage, update.output));
                }
                bar.set_position(update.done as u64);
                bar.set_message(stage.describe(update));
                if update.done == update.total {
                    bar.finish();
                }
            }
            Form::Lines { stage, last } => {
                let (stage, new) = Stage::of(stage, update);
                if new || update.done == update.total || last.elapsed() >= BETWEEN_LINES {
                    *last = Instant::now();
                    let Update { stage: kind, output, done, total, .. } = update;
                    tell(&format!("{kind} {output}: {done}/{total} {}", stage.describe(update)));
                }
            }
        }
        Ok(())
    }

    fn log(&mut self, line: &str) {
        match &mut self.form {
            Form::Quiet => {}
            Form::Bar { bar, .. } => bar.suspend(|| tell(line)),
            Form::Lines { .. } => tell(line),
        }
    }

    fn detail(&mut self, line: &str) {
        if self.verbose {
            self.log(line);
        }
    }
}

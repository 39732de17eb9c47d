//! What can go wrong in the method: a row, a setting, a file, or something below.

use std::fmt;

use crate::progress::Stage;

/// The library's one error. Every message names the thing, its value and what was expected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A line of a JSONL file is not what it should be.
    #[error("{file}: line {line}: {problem}")]
    Row {
        /// Name of the file as the caller gave it.
        file: String,
        /// From 1.
        line: usize,
        /// Field, value found and what was expected.
        problem: String,
    },
    /// A file as a whole is not what it should be.
    #[error("{file}: {problem}")]
    File {
        /// Name of the file as the caller gave it.
        file: String,
        /// What was found and what was expected.
        problem: String,
    },
    /// A prompt, or one of its completions, cannot be served.
    #[error("prompt {id:?}: {problem}")]
    Prompt {
        /// Its id.
        id: String,
        /// What was found and what was expected.
        problem: String,
    },
    /// A setting has a value it cannot have.
    #[error("{field}: {value}, expected {expected}")]
    Setting {
        /// Key, with the table before it: `sample.top_p`.
        field: String,
        /// Value found.
        value: String,
        /// What was expected.
        expected: String,
    },
    /// A run directory was made with other settings or inputs than those given now.
    #[error("{file}: {what} was {saved} when this run began and is {given} now; give the same, or another directory")]
    Changed {
        /// File of the run directory that remembers.
        file: String,
        /// The setting or input.
        what: String,
        /// Its value when the run began.
        saved: String,
        /// Its value now.
        given: String,
    },
    /// Training left the numbers: a gradient that is not finite.
    #[error(
        "step {step}: gradient norm is {value}, expected a finite number; the weights are as they were before this step; \
         a smaller learning rate may help"
    )]
    Diverged {
        /// Optimiser step, from 1.
        step: usize,
        /// The norm.
        value: f32,
    },
    /// A stage needs more memory than its device has.
    #[error("{stage}: {needed} bytes of memory are needed and {budget} may be taken; {advice}")]
    Memory {
        /// The stage.
        stage: Stage,
        /// In bytes, as planned before anything was taken.
        needed: u64,
        /// In bytes: the device's memory, or as much as the caller lets the work take.
        budget: u64,
        /// A setting that needs less, or what else would help.
        advice: String,
        /// Whether that setting fits: a budget that lets stages adapt would choose it.
        fits: bool,
    },
    /// The device failed while a stage worked on it. What it had saved is intact.
    #[error("{stage}: {source}; the same call takes the work up where it was saved")]
    Device {
        /// The stage.
        stage: Stage,
        /// What the device said.
        source: cream_engine::Error,
    },
    /// The file system refused.
    #[error("{path}: cannot {action}: {source}")]
    Io {
        /// File or folder.
        path: String,
        /// `write`, `read` and the like.
        action: &'static str,
        /// What it said.
        source: std::io::Error,
    },
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] cream_engine::Error),
    /// The maths refused.
    #[error(transparent)]
    Core(#[from] cream_core::Error),
    /// What a caller's own function said: a model loader, or a progress report that stops the work.
    #[error(transparent)]
    Caller(Box<dyn std::error::Error + Send + Sync>),
}

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Says of a failed device which stage can be taken up.
    pub(crate) fn of_stage(self, stage: Stage) -> Self {
        match self {
            Error::Engine(source @ cream_engine::Error::Device { .. }) => Error::Device { stage, source },
            other => other,
        }
    }

    /// Whether the same call may do better another time: what the rows, the settings and the model make fail fails again.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(
            self,
            Error::Memory { .. }
                | Error::Device { .. }
                | Error::Io { .. }
                | Error::Caller(_)
                | Error::Engine(cream_engine::Error::Device { .. })
        )
    }

    pub(crate) fn file(file: &str, problem: impl fmt::Display) -> Self {
        Error::File { file: file.into(), problem: problem.to_string() }
    }

    pub(crate) fn prompt(id: &str, problem: impl fmt::Display) -> Self {
        Error::Prompt { id: id.into(), problem: problem.to_string() }
    }

    pub(crate) fn setting(field: &str, value: impl fmt::Display, expected: impl fmt::Display) -> Self {
        Error::Setting { field: field.into(), value: value.to_string(), expected: expected.to_string() }
    }
}

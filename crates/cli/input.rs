//! What `run` and `compare` start from.

use std::path::{Path, PathBuf};

use anyhow::Result;
use cream::engine::{Backend, Checkpoint, Llama, Outline};
use cream::{Encoder, ModelFiles, Prompt, RunConfig, SftRow};

use crate::args::RowFlags;
use crate::files::Rows;
use crate::inputs::{Inputs, Made};
use crate::memory::check_model;
use crate::model;

#[derive(Debug, clap::Args)]
pub(crate) struct InputFlags {
    /// The initial model: a .gguf file, a Hugging Face folder, or a hub id (org/name or org/name@revision)
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: String,
    /// Unlabelled prompts, JSONL: {"id", "prompt"} or {"id", "messages"}; - is standard input
    #[arg(long, value_name = "FILE")]
    prompts: PathBuf,
    /// Answers to imitate first (iteration 0), JSONL: {"messages"} or {"prompt", "completion"}; - is standard input
    #[arg(long, value_name = "FILE")]
    sft: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) rows: RowFlags,
}

/// The contents of the files.
pub(crate) struct Input<'a> {
    pub(crate) prompts: Vec<Prompt>,
    pub(crate) sft: Vec<SftRow>,
    pub(crate) files: ModelFiles,
    of_prompts: Rows<'a>,
    of_sft: Option<Rows<'a>>,
}

impl Input<'_> {
    /// Keeps the rows that a model with this encoder can work with, where others are passed over.
    pub(crate) fn keep(&mut self, encoder: Encoder<'_>, config: &RunConfig) -> Result<()> {
        let new = config.sample.max_new_tokens;
        self.of_prompts.keep(&mut self.prompts, |row| encoder.prompt_before(&row.id, &row.prompt, new).map(drop))?;
        let Some(of_sft) = &mut self.of_sft else { return Ok(()) };
        of_sft.keep(&mut self.sft, |row| encoder.group("row", &row.prompt, &[row.completion.as_str().into()]).map(drop))
    }
}

impl InputFlags {
    /// Refuses an output folder that these or other inputs are in, or is there for something else.
    pub(crate) fn check<'a>(
        &'a self,
        others: impl IntoIterator<Item = (&'static str, &'a PathBuf)>,
        output: &Path,
        made: Made,
    ) -> Result<()> {
        let sft = self.sft.iter().map(|path| ("--sft", path));
        let files = [("--prompts", &self.prompts)].into_iter().chain(sft).chain(others);
        Inputs::files(files)?.with_model("--model", &self.model).check_folder(output, made)
    }

    pub(crate) fn read(&self) -> Result<Input<'_>> {
        let mut of_prompts = Rows::of(&self.prompts, self.rows.skip_bad);
        let prompts = of_prompts.read()?;
        let mut of_sft = self.sft.as_deref().map(|sft| Rows::of(sft, self.rows.skip_bad));
        let sft = of_sft.as_mut().map(Rows::read).transpose()?.unwrap_or_default();
        let files = model::open(&self.model)?;
        model::tell_notes(&files);
        Ok(Input { prompts, sft, files, of_prompts, of_sft })
    }
}

/// Outlines of a model, frozen and trainable.
pub(crate) fn outlines<B: Backend>(backend: &B, checkpoint: &Checkpoint<'_>) -> [Outline; 2] {
    [false, true].map(|trainable| Outline::unloaded(backend, checkpoint, trainable))
}

/// Loads the initial model, the first time from the files read already, or one in a folder of `output`.
pub(crate) fn loader<B: Backend>(
    backend: B,
    initial: &str,
    files: ModelFiles,
    output: &Path,
) -> impl FnMut(Option<&str>, bool) -> cream::Result<Llama<B>> {
    let mut there = Some(files);
    move |folder, trainable| {
        let files = match (folder, there.take()) {
            (Some(folder), _) => model::open(&output.join(folder).display().to_string()),
            (None, Some(files)) => Ok(files),
            (None, None) => model::open(initial),
        };
        let load = |files: ModelFiles| {
            let (checkpoint, _) = files.parse()?;
            check_model(&backend, &checkpoint, trainable)?;
            Ok(Llama::new(backend.clone(), &checkpoint, trainable)?)
        };
        files.and_then(load).map_err(|error| cream::Error::Caller(error.into()))
    }
}

//! What a verb reads, so that it is never written over: an output that is an input is refused before any work.

use std::ffi::OsStr;
use std::fs;
use std::io::{stdin, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use cream::follow_links;

use crate::args::ModelArgs;
use crate::files::{STANDARD, name};
use crate::hub;

/// What a verb reads, under the flags that name it.
pub(crate) struct Inputs {
    /// Of rows or settings.
    files: Vec<(&'static str, PathBuf)>,
    /// Models and adapters: files or folders.
    models: Vec<(&'static str, PathBuf)>,
}

/// What a verb makes of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    Export,
    Training,
    Run,
    Comparison,
}

/// Files by which a folder is known, and as what.
const MARKS: [(&str, &str); 8] = [
    ("inputs.json", "a run"),
    ("compare.json", "a comparison"),
    ("summary.json", "an iteration of a run"),
    ("training.json", "a training"),
    ("config.json", "a model"),
    ("model.safetensors", "a model"),
    ("adapter_config.json", "an adapter"),
    ("adapter_model.safetensors", "an adapter"),
];
const WEIGHTS: [&str; 4] = ["config.json", "model.safetensors", "adapter_config.json", "adapter_model.safetensors"];
/// What some verb writes straight into its folder under a name that rows or settings may have too.
const WRITTEN: [&str; 6] =
    ["anchors.jsonl", "compare.json", "config.toml", "metrics.jsonl", "report.html", "timings.json"];
/// Of files that a model or an adapter may be read from.
const OF_MODELS: [&str; 7] = ["bin", "gguf", "jinja", "json", "model", "safetensors", "txt"];

impl Inputs {
    /// Files; standard input, or a pipe, can be one of them.
    pub(crate) fn files<'a>(files: impl IntoIterator<Item = (&'static str, &'a PathBuf)>) -> Result<Self> {
        let files: Vec<_> = files.into_iter().map(|(flag, path)| (flag, path.clone())).collect();
        for (i, (flag, path)) in files.iter().enumerate() {
            let same = |(_, other): &&(&str, PathBuf)| {
                path == other || is_same(&identity(path, stdin()), &identity(other, stdin()))
            };
            if let Some((other, _)) = files[..i].iter().find(same)
                && is_read_once(path)
            {
                bail!("{other} and {flag}: both are {}, which can be read once", name(path));
            }
        }
        Ok(Inputs { files, models: Vec::new() })
    }

    /// With a model and what lies over it.
    pub(crate) fn with(self, args: &ModelArgs) -> Self {
        let mut inputs = self.with_model("--model", &args.model);
        inputs.models.extend(args.adapter.clone().map(|folder| ("--adapter", folder)));
        inputs
    }

    /// With a model by its name; one of the hub that is not here yet can be no output.
    pub(crate) fn with_model(mut self, flag: &'static str, model: &str) -> Self {
        let path = PathBuf::from(model);
        let found = if path.exists() || !hub::is_id(model) { Some(path) } else { hub::cached(model) };
        self.models.extend(found.map(|path| (flag, path)));
        self
    }

    /// With all files of a run but the page that is made of it.
    pub(crate) fn with_run(mut self, run: &Path) -> Self {
        let mut folders = vec![run.to_owned()];
        while let Some(folder) = folders.pop() {
            for path in entries(&folder) {
                if path.is_dir() && !path.is_symlink() {
                    folders.push(path);
                } else if path != run.join(crate::report::FILE) {
                    self.files.push(("RUN", path));
                }
            }
        }
        self
    }

    /// Refuses a file that is an input, or would be read as a part of one.
    pub(crate) fn check_file(&self, output: &Path) -> Result<()> {
        let own = identity(output, stdout());
        let is_input = |input: &Path| is_same(&own, &identity(input, stdin()));
        let target = follow_links(output)?;
        for (flag, input) in self.files.iter().chain(&self.models) {
            let beside = is_of_model(&target) && is_same(&folder_identity(&target), &identity(input, stdin()));
            if beside || is_input(input) || parts(input).iter().any(|part| is_input(part)) {
                bail!(
                    "--output {}: {flag} {} is read from there, expected another file",
                    output.display(),
                    name(input)
                );
            }
            if is_unfinished(input, &target) {
                bail!(
                    "--output {}: {flag} {} is unfinished work of that file and goes with it, expected another file",
                    output.display(),
                    name(input)
                );
            }
        }
        Ok(())
    }

    /// Refuses a folder that is an input or holds one that would be written over, and one that something else was made of.
    pub(crate) fn check_folder(&self, output: &Path, made: Made) -> Result<()> {
        let shown = format!("--output {}", output.display());
        ensure!(output != Path::new(STANDARD), "{shown}: standard output, expected a folder");
        ensure!(output.is_dir() || !output.exists(), "{shown}: a file, expected a folder");
        let holds = |name: &str| output.join(name).exists();
        let is_own = |name: &str| match made {
            Made::Export => WEIGHTS.contains(&name),
            Made::Training => holds("training.json") && (name == "training.json" || WEIGHTS.contains(&name)),
            Made::Run => holds("inputs.json") && ["inputs.json", "compare.json"].contains(&name),
            Made::Comparison => name == "compare.json",
        };
        for (flag, model) in &self.models {
            let inside = fs::canonicalize(model).ok().zip(fs::canonicalize(output).ok());
            let inside = inside.is_some_and(|(model, output)| match made {
                Made::Run | Made::Comparison => model.starts_with(output),
                Made::Export | Made::Training => model == output,
            });
            let same = |a: &PathBuf, b: &PathBuf| is_same(&identity(a, stdin()), &identity(b, stdin()));
            let of_model = parts(model);
            ensure!(
                !inside && !parts(output).iter().any(|part| of_model.iter().any(|input| same(part, input))),
                "{shown}: {flag} {} is read from there, expected another folder",
                model.display()
            );
        }
        // A run is taken up with its own settings.
        let written = if is_own("inputs.json") { &[][..] } else { &WRITTEN };
        for (flag, file) in &self.files {
            let is_input = |name: &&str| is_same(&identity(&output.join(name), stdin()), &identity(file, stdin()));
            ensure!(
                !written.iter().any(is_input),
                "{shown}: {flag} {} would be written over, expected another folder",
                file.display()
            );
        }
        match MARKS.iter().find(|(name, _)| holds(name) && !is_own(name)) {
            Some((name, what)) => bail!("{shown}: holds {name}, which makes it {what}; expected another folder"),
            None => Ok(()),
        }
    }
}

/// Whether reading takes away what is there.
fn is_read_once(path: &Path) -> bool {
    path == Path::new(STANDARD) || fs::metadata(path).is_ok_and(|file| !file.is_file() && !file.is_dir())
}

fn is_of_model(path: &Path) -> bool {
    path.extension().and_then(OsStr::to_str).is_some_and(|extension| OF_MODELS.contains(&extension))
}

/// Whether a file is what a call leaves beside its output until that is done.
fn is_unfinished(file: &Path, output: &Path) -> bool {
    let [file_name, output_name] =
        [file, output].map(|path| path.file_name().and_then(OsStr::to_str).unwrap_or_default());
    let rest = file_name.trim_start_matches('.').strip_prefix(output_name);
    rest.is_some_and(|rest| rest.starts_with('.') && (rest.ends_with(".partial") || rest == ".tmp"))
        && is_same(&folder_identity(file), &folder_identity(output))
}

/// The files of a model's or an adapter's folder.
fn parts(folder: &Path) -> Vec<PathBuf> {
    entries(folder).into_iter().filter(|path| is_of_model(path)).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn folder_identity(file: &Path) -> Option<Identity> {
    let folder = file.parent()?;
    identity(if folder == Path::new("") { Path::new(".") } else { folder }, stdin())
}

fn is_same(left: &Option<Identity>, right: &Option<Identity>) -> bool {
    left.is_some() && left == right
}

/// Whether two inputs are one file; neither is opened, since it may be a pipe.
pub(crate) fn is_same_file(one: &Path, other: &Path) -> bool {
    one == other || is_same(&identity(one, stdin()), &identity(other, stdin()))
}

/// Device and number there: of all names and links of a file.
#[cfg(unix)]
type Identity = (u64, u64);

/// What tells a file or folder from others, whatever it is called; `-` is `standard`. None of what may well be read and
/// written at once, as a terminal or /dev/null.
#[cfg(unix)]
fn identity(path: &Path, standard: impl std::os::fd::AsFd) -> Option<Identity> {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let file = if path == Path::new(STANDARD) {
        fs::File::from(standard.as_fd().try_clone_to_owned().ok()?).metadata().ok()?
    } else {
        fs::metadata(path).ok()?
    };
    let both_ways = file.file_type().is_char_device() || file.file_type().is_socket();
    (!both_ways).then(|| (file.dev(), file.ino()))
}

/// The path behind all links.
#[cfg(not(unix))]
type Identity = PathBuf;

#[cfg(not(unix))]
fn identity<T>(path: &Path, _standard: T) -> Option<Identity> {
    if path == Path::new(STANDARD) { None } else { fs::canonicalize(path).ok() }
}

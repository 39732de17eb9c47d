//! Models of the Hugging Face hub, through its usual cache (`HF_HOME`, else `~/.cache/huggingface`).
//!
//! What the cache holds is taken as it is, without a look at the network; delete it there to fetch anew.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cream::engine::hf;
use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Cache, Repo, RepoType};

/// Whether this can be `org/name` or `org/name@revision`.
pub(crate) fn is_id(text: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    let name = text.split_once('@').map_or(text, |(name, _)| name);
    name.split_once('/').is_some_and(|(organisation, name)| {
        plain(organisation) && plain(name) && organisation != "." && organisation != ".."
    })
}

/// The folder that the cache has for a model, complete or not.
pub(crate) fn cached(id: &str) -> Option<PathBuf> {
    Cache::from_env().repo(repo(id)).get("config.json")?.parent().map(Path::to_owned)
}

fn repo(id: &str) -> Repo {
    let (name, revision) = id.split_once('@').unwrap_or((id, "main"));
    Repo::with_revision(name.to_owned(), RepoType::Model, revision.to_owned())
}

/// The folder with the files of a model; fetches what is missing.
pub(crate) fn folder(id: &str) -> Result<PathBuf> {
    let cached = cached(id);
    let offline = env::var("HF_HUB_OFFLINE").is_ok_and(|value| !matches!(value.as_str(), "" | "0"));
    match cached {
        // Without a tokenizer there too, there may be one to fetch.
        Some(folder) if has_weights(&folder) && (offline || folder.join(TOKENIZER).exists()) => Ok(folder),
        Some(folder) if offline => {
            let what = hf::instead(cream::file_names(&folder)?.iter().map(String::as_str))
                .unwrap_or_else(|| "only a part of it".to_owned());
            bail!("{id}: the hub's cache holds {what}; HF_HUB_OFFLINE forbids to fetch more")
        }
        None if offline => bail!("{id}: not in the hub's cache, and HF_HUB_OFFLINE forbids to fetch it"),
        _ => fetch(repo(id)).with_context(|| format!("{id}: no such file or folder, and not fetched from the hub")),
    }
}

const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const TOKENIZER: &str = "tokenizer.json";

fn fetch(repo: Repo) -> Result<PathBuf> {
    let api = ApiBuilder::from_env().with_progress(io::stderr().is_terminal()).build()?.repo(repo);
    let get = |name: &str| api.get(name).with_context(|| name.to_owned());
    let names: BTreeSet<String> = api.info()?.siblings.into_iter().map(|file| file.rfilename).collect();
    if let Some(what) = hf::instead(names.iter().map(String::as_str)) {
        bail!("the repository holds {what}");
    }
    let mut folder = None;
    for name in hf::FILES.into_iter().filter(|&name| names.contains(name)) {
        folder = get(name)?.parent().map(Path::to_owned);
    }
    let folder = folder
        .context("the repository has none of a model's files (config.json, model.safetensors, tokenizer.json)")?;
    if names.contains(INDEX) {
        for shard in shards(&folder)? {
            get(&shard)?;
        }
    }
    Ok(folder)
}

/// The weight files that a folder's index names, where it has no `model.safetensors`.
fn shards(folder: &Path) -> Result<BTreeSet<String>> {
    if folder.join(WEIGHTS).exists() {
        return Ok(BTreeSet::new());
    }
    let index = fs::read(folder.join(INDEX)).with_context(|| INDEX)?;
    Ok(hf::shards(&[(INDEX.to_owned(), index)].into())?)
}

/// Whether all weights are there: another program, or one that was killed, may have left only a part.
fn has_weights(folder: &Path) -> bool {
    shards(folder).is_ok_and(|shards| shards.iter().all(|shard| folder.join(shard).exists()))
}

//! Models of the Hugging Face hub, through its usual cache (`HF_HOME`, else `~/.cache/huggingface`).
//!
//! What the cache holds is taken as it is, without a look at the network; delete it there to fetch anew.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cream::engine::hf;
use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Cache, Repo, RepoType};
use serde::Deserialize;

/// Whether this can be `org/name` or `org/name@revision`.
pub(crate) fn is_id(text: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    let name = text.split_once('@').map_or(text, |(name, _)| name);
    name.split_once('/').is_some_and(|(organisation, name)| {
        plain(organisation) && plain(name) && organisation != "." && organisation != ".."
    })
}

/// The folder with the files of a model; fetches what is missing.
pub(crate) fn folder(id: &str) -> Result<PathBuf> {
    let (name, revision) = id.split_once('@').unwrap_or((id, "main"));
    let repo = Repo::with_revision(name.to_owned(), RepoType::Model, revision.to_owned());
    let cached = Cache::from_env().repo(repo.clone()).get("config.json");
    if let Some(folder) = cached.as_deref().and_then(Path::parent)
        && is_complete(folder)
    {
        return Ok(folder.to_owned());
    }
    if env::var("HF_HUB_OFFLINE").is_ok_and(|value| !matches!(value.as_str(), "" | "0")) {
        bail!("{id}: not in the hub's cache, and HF_HUB_OFFLINE forbids to fetch it");
    }
    fetch(repo).with_context(|| format!("{id}: no such file or folder, and not fetched from the hub"))
}

fn fetch(repo: Repo) -> Result<PathBuf> {
    let api = ApiBuilder::from_env().with_progress(io::stderr().is_terminal()).build()?.repo(repo);
    let names = api.info()?.siblings.into_iter().map(|file| file.rfilename).filter(|name| hf::wanted(name));
    let mut folder = None;
    for name in names {
        let path = api.get(&name).with_context(|| name.clone())?;
        folder = path.parent().map(Path::to_owned);
    }
    folder.context("the repository has none of a model's files (config.json, model.safetensors, tokenizer.json)")
}

/// Whether all weights are there: another program, or one that was killed, may have left only a part.
fn is_complete(folder: &Path) -> bool {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    match fs::read(folder.join("model.safetensors.index.json")) {
        Ok(bytes) => serde_json::from_slice::<Index>(&bytes).is_ok_and(|index| {
            let shards: BTreeSet<String> = index.weight_map.into_values().collect();
            shards.iter().all(|shard| folder.join(shard).exists())
        }),
        Err(_) => folder.join("model.safetensors").exists(),
    }
}

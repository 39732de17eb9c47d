//! Weight files: which they are, and the tensors in them.

use std::collections::{BTreeMap, BTreeSet};

use std::borrow::Cow;

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde_json::{Map, Value};

use super::{CONFIG, Fields, Files, INDEX, TOKENIZER, WEIGHTS, object};
use crate::checkpoint::check_extra;
use crate::config::LlamaConfig;
use crate::error::{Error, Result};
use crate::stand_in;
use crate::tensor::{Dtype, Tensor};

/// How the names of tensors begin that the forward pass runs through.
const PARTS: [&str; 2] = ["model.", "lm_head."];
const EMBEDDING: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";

/// The weight files that [`super::load`] needs beside [`super::FILES`]: those that the index names, where there is no
/// `model.safetensors`.
///
/// # Errors
/// An index that is none, or a name in it that leads out of the folder.
pub fn shards(files: &Files) -> Result<BTreeSet<String>> {
    if files.contains_key(WEIGHTS) {
        return Ok(BTreeSet::new());
    }
    let Some(index) = object(files, INDEX)? else { return Ok(BTreeSet::new()) };
    weight_map(&index)?.into_values().map(|file| inside(file).map(str::to_owned)).collect()
}

/// The file of each tensor.
fn weight_map(index: &Map<String, Value>) -> Result<BTreeMap<&str, &str>> {
    let index = Fields { file: INDEX, object: index };
    let map = index.required("weight_map", index.object("weight_map")?)?;
    map.object.keys().map(|name| Ok((name.as_str(), map.required(name, map.string(name)?)?))).collect()
}

/// A file's name that stays in the folder: relative, with no step up, on any system.
fn inside(name: &str) -> Result<&str> {
    let stays = !name.contains(['\\', ':', '\0']) && name.split('/').all(|part| !["", ".", ".."].contains(&part));
    if stays {
        Ok(name)
    } else {
        Err(Error::file(INDEX, "weight_map", format_args!("{name:?}, expected a file of the folder")))
    }
}

/// What a folder or repository with files of these names holds in place of `model.safetensors` or `tokenizer.json`, and the
/// next step; `None` where it has both, or nothing that is known.
pub fn instead<'n>(names: impl IntoIterator<Item = &'n str>) -> Option<String> {
    let names: BTreeSet<&str> = names.into_iter().collect();
    let ending = |ends: &[&str]| {
        let found: Vec<&str> =
            names.iter().copied().filter(|name| ends.iter().any(|end| name.ends_with(end))).collect();
        let more = if found.len() > 1 { format!(" and {} more", found.len() - 1) } else { String::new() };
        found.first().map(|first| format!("{first}{more}"))
    };
    let convert = format!(
        "AutoModelForCausalLM.from_pretrained(…).save_pretrained(…, safe_serialization=True) in transformers writes {WEIGHTS}"
    );
    if !names.contains(WEIGHTS) && !names.contains(INDEX) {
        if let Some(own) = names.iter().find(|name| name.starts_with("consolidated.")) {
            return Some(format!(
                "{own}, weights in their maker's own layout, which is not read: convert them to Hugging Face's"
            ));
        }
        if let Some(gguf) = ending(&[".gguf"]) {
            return Some(format!("{gguf}, a whole model in one file: give that file as the model"));
        }
        let others: Vec<_> =
            names.iter().filter(|name| name.ends_with(".safetensors") && !name.starts_with("adapter_")).collect();
        match others[..] {
            [] => {}
            [one] => return Some(format!("{one}, expected weights as {WEIGHTS}: call the file so")),
            [first, ..] => {
                return Some(format!(
                    "weights in parts ({first}, …) without {INDEX}, which says where each tensor is: fetch it too"
                ));
            }
        }
        if let Some(pickled) = ending(&[".bin", ".pt", ".pth", ".ckpt"]) {
            return Some(format!("{pickled}, pickled weights, which are not read: {convert}"));
        }
        if let Some(foreign) = ending(&[".h5", ".msgpack", ".onnx"]) {
            return Some(format!("{foreign}, weights of another framework, which are not read: {convert}"));
        }
    }
    let is_model = names.contains(CONFIG) || names.contains(WEIGHTS) || names.contains(INDEX);
    if is_model && !names.contains(TOKENIZER) {
        let other = ["tokenizer.model", "spiece.model", "tekken.json", "vocab.json"]
            .into_iter()
            .find(|name| names.contains(name))?;
        return Some(format!(
            "{other}, a tokenizer in a form that is not read: AutoTokenizer.from_pretrained(…).save_pretrained(…) in transformers writes {TOKENIZER}"
        ));
    }
    None
}

/// The tensors of a configuration, and the file that names them.
pub(super) fn read<'a>(files: &'a Files, config: &LlamaConfig) -> Result<(&'static str, BTreeMap<String, Tensor<'a>>)> {
    let mut weights = Weights {
        config,
        needed: config.tensor_shapes().into_iter().map(|(name, _)| name).collect(),
        tensors: BTreeMap::new(),
        tied_head: None,
    };
    let file = if let Some(bytes) = files.get(WEIGHTS) {
        weights.add(WEIGHTS, bytes, |_| true)?;
        WEIGHTS
    } else {
        let index = object(files, INDEX)?;
        let missing = || Error::file(WEIGHTS, "file", format_args!("missing from the model's folder, as is {INDEX}"));
        let index = index.ok_or_else(missing)?;
        let map = weight_map(&index)?;
        for shard in shards(files)? {
            let bytes = files.get(&shard).ok_or_else(|| {
                let tensor = map.iter().find(|(_, file)| **file == shard).map_or("weight_map", |(tensor, _)| tensor);
                Error::file(INDEX, tensor, format_args!("is in {shard:?}, which is missing from the model's folder"))
            })?;
            weights.add(&shard, bytes, |name| map.get(name).is_none_or(|file| *file == shard))?;
        }
        INDEX
    };
    weights.check_head(file)?;
    Ok((file, weights.tensors))
}

struct Weights<'c, 'a> {
    config: &'c LlamaConfig,
    needed: BTreeSet<String>,
    tensors: BTreeMap<String, Tensor<'a>>,
    /// A head beside an embedding that is to be the head.
    tied_head: Option<Tensor<'a>>,
}

impl<'a> Weights<'_, 'a> {
    /// Adds what is needed of one file, of the tensors that are its own by the index.
    fn add(&mut self, file: &str, bytes: &'a [u8], own: impl Fn(&str) -> bool) -> Result<()> {
        let parsed = SafeTensors::deserialize(bytes)
            .map_err(|problem| Error::file(file, "header", stand_in::or(bytes, problem)))?;
        for (stored, view) in parsed.tensors().into_iter().filter(|(stored, _)| own(stored)) {
            let name = of_causal_model(&stored);
            let tensor = tensor(view);
            if self.needed.contains(&name) {
                let tensor = tensor.map_err(|problem| Error::file(file, &stored, problem))?;
                if self.tensors.insert(name, tensor).is_some() {
                    return Err(Error::file(file, &stored, "this tensor appears twice"));
                }
            } else if name == HEAD {
                self.tied_head = Some(tensor.map_err(|problem| Error::file(file, &stored, problem))?);
            } else {
                check_extra(file, &name, &PARTS, tensor.as_ref().ok(), self.config)?;
            }
        }
        Ok(())
    }

    /// Refuses a head of its own where the configuration ties it: transformers 4 passes over it, and 5 over the tying.
    fn check_head(&self, file: &str) -> Result<()> {
        let (Some(head), Some(embedding)) = (&self.tied_head, self.tensors.get(EMBEDDING)) else { return Ok(()) };
        let same = match head.dtype == embedding.dtype {
            true => head.bytes == embedding.bytes,
            false => head.to_f32() == embedding.to_f32(),
        };
        if same {
            return Ok(());
        }
        let problem = format!(
            "differs from {EMBEDDING}, though {CONFIG} has tie_word_embeddings true: set it to false, or leave the head out"
        );
        Err(Error::file(file, HEAD, problem))
    }
}

/// The name that a tensor has in a model with its head: one that was saved without has no prefix.
fn of_causal_model(name: &str) -> String {
    let bare = ["embed_tokens.", "layers.", "norm."].iter().any(|part| name.starts_with(part));
    if bare { format!("model.{name}") } else { name.to_owned() }
}

fn tensor(view: TensorView<'_>) -> Result<Tensor<'_>, String> {
    let dtype = match view.dtype() {
        safetensors::Dtype::F32 => Dtype::F32,
        safetensors::Dtype::F16 => Dtype::F16,
        safetensors::Dtype::BF16 => Dtype::BF16,
        other => return Err(format!("element type {other:?}; supported are F32, F16, BF16")),
    };
    Ok(Tensor { dtype, shape: view.shape().to_vec(), bytes: Cow::Borrowed(view.data()) })
}

//! Weight files: which they are, and the tensors in them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{SafeTensorError, SafeTensors};
use serde_json::{Map, Value};

use super::{CONFIG, Fields, Files, INDEX, TOKENIZER, WEIGHTS, object};
use crate::checkpoint::check_extra;
use crate::config::LlamaConfig;
use crate::error::{Error, Result};
use crate::source::{Place, Reader, SMALL, exactly};
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

/// Bytes of a file that tell the length of its header, or what stands in its place.
const FIRST_BYTES: u64 = 64;
/// Most bytes of a header; the crate safetensors takes no more.
const MOST_HEADER_BYTES: u64 = 100_000_000;

/// A file's first bytes, its header among them if it has one.
pub(super) async fn first_bytes(file: &str, reader: &impl Reader) -> Result<Vec<u8>> {
    let len = reader.len();
    let first = exactly(reader, file, "header", 0..len.min(FIRST_BYTES)).await?;
    let header = first.first_chunk().map_or(0, |&length| u64::from_le_bytes(length));
    let end = header.saturating_add(8);
    // A header that cannot be is refused by its length.
    if end <= first.len() as u64 || end > len || header > MOST_HEADER_BYTES {
        return Ok(first);
    }
    exactly(reader, file, "header", 0..end).await
}

/// What weight files hold. Tensors that lie behind the bytes that were given are empty.
pub(super) struct Weights<'a> {
    /// The file that names them.
    pub(super) file: &'static str,
    /// Those of the configuration.
    pub(super) tensors: BTreeMap<String, Tensor<'a>>,
    /// Where those of the configuration lie.
    pub(super) places: BTreeMap<String, Place>,
    beside: Vec<Beside<'a>>,
}

/// A tensor that the configuration does not have.
struct Beside<'a> {
    name: String,
    place: Place,
    /// `None` where its type cannot be read, or where it is too large to be read for what it says.
    tensor: Option<Tensor<'a>>,
}

/// Reads the headers of weight files, of which `files` has at least these; `len` gives how long a file is that begins so.
pub(super) fn read<'a>(
    files: &'a Files,
    config: &LlamaConfig,
    len: impl Fn(&str, &[u8]) -> u64,
) -> Result<Weights<'a>> {
    let needed = config.tensor_shapes().into_iter().map(|(name, _)| name).collect();
    let mut weights = Weights { file: WEIGHTS, tensors: BTreeMap::new(), places: BTreeMap::new(), beside: Vec::new() };
    if let Some(bytes) = files.get(WEIGHTS) {
        weights.add(WEIGHTS, bytes, len(WEIGHTS, bytes), &needed, |_| true)?;
        return Ok(weights);
    }
    let index = object(files, INDEX)?;
    let missing = || Error::file(WEIGHTS, "file", format_args!("missing from the model's folder, as is {INDEX}"));
    let index = index.ok_or_else(missing)?;
    let map = weight_map(&index)?;
    for shard in shards(files)? {
        let bytes = files.get(&shard).ok_or_else(|| {
            let tensor = map.iter().find(|(_, file)| **file == shard).map_or("weight_map", |(tensor, _)| tensor);
            Error::file(INDEX, tensor, format_args!("is in {shard:?}, which is missing from the model's folder"))
        })?;
        let own = |name: &str| map.get(name).is_none_or(|file| *file == shard);
        weights.add(&shard, bytes, len(&shard, bytes), &needed, own)?;
    }
    weights.file = INDEX;
    Ok(weights)
}

impl<'a> Weights<'a> {
    /// Adds the tensors of one file that are its own by the index.
    fn add(
        &mut self,
        file: &str,
        bytes: &'a [u8],
        len: u64,
        needed: &BTreeSet<String>,
        own: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let (start, header) =
            header(bytes, len).map_err(|problem| Error::file(file, "header", stand_in::or(bytes, problem)))?;
        for (stored, info) in header.tensors().into_iter().filter(|(stored, _)| own(stored)) {
            let name = of_causal_model(&stored);
            let range = start + info.data_offsets.0 as u64..start + info.data_offsets.1 as u64;
            let tensor = tensor(info, bytes, &range);
            let place = Place { file: file.to_owned(), range };
            if needed.contains(&name) {
                let tensor = tensor.map_err(|problem| Error::file(file, &stored, problem))?;
                self.places.insert(name.clone(), place);
                if self.tensors.insert(name, tensor).is_some() {
                    return Err(Error::file(file, &stored, "this tensor appears twice"));
                }
            } else if name == HEAD {
                let tensor = tensor.map_err(|problem| Error::file(file, &stored, problem))?;
                self.beside.push(Beside { name, place, tensor: Some(tensor) });
            } else {
                self.beside.push(Beside { name, place, tensor: tensor.ok() });
            }
        }
        Ok(())
    }

    /// Reads the tensors that [`Weights::check`] looks into; one that is too large for that is left out.
    pub(super) async fn fill<R: Reader>(&mut self, readers: &BTreeMap<String, R>) -> Result<()> {
        let mut tied = false;
        for Beside { name, place, tensor } in &mut self.beside {
            let is_head = name == HEAD;
            tied |= is_head;
            if !is_head && place.range.end - place.range.start > SMALL {
                *tensor = None;
            }
            if let Some(tensor) = tensor {
                fill(tensor, name, place, readers).await?;
            }
        }
        match self.tensors.get_mut(EMBEDDING).filter(|_| tied) {
            Some(embedding) => fill(embedding, EMBEDDING, &self.places[EMBEDDING], readers).await,
            None => Ok(()),
        }
    }

    /// Refuses what lies beside the tensors of the configuration if it would change the result.
    pub(super) fn check(&self, config: &LlamaConfig) -> Result<()> {
        for Beside { name, place, tensor } in &self.beside {
            match tensor.as_ref().filter(|_| name == HEAD) {
                Some(head) => self.check_head(head)?,
                None => check_extra(&place.file, name, &PARTS, tensor.as_ref(), config)?,
            }
        }
        Ok(())
    }

    /// Refuses a head of its own where the configuration ties it: transformers 4 passes over it, and 5 over the tying.
    fn check_head(&self, head: &Tensor<'_>) -> Result<()> {
        let Some(embedding) = self.tensors.get(EMBEDDING) else { return Ok(()) };
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
        Err(Error::file(self.file, HEAD, problem))
    }
}

async fn fill<R: Reader>(
    tensor: &mut Tensor<'_>,
    name: &str,
    Place { file, range }: &Place,
    readers: &BTreeMap<String, R>,
) -> Result<()> {
    if !range.is_empty() {
        tensor.bytes = Cow::Owned(exactly(&readers[file], file, name, range.clone()).await?);
    }
    Ok(())
}

/// The name that a tensor has in a model with its head: one that was saved without has no prefix.
fn of_causal_model(name: &str) -> String {
    let bare = ["embed_tokens.", "layers.", "norm."].iter().any(|part| name.starts_with(part));
    if bare { format!("model.{name}") } else { name.to_owned() }
}

/// Where the data begin of a file of `len` bytes that begins with these, and what they are.
fn header(bytes: &[u8], len: u64) -> Result<(u64, Metadata), SafeTensorError> {
    match SafeTensors::read_metadata(bytes) {
        // The last thing that it looks for: all of the data.
        Ok(_) | Err(SafeTensorError::MetadataIncompleteBuffer) => {}
        Err(problem) => return Err(problem),
    }
    let header = bytes.first_chunk().map_or(0, |&length| u64::from_le_bytes(length)) as usize;
    let metadata: Metadata =
        serde_json::from_slice(&bytes[8..8 + header]).map_err(SafeTensorError::InvalidHeaderDeserialization)?;
    let start = 8 + header as u64;
    if start + metadata.data_len() as u64 != len {
        return Err(SafeTensorError::MetadataIncompleteBuffer);
    }
    Ok((start, metadata))
}

/// The tensor at `range` of a file that begins with `bytes`, without its own where there are fewer.
fn tensor<'a>(info: &TensorInfo, bytes: &'a [u8], range: &Range<u64>) -> Result<Tensor<'a>, String> {
    let dtype = match info.dtype {
        safetensors::Dtype::F32 => Dtype::F32,
        safetensors::Dtype::F16 => Dtype::F16,
        safetensors::Dtype::BF16 => Dtype::BF16,
        other => return Err(format!("element type {other:?}; supported are F32, F16, BF16")),
    };
    let at = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
    let own = at.and_then(|(start, end)| bytes.get(start..end)).unwrap_or_default();
    Ok(Tensor { dtype, shape: info.shape.clone(), bytes: Cow::Borrowed(own) })
}

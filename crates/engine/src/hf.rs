//! Reads and writes the folder layout of Hugging Face's transformers, versions 4 and 5.

mod settings;
mod special_tokens;
#[cfg(test)]
mod tests;
mod tokenizer_json;
mod weights;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tokenizers::Tokenizer;

use crate::checkpoint::Checkpoint;
use crate::config::{LlamaConfig, RopeScaling};
use crate::error::{Error, Result};
use crate::neutral::{is_neutral, shown};
use crate::source::{MOST_BYTES, Reader, Streamed, exactly};
use crate::stand_in;
use crate::tensor::Dtype;
use crate::text::{Origin, Parts, Text, add_ends};
pub use weights::{instead, shards};

const CONFIG: &str = "config.json";
const GENERATION: &str = "generation_config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const SPECIAL_TOKENS: &str = "special_tokens_map.json";
const ADDED_TOKENS: &str = "added_tokens.json";
const CHAT_TEMPLATE: &str = "chat_template.jinja";

/// Files of a folder by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The names of the files that [`load`] has a use for; weights in parts have names of their own, see [`shards`].
pub const FILES: [&str; 9] =
    [CONFIG, GENERATION, WEIGHTS, INDEX, TOKENIZER, TOKENIZER_CONFIG, SPECIAL_TOKENS, ADDED_TOKENS, CHAT_TEMPLATE];

/// Reads a model from its folder's files; no text where there is no `tokenizer.json`. Tensors borrow from `files`.
pub fn load(files: &Files) -> Result<(Checkpoint<'_>, Option<Text>)> {
    check_stand_ins(files)?;
    let (raw, config) = settings(files)?;
    let weights = weights::read(files, &config, |_, bytes| bytes.len() as u64)?;
    weights.check(&config)?;
    let checkpoint = Checkpoint::new(weights.file, config, weights.tensors)?;
    let text = text(files, &raw, checkpoint.config.vocab_size)?;
    Ok((checkpoint, text))
}

/// Reads a model from its folder's files, all but the weights; the tensors are read when they are asked for.
///
/// # Errors
/// As [`load`]; what the readers say.
pub async fn open<R: Reader>(readers: BTreeMap<String, R>) -> Result<(Streamed<R>, Option<Text>)> {
    let mut files = Files::new();
    for (name, reader) in FILES.into_iter().filter_map(|name| Some((name, readers.get(name)?))) {
        let bytes =
            if name == WEIGHTS { weights::first_bytes(name, reader).await? } else { whole(name, reader).await? };
        files.insert(name.to_owned(), bytes);
    }
    check_stand_ins(&files)?;
    let (raw, config) = settings(&files)?;
    for shard in shards(&files)? {
        if let Some(reader) = readers.get(&shard).filter(|_| !files.contains_key(&shard)) {
            files.insert(shard.clone(), weights::first_bytes(&shard, reader).await?);
        }
    }
    let mut weights = weights::read(&files, &config, |name, _| readers[name].len())?;
    weights.fill(&readers).await?;
    weights.check(&config)?;
    let weights::Weights { file, tensors, places, .. } = weights;
    let checkpoint = Checkpoint::new(file, config, tensors)?;
    let text = text(&files, &raw, checkpoint.config.vocab_size)?;
    Ok((Streamed::new(readers, checkpoint, places, |_, _, _, _| Ok(())), text))
}

async fn whole(name: &str, reader: &impl Reader) -> Result<Vec<u8>> {
    let len = reader.len();
    if len > MOST_BYTES {
        return Err(Error::file(name, "file", format_args!("{len} bytes, expected at most {MOST_BYTES}")));
    }
    exactly(reader, name, "file", 0..len).await
}

fn check_stand_ins(files: &Files) -> Result<()> {
    for name in FILES {
        if let Some(what) = files.get(name).and_then(|bytes| stand_in::named(bytes)) {
            return Err(Error::file(name, "file", what));
        }
    }
    Ok(())
}

/// The keys of `config.json` of which nothing is known, and whose names do not speak of the computation: [`load`] passes
/// over them.
///
/// # Errors
/// A configuration that [`load`] refuses.
pub fn unknown_settings(files: &Files) -> Result<Vec<String>> {
    let (raw, config) = settings(files)?;
    Ok(settings::check(&raw, &config)?.into_iter().map(str::to_owned).collect())
}

/// What config.json says, as it is and as it is understood.
fn settings(files: &Files) -> Result<(Map<String, Value>, LlamaConfig)> {
    let raw = object(files, CONFIG)?.ok_or_else(|| Error::file(CONFIG, "file", "missing from the model's folder"))?;
    let config = configuration(&raw)?;
    config.check(CONFIG)?;
    settings::check(&raw, &config)?;
    Ok((raw, config))
}

/// A `config.json` that transformers 4 and 5 both read, for weights stored as `dtype`.
///
/// `text` gives the ids of bos and eos, which transformers would otherwise take to be 1 and 2.
pub fn config_json(config: &LlamaConfig, dtype: Dtype, text: Option<&Text>) -> String {
    let dtype = match dtype {
        Dtype::F16 => "float16",
        Dtype::BF16 => "bfloat16",
        _ => "float32",
    };
    let scaling = config.rope_scaling.map(|scaling| match scaling {
        RopeScaling::Linear { factor } => json!({"rope_type": "linear", "factor": factor}),
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings } => json!({
            "rope_type": "llama3",
            "factor": factor,
            "low_freq_factor": low_freq_factor,
            "high_freq_factor": high_freq_factor,
            "original_max_position_embeddings": original_max_position_embeddings,
        }),
    });
    let json = json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "num_key_value_heads": config.num_key_value_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.max_position_embeddings,
        "hidden_act": "silu",
        "rms_norm_eps": shortest(config.rms_norm_eps),
        "rope_theta": config.rope_theta,
        "rope_scaling": scaling,
        "attention_bias": false,
        "mlp_bias": false,
        "tie_word_embeddings": config.tie_word_embeddings,
        "torch_dtype": dtype,
        "bos_token_id": text.and_then(|text| text.named_token("bos_token")),
        "eos_token_id": text.map(Text::stop_tokens),
    });
    format!("{json:#}\n")
}

/// The f64 with the shortest decimal form that reads back as `x`: 1e-5, not 9.999999747378752e-6.
fn shortest(x: f32) -> f64 {
    x.to_string().parse().unwrap_or(f64::from(x))
}

/// The JSON object in a file, or `None` where there is no such file.
fn object(files: &Files, name: &str) -> Result<Option<Map<String, Value>>> {
    let Some(bytes) = files.get(name) else { return Ok(None) };
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => Ok(Some(object)),
        Ok(_) => Err(Error::file(name, "file", "expected a JSON object")),
        Err(problem) => Err(Error::file(name, "file", stand_in::or(bytes, problem))),
    }
}

/// One JSON object and the names for it in messages.
#[derive(Clone, Copy)]
struct Fields<'a> {
    file: &'a str,
    object: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// The value of a key; null counts as absent, as in transformers.
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    fn read<T>(&self, key: &str, expected: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<Option<T>> {
        let wrong = |value| Error::file(self.file, key, format_args!("{value}, expected {expected}"));
        self.get(key).map(|value| read(value).ok_or_else(|| wrong(value))).transpose()
    }

    fn size(&self, key: &str) -> Result<Option<usize>> {
        self.read(key, "a whole number", |value| usize::try_from(value.as_u64()?).ok())
    }

    fn number(&self, key: &str) -> Result<Option<f64>> {
        self.read(key, "a number", Value::as_f64)
    }

    fn bool(&self, key: &str) -> Result<Option<bool>> {
        self.read(key, "true or false", Value::as_bool)
    }

    fn string(&self, key: &str) -> Result<Option<&'a str>> {
        self.read(key, "a string", Value::as_str)
    }

    fn object(&self, key: &'a str) -> Result<Option<Fields<'a>>> {
        let object = self.read(key, "an object", Value::as_object)?;
        Ok(object.map(|object| Fields { file: self.file, object }))
    }

    fn required<T>(&self, key: &str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| Error::file(self.file, key, "missing"))
    }
}

fn configuration(raw: &Map<String, Value>) -> Result<LlamaConfig> {
    let fields = Fields { file: CONFIG, object: raw };
    let model_type = fields.required("model_type", fields.string("model_type")?)?;
    if model_type != "llama" {
        return Err(Error::file(CONFIG, "model_type", format_args!("{model_type:?}, only \"llama\" is supported")));
    }
    for key in ["attention_bias", "mlp_bias"] {
        if fields.bool(key)? == Some(true) {
            return Err(Error::file(CONFIG, key, "true, only models without biases are supported"));
        }
    }
    // Two names of one function in transformers.
    if let Some(act) = fields.string("hidden_act")?.filter(|act| !["silu", "swish"].contains(act)) {
        return Err(Error::file(CONFIG, "hidden_act", format_args!("{act:?}, only \"silu\" is supported")));
    }
    const QUANTISED: &str = "quantization_config";
    if let Some(value) = raw.get(QUANTISED).filter(|value| !is_neutral(QUANTISED, value)) {
        let problem = format!("{}: quantised safetensors are not supported; use a GGUF file", shown(value));
        return Err(Error::file(CONFIG, QUANTISED, problem));
    }
    let required = |key: &str| fields.required(key, fields.size(key)?);
    let (hidden_size, heads) = (required("hidden_size")?, required("num_attention_heads")?);
    let (rope_theta, rope_scaling) = rope(&fields)?;
    Ok(LlamaConfig {
        vocab_size: required("vocab_size")?,
        hidden_size,
        intermediate_size: required("intermediate_size")?,
        num_hidden_layers: required("num_hidden_layers")?,
        num_attention_heads: heads,
        num_key_value_heads: fields.size("num_key_value_heads")?.unwrap_or(heads),
        head_dim: fields.size("head_dim")?.or(hidden_size.checked_div(heads)).unwrap_or(0),
        max_position_embeddings: fields.size("max_position_embeddings")?.unwrap_or(2048),
        rms_norm_eps: fields.number("rms_norm_eps")?.unwrap_or(1e-6) as f32,
        rope_theta,
        rope_scaling,
        tie_word_embeddings: fields.bool("tie_word_embeddings")?.unwrap_or(false),
    })
}

/// Base and scaling: `rope_parameters` in files of transformers 5, `rope_theta` and `rope_scaling` in older ones. Where
/// they disagree, versions of transformers read the one or the other.
fn rope(config: &Fields) -> Result<(f64, Option<RopeScaling>)> {
    let theta = config.number("rope_theta")?;
    let mut read = None;
    for key in ["rope_scaling", "rope_parameters"] {
        let Some(rope) = config.object(key)?.filter(|rope| !rope.object.is_empty()) else { continue };
        let own = rope.number("rope_theta")?;
        let both = own.zip(theta).filter(|(own, theta)| own != theta);
        let scaling = rope_scaling(key, &rope)?;
        let this = (own.or(theta).unwrap_or(10_000.0), scaling);
        if let Some((own, theta)) = both {
            return Err(Error::file(
                CONFIG,
                format_args!("{key}.rope_theta"),
                format_args!("{own}, but rope_theta is {theta}"),
            ));
        }
        if read.is_some_and(|other| other != this) {
            return Err(Error::file(CONFIG, key, "says other than rope_scaling"));
        }
        read = Some(this);
    }
    let (theta, scaling) = read.unwrap_or((theta.unwrap_or(10_000.0), None));
    if let Some(RopeScaling::Llama3 { original_max_position_embeddings: original, .. }) = scaling {
        const KEY: &str = "original_max_position_embeddings";
        if let Some(other) = config.size(KEY)?.filter(|&other| other != original) {
            return Err(Error::file(CONFIG, KEY, format_args!("{other}, but the rotary scaling's is {original}")));
        }
    }
    Ok((theta, scaling))
}

/// What `rope_scaling` or `rope_parameters` says.
fn rope_scaling(key: &str, rope: &Fields) -> Result<Option<RopeScaling>> {
    const ORIGINAL: &str = "original_max_position_embeddings";
    let refuse = |name: &str, problem: String| Err(Error::file(CONFIG, format_args!("{key}.{name}"), problem));
    let number = |name: &str| rope.required(&format!("{key}.{name}"), rope.number(name)?);
    let (kind, older) = (rope.string("rope_type")?, rope.string("type")?);
    if let Some((kind, older)) = kind.zip(older).filter(|(kind, older)| kind != older) {
        return refuse("type", format!("{older:?}, but rope_type is {kind:?}"));
    }
    let kind = kind.or(older).unwrap_or("default");
    let (scaling, own): (_, &[&str]) = match kind {
        "default" => (None, &[]),
        "linear" => (Some(RopeScaling::Linear { factor: number("factor")? }), &["factor"]),
        "llama3" => {
            let scaling = RopeScaling::Llama3 {
                factor: number("factor")?,
                low_freq_factor: number("low_freq_factor")?,
                high_freq_factor: number("high_freq_factor")?,
                original_max_position_embeddings: rope.required(&format!("{key}.{ORIGINAL}"), rope.size(ORIGINAL)?)?,
            };
            (Some(scaling), &["factor", "low_freq_factor", "high_freq_factor"])
        }
        other => {
            return refuse("rope_type", format!("{other:?}, supported are \"default\", \"linear\" and \"llama3\""));
        }
    };
    for (name, value) in rope.object {
        let known =
            ["rope_type", "type", "rope_theta", ORIGINAL].contains(&name.as_str()) || own.contains(&name.as_str());
        if !known && !is_neutral(name, value) {
            return refuse(name, format!("{}, which {kind:?} does not have", shown(value)));
        }
    }
    Ok(scaling)
}

fn text(files: &Files, config: &Map<String, Value>, embedded: usize) -> Result<Option<Text>> {
    let Some(bytes) = files.get(TOKENIZER) else { return Ok(None) };
    let json = serde_json::from_slice(bytes).map_err(|problem| Error::file(TOKENIZER, "file", problem))?;
    tokenizer_json::check(&json, embedded)?;
    drop(json);
    let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(|problem| Error::file(TOKENIZER, "file", problem))?;
    let read = |name: &str| Ok::<_, Error>(object(files, name)?.unwrap_or_default());
    let (own, map, added) = (read(TOKENIZER_CONFIG)?, read(SPECIAL_TOKENS)?, read(ADDED_TOKENS)?);
    let (own, map) = (Fields { file: TOKENIZER_CONFIG, object: &own }, Fields { file: SPECIAL_TOKENS, object: &map });
    let named = special_tokens::gather(&mut tokenizer, own, map, &added)?;
    // transformers rebuilds what surrounds a text if, and only if, the configuration speaks of it.
    let (add_bos, add_eos) = (own.bool("add_bos_token")?, own.bool("add_eos_token")?);
    if add_bos.is_some() || add_eos.is_some() {
        let end = |wanted: Option<bool>, name: &str| {
            let token = named.get(name).filter(|_| wanted == Some(true))?;
            Some((token.clone(), tokenizer.token_to_id(token)?))
        };
        let (first, last) = (end(add_bos, "bos_token"), end(add_eos, "eos_token"));
        add_ends(&mut tokenizer, first, last)
            .map_err(|problem| Error::file(TOKENIZER_CONFIG, "add_bos_token", problem))?;
    }

    let mut stop = Vec::new();
    let generation = object(files, GENERATION)?.unwrap_or_default();
    for fields in [Fields { file: GENERATION, object: &generation }, Fields { file: CONFIG, object: config }] {
        stop.extend(fields.read("eos_token_id", "a token or a list of tokens", ids)?.unwrap_or_default());
    }
    let template = match files.get(CHAT_TEMPLATE) {
        Some(bytes) => Some(std::str::from_utf8(bytes).map_err(|problem| Error::file(CHAT_TEMPLATE, "file", problem))?),
        None => own.read("chat_template", "a template or a list of templates with a default", template_text)?,
    };
    Text::new(Parts {
        file: TOKENIZER.to_owned(),
        tokenizer,
        template: template.map(str::to_owned),
        named,
        stop,
        embedded,
        origin: Origin::Folder(
            [TOKENIZER, TOKENIZER_CONFIG, SPECIAL_TOKENS, ADDED_TOKENS, CHAT_TEMPLATE]
                .into_iter()
                .filter_map(|name| Some((name.to_owned(), files.get(name)?.clone())))
                .collect(),
        ),
    })
    .map(Some)
}

/// A template is its text, or one of several `{name, template}`.
fn template_text(value: &Value) -> Option<&str> {
    let named = || {
        let default = |entry: &&Value| entry.get("name").and_then(Value::as_str) == Some("default");
        value.as_array()?.iter().find(default)?.get("template")?.as_str()
    };
    value.as_str().or_else(named)
}

/// One token or several; a negative one is none.
fn ids(value: &Value) -> Option<Vec<u32>> {
    let list = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    let mut ids = Vec::new();
    for value in list {
        match value.as_i64()? {
            ..0 => {}
            id => ids.push(u32::try_from(id).ok()?),
        }
    }
    Some(ids)
}

//! A tokenizer and a chat template as entries of a GGUF file.
//!
//! GGUF names what others spell out: a kind of vocabulary, a rule that splits texts. So what was written is read back, and a
//! tokenizer that would come back as another is refused.

use serde_json::Value;
use tokenizers::Tokenizer;

use super::container::Container;
use super::encode::{Metadata, begin};
use super::vocab::{
    BYTE, CONTROL, MERGES, MODEL, NORMAL, PRE, PREFIX, RULES, SCORES, TOKENS, TYPES, UNKNOWN, UNUSED, USER_DEFINED,
    text as read,
};
use crate::error::{Error, Result};
use crate::text::{Origin, Text};

/// Adds what a file says of `text`; the model embeds `embedded` tokens.
pub(super) fn describe(metadata: &mut Metadata, text: &Text, embedded: usize) -> Result<()> {
    if let Origin::Gguf(entries) = text.origin() {
        entries.iter().for_each(|(key, value)| metadata.encoded(key, value));
        return Ok(());
    }
    let failed = |problem: String| Error::file(text.file(), "tokenizer", problem);
    let mut own = Metadata::default();
    translate(&mut own, text, embedded).map_err(failed)?;
    let bytes = begin(&own, [].iter());
    let container = Container::read(text.file(), &bytes, bytes.len() as u64).map_err(|failure| failure.error)?;
    compare(text, &read(&container, embedded)?).map_err(failed)?;
    container.encoded_under(PREFIX).iter().for_each(|(key, value)| metadata.encoded(key, value));
    Ok(())
}

fn translate(metadata: &mut Metadata, text: &Text, embedded: usize) -> Result<(), String> {
    let tokenizer = text.tokenizer();
    let json = serde_json::to_value(tokenizer).map_err(|problem| problem.to_string())?;
    let model = &json["model"];
    if model["type"] != "BPE" {
        return Err(format!("its model is {}, expected \"BPE\"", model["type"]));
    }
    let sentence_piece = model["byte_fallback"] == true;

    // Ids without a token are filled as llama.cpp's converter fills them.
    let mut tokens: Vec<Option<String>> = vec![None; embedded];
    for (token, id) in tokenizer.get_vocab(true) {
        tokens[id as usize] = Some(token);
    }
    let added = tokenizer.get_added_tokens_decoder();
    let unknown = model["unk_token"].as_str();
    let is_byte = |token: &str| token.strip_prefix("<0x").is_some_and(|rest| rest.len() == 3 && rest.ends_with('>'));
    let kinds = (0..).zip(&tokens).map(|(id, token)| match (token, added.get(&id)) {
        (None, _) => UNUSED,
        (Some(token), _) if sentence_piece && unknown == Some(token) => UNKNOWN,
        (Some(token), None) if sentence_piece && is_byte(token) => BYTE,
        (Some(_), None) => NORMAL,
        (Some(_), Some(added)) if added.special => CONTROL,
        (Some(_), Some(_)) => USER_DEFINED,
    });
    let kinds: Vec<i32> = kinds.map(|kind| kind as i32).collect();
    let tokens: Vec<String> =
        (0..).zip(tokens).map(|(id, token): (usize, _)| token.unwrap_or_else(|| format!("[PAD{id}]"))).collect();

    let merges = merges(model);
    metadata.string(MODEL, if sentence_piece { "llama" } else { "gpt2" });
    metadata.strings(TOKENS, tokens.iter().map(String::as_str));
    metadata.i32s(TYPES, kinds.into_iter());
    if sentence_piece {
        // A token's score is the rank of the merge that makes it.
        let mut ranks = std::collections::HashMap::new();
        for (rank, [left, right]) in merges.iter().enumerate() {
            ranks.entry([*left, *right].concat()).or_insert(rank);
        }
        metadata.f32s(SCORES, tokens.iter().map(|token| ranks.get(token).map_or(0.0, |&rank| -(rank as f32))));
        metadata.bool("tokenizer.ggml.add_space_prefix", json["normalizer"].to_string().contains("Prepend"));
        metadata.string(PRE, "default");
    } else {
        let merges: Vec<String> = merges.iter().map(|[left, right]| format!("{left} {right}")).collect();
        metadata.strings(MERGES, merges.iter().map(String::as_str));
        metadata.string(PRE, rule(&json)?);
    }

    for (name, key) in [("bos_token", "bos"), ("eos_token", "eos"), ("unk_token", "unknown"), ("pad_token", "padding")]
    {
        if let Some(id) = text.named_token(name) {
            metadata.u32(&format!("tokenizer.ggml.{key}_token_id"), id);
        }
    }
    if Some(text.end_of_turn()) != text.named_token("eos_token") {
        metadata.u32("tokenizer.ggml.eot_token_id", text.end_of_turn());
    }
    metadata.bool("tokenizer.ggml.add_bos_token", !text.before().is_empty());
    metadata.bool("tokenizer.ggml.add_eos_token", false);
    if let Some(template) = text.template() {
        metadata.string("tokenizer.chat_template", template);
    }
    Ok(())
}

/// The pairs of tokens that are merged, the first first.
fn merges(model: &Value) -> Vec<[&str; 2]> {
    model["merges"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|merge| Some([merge[0].as_str()?, merge[1].as_str()?]))
        .collect()
}

/// The name of the rule by which a tokenizer splits texts.
fn rule(json: &Value) -> Result<&'static str, String> {
    let own = splitting(&json["pre_tokenizer"]);
    for (name, rule) in RULES {
        let steps = rule.splitting().and_then(|steps| Ok(serde_json::to_value(steps)?)).map_err(|e| e.to_string())?;
        if splitting(&steps) == own {
            return Ok(name);
        }
    }
    let known = RULES.map(|(name, _)| name).join(", ");
    Err(format!("it splits texts by {own}, for which GGUF has no name that is known here, one of {known}"))
}

/// Steps that split texts, in one form: one alone is no list, and offsets do not matter.
fn splitting(steps: &Value) -> Value {
    let list = match &steps["pretokenizers"] {
        Value::Array(list) => list.clone(),
        _ => vec![steps.clone()],
    };
    list.into_iter()
        .map(|mut step| {
            step.as_object_mut().map(|step| step.remove("trim_offsets"));
            step
        })
        .collect()
}

/// What differs between a tokenizer and the one that was read back.
fn compare(text: &Text, back: &Text) -> Result<(), String> {
    let json = |text: &Text| serde_json::to_value(text.tokenizer()).map_err(|problem| problem.to_string());
    let (own, other) = (json(text)?, json(back)?);
    let differs = |what: &str, own: &Value, other: &Value| {
        Err(format!(
            "its {what} is {own}, and from a GGUF file comes {other}: a model with this tokenizer cannot be written so"
        ))
    };
    let (steps, steps_back) = (splitting(&own["pre_tokenizer"]), splitting(&other["pre_tokenizer"]));
    if steps != steps_back {
        return differs("pre_tokenizer", &steps, &steps_back);
    }
    if own["normalizer"] != other["normalizer"] {
        return differs("normalizer", &own["normalizer"], &other["normalizer"]);
    }
    let (model, model_back) = (&own["model"], &other["model"]);
    // A dropout of 0 and an empty affix are none. What is unknown where every byte is a token never occurs.
    let setting = |model: &Value, key: &str| {
        Some(model[key].clone()).filter(|value| *value != 0.0 && *value != "" && *value != false).unwrap_or_default()
    };
    let mut keys = vec!["dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges"];
    if !has_every_byte(text.tokenizer()) {
        keys.extend(["unk_token", "fuse_unk"]);
    }
    for key in keys {
        let [own, back] = [model, model_back].map(|model| setting(model, key));
        if own != back {
            return differs(key, &own, &back);
        }
    }
    if merges(model) != merges(model_back) {
        return Err("its merges do not follow from scores of its tokens, which is all that a GGUF file has".to_owned());
    }
    let (added, added_back) =
        (text.tokenizer().get_added_tokens_decoder(), back.tokenizer().get_added_tokens_decoder());
    if let Some(token) = added.values().find(|token| token.lstrip || token.rstrip || token.single_word) {
        return Err(format!(
            "{:?} takes the spaces or the words beside it into account, for which GGUF has no key",
            token.content
        ));
    }
    if let Some((id, token)) =
        added.iter().find(|(id, token)| added_back.get(id).is_none_or(|back| back.content != token.content))
    {
        return Err(format!("token {id}, {:?}, does not come back as it is", token.content));
    }
    if let Some(id) = text.stop_tokens().iter().find(|id| !back.stop_tokens().contains(id)) {
        return Err(format!("token {id} ends a completion, for which GGUF has no key"));
    }
    if text.before() != back.before() {
        return Err(format!("tokens {:?} come before every text, for which GGUF has no key", text.before()));
    }
    Ok(())
}

/// Whether a byte-level vocabulary, or one with a fallback to bytes, has all of them.
fn has_every_byte(tokenizer: &Tokenizer) -> bool {
    let alphabet = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet();
    alphabet.iter().all(|byte| tokenizer.token_to_id(&byte.to_string()).is_some())
}

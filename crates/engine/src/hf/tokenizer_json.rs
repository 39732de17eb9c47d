//! What a tokenizer.json must not say: the `tokenizers` crate panics on it when it reads the file, or later.
//!
//! Found by reading tokenizers 0.22.2 for `unwrap`, `expect` and unchecked indices. Nothing that a Llama's tokenizer says
//! is refused.

use serde_json::{Map, Value};

use super::TOKENIZER;
use crate::error::{Error, Result};

/// Checks a tokenizer.json for a model that embeds `embedded` tokens.
pub(super) fn check(json: &Value, embedded: usize) -> Result<()> {
    model(&json["model"], embedded)?;
    objects(&json["normalizer"], &mut |object| {
        if object.contains_key("precompiled_charsmap") || object.contains_key("Regex") {
            return refuse("normalizer", "a compiled character map or a regular expression, which are not supported");
        }
        Ok(())
    })?;
    objects(&json["decoder"], &mut |object| match object.get("stop") {
        Some(stop) if *stop != 0 => refuse("decoder.stop", &format!("{stop}, only 0 is supported")),
        _ => Ok(()),
    })?;
    post_processor(&json["post_processor"], embedded)
}

fn refuse(field: &str, problem: &str) -> Result<()> {
    Err(Error::file(TOKENIZER, field, problem))
}

fn model(model: &Value, embedded: usize) -> Result<()> {
    if model["type"] != "BPE" {
        return refuse("model.type", &format!("{}, only \"BPE\" is supported", model["type"]));
    }
    for (key, neutral) in [("continuing_subword_prefix", Value::from("")), ("dropout", Value::from(0.0))] {
        if !model[key].is_null() && model[key] != neutral {
            return refuse(&format!("model.{key}"), &format!("{}, only {neutral} is supported", model[key]));
        }
    }
    let mut ids = model["vocab"].as_object().into_iter().flatten();
    match ids.find(|(_, id)| id.as_u64().is_none_or(|id| id >= embedded as u64)) {
        Some((token, id)) => {
            refuse("model.vocab", &format!("{token:?} has id {id}, but the model embeds only {embedded} tokens"))
        }
        None => Ok(()),
    }
}

/// At most one template, which surrounds one text with tokens that it defines.
fn post_processor(value: &Value, embedded: usize) -> Result<()> {
    const FIELD: &str = "post_processor";
    let mut templates = 0;
    if !value.is_null() && !["ByteLevel", "Sequence", "TemplateProcessing"].iter().any(|kind| value["type"] == *kind) {
        return refuse(FIELD, &format!("type {}, which is not supported", value["type"]));
    }
    for step in value["processors"].as_array().into_iter().flatten().chain([value]) {
        if step["type"] == "Sequence" && !std::ptr::eq(step, value) {
            return refuse(FIELD, "a sequence within a sequence, which is not supported");
        }
        if step["type"] != "TemplateProcessing" {
            continue;
        }
        templates += 1;
        let pieces = step["single"].as_array().into_iter().chain(step["pair"].as_array()).flatten();
        for name in pieces.filter_map(|piece| piece["SpecialToken"]["id"].as_str()) {
            let ids = step["special_tokens"][name]["ids"].as_array();
            let embedded = |id: &Value| id.as_u64().is_some_and(|id| id < embedded as u64);
            if !ids.is_some_and(|ids| ids.iter().all(embedded)) {
                return refuse(FIELD, &format!("{name:?}, whose ids are missing or beyond the model's"));
            }
        }
        let second = |piece: &Value| piece["Sequence"]["id"] == "B";
        if step["single"].as_array().is_some_and(|single| single.iter().any(second)) {
            return refuse(FIELD, "a template for one text that names a second");
        }
    }
    if templates > 1 { refuse(FIELD, "more than one template") } else { Ok(()) }
}

/// Calls `check` on every object in `value`.
fn objects(value: &Value, check: &mut impl FnMut(&Map<String, Value>) -> Result<()>) -> Result<()> {
    match value {
        Value::Object(object) => {
            check(object)?;
            object.values().try_for_each(|value| objects(value, check))
        }
        Value::Array(array) => array.iter().try_for_each(|value| objects(value, check)),
        _ => Ok(()),
    }
}

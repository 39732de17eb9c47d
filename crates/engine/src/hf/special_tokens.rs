//! The special tokens of a folder, gathered as transformers gathers them (`tokenization_utils_base.py`,
//! `tokenization_utils_tokenizers.py`): `tokenizer.json` says most, and three other files may say more.
//!
//! Departs from transformers in one way: a token that is in no vocabulary is not given the next free id, which the model
//! need not embed. `tokenizer_config.json` may give it one.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tokenizers::{AddedToken, Tokenizer};

use super::{ADDED_TOKENS, Fields};
use crate::error::{Error, Result};

/// Names under which a tokenizer's files and chat templates know single tokens.
const NAMES: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
/// Tokens without a name that are special all the same.
const LISTS: [&str; 2] = ["extra_special_tokens", "additional_special_tokens"];
const DECODER: &str = "added_tokens_decoder";

/// Makes `tokenizer` know what `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json` add to its own
/// file; the named tokens with their text.
pub(super) fn gather(
    tokenizer: &mut Tokenizer,
    own: Fields<'_>,
    map: Fields<'_>,
    added: &Map<String, Value>,
) -> Result<BTreeMap<String, String>> {
    // Without a list of its own the configuration is of an old version, and the map says what its tokens are.
    let decoder = own.object(DECODER)?;
    let places = if decoder.is_some() { [&own, &map] } else { [&map, &own] };
    let (mut named, mut special) = (BTreeMap::new(), Vec::new());
    for place in places {
        for name in NAMES {
            if let Some(token) = place.read(name, "a token", |value| token(value, true))?
                && !named.contains_key(name)
            {
                named.insert(name.to_owned(), token.content.clone());
                special.push(token);
            }
        }
        for list in LISTS {
            let tokens = place.read(list, "tokens", |value| match value {
                Value::Array(tokens) => tokens.iter().map(|value| Some((None, token(value, true)?))).collect(),
                Value::Object(tokens) => {
                    tokens.iter().map(|(name, value)| Some((Some(name), token(value, true)?))).collect()
                }
                _ => None::<Vec<_>>,
            })?;
            for (name, token) in tokens.unwrap_or_default() {
                if let Some(name) = name {
                    named.entry(name.clone()).or_insert_with(|| token.content.clone());
                }
                special.push(token);
            }
        }
    }
    // A model's own names, as of its pictures.
    for (name, value) in own.object.iter().filter(|(name, _)| name.ends_with("_token")) {
        if let Some(text) = value.as_str()
            && !named.contains_key(name)
        {
            named.insert(name.clone(), text.to_owned());
            special.push(AddedToken::from(text, true));
        }
    }
    let is_special = |text: &str| special.iter().any(|token| token.content == text);

    match decoder {
        Some(decoder) => {
            let mut listed = Vec::new();
            for name in decoder.object.keys() {
                let field = format!("{DECODER}.{name}");
                let token = decoder.read(name, "a token", |value| token(value, false))?;
                let id = name.parse().map_err(|_| Error::file(own.file, &field, "expected the id of a token"))?;
                listed.extend(token.map(|token| (id, field, token)));
            }
            listed.sort_by_key(|(id, ..)| *id);
            for (id, field, mut token) in listed {
                token.special |= is_special(&token.content);
                add(tokenizer, token, Some(id)).map_err(|problem| Error::file(own.file, field, problem))?;
            }
        }
        None => {
            for (text, id) in added {
                let failed = |problem: &str| Error::file(ADDED_TOKENS, text, problem);
                let id = id.as_u64().and_then(|id| u32::try_from(id).ok());
                let id = id.ok_or_else(|| failed("expected the id of a token"))?;
                if known(tokenizer, text).is_none() {
                    let token = AddedToken::from(text.as_str(), is_special(text)).normalized(!is_special(text));
                    add(tokenizer, token, Some(id)).map_err(|problem| failed(&problem))?;
                }
            }
        }
    }
    for token in special {
        match known(tokenizer, &token.content) {
            Some(known) => add(tokenizer, AddedToken { special: true, ..known }, None),
            None if tokenizer.token_to_id(&token.content).is_some() => add(tokenizer, token, None),
            None => Ok(()),
        }
        .map_err(|problem| Error::file(own.file, "special tokens", problem))?;
    }
    Ok(named)
}

/// A token is its text, or an object with its text as `content` and how it is looked for.
fn token(value: &Value, special: bool) -> Option<AddedToken> {
    if let Some(text) = value.as_str() {
        return Some(AddedToken::from(text, special));
    }
    let text = value.get("content")?.as_str()?;
    let flag = |name: &str, default: bool| value.get(name).and_then(Value::as_bool).unwrap_or(default);
    let special = special || flag("special", false);
    let token = AddedToken::from(text, special)
        .single_word(flag("single_word", false))
        .lstrip(flag("lstrip", false))
        .rstrip(flag("rstrip", false));
    Some(token.normalized(flag("normalized", !special)))
}

/// What the tokenizer knows of a token that it looks for before all others.
fn known(tokenizer: &Tokenizer, text: &str) -> Option<AddedToken> {
    let added = tokenizer.get_added_vocabulary();
    added.get_added_tokens_decoder().get(added.get_vocab().get(text)?).cloned()
}

/// Adds a token, or changes what is known of it; one that is new must get the id `expected`.
fn add(tokenizer: &mut Tokenizer, token: AddedToken, expected: Option<u32>) -> std::result::Result<(), String> {
    if known(tokenizer, &token.content).as_ref() == Some(&token) {
        return Ok(());
    }
    let new = tokenizer.token_to_id(&token.content).is_none();
    let text = token.content.clone();
    tokenizer.add_tokens(&[token]);
    match (tokenizer.token_to_id(&text), expected) {
        (Some(id), Some(expected)) if new && id != expected => {
            Err(format!("{text:?} is not in tokenizer.json, whose next free id is {id}"))
        }
        _ => Ok(()),
    }
}

//! What stands in a row for each completion: its text, its tokens and why it ended.

use cream_engine::Finish;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::jsonl::Fields;

/// What a model said, or what it is scored for as if it had.
///
/// In a file the completions of a row are the columns `"completions"`, `"token_ids"` and `"finish"`, of which texts from
/// elsewhere need the first only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// Without the end of the turn.
    pub text: String,
    /// As they were drawn, the stop token among them; none of a text from elsewhere, which is encoded with its prompt.
    pub token_ids: Option<Vec<u32>>,
    /// A text from elsewhere is a whole turn, unless it is said to be cut.
    pub finish: Finish,
}

impl<T: Into<String>> From<T> for Completion {
    /// A whole turn from elsewhere.
    fn from(text: T) -> Self {
        Completion { text: text.into(), token_ids: None, finish: Finish::Stop }
    }
}

impl Completion {
    /// Whether it was cut at the longest length, so that it has no end.
    pub fn is_cut(&self) -> bool {
        self.finish == Finish::Length
    }
}

/// The columns of a row; those that say nothing are left out.
#[derive(Serialize)]
struct Columns<'a> {
    completions: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_ids: Option<Vec<Option<&'a [u32]>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finish: Option<Vec<Finish>>,
}

/// Writes completions as columns.
pub(super) fn columns<S: Serializer>(completions: &[Completion], serializer: S) -> Result<S::Ok, S::Error> {
    let drawn = completions.iter().any(|completion| completion.token_ids.is_some());
    let told = drawn || completions.iter().any(Completion::is_cut);
    let columns = Columns {
        completions: completions.iter().map(|completion| completion.text.as_str()).collect(),
        token_ids: drawn.then(|| completions.iter().map(|completion| completion.token_ids.as_deref()).collect()),
        finish: told.then(|| completions.iter().map(|completion| completion.finish).collect()),
    };
    columns.serialize(serializer)
}

/// Takes completions out of a line.
pub(super) fn take(fields: &mut Fields) -> Result<Vec<Completion>, String> {
    let texts = super::strings(fields, "completions")?;
    let mut completions: Vec<Completion> = texts.into_iter().map(Completion::from).collect();
    if completions.is_empty() {
        return Err("\"completions\" is [], expected at least one".into());
    }
    let expected = completions.len();
    let checked = |key: &str, found: usize| match found {
        found if found == expected => Ok(()),
        found => Err(format!("{key:?} has {found} elements, expected one for each of {expected} completions")),
    };
    if fields.has("token_ids") {
        let lists = fields.list("token_ids", "a list with null or a list of tokens for each completion", drawn)?;
        checked("token_ids", lists.len())?;
        completions.iter_mut().zip(lists).for_each(|(completion, ids)| completion.token_ids = ids);
    }
    if fields.has("finish") {
        let list = fields.list("finish", "a list of \"stop\" or \"length\"", finish)?;
        checked("finish", list.len())?;
        completions.iter_mut().zip(list).for_each(|(completion, finish)| completion.finish = finish);
    }
    Ok(completions)
}

/// Null, or at least one token.
fn drawn(value: &Value) -> Option<Option<Vec<u32>>> {
    if value.is_null() { Some(None) } else { token_ids(value).map(Some) }
}

/// At least one token.
pub(super) fn token_ids(value: &Value) -> Option<Vec<u32>> {
    let id = |id: &Value| id.as_u64().and_then(|id| id.try_into().ok());
    value.as_array()?.iter().map(id).collect::<Option<Vec<u32>>>().filter(|ids| !ids.is_empty())
}

/// Why a completion ended.
pub(super) fn finish(value: &Value) -> Option<Finish> {
    match value.as_str()? {
        "stop" => Some(Finish::Stop),
        "length" => Some(Finish::Length),
        _ => None,
    }
}

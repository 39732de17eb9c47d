//! Conversations as others write them: names of roles, texts in parts, and what a message must not hold.

use cream_engine::Message;
use serde_json::{Map, Value};

use super::Turns;
use crate::columns::{is_nothing, of_question};
use crate::jsonl::{Fields, shown};

/// Who speaks, by every name that is taken.
const ROLES: [(&str, &[&str]); 3] = [
    ("system", &["system", "developer"]),
    ("user", &["user", "human", "prompter"]),
    ("assistant", &["assistant", "gpt", "chatgpt", "model", "bot", "bing", "bard"]),
];

/// Fields of a message that change what is said, what is learnt of it, or who says it.
const MATTERS: [&str; 17] = [
    "tool_calls",
    "tool_call_id",
    "tool_name",
    "function_call",
    "name",
    "reasoning",
    "reasoning_content",
    "thinking",
    "refusal",
    "prefix",
    "weight",
    "train",
    "trainable",
    "train_on_turn",
    "loss",
    "mask",
    "masked",
];

/// What those that say how much is learnt have where they change nothing: all of it.
fn is_neutral(name: &str, value: &Value) -> bool {
    match name {
        "weight" | "train" | "trainable" | "train_on_turn" | "loss" => value == true || value.as_f64() == Some(1.0),
        "mask" | "masked" | "prefix" => value == false || value.as_f64() == Some(0.0),
        _ => false,
    }
}

impl Fields {
    /// Takes a text or a conversation out: a string, a message, or a list of messages `{"role", "content"}` or
    /// ShareGPT's `{"from", "value"}`. Roles become `system`, `user` and `assistant`; a content may be a list of parts
    /// that are texts.
    ///
    /// # Errors
    /// A sentence that names the turn and what is not understood of it.
    pub fn turns(&mut self, key: &str) -> Result<Turns, String> {
        match self.take(key, "a string or a list of messages", |value| Some(value.clone()))? {
            Value::String(text) => Ok(Turns::Text(text)),
            Value::Array(list) if !list.is_empty() => Ok(Turns::Messages(messages(key, &list)?)),
            one if one.get("role").is_some() || one.get("from").is_some() => {
                Ok(Turns::Messages(messages(key, &[one])?))
            }
            other => Err(format!("{key:?} is {}, expected a string or a list of messages", shown(&other))),
        }
    }

    /// Takes a list of messages out, as [`Fields::turns`] reads them.
    ///
    /// # Errors
    /// As [`Fields::turns`].
    pub fn messages(&mut self, key: &str) -> Result<Vec<Message>, String> {
        let expected = "a list of {\"role\", \"content\"}";
        let list = self.take(key, expected, |value| value.as_array().filter(|list| !list.is_empty()).cloned())?;
        messages(key, &list)
    }

    /// Takes a completion out: a string, or one message by the assistant.
    ///
    /// # Errors
    /// As [`Fields::turns`]; more than one message, or another's.
    pub fn completion(&mut self, key: &str) -> Result<String, String> {
        match self.turns(key)? {
            Turns::Text(text) => Ok(text),
            Turns::Messages(mut messages) => match (messages.pop(), messages.len()) {
                (Some(only), 0) if only.role == "assistant" => Ok(only.content),
                (last, before) => Err(format!(
                    "{key:?} has {} messages and ends with the {}'s, expected a string or a list of one message by the \
                     assistant",
                    before + 1,
                    last.map_or_else(String::new, |last| last.role),
                )),
            },
        }
    }
}

fn messages(key: &str, list: &[Value]) -> Result<Vec<Message>, String> {
    let turns = list.iter().enumerate().map(|(turn, value)| {
        let last = turn + 1 == list.len();
        message(value, last).map_err(|problem| format!("{key:?}, turn {}: {problem}", turn + 1))
    });
    turns.collect()
}

/// One turn; only the last may say nothing, if it is the assistant's.
fn message(value: &Value, last: bool) -> Result<Message, String> {
    let Value::Object(map) = value else {
        return Err(format!("{}, expected {{\"role\", \"content\"}}", shown(value)));
    };
    let role = role(one_of(map, &["role", "from"], "\"role\"")?)?;
    let said = one_of(map, &["content", "value", "text"], "\"content\"");
    let used = ["role", "from", "content", "value", "text"];
    for (name, value) in map.iter().filter(|(name, value)| !used.contains(&name.as_str()) && !is_nothing(value)) {
        if (of_question(name) || MATTERS.contains(&name.as_str())) && !is_neutral(name, value) {
            return Err(format!("{name:?} is {}, which is not understood here, expected none", shown(value)));
        }
    }
    let content = content(said?)?;
    if content.trim().is_empty() && (role != "assistant" || !last) && role != "system" {
        return Err(format!("\"content\" is {content:?}, expected what the {role} says"));
    }
    Ok(Message { role: role.into(), content })
}

/// The field that goes by one of `names`; where several do, they must agree.
fn one_of<'a>(map: &'a Map<String, Value>, names: &[&str], expected: &str) -> Result<&'a Value, String> {
    let mut found = names.iter().filter_map(|name| map.get(*name).filter(|value| !value.is_null()));
    let Some(first) = found.next() else {
        let has: Vec<String> = map.keys().map(|key| format!("{key:?}")).collect();
        return Err(format!("no {expected}; the message has {}", has.join(", ")));
    };
    match found.find(|other| *other != first) {
        Some(other) => Err(format!("both {} and {} for {expected}, expected one", shown(first), shown(other))),
        None => Ok(first),
    }
}

fn role(value: &Value) -> Result<&'static str, String> {
    let name = value.as_str().unwrap_or_default().to_ascii_lowercase();
    let known = ROLES.into_iter().find(|(_, names)| names.contains(&name.as_str()));
    known.map(|(role, _)| role).ok_or_else(|| {
        format!(
            "\"role\" is {}, expected \"system\", \"user\" or \"assistant\" (or \"human\", \"gpt\" …)",
            shown(value)
        )
    })
}

/// A text, or the texts of its parts one after the other, as chat templates write them.
fn content(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Array(parts) => parts.iter().map(part).collect(),
        other => Err(format!("\"content\" is {}, expected a string or a list of text parts", shown(other))),
    }
}

fn part(value: &Value) -> Result<&str, String> {
    let refused = || format!("\"content\" has a part {}, expected {{\"type\": \"text\", \"text\"}}", shown(value));
    match value {
        Value::String(text) => Ok(text),
        Value::Object(map) => {
            let kind = map.get("type").filter(|kind| !kind.is_null());
            let text = kind.is_none_or(|kind| ["text", "input_text", "output_text"].iter().any(|known| kind == known));
            let more = |(name, value): (&String, &Value)| {
                !["type", "text"].contains(&name.as_str()) && of_question(name) && !is_nothing(value)
            };
            match map.get("text").and_then(Value::as_str) {
                Some(said) if text && !map.iter().any(more) => Ok(said),
                _ => Err(refused()),
            }
        }
        _ => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::jsonl::read_jsonl;
    use crate::rows::{Prompt, SftRow};

    fn prompt(turns: Value) -> Result<Vec<(String, String)>, String> {
        let line = json!({"id": 1, "messages": turns}).to_string();
        let rows = read_jsonl::<Prompt>("p", line.as_bytes()).map_err(|error| error.to_string())?;
        let Turns::Messages(messages) = &rows[0].prompt else { panic!("{rows:?}") };
        Ok(messages.iter().map(|turn| (turn.role.clone(), turn.content.clone())).collect())
    }

    #[test]
    fn names_of_roles_and_parts_become_one_form() {
        let own = |turns: &[(&str, &str)]| {
            turns.iter().map(|(role, text)| ((*role).to_owned(), (*text).to_owned())).collect::<Vec<_>>()
        };
        for (turns, expected) in [
            (json!([{"from": "human", "value": "Hi"}]), own(&[("user", "Hi")])),
            (json!([{"role": "prompter", "text": "Hi", "message_id": 7}]), own(&[("user", "Hi")])),
            (json!([{"role": "User", "content": "Hi", "tool_calls": null}]), own(&[("user", "Hi")])),
            (
                json!([{"from": "system", "value": ""}, {"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}, {"from": "human", "value": "So"}]),
                own(&[("system", ""), ("user", "Hi"), ("assistant", "Ho"), ("user", "So")]),
            ),
            (
                json!([{"role": "developer", "content": "Be kind."}, {"role": "model", "content": "Ho"}, {"role": "user", "content": "Hi"}]),
                own(&[("system", "Be kind."), ("assistant", "Ho"), ("user", "Hi")]),
            ),
            (
                json!([{"role": "user", "content": [{"type": "text", "text": "Hi "}, {"type": "text", "text": "you", "image": null}, "!"]}]),
                own(&[("user", "Hi you!")]),
            ),
            (
                json!([{"role": "bot", "content": "a", "weight": 1, "train": true}, {"role": "user", "content": [{"text": "Hi"}], "id": 5, "lang": "en", "name": ""}]),
                own(&[("assistant", "a"), ("user", "Hi")]),
            ),
        ] {
            assert_eq!(prompt(turns.clone()).unwrap(), expected, "{turns}");
        }
        // A prompt may be such a list, and a completion one message.
        let line =
            json!({"prompt": [{"from": "human", "value": "Hi"}], "completion": [{"from": "gpt", "value": "Ho"}]});
        let rows = read_jsonl::<SftRow>("p", line.to_string().as_bytes()).unwrap();
        assert_eq!(rows[0].completion, "Ho");
    }

    #[test]
    fn what_is_not_understood_of_a_message_is_named() {
        let user = json!({"role": "user", "content": "Hi"});
        for (turn, expected) in [
            (json!({"role": "tool", "content": "x"}), "\"role\" is \"tool\", expected \"system\", \"user\""),
            (json!({"role": "function", "content": "x"}), "\"role\" is \"function\", expected"),
            (json!({"from": "observation", "value": "x"}), "\"role\" is \"observation\", expected"),
            (json!({"role": 1, "content": "x"}), "\"role\" is 1, expected"),
            (json!({"content": "x"}), "no \"role\"; the message has \"content\""),
            (json!({"input": "x", "output": "y"}), "no \"role\"; the message has \"input\", \"output\""),
            (json!({"role": "user", "content": null}), "no \"content\"; the message has"),
            (json!({"role": "user", "content": " "}), "\"content\" is \" \", expected what the user says"),
            (json!({"role": "assistant", "content": ""}), "\"content\" is \"\", expected what the assistant says"),
            (json!({"role": "user", "content": 5}), "\"content\" is 5, expected a string or a list of text parts"),
            (json!({"role": "user", "content": "x", "text": "y"}), "both \"x\" and \"y\" for \"content\""),
            (
                json!({"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": "u"}]}),
                "\"content\" has a part {\"image_url\":\"u\",\"type\":\"image_url\"}, expected {\"type\": \"text\"",
            ),
            (json!({"role": "user", "content": [{"type": "audio", "text": "x"}]}), "\"content\" has a part {"),
            (json!({"role": "user", "content": [{"text": "x", "image": "i"}]}), "\"content\" has a part {"),
            (
                json!({"role": "assistant", "content": "", "tool_calls": [{"name": "f"}]}),
                "\"tool_calls\" is [{\"name\":\"f\"}], which is not understood here",
            ),
            (json!({"role": "assistant", "content": null, "function_call": {"name": "f"}}), "\"function_call\" is {"),
            (json!({"role": "assistant", "content": "x", "reasoning_content": "r"}), "\"reasoning_content\" is \"r\""),
            (json!({"role": "user", "content": "x", "name": "Ann"}), "\"name\" is \"Ann\""),
            (json!({"role": "assistant", "content": "x", "weight": 0}), "\"weight\" is 0"),
            (json!({"role": "assistant", "content": "x", "train": false}), "\"train\" is false"),
            (json!({"role": "user", "content": "x", "images": ["i"]}), "\"images\" is [\"i\"]"),
            (json!("x"), "\"x\", expected {\"role\", \"content\"}"),
        ] {
            let message = prompt(json!([user, turn, user])).unwrap_err();
            let expected = format!("p: line 1: \"messages\", turn 2: {expected}");
            assert!(message.starts_with(&expected), "{message} should start with {expected}");
        }
        for (turns, expected) in [
            (json!([user, {"role": "assistant", "content": "Ho"}]), "the prompt ends with the assistant's turn"),
            (json!([user, {"role": "system", "content": "Ho"}]), "the prompt ends with the system's turn"),
            (json!("Hi"), "\"messages\" is \"Hi\", expected a list of"),
            (json!([]), "\"messages\" is [], expected a list of"),
        ] {
            let message = prompt(turns).unwrap_err();
            assert!(message.contains(expected), "{message} should contain {expected}");
        }
    }

    #[test]
    fn an_answer_to_imitate_says_something() {
        for (row, expected) in [
            (json!({"prompt": "x", "completion": " "}), "the answer to imitate is empty"),
            (
                json!({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": ""}]}),
                "the answer to imitate is empty",
            ),
            (
                json!({"prompt": "x", "completion": [{"role": "user", "content": "y"}]}),
                "\"completion\" has 1 messages and ends with the user's, expected",
            ),
            (
                json!({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}], "context": "c"}),
                "\"context\" is \"c\": it belongs to the question",
            ),
        ] {
            let message = read_jsonl::<SftRow>("s", row.to_string().as_bytes()).unwrap_err().to_string();
            assert!(message.contains(expected), "{message} should contain {expected}");
        }
    }
}

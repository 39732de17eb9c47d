//! A line of pairs.jsonl.

use cream_engine::Message;
use serde::ser::{Serialize, SerializeStruct, Serializer};
use serde_json::Value;

use super::{Turns, messages};
use crate::jsonl::{Fields, Row};

/// A preference pair with the weight and the reference that training needs.
///
/// As a line it loads into TRL as it is: with a text prompt `prompt`, `chosen` and `rejected` are strings; with a
/// conversation all three are lists of messages (TRL's conversational form), `chosen` and `rejected` of one turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// The prompt's.
    pub id: String,
    /// The prompt's.
    pub prompt: Turns,
    /// The completion of the highest reward.
    pub chosen: String,
    /// The completion of the lowest reward.
    pub rejected: String,
    /// C, in `[0, 1]`.
    pub consistency: f64,
    /// log p(chosen|prompt) under the model at the start of the round, nats.
    pub ref_chosen_logps: f64,
    /// The same of the rejected completion.
    pub ref_rejected_logps: f64,
}

impl Serialize for Pair {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_struct("Pair", 7)?;
        row.serialize_field("id", &self.id)?;
        match &self.prompt {
            Turns::Text(prompt) => {
                row.serialize_field("prompt", prompt)?;
                row.serialize_field("chosen", &self.chosen)?;
                row.serialize_field("rejected", &self.rejected)?;
            }
            Turns::Messages(prompt) => {
                let turn = |content: &str| [Message { role: "assistant".into(), content: content.into() }];
                row.serialize_field("prompt", prompt)?;
                row.serialize_field("chosen", &turn(&self.chosen))?;
                row.serialize_field("rejected", &turn(&self.rejected))?;
            }
        }
        row.serialize_field("consistency", &self.consistency)?;
        row.serialize_field("ref_chosen_logps", &self.ref_chosen_logps)?;
        row.serialize_field("ref_rejected_logps", &self.ref_rejected_logps)?;
        row.end()
    }
}

pub(crate) const COMPLETION: &str = "a string or a list of one message by the assistant";

/// The text of a completion in either form.
pub(crate) fn completion(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        turns => match messages(turns)?.as_slice() {
            [only] if only.role == "assistant" => Some(only.content.clone()),
            _ => None,
        },
    }
}

impl Row for Pair {
    fn from_fields(fields: &mut Fields) -> Result<Self, String> {
        Ok(Pair {
            id: fields.id()?,
            prompt: Turns::take(fields)?,
            chosen: fields.take("chosen", COMPLETION, completion)?,
            rejected: fields.take("rejected", COMPLETION, completion)?,
            consistency: fields.take("consistency", "a number from 0 to 1", |value| {
                value.as_f64().filter(|consistency| (0.0..=1.0).contains(consistency))
            })?,
            ref_chosen_logps: fields.number("ref_chosen_logps")?,
            ref_rejected_logps: fields.number("ref_rejected_logps")?,
        })
    }

    fn id(&self) -> Option<&str> {
        Some(&self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jsonl::{read_jsonl, to_jsonl};

    #[test]
    fn both_of_trls_forms() {
        let pair = Pair {
            id: "a".into(),
            prompt: Turns::Text("x".into()),
            chosen: "y".into(),
            rejected: "z".into(),
            consistency: 0.1 + 0.2,
            ref_chosen_logps: -1.5,
            ref_rejected_logps: -2.0,
        };
        let line = String::from_utf8(to_jsonl(std::slice::from_ref(&pair))).unwrap();
        assert_eq!(
            line,
            "{\"id\":\"a\",\"prompt\":\"x\",\"chosen\":\"y\",\"rejected\":\"z\",\"consistency\":0.30000000000000004,\
             \"ref_chosen_logps\":-1.5,\"ref_rejected_logps\":-2.0}\n"
        );
        let user = Message { role: "user".into(), content: "x".into() };
        let chat = Pair { id: "b".into(), prompt: Turns::Messages(vec![user]), ..pair.clone() };
        let line = String::from_utf8(to_jsonl(std::slice::from_ref(&chat))).unwrap();
        assert!(line.contains(
            "\"prompt\":[{\"role\":\"user\",\"content\":\"x\"}],\"chosen\":[{\"role\":\"assistant\",\"content\":\"y\"}]"
        ));
        let both = [pair, chat];
        assert_eq!(read_jsonl::<Pair>("p", &*to_jsonl(&both)).unwrap(), both);
    }

    #[test]
    fn consistency_is_a_share() {
        let line = "{\"id\":\"a\",\"prompt\":\"x\",\"chosen\":\"y\",\"rejected\":\"z\",\"consistency\":1.5}";
        let message = read_jsonl::<Pair>("p", line.as_bytes()).unwrap_err().to_string();
        assert!(message.contains("\"consistency\" is 1.5, expected a number from 0 to 1"), "{message}");
    }
}

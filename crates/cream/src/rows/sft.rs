//! A line of supervised data.

use serde::Serialize;

use super::Turns;
use crate::jsonl::{Fields, Row};

/// What to say to what. Read from `{"prompt", "completion"}`, or from `{"messages"}`, of which the last turn is the
/// assistant's and is learnt; earlier turns are the prompt, the assistant's among them. A row that calls its answer
/// unwanted (`"label": false`) is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SftRow {
    /// What is answered.
    #[serde(flatten)]
    pub prompt: Turns,
    /// The answer that is learnt, without the end of the turn.
    pub completion: String,
}

impl Row for SftRow {
    fn from_fields(fields: &mut Fields) -> Result<Self, String> {
        fields.take_verdict()?;
        let row = if fields.has("completion") || !fields.has("messages") {
            let prompt = Turns::take(fields)?;
            SftRow { prompt, completion: fields.completion("completion")? }
        } else {
            let mut turns = fields.messages("messages")?;
            fields.refuse_rest(&turns.iter().map(|turn| turn.content.as_str()).collect::<Vec<_>>())?;
            match turns.pop() {
                Some(last) if last.role == "assistant" && !turns.is_empty() => {
                    SftRow { prompt: Turns::Messages(turns), completion: last.content }
                }
                last => {
                    return Err(format!(
                        "\"messages\" has {} turns and ends with {:?}, expected an \"assistant\" turn after others",
                        turns.len() + 1,
                        last.map_or_else(String::new, |last| last.role),
                    ));
                }
            }
        };
        if row.completion.trim().is_empty() {
            return Err("the answer to imitate is empty, expected what to say".into());
        }
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jsonl::{read_jsonl, to_jsonl};

    #[test]
    fn both_forms_and_back() {
        let file = "{\"prompt\":\"x\",\"completion\":\"y\"}\n{\"messages\":[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"assistant\",\"content\":\"y\"}]}";
        let rows = read_jsonl::<SftRow>("s", file.as_bytes()).unwrap();
        assert!(matches!(&rows[1].prompt, Turns::Messages(turns) if turns.len() == 1));
        assert!(rows.iter().all(|row| row.completion == "y"));
        assert_eq!(read_jsonl::<SftRow>("s", &*to_jsonl(&rows)).unwrap(), rows);
    }

    #[test]
    fn the_assistant_must_have_the_last_word() {
        for (line, expected) in [
            ("{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}", "has 1 turns and ends with \"user\""),
            ("{\"messages\":[{\"role\":\"assistant\",\"content\":\"x\"}]}", "has 1 turns and ends with \"assistant\""),
            ("{\"prompt\":\"x\"}", "no \"completion\""),
            ("{\"text\":\"x\"}", "neither \"prompt\" nor \"messages\"; the line has \"text\""),
        ] {
            let message = read_jsonl::<SftRow>("s", line.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(expected), "{message} should contain {expected}");
        }
    }
}

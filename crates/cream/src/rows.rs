//! Rows of the files between the stages of one iteration.

mod completion;
mod messages;
mod metrics;
mod pair;
mod ranking;
mod rated;
mod rewards;
mod sft;

use cream_engine::Message;
use serde::Serialize;
use serde_json::Value;

use crate::jsonl::{Fields, Row};

pub use completion::Completion;
pub use metrics::{MetricsRow, PreferenceMetrics};
pub use pair::{GivenPair, Pair};
pub use ranking::Ranking;
pub use rated::Rated;
pub use rewards::Rewards;
pub use sft::SftRow;

/// What a completion answers: a text, or a conversation. Written as `"prompt": "…"` or `"messages": […]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Turns {
    /// One user turn, or raw text where the caller says so.
    #[serde(rename = "prompt")]
    Text(String),
    /// Turns so far; the last is the user's.
    #[serde(rename = "messages")]
    Messages(Vec<Message>),
}

impl Turns {
    /// Takes `prompt` (a string, or TRL's list of messages) or `messages` out of a line, in which nothing else may
    /// belong to the question.
    pub(crate) fn take(fields: &mut Fields) -> Result<Self, String> {
        let turns = match (fields.has("prompt"), fields.has("messages")) {
            (true, false) => fields.turns("prompt")?,
            (false, true) => Turns::Messages(fields.messages("messages")?),
            (true, true) => return Err("both \"prompt\" and \"messages\", expected one of them".into()),
            (false, false) => {
                return Err(format!("neither \"prompt\" nor \"messages\"; the line has {}", fields.names()));
            }
        };
        fields.refuse_rest(&turns.texts())?;
        turns.to_answer()
    }

    /// Itself, if the assistant is to answer it.
    ///
    /// # Errors
    /// A conversation that does not end with the user's turn.
    pub fn to_answer(self) -> Result<Self, String> {
        match &self {
            Turns::Messages(messages) => match messages.last() {
                Some(last) if last.role == "user" => Ok(self),
                last => Err(format!(
                    "the prompt ends with the {}'s turn, expected the user's, which the assistant is to answer",
                    last.map_or("nobody", |last| &last.role)
                )),
            },
            Turns::Text(_) => Ok(self),
        }
    }

    /// What is said in each turn.
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Turns::Text(text) => vec![text],
            Turns::Messages(messages) => messages.iter().map(|message| message.content.as_str()).collect(),
        }
    }
}

pub(crate) fn strings(fields: &mut Fields, key: &str) -> Result<Vec<String>, String> {
    fields.list(key, "a list of strings", |value| value.as_str().map(str::to_owned))
}

/// Keeps the rows that `check` has nothing against. `bad` is given every error: what it returns ends the work, `Ok` leaves
/// the row out.
///
/// # Errors
/// What `bad` returns.
pub fn keep<T>(
    rows: &mut Vec<T>,
    check: impl Fn(&T) -> crate::Result<()>,
    bad: &mut dyn FnMut(crate::Error) -> crate::Result<()>,
) -> crate::Result<()> {
    let mut kept = Vec::with_capacity(rows.len());
    for row in rows.drain(..) {
        match check(&row) {
            Ok(()) => kept.push(row),
            Err(error) => bad(error)?,
        }
    }
    *rows = kept;
    Ok(())
}

/// A line of prompts.jsonl.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Prompt {
    /// Unique in its file; names the random streams of its completions.
    pub id: String,
    /// What to answer.
    #[serde(flatten)]
    pub prompt: Turns,
}

impl Row for Prompt {
    fn from_fields(fields: &mut Fields) -> Result<Self, String> {
        Ok(Prompt { id: fields.id()?, prompt: Turns::take(fields)? })
    }

    fn id(&self) -> Option<&str> {
        Some(&self.id)
    }
}

/// A line of completions.jsonl: a prompt and N answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Completions {
    /// The prompt's.
    pub id: String,
    /// The prompt's.
    #[serde(flatten)]
    pub prompt: Turns,
    /// At least one.
    #[serde(flatten, serialize_with = "completion::columns")]
    pub completions: Vec<Completion>,
}

impl Row for Completions {
    fn from_fields(fields: &mut Fields) -> Result<Self, String> {
        Ok(Completions { id: fields.id()?, prompt: Turns::take(fields)?, completions: completion::take(fields)? })
    }

    fn id(&self) -> Option<&str> {
        Some(&self.id)
    }
}

/// A line of scores.jsonl: completions and their log-probs under one model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scores {
    /// The prompt's.
    pub id: String,
    /// The prompt's.
    #[serde(flatten)]
    pub prompt: Turns,
    /// N of them.
    #[serde(flatten, serialize_with = "completion::columns")]
    pub completions: Vec<Completion>,
    /// log p(y|x) of each, nats: the sum over its tokens, the end of the turn among them where it has one. `[N]`
    pub logps: Vec<f64>,
    /// Tokens of each, counted alike. `[N]`
    pub tokens: Vec<usize>,
}

impl Row for Scores {
    fn from_fields(fields: &mut Fields) -> Result<Self, String> {
        let Completions { id, prompt, completions } = Completions::from_fields(fields)?;
        let logps = fields.list("logps", "a list of numbers", Value::as_f64)?;
        let tokens = fields.list("tokens", "a list of positive integers", |value| {
            value.as_u64().filter(|&count| count > 0).and_then(|count| count.try_into().ok())
        })?;
        for (key, found) in [("logps", logps.len()), ("tokens", tokens.len())] {
            if found != completions.len() {
                return Err(format!("{key:?} has {found} elements, expected one for each of {}", completions.len()));
            }
        }
        Ok(Scores { id, prompt, completions, logps, tokens })
    }

    fn id(&self) -> Option<&str> {
        Some(&self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jsonl::{MAX_LINE_BYTES, read_jsonl, to_jsonl};

    fn prompts(file: &[u8]) -> Result<Vec<Prompt>, String> {
        read_jsonl("p.jsonl", file).map_err(|e| e.to_string())
    }

    #[test]
    fn prompts_of_every_kind() {
        let file = "\u{feff}{\"id\":\"a\",\"prompt\":\"Hi\",\"more\":[1]}\r\n\n  \n{\"id\":7,\"messages\":[{\"role\":\"user\",\"content\":\"é\"}]}\n{\"prompt\":[{\"role\":\"user\",\"content\":\"x\"}],\"id\":\"c\",\"messages\":null}";
        let rows = prompts(file.as_bytes()).unwrap();
        assert_eq!(rows[0], Prompt { id: "a".into(), prompt: Turns::Text("Hi".into()) });
        assert_eq!(rows[1].id, "7");
        assert!(matches!(&rows[2].prompt, Turns::Messages(m) if m[0].content == "x"));
        assert_eq!(prompts(&to_jsonl(&rows)).unwrap(), rows);
        let lines = String::from_utf8(to_jsonl(&rows[1..2])).unwrap();
        assert_eq!(lines, "{\"id\":\"7\",\"messages\":[{\"role\":\"user\",\"content\":\"é\"}]}\n");
    }

    #[test]
    fn every_mistake_is_named() {
        let good = "{\"id\":\"a\",\"prompt\":\"x\"}\n";
        let long = format!("{good}{{\"id\":\"b\",\"prompt\":\"{}\"}}", "x".repeat(MAX_LINE_BYTES));
        let cases: [(&[u8], &str); 14] = [
            (b"", "p.jsonl: no rows, expected at least one"),
            (b"\n \n", "p.jsonl: no rows, expected at least one"),
            (
                b"{\"id\":\"a\",\"question\":\"x\"}",
                "line 1: neither \"prompt\" nor \"messages\"; the line has \"question\"",
            ),
            (b"{\"prompt\":\"x\"}", "line 1: no \"id\", expected a string or an integer; the line has \"prompt\""),
            (b"{\"id\":1.5,\"prompt\":\"x\"}", "line 1: \"id\" is 1.5, expected a string or an integer"),
            (b"{\"id\":\"a\",\"prompt\":5}", "line 1: \"prompt\" is 5, expected a string or a list of messages"),
            (b"{\"id\":\"a\",\"messages\":[]}", "line 1: \"messages\" is [], expected a list of"),
            (
                b"{\"id\":\"a\",\"messages\":[{\"role\":\"assistant\",\"content\":\"x\"}]}",
                "the prompt ends with the assistant's turn, expected the user's",
            ),
            (b"{\"id\":\"a\",\"prompt\":\"x\",\"messages\":[]}", "both \"prompt\" and \"messages\""),
            (
                b"{\"id\":\"a\",\"prompt\":\"x\"}\n{\"id\":\"a\",\"prompt\":\"y\"}",
                "line 2: id \"a\" was seen before, on line 1",
            ),
            (b"5", "line 1: 5, expected a JSON object"),
            (b"{\"id\":\"a\",\"prompt\":\"x\"", "line 1: column 22: not JSON: EOF"),
            (b"{\"id\":\"a\",\"prompt\":\"\xff\"}", "line 1: not UTF-8 at byte 21"),
            (long.as_bytes(), "line 2: longer than 16777216 bytes"),
        ];
        for (file, expected) in cases {
            let message = prompts(file).unwrap_err();
            assert!(message.contains(expected), "{message} should contain {expected}");
        }
    }

    #[test]
    fn completions_with_tokens_and_without() {
        let read = |tail: &str| {
            let line = format!("{{\"id\":\"a\",\"prompt\":\"x\",\"completions\":[\"y\",\"z\"]{tail}}}");
            read_jsonl::<Completions>("c.jsonl", line.as_bytes()).map_err(|e| e.to_string())
        };
        let plain = read("").unwrap();
        assert_eq!(plain[0].completions, ["y", "z"].map(Completion::from));
        assert_eq!(
            String::from_utf8(to_jsonl(&plain)).unwrap(),
            "{\"id\":\"a\",\"prompt\":\"x\",\"completions\":[\"y\",\"z\"]}\n"
        );
        for tail in [
            ",\"token_ids\":[[5,2],[7]],\"finish\":[\"stop\",\"length\"]",
            ",\"token_ids\":[null,[7]],\"finish\":[\"stop\",\"stop\"]",
            ",\"finish\":[\"length\",\"stop\"]",
        ] {
            let rows = read(tail).unwrap();
            assert!(to_jsonl(&rows).ends_with(format!("[\"y\",\"z\"]{tail}}}\n").as_bytes()), "{tail}");
            assert_eq!(read_jsonl::<Completions>("c", &*to_jsonl(&rows)).unwrap(), rows);
        }
        for (tail, expected) in [
            (",\"token_ids\":[[5]]", "\"token_ids\" has 1 elements, expected one for each of 2 completions"),
            (",\"token_ids\":[[5],[]]", "expected a list with null or a list of tokens for each completion"),
            (",\"token_ids\":[[5],[-1]]", "expected a list with null or a list of tokens for each completion"),
            (",\"token_ids\":[[5],[4294967296]]", "expected a list with null or a list of tokens"),
            (",\"finish\":[\"stop\"]", "\"finish\" has 1 elements, expected one for each of 2 completions"),
            (",\"finish\":[\"stop\",\"eos\"]", "expected a list of \"stop\" or \"length\""),
        ] {
            let message = read(tail).unwrap_err();
            assert!(message.contains(expected), "{message} should contain {expected}");
        }
    }

    #[test]
    fn scores_hold_one_number_for_each_completion() {
        let read = |tail: &str| {
            let line = format!("{{\"id\":\"a\",\"prompt\":\"x\",\"completions\":[\"y\",\"z\"],{tail}}}");
            read_jsonl::<Scores>("s.jsonl", line.as_bytes()).map_err(|e| e.to_string())
        };
        let rows = read("\"logps\":[-1.25,-2],\"tokens\":[2,3]").unwrap();
        assert_eq!((rows[0].logps.as_slice(), rows[0].tokens.as_slice()), (&[-1.25, -2.0][..], &[2, 3][..]));
        assert_eq!(read_jsonl::<Scores>("s", &*to_jsonl(&rows)).unwrap(), rows);
        for (tail, expected) in [
            ("\"logps\":[-1],\"tokens\":[2,3]", "\"logps\" has 1 elements, expected one for each of 2"),
            ("\"logps\":[-1,-2],\"tokens\":[0,3]", "\"tokens\" is [0,3], expected a list of positive integers"),
            ("\"logps\":[NaN,-2],\"tokens\":[1,3]", "not JSON"),
            ("\"logps\":[1e999,-2],\"tokens\":[1,3]", "not JSON: number out of range"),
            ("\"logps\":[null,-2],\"tokens\":[1,3]", "\"logps\" is [null,-2], expected a list of numbers"),
            ("\"logps\":[-1,-2]", "no \"tokens\""),
        ] {
            let message = read(tail).unwrap_err();
            assert!(message.contains(expected), "{message} should contain {expected}");
        }
    }
}

//! Rows of rated completions, of any origin.

use serde_json::Value;

use super::completion::{self, finish};
use super::{Completion, Turns};
use crate::jsonl::{Fields, Row};

/// What somebody thinks of completions: those of a prompt in one row (`"completions"`, `"rewards"`, `"previous_rewards"`), or
/// each in a row of its own (`"completion"`, `"reward"`, `"previous_reward"`).
#[derive(Debug, Clone, PartialEq)]
pub struct Rated {
    /// Where there is one. It is the prompt's.
    pub id: Option<String>,
    /// What all answer.
    pub prompt: Turns,
    /// At least one.
    pub completions: Vec<Completion>,
    /// One for each completion; none where it is not ranked.
    pub rewards: Vec<Option<f64>>,
    /// A second opinion: those of the former model, or from anywhere else.
    pub previous_rewards: Option<Vec<Option<f64>>>,
}

/// A number, or null for none.
fn reward(value: &Value) -> Option<Option<f64>> {
    if value.is_null() { Some(None) } else { value.as_f64().map(Some) }
}

impl Row for Rated {
    fn from_fields(fields: &mut Fields) -> Result<Self, String> {
        let id = if fields.has("id") { Some(fields.id()?) } else { None };
        let prompt = Turns::take(fields)?;
        let (completions, rewards, previous_rewards) = if fields.has("completions") {
            let completions = completion::take(fields)?;
            let list = |fields: &mut Fields, key: &str| {
                let rewards = fields.list(key, "a list of numbers or null", reward)?;
                if rewards.len() != completions.len() {
                    let (found, expected) = (rewards.len(), completions.len());
                    return Err(format!(
                        "{key:?} has {found} elements, expected one for each of {expected} completions"
                    ));
                }
                Ok(rewards)
            };
            let rewards = list(fields, "rewards")?;
            let previous = fields.has("previous_rewards").then(|| list(fields, "previous_rewards")).transpose()?;
            (completions, rewards, previous)
        } else {
            let mut completion = Completion::from(fields.completion("completion")?);
            if fields.has("finish") {
                completion.finish = fields.take("finish", "\"stop\" or \"length\"", finish)?;
            }
            let rewards = vec![fields.take("reward", "a number or null", reward)?];
            let key = "previous_reward";
            let previous = fields.has(key).then(|| fields.take(key, "a number or null", reward)).transpose()?;
            (vec![completion], rewards, previous.map(|reward| vec![reward]))
        };
        Ok(Rated { id, prompt, completions, rewards, previous_rewards })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jsonl::read_jsonl;

    #[test]
    fn both_shapes() {
        let lines = "{\"prompt\":\"x\",\"completions\":[\"y\",\"z\"],\"rewards\":[1,null],\"previous_rewards\":[0.5,2]}\n\
                     {\"id\":7,\"prompt\":\"x\",\"completion\":\"y\",\"reward\":-1,\"finish\":\"length\"}\n";
        let rows = read_jsonl::<Rated>("r", lines.as_bytes()).unwrap();
        assert_eq!(rows[0].rewards, [Some(1.0), None]);
        assert_eq!(rows[0].previous_rewards, Some(vec![Some(0.5), Some(2.0)]));
        assert_eq!((rows[1].id.as_deref(), &rows[1].rewards[..]), (Some("7"), &[Some(-1.0)][..]));
        assert!(rows[1].completions[0].is_cut() && rows[1].previous_rewards.is_none());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, expected) in [
            (
                "\"completions\":[\"y\"],\"rewards\":[1,2]",
                "\"rewards\" has 2 elements, expected one for each of 1 completions",
            ),
            (
                "\"completions\":[\"y\"],\"rewards\":[\"1\"]",
                "\"rewards\" is [\"1\"], expected a list of numbers or null",
            ),
            ("\"completions\":[\"y\"]", "no \"rewards\", expected a list of numbers or null"),
            ("\"completion\":\"y\",\"score\":1", "no \"reward\", expected a number or null; the line has \"score\""),
            ("\"reward\":1", "no \"completion\", expected"),
        ] {
            let line = format!("{{\"prompt\":\"x\",{line}}}");
            let message = read_jsonl::<Rated>("r", line.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(expected), "{message} should contain {expected}");
        }
    }
}

//! A line of rewards.jsonl.

use serde::Serialize;
use serde_json::Value;

use crate::jsonl::{Fields, Row};

/// What the completions of a prompt are worth to a judge, a reward model or an oracle: `{"id", "rewards": […]}`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rewards {
    /// The prompt's.
    pub id: String,
    /// One for each completion; `null` where there is none, and the completion is not ranked. `[N]`
    pub rewards: Vec<Option<f64>>,
}

impl Row for Rewards {
    fn from_fields(fields: &mut Fields) -> Result<Self, String> {
        let rewards = fields.list("rewards", "a list of numbers or null", |value| match value {
            Value::Null => Some(None),
            value => value.as_f64().map(Some),
        })?;
        Ok(Rewards { id: fields.id()?, rewards })
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
    fn a_completion_may_have_none() {
        let line = "{\"id\":\"a\",\"rewards\":[1.5,null,-2.0]}\n";
        let rows = read_jsonl::<Rewards>("r", line.as_bytes()).unwrap();
        assert_eq!(rows[0].rewards, [Some(1.5), None, Some(-2.0)]);
        assert_eq!(to_jsonl(&rows), line.as_bytes());
        for (line, expected) in [
            ("{\"id\":\"a\",\"rewards\":[\"5\"]}", "\"rewards\" is [\"5\"], expected a list of numbers or null"),
            ("{\"id\":\"a\",\"scores\":[5]}", "no \"rewards\", expected a list of numbers or null"),
            ("{\"rewards\":[5]}", "no \"id\""),
        ] {
            let message = read_jsonl::<Rewards>("r", line.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(expected), "{message} should contain {expected}");
        }
    }
}

//! A line of rankings.jsonl.

use serde::Serialize;
use serde_json::Value;

use crate::jsonl::{Fields, Row};

/// The rewards of a prompt's completions under two successive models, and how far they rank alike.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ranking {
    /// The prompt's.
    pub id: String,
    /// Of each completion under the current model; none for one that has no reward. `[N]`
    pub rewards: Vec<Option<f64>>,
    /// The same under the previous model; none at all where there is no second ranking. `[N]`
    pub previous_rewards: Vec<Option<f64>>,
    /// Agreement of the two rankings in `[-1, 1]`, tau by default; none where one of them is constant or missing.
    pub agreement: Option<f64>,
}

impl Row for Ranking {
    fn from_fields(fields: &mut Fields) -> Result<Self, String> {
        let id = fields.id()?;
        let mut list = |key| {
            fields.list(key, "a list of numbers or null", |value| match value {
                Value::Null => Some(None),
                value => value.as_f64().map(Some),
            })
        };
        let (rewards, previous_rewards) = (list("rewards")?, list("previous_rewards")?);
        if previous_rewards.len() != rewards.len() {
            let (found, expected) = (previous_rewards.len(), rewards.len());
            return Err(format!("\"previous_rewards\" has {found} elements, expected {expected} as \"rewards\" has"));
        }
        let agreement = fields.take("agreement", "a number from -1 to 1 or null", |value| match value {
            Value::Null => Some(None),
            value => value.as_f64().filter(|agreement| (-1.0..=1.0).contains(agreement)).map(Some),
        })?;
        Ok(Ranking { id, rewards, previous_rewards, agreement })
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
    fn what_is_written_is_read_and_mistakes_are_named() {
        let row = |id: &str, agreement| Ranking {
            id: id.into(),
            rewards: vec![Some(0.1 + 0.2), Some(-1.0)],
            previous_rewards: vec![None, Some(3.5)],
            agreement,
        };
        let rows = [row("a", Some(-1.0)), row("b", None)];
        assert_eq!(read_jsonl::<Ranking>("r", &*to_jsonl(&rows)).unwrap(), rows);
        for (tail, expected) in [
            ("\"rewards\":[1,2],\"previous_rewards\":[1],\"agreement\":0", "has 1 elements, expected 2"),
            ("\"rewards\":[1],\"previous_rewards\":[1],\"agreement\":1.5", "\"agreement\" is 1.5, expected a number"),
            ("\"rewards\":[true],\"previous_rewards\":[1],\"agreement\":0", "\"rewards\" is [true], expected a list"),
        ] {
            let message =
                read_jsonl::<Ranking>("r", format!("{{\"id\":1,{tail}}}").as_bytes()).unwrap_err().to_string();
            assert!(message.contains(expected), "{message} should contain {expected}");
        }
    }
}

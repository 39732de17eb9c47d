//! A line of pairs.jsonl.

use cream_engine::Message;
use serde::ser::{Serialize, SerializeStruct, Serializer};
use serde_json::Value;

use super::completion::{finish, token_ids};
use super::{Completion, Completions, Turns};
use crate::jsonl::{Fields, Row};

/// A preference pair with the weight and the reference that training needs.
///
/// As a line it loads into TRL as it is: with a text prompt `prompt`, `chosen` and `rejected` are strings; with a
/// conversation all three are lists of messages (TRL's conversational form), `chosen` and `rejected` of one turn. What was
/// drawn has its tokens and why it ended in columns of their own: `chosen_token_ids`, `chosen_finish` and so on.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// The prompt's.
    pub id: String,
    /// The prompt's.
    pub prompt: Turns,
    /// The completion of the highest reward.
    pub chosen: Completion,
    /// The completion of the lowest reward.
    pub rejected: Completion,
    /// C, in `[0, 1]`.
    pub consistency: f64,
    /// log p(chosen|prompt) under the model at the start of the round, nats.
    pub ref_chosen_logps: f64,
    /// The same of the rejected completion.
    pub ref_rejected_logps: f64,
}

/// A preference pair as others have it: perhaps without weight and reference.
#[derive(Debug, Clone, PartialEq)]
pub struct GivenPair {
    /// Where there is one.
    pub id: Option<String>,
    /// What both answer.
    pub prompt: Turns,
    /// The preferred completion.
    pub chosen: Completion,
    /// The other.
    pub rejected: Completion,
    /// C, in `[0, 1]`.
    pub consistency: Option<f64>,
    /// Log-probs of chosen and rejected under the reference of training, nats.
    pub ref_logps: Option<[f64; 2]>,
}

impl Pair {
    /// The chosen and the rejected one, to be scored.
    pub(crate) fn completions(&self) -> Completions {
        let (id, prompt) = (self.id.clone(), self.prompt.clone());
        Completions { id, prompt, completions: vec![self.chosen.clone(), self.rejected.clone()] }
    }
}

impl Serialize for Pair {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        GivenPair::from(self.clone()).serialize(serializer)
    }
}

impl From<Pair> for GivenPair {
    fn from(pair: Pair) -> Self {
        let Pair { id, prompt, chosen, rejected, consistency, ref_chosen_logps, ref_rejected_logps } = pair;
        let ref_logps = Some([ref_chosen_logps, ref_rejected_logps]);
        GivenPair { id: Some(id), prompt, chosen, rejected, consistency: Some(consistency), ref_logps }
    }
}

impl Serialize for GivenPair {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_struct("Pair", 11)?;
        if let Some(id) = &self.id {
            row.serialize_field("id", id)?;
        }
        match &self.prompt {
            Turns::Text(prompt) => {
                row.serialize_field("prompt", prompt)?;
                row.serialize_field("chosen", &self.chosen.text)?;
                row.serialize_field("rejected", &self.rejected.text)?;
            }
            Turns::Messages(prompt) => {
                let turn = |said: &Completion| [Message { role: "assistant".into(), content: said.text.clone() }];
                row.serialize_field("prompt", prompt)?;
                row.serialize_field("chosen", &turn(&self.chosen))?;
                row.serialize_field("rejected", &turn(&self.rejected))?;
            }
        }
        if let Some(consistency) = &self.consistency {
            row.serialize_field("consistency", consistency)?;
        }
        if let Some([chosen, rejected]) = &self.ref_logps {
            row.serialize_field("ref_chosen_logps", chosen)?;
            row.serialize_field("ref_rejected_logps", rejected)?;
        }
        let [chosen, rejected] = [&self.chosen, &self.rejected];
        for (said, ids, finish) in
            [(chosen, "chosen_token_ids", "chosen_finish"), (rejected, "rejected_token_ids", "rejected_finish")]
        {
            if let Some(drawn) = &said.token_ids {
                row.serialize_field(ids, drawn)?;
            }
            if said.token_ids.is_some() || said.is_cut() {
                row.serialize_field(finish, &said.finish)?;
            }
        }
        row.end()
    }
}

/// A completion with its tokens and its end, where they are there.
fn completion(fields: &mut Fields, key: &str) -> Result<Completion, String> {
    let mut completion = Completion::from(fields.completion(key)?);
    let [ids, why] = ["token_ids", "finish"].map(|column| format!("{key}_{column}"));
    if fields.has(&ids) {
        completion.token_ids = Some(fields.take(&ids, "a list of tokens", token_ids)?);
    }
    if fields.has(&why) {
        completion.finish = fields.take(&why, "\"stop\" or \"length\"", finish)?;
    }
    Ok(completion)
}

impl Row for GivenPair {
    fn from_fields(fields: &mut Fields) -> Result<Self, String> {
        let id = if fields.has("id") { Some(fields.id()?) } else { None };
        let (prompt, chosen, rejected) =
            (Turns::take(fields)?, completion(fields, "chosen")?, completion(fields, "rejected")?);
        let share = |value: &Value| value.as_f64().filter(|consistency| (0.0..=1.0).contains(consistency));
        let consistency = match fields.has("consistency") {
            true => Some(fields.take("consistency", "a number from 0 to 1", share)?),
            false => None,
        };
        let ref_logps = match fields.has("ref_chosen_logps") || fields.has("ref_rejected_logps") {
            true => Some([fields.number("ref_chosen_logps")?, fields.number("ref_rejected_logps")?]),
            false => None,
        };
        Ok(GivenPair { id, prompt, chosen, rejected, consistency, ref_logps })
    }

    fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }
}

impl Row for Pair {
    fn from_fields(fields: &mut Fields) -> Result<Self, String> {
        let missing = |key: &str| format!("no {key:?}, expected it in a pair of a run");
        let GivenPair { id, prompt, chosen, rejected, consistency, ref_logps } = GivenPair::from_fields(fields)?;
        let [ref_chosen_logps, ref_rejected_logps] = ref_logps.ok_or_else(|| missing("ref_chosen_logps"))?;
        Ok(Pair {
            id: id.ok_or_else(|| missing("id"))?,
            prompt,
            chosen,
            rejected,
            consistency: consistency.ok_or_else(|| missing("consistency"))?,
            ref_chosen_logps,
            ref_rejected_logps,
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
    use cream_engine::Finish;

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
        let drawn = Completion { text: "y".into(), token_ids: Some(vec![7, 2]), finish: Finish::Stop };
        let cut = Completion { finish: Finish::Length, ..Completion::from("z") };
        let drawn = Pair { id: "c".into(), chosen: drawn, rejected: cut, ..pair.clone() };
        let line = String::from_utf8(to_jsonl(std::slice::from_ref(&drawn))).unwrap();
        let columns = "\"chosen_token_ids\":[7,2],\"chosen_finish\":\"stop\",\"rejected_finish\":\"length\"}\n";
        assert!(line.ends_with(columns), "{line}");
        let both = [pair, chat, drawn];
        assert_eq!(read_jsonl::<Pair>("p", &*to_jsonl(&both)).unwrap(), both);
    }

    #[test]
    fn consistency_is_a_share() {
        let line = "{\"id\":\"a\",\"prompt\":\"x\",\"chosen\":\"y\",\"rejected\":\"z\",\"consistency\":1.5}";
        let message = read_jsonl::<Pair>("p", line.as_bytes()).unwrap_err().to_string();
        assert!(message.contains("\"consistency\" is 1.5, expected a number from 0 to 1"), "{message}");
    }

    #[test]
    fn pairs_of_others_lack_weight_and_reference() {
        let line = "{\"prompt\":[{\"role\":\"user\",\"content\":\"x\"}],\"chosen\":[{\"role\":\"assistant\",\"content\":\"y\"}],\"rejected\":\"z\"}";
        let pair = &read_jsonl::<GivenPair>("p", line.as_bytes()).unwrap()[0];
        assert_eq!((pair.id.as_ref(), pair.consistency, pair.ref_logps), (None, None, None));
        assert_eq!((pair.chosen.text.as_str(), pair.rejected.text.as_str()), ("y", "z"));
        for (tail, expected) in [
            ("\"consistency\":2", "\"consistency\" is 2, expected a number from 0 to 1"),
            ("\"ref_chosen_logps\":-1", "no \"ref_rejected_logps\""),
            ("\"chosen_token_ids\":[]", "\"chosen_token_ids\" is [], expected a list of tokens"),
            ("\"rejected_finish\":\"eos\"", "\"rejected_finish\" is \"eos\", expected \"stop\" or \"length\""),
        ] {
            let line = format!("{{\"prompt\":\"x\",\"chosen\":\"y\",\"rejected\":\"z\",{tail}}}");
            let message = read_jsonl::<GivenPair>("p", line.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(expected), "{message} should contain {expected}");
        }
    }
}

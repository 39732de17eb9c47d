//! What is asked, under any of its names and with all that belongs to it.

use cream::engine::Message;
use cream::{Fields, Turns};

/// Names of what is asked; of several in one row the first is taken.
pub(super) const ASKED: [&str; 13] = [
    "messages",
    "conversations",
    "conversation",
    "prompt",
    "instruction",
    "question",
    "question_stem",
    "stem",
    "query",
    "problem",
    "goal",
    "ctx",
    "input",
];

/// What stands before a question.
const BEFORE: [&str; 5] = ["context", "passage", "article", "paragraph", "document"];

/// What an instruction is about stands after it.
const AFTER: [&str; 2] = ["input", "context"];

const SYSTEM: [&str; 3] = ["system", "system_prompt", "system_message"];

/// The question, after a system message if there is one.
pub(super) fn take(fields: &mut Fields) -> Result<Turns, String> {
    let Some(key) = first(fields, &ASKED) else {
        return Err(format!("none of the shapes that `cream import --help` lists; the row has {}", fields.names()));
    };
    let asked = match key {
        "messages" | "conversations" | "conversation" => Turns::Messages(fields.messages(key)?),
        _ => fields.turns(key)?,
    };
    let asked = match asked {
        Turns::Text(text) => match key {
            "instruction" => Turns::Text(joined([Some(text), with(fields, &AFTER)?])),
            "question" | "question_stem" | "stem" | "query" | "problem" => {
                Turns::Text(joined([with(fields, &BEFORE)?, Some(text)]))
            }
            "prompt" => match transcript(&text) {
                Some(turns) => Turns::Messages(turns),
                None => Turns::Text(text),
            },
            "ctx" => {
                // HellaSwag has both halves of it again.
                for half in ["ctx_a", "ctx_b"] {
                    if fields.get(half).and_then(|half| half.as_str()).is_some_and(|half| text.contains(half)) {
                        fields.string(half)?;
                    }
                }
                Turns::Text(text)
            }
            _ => Turns::Text(text),
        },
        turns => turns,
    };
    after_system(fields, asked)
}

/// The question after the row's system message, if it has one that does not stand there already.
pub(super) fn after_system(fields: &mut Fields, asked: Turns) -> Result<Turns, String> {
    let Some(key) = first(fields, &SYSTEM) else { return Ok(asked) };
    let system = fields.string(key)?;
    let turn = |role: &str, content| Message { role: role.into(), content };
    let turns = match asked {
        asked if system.trim().is_empty() => return Ok(asked),
        Turns::Text(text) => vec![turn("user", text)],
        Turns::Messages(turns) => turns,
    };
    match turns.iter().find(|turn| turn.role == "system") {
        Some(other) if other.content == system => Ok(Turns::Messages(turns)),
        Some(_) => Err(format!("{key:?} is another than the conversation's own system message, expected one")),
        None => Ok(Turns::Messages([vec![turn("system", system)], turns].concat())),
    }
}

/// The first of some fields that is there.
fn first<'a>(fields: &Fields, keys: &[&'a str]) -> Option<&'a str> {
    keys.iter().copied().find(|key| fields.has(key))
}

/// What the first of some fields says.
fn with(fields: &mut Fields, keys: &[&str]) -> Result<Option<String>, String> {
    first(fields, keys).map(|key| fields.string(key)).transpose()
}

fn joined(parts: [Option<String>; 2]) -> String {
    parts.into_iter().flatten().filter(|part| !part.trim().is_empty()).collect::<Vec<_>>().join("\n\n")
}

/// The turns of a text in HH-RLHF's form: `\n\nHuman: …\n\nAssistant: …`. Without what would be the assistant's last, if
/// that is empty.
pub(super) fn transcript(text: &str) -> Option<Vec<Message>> {
    let mut rest = text.trim_start().strip_prefix("Human:")?;
    let mut role = "user";
    let mut turns = Vec::new();
    loop {
        let next = [("\n\nHuman:", "user"), ("\n\nAssistant:", "assistant")]
            .into_iter()
            .filter_map(|(mark, next)| Some((rest.find(mark)?, mark, next)))
            .min();
        let end = next.map_or(rest.len(), |(at, ..)| at);
        turns.push(Message { role: role.into(), content: rest[..end].trim().into() });
        let Some((at, mark, next)) = next else { break };
        (rest, role) = (&rest[at + mark.len()..], next);
    }
    if turns.last().is_some_and(|last| last.role == "assistant" && last.content.is_empty()) {
        turns.pop();
    } else if turns.len() == 1 {
        return None;
    }
    turns.iter().all(|turn| !turn.content.is_empty()).then_some(turns)
}

//! The shapes in which others write their rows, and what becomes of each.

use cream::engine::Message;
use cream::{AnswerRow, ChoiceRow, Fields, PreferenceRow, Prompt, Row, SftRow, Turns};
use serde::Serialize;
use serde_json::Value;

use super::Target;

/// Every field that some shape has.
pub(super) const KEYS: [&str; 16] = [
    "id",
    "question",
    "question_stem",
    "choices",
    "answerKey",
    "answer",
    "chosen",
    "rejected",
    "prompt",
    "messages",
    "conversations",
    "instruction",
    "input",
    "output",
    "completion",
    "system",
];

/// A row as it was found.
pub(super) struct Source {
    id: Option<String>,
    prompt: Turns,
    rest: Rest,
}

/// What goes with a prompt.
enum Rest {
    Choices { choices: Vec<String>, answer: Option<usize> },
    Answer(String),
    Preference { chosen: String, rejected: String },
    Completion(String),
    Nothing,
}

/// A row as it is written.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Imported {
    Prompt(Prompt),
    Sft(SftRow),
    Choice(ChoiceRow),
    Answer(AnswerRow),
    Preference(PreferenceRow),
}

impl Source {
    /// What the row is good for without more being said.
    pub(super) fn suits(&self) -> Target {
        match self.rest {
            Rest::Choices { answer: Some(_), .. } | Rest::Answer(_) | Rest::Preference { .. } => Target::Task,
            Rest::Completion(_) => Target::Sft,
            Rest::Choices { answer: None, .. } | Rest::Nothing => Target::Prompts,
        }
    }

    /// The row for `target`; `name` gives an id where there is none.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub(super) fn into_row(self, target: Target, name: impl FnOnce() -> String) -> Result<Imported, String> {
        let Source { id, prompt, rest } = self;
        let id = id.unwrap_or_else(name);
        match target {
            Target::Prompts => Ok(Imported::Prompt(Prompt { id, prompt: with_letters(prompt, &rest) })),
            Target::Sft => {
                let completion = match &rest {
                    Rest::Completion(text) | Rest::Answer(text) | Rest::Preference { chosen: text, .. } => text.clone(),
                    Rest::Choices { choices, answer: Some(answer) } => lettered(*answer, &choices[*answer]),
                    Rest::Choices { answer: None, .. } | Rest::Nothing => {
                        return Err("no answer to imitate, expected one for --as sft".into());
                    }
                };
                Ok(Imported::Sft(SftRow { prompt: with_letters(prompt, &rest), completion }))
            }
            Target::Task => match (prompt, rest) {
                (Turns::Text(question), Rest::Choices { choices, answer: Some(answer) }) => {
                    Ok(Imported::Choice(ChoiceRow { id, question, choices, answer }))
                }
                (prompt, Rest::Answer(answer)) => Ok(Imported::Answer(AnswerRow { id, prompt, answer })),
                (prompt, Rest::Preference { chosen, rejected }) => {
                    Ok(Imported::Preference(PreferenceRow { id, prompt, chosen, rejected }))
                }
                _ => Err("neither a right answer nor a preference, expected one for --as task".into()),
            },
        }
    }
}

impl Row for Source {
    fn from_fields(fields: &mut Fields) -> Result<Self, String> {
        let id = if fields.has("id") { Some(fields.id()?) } else { None };
        if let Some((prompt, rest)) = question(fields)? {
            return Ok(Source { id, prompt, rest });
        }
        if fields.has("chosen") || fields.has("rejected") {
            let (prompt, rest) = preference(fields)?;
            return Ok(Source { id, prompt, rest });
        }
        let prompt = prompt(fields)?;
        let (prompt, rest) = if fields.has("completion") {
            (prompt, Rest::Completion(fields.take("completion", SAID, said)?))
        } else if fields.has("output") {
            (prompt, Rest::Completion(fields.string("output")?))
        } else if fields.has("answer") {
            let answer = fields.take("answer", "a string or a number", |value| match value {
                Value::String(text) => Some(text.clone()),
                Value::Number(number) => Some(number.to_string()),
                _ => None,
            })?;
            (prompt, Rest::Answer(answer))
        } else {
            match prompt {
                Turns::Messages(mut turns) if turns.last().is_some_and(|turn| turn.role == "assistant") => {
                    let last = turns.pop().map(|turn| turn.content).unwrap_or_default();
                    (Turns::Messages(turns), Rest::Completion(last))
                }
                prompt => (prompt, Rest::Nothing),
            }
        };
        match &prompt {
            Turns::Messages(turns) if turns.last().is_none_or(|turn| turn.role == "assistant") => {
                Err("no turn before the assistant's, expected one to answer".into())
            }
            _ => Ok(Source { id, prompt, rest }),
        }
    }

    fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }
}

/// Multiple choice: `choices` beside `question` (or `question_stem`), or, as ARC's own files have it, inside it.
fn question(fields: &mut Fields) -> Result<Option<(Turns, Rest)>, String> {
    let (stem, choices) = if fields.has("choices") {
        let key = if fields.has("question_stem") { "question_stem" } else { "question" };
        (fields.string(key)?, fields.take("choices", CHOICES, choices)?)
    } else if fields.has("question") && fields.has("answerKey") {
        let expected = "{\"stem\", \"choices\": [{\"text\", \"label\"}, …]}";
        fields.take("question", expected, |value| {
            Some((value.get("stem")?.as_str()?.to_owned(), choices(value.get("choices")?)?))
        })?
    } else {
        return Ok(None);
    };
    let (texts, labels): (Vec<String>, Vec<Option<String>>) = choices.into_iter().unzip();
    if texts.len() < 2 || texts.iter().any(String::is_empty) {
        return Err(format!("\"choices\" is {texts:?}, expected at least two, none of them empty"));
    }
    let key = if fields.has("answerKey") { "answerKey" } else { "answer" };
    let answer = match fields.has(key) {
        false => Value::Null,
        true => fields.take(key, "the right choice", |value| Some(value.clone()))?,
    };
    let labelled = labels.iter().position(|label| label.is_some() && label.as_deref() == answer.as_str());
    let answer = match labelled {
        _ if answer.is_null() || answer == "" => None,
        Some(index) => Some(index),
        None => Some(ChoiceRow::index_of(&answer, &texts)?),
    };
    Ok(Some((Turns::Text(stem), Rest::Choices { choices: texts, answer })))
}

const CHOICES: &str = "a list of strings, {\"text\": […], \"label\": […]}, or a list of {\"text\", \"label\"}";

/// Texts with their labels, if they have any.
fn choices(value: &Value) -> Option<Vec<(String, Option<String>)>> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    if let (Some(texts), Some(labels)) = (value.get("text"), value.get("label")) {
        let (texts, labels) = (texts.as_array()?, labels.as_array()?);
        let both = texts.iter().zip(labels).map(|(t, label)| Some((text(t)?, Some(text(label)?))));
        return if texts.len() == labels.len() { both.collect() } else { None };
    }
    let choice = |value: &Value| match value {
        Value::String(text) => Some((text.clone(), None)),
        value => Some((text(value.get("text")?)?, Some(text(value.get("label")?)?))),
    };
    value.as_array()?.iter().map(choice).collect()
}

/// `chosen` and `rejected`: texts after a prompt, or conversations that differ in the last turn.
fn preference(fields: &mut Fields) -> Result<(Turns, Rest), String> {
    let expected = "a string, or messages of which the last is the assistant's";
    let conversation = |value: &Value| match value {
        Value::String(text) => Some((Vec::new(), text.clone())),
        value => {
            let mut turns = if value.is_object() { vec![turn(value)?] } else { turns(value)? };
            let last = turns.pop().filter(|turn| turn.role == "assistant")?;
            Some((turns, last.content))
        }
    };
    let (before, chosen) = fields.take("chosen", expected, conversation)?;
    let (before_rejected, rejected) = fields.take("rejected", expected, conversation)?;
    if before != before_rejected {
        return Err("\"chosen\" and \"rejected\" differ before their last turn, expected one prompt".into());
    }
    // Where the prompt stands in both, the field "prompt" repeats it, or a part of it.
    let prompt = if before.is_empty() { prompt(fields)? } else { Turns::Messages(before) };
    Ok((prompt, Rest::Preference { chosen, rejected }))
}

/// What is to be answered, under any of its names, after a `system` message if there is one.
fn prompt(fields: &mut Fields) -> Result<Turns, String> {
    let key =
        ["prompt", "messages", "conversations", "instruction", "question"].into_iter().find(|key| fields.has(key));
    let Some(key) = key else {
        return Err(format!("none of the shapes that `cream import --help` lists; the row has {}", fields.names()));
    };
    let mut prompt = fields.take(key, "a string or a list of messages", |value| match value {
        Value::String(text) => Some(Turns::Text(text.clone())),
        value => turns(value).map(Turns::Messages),
    })?;
    if let Turns::Text(text) = &mut prompt
        && key == "instruction"
        && fields.has("input")
    {
        let input = fields.string("input")?;
        if !input.is_empty() {
            *text = format!("{text}\n\n{input}");
        }
    }
    if fields.has("system") {
        let system = fields.string("system")?;
        if !system.is_empty() {
            let turn = |role: &str, content| Message { role: role.into(), content };
            let turns = match prompt {
                Turns::Text(text) => vec![turn("user", text)],
                Turns::Messages(turns) => turns,
            };
            prompt = Turns::Messages([vec![turn("system", system)], turns].concat());
        }
    }
    Ok(prompt)
}

/// At least one turn.
fn turns(value: &Value) -> Option<Vec<Message>> {
    let turns: Vec<Message> = value.as_array()?.iter().map(turn).collect::<Option<_>>()?;
    (!turns.is_empty()).then_some(turns)
}

/// `{"role", "content"}`, or ShareGPT's `{"from", "value"}` with its names.
fn turn(value: &Value) -> Option<Message> {
    let text = |one: &str, other: &str| value.get(one).or_else(|| value.get(other))?.as_str().map(str::to_owned);
    let role = match text("role", "from")?.as_str() {
        "human" => "user".into(),
        "gpt" | "chatgpt" | "bing" | "bard" => "assistant".into(),
        role @ ("system" | "user" | "assistant") => role.into(),
        _ => return None,
    };
    Some(Message { role, content: text("content", "value")? })
}

const SAID: &str = "a string or a list of one message by the assistant";

fn said(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        value => match turns(value)?.as_slice() {
            [only] if only.role == "assistant" => Some(only.content.clone()),
            _ => None,
        },
    }
}

/// A question as a prompt shows it: with its choices.
fn with_letters(prompt: Turns, rest: &Rest) -> Turns {
    match (prompt, rest) {
        (Turns::Text(question), Rest::Choices { choices, .. }) => {
            let lines = choices.iter().enumerate().map(|(i, choice)| format!("\n{}", lettered(i, choice)));
            Turns::Text(lines.fold(question, |text, line| text + &line))
        }
        (prompt, _) => prompt,
    }
}

fn lettered(index: usize, choice: &str) -> String {
    match u8::try_from(index).ok().filter(|&index| index < 26) {
        Some(index) => format!("{}. {choice}", char::from(b'A' + index)),
        None => format!("{}. {choice}", index + 1),
    }
}

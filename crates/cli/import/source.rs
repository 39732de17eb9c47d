//! The shapes in which others write their rows, and what becomes of each.

use std::collections::BTreeSet;

use cream::{
    AnswerRow, ChoiceRow, Fields, PreferenceRow, Prompt, Row, SftRow, Turns, of_answer, of_question, of_verdict,
};
use serde::Serialize;
use serde_json::Value;

use super::Target;
use super::choices::{self, Choices};
use super::question::{self, transcript};

/// Names of an answer to imitate.
const SAID: [&str; 3] = ["completion", "output", "response"];

/// Names of a right answer.
const RIGHT: [&str; 2] = ["answer", "answers"];

/// Whether a column can change what becomes of a row.
pub(super) fn is_read(name: &str) -> bool {
    let known = [&["id", "chosen", "rejected"][..], &question::ASKED, &choices::LISTS, &choices::KEYS, &SAID, &RIGHT];
    known.concat().contains(&name) || of_question(name) || of_answer(name) || of_verdict(name)
}

/// A row as it was found.
pub(super) struct Source {
    id: Option<String>,
    prompt: Turns,
    rest: Rest,
    /// Why the answer is neither to be imitated nor right.
    unwanted: Option<String>,
    /// A column that holds an answer by its name, where none was understood.
    unread: Option<String>,
    /// Columns that are not used.
    pub(super) ignored: BTreeSet<String>,
}

/// What goes with a prompt.
enum Rest {
    Choices {
        choices: Vec<String>,
        answer: Option<usize>,
    },
    /// Each of them is right.
    Answers(Vec<String>),
    Preference {
        chosen: String,
        rejected: String,
    },
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
    ///
    /// # Errors
    /// A column looks like an answer that is not understood.
    pub(super) fn suits(&self) -> Result<Target, String> {
        match (&self.rest, &self.unread) {
            (Rest::Choices { answer: Some(_), .. } | Rest::Answers(_) | Rest::Preference { .. }, _) => Ok(Target::Task),
            (Rest::Completion(_), _) => Ok(Target::Sft),
            (_, Some(name)) => Err(format!(
                "{name:?} looks like an answer and is not understood as one here, expected a shape that `cream import \
                 --help` lists, or --as prompts to leave it out"
            )),
            (Rest::Choices { answer: None, .. } | Rest::Nothing, None) => Ok(Target::Prompts),
        }
    }

    /// The row for `target`; `name` gives an id where there is none.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub(super) fn into_row(self, target: Target, name: impl FnOnce() -> String) -> Result<Imported, String> {
        let Source { id, prompt, rest, unwanted, .. } = self;
        let id = id.unwrap_or_else(name);
        if let (Target::Sft | Target::Task, Some(unwanted)) = (target, unwanted) {
            return Err(unwanted);
        }
        match target {
            Target::Prompts => Ok(Imported::Prompt(Prompt { id, prompt: with_letters(prompt, &rest) })),
            Target::Sft => {
                let completion = match &rest {
                    Rest::Completion(text) | Rest::Preference { chosen: text, .. } => text.clone(),
                    Rest::Answers(answers) => answers[0].clone(),
                    Rest::Choices { choices, answer: Some(answer) } => lettered(*answer, &choices[*answer]),
                    Rest::Choices { answer: None, .. } | Rest::Nothing => {
                        return Err("no answer to imitate, expected one for --as sft".into());
                    }
                };
                if completion.trim().is_empty() {
                    return Err("the answer to imitate is empty, expected what to say".into());
                }
                Ok(Imported::Sft(SftRow { prompt: with_letters(prompt, &rest), completion }))
            }
            Target::Task => match (prompt, rest) {
                (Turns::Text(question), Rest::Choices { choices, answer: Some(answer) }) => {
                    Ok(Imported::Choice(ChoiceRow { id, question, choices, answer }))
                }
                (Turns::Messages(_), Rest::Choices { .. }) => {
                    Err("choices after a conversation, expected a question alone for --as task".into())
                }
                (prompt, Rest::Answers(answers)) => match <[String; 1]>::try_from(answers) {
                    Ok([answer]) => Ok(Imported::Answer(AnswerRow { id, prompt, answer })),
                    Err(answers) => Err(format!(
                        "{} right answers, expected one for --as task (--as sft takes the first)",
                        answers.len()
                    )),
                },
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
        unpack(fields);
        let (prompt, rest) = if let Some(choices) = Choices::take(fields)? {
            let answer = choices.answer(fields)?;
            (question::take(fields)?, Rest::Choices { choices: choices.texts, answer })
        } else if is_answer(fields, "chosen") || is_answer(fields, "rejected") {
            preference(fields)?
        } else {
            answered(fields)?
        };
        let unwanted = match rest {
            Rest::Choices { .. } | Rest::Nothing => None,
            _ => fields.take_verdict().err(),
        };
        let prompt = prompt.to_answer()?;
        let mut used = prompt.texts();
        match &rest {
            Rest::Choices { choices, .. } => used.extend(choices.iter().map(String::as_str)),
            Rest::Preference { chosen, rejected } => used.extend([chosen.as_str(), rejected]),
            Rest::Completion(text) => used.push(text),
            Rest::Answers(_) | Rest::Nothing => {}
        }
        fields.refuse_rest(&used)?;
        let ignored: BTreeSet<String> = fields.left().map(|(name, _)| name.to_owned()).collect();
        let unread = ignored.iter().find(|name| of_answer(name)).cloned();
        Ok(Source { id, prompt, rest, unwanted, unread, ignored })
    }

    fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }
}

/// `chosen` and `rejected` are answers, unless they say by a truth value whether the row's one answer is wanted.
fn is_answer(fields: &Fields, key: &str) -> bool {
    fields.get(key).is_some_and(|value| !value.is_boolean() && !value.is_number())
}

/// Reads columns that hold JSON in a string, and takes ARC's question apart, which has its choices inside.
fn unpack(fields: &mut Fields) {
    let speaks = |turn: &Value| turn.get("role").is_some() || turn.get("from").is_some();
    for (key, any) in [
        ("messages", true),
        ("conversations", true),
        ("conversation", true),
        ("choices", true),
        ("options", true),
        ("endings", true),
        // Texts, unless what they hold is a conversation.
        ("prompt", false),
        ("chosen", false),
        ("rejected", false),
    ] {
        let Some(Value::String(text)) = fields.get(key) else { continue };
        if let Ok(value @ (Value::Array(_) | Value::Object(_))) = serde_json::from_str(text)
            && (any || value.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(speaks)))
        {
            fields.put(key, value);
        }
    }
    if let Some(Value::Object(question)) = fields.get("question").cloned() {
        let _ = fields.take("question", "an object", |_| Some(()));
        for (key, value) in question {
            fields.put(&key, value);
        }
    }
}

/// `chosen` and `rejected`: texts after a prompt, or conversations that differ in the last turn.
fn preference(fields: &mut Fields) -> Result<(Turns, Rest), String> {
    let mut conversation = |key: &str| {
        let mut turns = match fields.turns(key)? {
            Turns::Messages(turns) => turns,
            Turns::Text(text) => match transcript(&text) {
                Some(turns) => turns,
                None => return Ok((Vec::new(), text)),
            },
        };
        match turns.pop() {
            Some(last) if last.role == "assistant" => Ok((turns, last.content)),
            _ => Err(format!("{key:?} does not end with the assistant's turn, expected an answer")),
        }
    };
    let ((before, mut chosen), (before_rejected, mut rejected)) = (conversation("chosen")?, conversation("rejected")?);
    if before != before_rejected {
        return Err("\"chosen\" and \"rejected\" differ before their last turn, expected one prompt".into());
    }
    // Where the prompt stands in both, the field "prompt" repeats it, or a part of it.
    let prompt = if !before.is_empty() {
        question::after_system(fields, Turns::Messages(before))?
    } else if question::ASKED.iter().any(|key| fields.has(key)) {
        if fields.get("prompt").and_then(Value::as_str).is_some_and(|prompt| transcript(prompt).is_some()) {
            // Of HH-RLHF's form, in which a blank stands between "Assistant:" and the answer.
            (chosen, rejected) = (chosen.trim().into(), rejected.trim().into());
        }
        question::take(fields)?
    } else {
        return Err(format!(
            "no prompt beside \"chosen\" and \"rejected\", which are no conversations either (messages, or \"Human: …\" \
             and \"Assistant: …\" after blank lines); the row has {}",
            fields.names()
        ));
    };
    Ok((prompt, Rest::Preference { chosen, rejected }))
}

/// A prompt and an answer, if there is one.
fn answered(fields: &mut Fields) -> Result<(Turns, Rest), String> {
    match question::take(fields)? {
        Turns::Messages(mut turns) if turns.last().is_some_and(|turn| turn.role == "assistant") => {
            let last = turns.pop().map(|turn| turn.content).unwrap_or_default();
            if turns.is_empty() {
                return Err("no turn before the assistant's, expected one to answer".into());
            }
            Ok((Turns::Messages(turns), Rest::Completion(last)))
        }
        prompt => {
            let said = SAID.into_iter().find(|key| fields.has(key));
            let right = RIGHT.into_iter().find(|key| fields.has(key));
            let rest = match (said, right) {
                (Some(key), _) => Rest::Completion(fields.completion(key)?),
                (None, Some(key)) => right_answer(fields, key)?,
                (None, None) => Rest::Nothing,
            };
            Ok((prompt, rest))
        }
    }
}

/// A text, a number, some of them that are all right, SQuAD's form of these, or yes and no, which are choices.
fn right_answer(fields: &mut Fields, key: &str) -> Result<Rest, String> {
    let one = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    fields.take(key, "a string, a number, a list of them, {\"text\": […]}, true or false", |value| {
        if let Value::Bool(yes) = value {
            return Some(Rest::Choices { choices: vec!["no".into(), "yes".into()], answer: Some((*yes).into()) });
        }
        let list = value.as_array().or_else(|| value.get("text")?.as_array());
        let answers = list.map_or_else(|| Some(vec![one(value)?]), |list| list.iter().map(one).collect())?;
        let mut distinct: Vec<String> = Vec::new();
        for answer in answers {
            if !distinct.contains(&answer) {
                distinct.push(answer);
            }
        }
        Some(if distinct.is_empty() { Rest::Nothing } else { Rest::Answers(distinct) })
    })
}

/// A question as a prompt shows it: with its choices.
fn with_letters(mut prompt: Turns, rest: &Rest) -> Turns {
    if let Rest::Choices { choices, .. } = rest {
        let asked = match &mut prompt {
            Turns::Text(question) => Some(question),
            Turns::Messages(turns) => turns.last_mut().map(|turn| &mut turn.content),
        };
        if let Some(question) = asked {
            for (i, choice) in choices.iter().enumerate() {
                question.push('\n');
                question.push_str(&lettered(i, choice));
            }
        }
    }
    prompt
}

fn lettered(index: usize, choice: &str) -> String {
    match u8::try_from(index).ok().filter(|&index| index < 26) {
        Some(index) => format!("{}. {choice}", char::from(b'A' + index)),
        None => format!("{}. {choice}", index + 1),
    }
}

//! Files of questions, answers and preferences to measure a model by.

use std::io::BufRead;

use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::jsonl::{Fields, Row, read_numbered};
use crate::rows::{Turns, strings};

/// A question with its possible answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChoiceRow {
    /// Unique in its file.
    pub id: String,
    /// Without the choices.
    pub question: String,
    /// At least two, none of them empty.
    pub choices: Vec<String>,
    /// Index of the right one.
    pub answer: usize,
}

/// A prompt whose answer the model writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AnswerRow {
    /// Unique in its file.
    pub id: String,
    /// What to answer.
    #[serde(flatten)]
    pub prompt: Turns,
    /// The right answer; of a worked solution, what it marks, as GSM8K's do by `####` and MATH's by `\boxed{…}`.
    pub answer: String,
}

/// Two completions of a prompt, of which people prefer one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PreferenceRow {
    /// Unique in its file.
    pub id: String,
    /// What both answer.
    #[serde(flatten)]
    pub prompt: Turns,
    /// The preferred completion.
    pub chosen: String,
    /// The other.
    pub rejected: String,
}

/// Rows of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskRows {
    /// Multiple choice, by log-likelihood.
    Choices(Vec<ChoiceRow>),
    /// Answers that the model writes.
    Answers(Vec<AnswerRow>),
    /// Preferences, by the implicit reward.
    Preferences(Vec<PreferenceRow>),
}

/// What to measure a model by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Names it in reports.
    pub name: String,
    /// At least one.
    pub rows: TaskRows,
}

impl Task {
    /// Reads a task file as [`read_numbered`] does; `name` is the task's, `file` is for messages. The first row decides
    /// of which kind all must be: with `choices` it is multiple choice, with `chosen` and `rejected` a preference, else
    /// one with an `answer` to write. A row without an id is called by its line: `line 3`.
    ///
    /// # Errors
    /// As [`read_numbered`]; a row of another kind than the first.
    pub fn read(
        name: &str,
        file: &str,
        reader: impl BufRead,
        bad: &mut dyn FnMut(Error) -> Result<()>,
    ) -> Result<Self> {
        let numbered = read_numbered::<TaskRow>(file, reader, bad)?;
        let first = numbered[0].0;
        let mut rows = match &numbered[0].1 {
            TaskRow::Choice(_) => TaskRows::Choices(Vec::new()),
            TaskRow::Answer(_) => TaskRows::Answers(Vec::new()),
            TaskRow::Preference(_) => TaskRows::Preferences(Vec::new()),
        };
        for (line, row) in numbered {
            let kind = row.kind();
            match (&mut rows, row) {
                (TaskRows::Choices(rows), TaskRow::Choice(row)) => {
                    rows.push(ChoiceRow { id: called(row.id, line), ..row })
                }
                (TaskRows::Answers(rows), TaskRow::Answer(row)) => {
                    rows.push(AnswerRow { id: called(row.id, line), ..row })
                }
                (TaskRows::Preferences(rows), TaskRow::Preference(row)) => {
                    rows.push(PreferenceRow { id: called(row.id, line), ..row });
                }
                (rows, _) => {
                    let problem = format!("{kind}, expected {} as on line {first}", rows.kind());
                    bad(Error::Row { file: file.into(), line, problem })?;
                }
            }
        }
        Ok(Task { name: name.into(), rows })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        match &self.rows {
            TaskRows::Choices(rows) => rows.len(),
            TaskRows::Answers(rows) => rows.len(),
            TaskRows::Preferences(rows) => rows.len(),
        }
    }

    /// Whether there is nothing to measure by.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keeps the first `limit` rows.
    pub fn truncate(&mut self, limit: usize) {
        match &mut self.rows {
            TaskRows::Choices(rows) => rows.truncate(limit),
            TaskRows::Answers(rows) => rows.truncate(limit),
            TaskRows::Preferences(rows) => rows.truncate(limit),
        }
    }
}

impl TaskRows {
    fn kind(&self) -> &'static str {
        match self {
            TaskRows::Choices(_) => CHOICE,
            TaskRows::Answers(_) => ANSWER,
            TaskRows::Preferences(_) => PREFERENCE,
        }
    }
}

const CHOICE: &str = "a question with \"choices\"";
const ANSWER: &str = "a prompt with an \"answer\"";
const PREFERENCE: &str = "a prompt with \"chosen\" and \"rejected\"";

/// The id of a row, or where it stands.
fn called(id: String, line: usize) -> String {
    if id.is_empty() { format!("line {line}") } else { id }
}

/// A line of a task file; an empty id stands for none.
enum TaskRow {
    Choice(ChoiceRow),
    Answer(AnswerRow),
    Preference(PreferenceRow),
}

impl TaskRow {
    fn kind(&self) -> &'static str {
        match self {
            TaskRow::Choice(_) => CHOICE,
            TaskRow::Answer(_) => ANSWER,
            TaskRow::Preference(_) => PREFERENCE,
        }
    }
}

impl Row for TaskRow {
    fn from_fields(fields: &mut Fields) -> Result<Self, String> {
        let id = if fields.has("id") { fields.id()? } else { String::new() };
        if fields.has("choices") {
            let (question, choices) = (fields.string("question")?, strings(fields, "choices")?);
            if choices.len() < 2 || choices.iter().any(String::is_empty) {
                return Err(format!("\"choices\" is {choices:?}, expected at least two, none of them empty"));
            }
            let answer = fields.take("answer", INDEX, |value| Some(value.clone()))?;
            let answer = ChoiceRow::index_of("answer", &answer, &choices)?;
            fields.refuse_rest(&[&question])?;
            Ok(TaskRow::Choice(ChoiceRow { id, question, choices, answer }))
        } else if fields.has("chosen") || fields.has("rejected") {
            fields.take_verdict()?;
            Ok(TaskRow::Preference(PreferenceRow {
                id,
                prompt: Turns::take(fields)?,
                chosen: fields.completion("chosen")?,
                rejected: fields.completion("rejected")?,
            }))
        } else if fields.has("answer") {
            fields.take_verdict()?;
            let prompt = if fields.has("question") && !fields.has("prompt") && !fields.has("messages") {
                let question = fields.string("question")?;
                fields.refuse_rest(&[&question])?;
                Turns::Text(question)
            } else {
                Turns::take(fields)?
            };
            let answer = fields.take("answer", "a string or a number", |value| match value {
                Value::String(text) => Some(text.clone()),
                Value::Number(number) => Some(number.to_string()),
                _ => None,
            })?;
            Ok(TaskRow::Answer(AnswerRow { id, prompt, answer }))
        } else {
            Err(format!("expected {CHOICE}, {ANSWER}, or {PREFERENCE}; the line has {}", fields.names()))
        }
    }

    fn id(&self) -> Option<&str> {
        let id = match self {
            TaskRow::Choice(row) => &row.id,
            TaskRow::Answer(row) => &row.id,
            TaskRow::Preference(row) => &row.id,
        };
        (!id.is_empty()).then_some(id)
    }
}

const INDEX: &str = "the right choice: its index from 0 as a number, its letter, or its text";

impl ChoiceRow {
    /// Which choice an answer means: a number is an index from 0, a string a letter in either case or a choice's text.
    /// `key` is the field it stands in, for messages.
    ///
    /// # Errors
    /// A sentence that says what was expected; a string that means one choice by one reading and another by another.
    pub fn index_of(key: &str, answer: &Value, choices: &[String]) -> Result<usize, String> {
        let wrong =
            |what: &str| Err(format!("{key:?} is {answer}{what}, expected {INDEX}, of {} choices", choices.len()));
        let Some(text) = answer.as_str() else {
            let index = answer.as_u64().and_then(|index| usize::try_from(index).ok());
            return index.filter(|&index| index < choices.len()).map_or_else(|| wrong(""), Ok);
        };
        let mut by_text = choices.iter().enumerate().filter(|(_, choice)| *choice == text).map(|(index, _)| index);
        let (found, again) = (by_text.next(), by_text.next());
        let by_letter = match text.as_bytes() {
            [letter @ (b'A'..=b'Z' | b'a'..=b'z')] => Some(usize::from(letter.to_ascii_uppercase() - b'A')),
            _ => None,
        };
        let inside = |index: &usize| *index < choices.len();
        let by_index = text.parse().ok().filter(inside);
        match (found, by_letter.filter(inside)) {
            _ if again.is_some() => wrong(", the text of more than one choice"),
            (Some(found), Some(by_letter)) if found != by_letter => {
                wrong(", the text of one choice and the letter of another")
            }
            (Some(found), _) if by_index.is_some_and(|index: usize| index != found) => {
                wrong(", the text of one choice and the index of another")
            }
            (Some(index), _) | (None, Some(index)) => Ok(index),
            (None, None) => wrong(""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jsonl::to_jsonl;

    fn read(file: &[u8]) -> Result<Task, String> {
        Task::read("t", "t.jsonl", file, &mut Err).map_err(|e| e.to_string())
    }

    #[test]
    fn kinds_are_known_by_their_fields() {
        let TaskRows::Choices(rows) = read(
            b"{\"id\":7,\"question\":\"q\",\"choices\":[\"x\",\"y\",\"z\"],\"answer\":2}\n\n\
            {\"question\":\"q\",\"choices\":[\"x\",\"y\"],\"answer\":\"b\"}\n\
            {\"id\":\"c\",\"question\":\"q\",\"choices\":[\"x\",\"y\"],\"answer\":\"x\"}\n\
            {\"id\":\"d\",\"question\":\"q\",\"choices\":[\"A\",\"y\"],\"answer\":\"A\"}\n\
            {\"id\":\"e\",\"question\":\"q\",\"choices\":[\"3\",\"1\",\"12\"],\"answer\":\"12\"}\n\
            {\"id\":\"f\",\"question\":\"q\",\"choices\":[\"1\",\"2\",\"3\"],\"answer\":1}",
        )
        .unwrap()
        .rows
        else {
            panic!("choices")
        };
        let seen: Vec<_> = rows.iter().map(|row| (row.id.as_str(), row.answer)).collect();
        assert_eq!(seen, [("7", 2), ("line 3", 1), ("c", 0), ("d", 0), ("e", 2), ("f", 1)]);
        let again = read(&to_jsonl(&rows)).unwrap();
        assert_eq!(again.rows, TaskRows::Choices(rows));

        let task = read(b"{\"question\":\"q\",\"answer\":5}\n{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"answer\":\"B\"}");
        let TaskRows::Answers(rows) = task.unwrap().rows else { panic!("answers") };
        assert_eq!((rows[0].prompt.clone(), rows[0].answer.as_str()), (Turns::Text("q".into()), "5"));
        assert_eq!(read(&to_jsonl(&rows)).unwrap().rows, TaskRows::Answers(rows));

        let task = read(
            b"{\"prompt\":\"q\",\"chosen\":\"y\",\"rejected\":[{\"role\":\"assistant\",\"content\":\"n\"}],\"answer\":1}",
        );
        let mut task = task.unwrap();
        let TaskRows::Preferences(rows) = &task.rows else { panic!("preferences") };
        assert_eq!((rows[0].chosen.as_str(), rows[0].rejected.as_str()), ("y", "n"));
        assert_eq!(read(&to_jsonl(rows)).unwrap().rows, task.rows);
        task.truncate(0);
        assert!(task.is_empty());
    }

    #[test]
    fn every_mistake_is_named() {
        let choices =
            |answer: &str| format!("{{\"id\":1,\"question\":\"q\",\"choices\":[\"B\",\"y\"],\"answer\":{answer}}}");
        let good = choices("1");
        let cases = [
            (String::new(), "t.jsonl: no rows, expected at least one"),
            (
                "{\"id\":1,\"text\":\"x\"}".into(),
                "line 1: expected a question with \"choices\", a prompt with an \"answer\", or",
            ),
            (choices("2"), "line 1: \"answer\" is 2, expected the right choice: its index from 0"),
            (choices("-1"), "\"answer\" is -1, expected"),
            (choices("1.0"), "\"answer\" is 1.0, expected"),
            (choices("\"C\""), "\"answer\" is \"C\", expected"),
            (choices("\"1\""), "\"answer\" is \"1\", expected the right choice: its index from 0 as a number"),
            (choices("\"B\""), "\"answer\" is \"B\", the text of one choice and the letter of another, expected"),
            (choices("null"), "\"answer\" is null, expected"),
            ("{\"question\":\"q\",\"choices\":[\"x\",\"\"],\"answer\":0}".into(), "none of them empty"),
            (
                "{\"question\":\"q\",\"choices\":[\"2\",\"1\",\"0\"],\"answer\":\"2\"}".into(),
                "\"answer\" is \"2\", the text of one choice and the index of another, expected",
            ),
            (
                "{\"question\":\"q\",\"choices\":[\"x\",\"y\",\"x\"],\"answer\":\"x\"}".into(),
                "\"answer\" is \"x\", the text of more than one choice, expected",
            ),
            (
                "{\"question\":\"q\",\"choices\":[\"x\",\"y\"],\"answer\":0,\"context\":\"c\"}".into(),
                "\"context\" is \"c\": it belongs to the question",
            ),
            (
                "{\"question\":\"q\",\"answer\":0,\"hint\":\"c\"}".into(),
                "\"hint\" is \"c\": it belongs to the question",
            ),
            ("{\"question\":\"q\",\"answer\":0,\"is_correct\":false}".into(), "\"is_correct\" is false, expected true"),
            (
                "{\"prompt\":\"q\",\"chosen\":\"x\",\"rejected\":\"y\",\"label\":0}".into(),
                "\"label\" is 0, expected true",
            ),
            (
                "{\"question\":\"q\",\"choices\":[\"x\"],\"answer\":0}".into(),
                "\"choices\" is [\"x\"], expected at least two",
            ),
            (
                "{\"question\":\"q\",\"choices\":\"x\",\"answer\":0}".into(),
                "\"choices\" is \"x\", expected a list of strings",
            ),
            ("{\"question\":1,\"answer\":0}".into(), "\"question\" is 1, expected a string"),
            ("{\"question\":\"q\",\"answer\":[0]}".into(), "\"answer\" is [0], expected a string or a number"),
            ("{\"prompt\":\"q\",\"chosen\":\"x\"}".into(), "no \"rejected\""),
            (format!("{good}\n\n{good}"), "line 3: id \"1\" was seen before, on line 1"),
            (
                format!("{good}\n\n{{\"question\":\"q\",\"answer\":\"x\"}}"),
                "line 3: a prompt with an \"answer\", expected a question with \"choices\" as on line 1",
            ),
        ];
        for (file, expected) in cases {
            let message = read(file.as_bytes()).unwrap_err();
            assert!(message.contains(expected), "{message} should contain {expected}");
        }
    }

    #[test]
    fn bad_lines_are_passed_over_where_the_caller_says_so() {
        let long = "x".repeat(crate::jsonl::MAX_LINE_BYTES + 5);
        let good = |id: u32| format!("{{\"id\":{id},\"question\":\"q\",\"answer\":\"x\"}}\n");
        let other = "{\"id\":9,\"prompt\":\"q\",\"chosen\":\"x\",\"rejected\":\"y\"}\n";
        let file = [good(1), "{\n".into(), long + "\n", good(1), other.into(), good(2)].concat();
        let mut lines = Vec::new();
        let task = Task::read("t", "t.jsonl", file.as_bytes(), &mut |error| {
            let Error::Row { line, .. } = error else { panic!("{error}") };
            lines.push(line);
            Ok(())
        });
        assert_eq!((task.unwrap().len(), lines), (2, vec![2, 3, 4, 5]));
    }
}

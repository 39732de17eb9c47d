//! Multiple choice: where the choices stand, and which of them is right.

use cream::{ChoiceRow, Fields};
use serde_json::Value;

/// Columns of all choices.
pub(super) const LISTS: [&str; 3] = ["choices", "options", "endings"];

/// Columns that say which is right.
pub(super) const KEYS: [&str; 10] = [
    "answerKey",
    "answer_key",
    "answer",
    "label",
    "correct",
    "gold",
    "answer_idx",
    "answer_index",
    "correct_answer",
    "correct_option",
];

const EXPECTED: &str =
    "a list of strings, {\"text\": […], \"label\": […]}, a list of {\"text\", \"label\"}, or {\"A\": …, \"B\": …}";

/// The choices of a row, and what names them.
pub(super) struct Choices {
    pub(super) texts: Vec<String>,
    labels: Labels,
}

enum Labels {
    None,
    Given(Vec<String>),
    /// SIQA's columns `answerA`, `answerB` …, which it counts from 1 in a string.
    Siqa(Vec<String>),
}

impl Choices {
    /// Takes them out of one column, or of one column for each; none where a row has no choices.
    ///
    /// # Errors
    /// Not what is expected; fewer than two; an empty one; a label twice.
    pub(super) fn take(fields: &mut Fields) -> Result<Option<Self>, String> {
        let choices = if let Some(key) = LISTS.into_iter().find(|key| fields.has(key)) {
            let (texts, mut labels) = fields.take(key, EXPECTED, of_value)?;
            if matches!(labels, Labels::None) && fields.has("labels") {
                let given = fields.list("labels", "a label for each choice", label)?;
                if given.len() != texts.len() {
                    return Err(format!("\"labels\" has {} elements for {} choices", given.len(), texts.len()));
                }
                labels = Labels::Given(given);
            } else if matches!(labels, Labels::None) && key == "endings" {
                // HellaSwag writes the index as a string.
                labels = Labels::Given((0..texts.len()).map(|index| index.to_string()).collect());
            }
            if texts.len() < 2 || texts.iter().any(|text| text.trim().is_empty()) {
                return Err(format!("{key:?} is {texts:?}, expected at least two, none of them empty"));
            }
            Choices { texts, labels }
        } else if fields.has("sol1") && fields.has("sol2") {
            Choices { texts: vec![fields.string("sol1")?, fields.string("sol2")?], labels: Labels::None }
        } else if let Some(columns) = columns(fields) {
            let texts = columns.iter().map(|column| fields.string(column)).collect::<Result<_, _>>()?;
            let letter = |column: &String| column.chars().next_back().map(String::from).unwrap_or_default();
            let letters = columns.iter().map(letter).collect();
            let siqa = columns[0] == "answerA";
            Choices { texts, labels: if siqa { Labels::Siqa(letters) } else { Labels::Given(letters) } }
        } else {
            return Ok(None);
        };
        if let Labels::Given(labels) = &choices.labels
            && let Some(twice) = (1..labels.len()).find(|&at| labels[..at].contains(&labels[at]))
        {
            return Err(format!("two choices are labelled {:?}, expected one of each", labels[twice]));
        }
        Ok(Some(choices))
    }

    /// Takes out which one is right; none where that is not said. Several columns that say it must agree.
    ///
    /// # Errors
    /// None of the choices, or more than one.
    pub(super) fn answer(&self, fields: &mut Fields) -> Result<Option<usize>, String> {
        let mut found: Option<(&str, usize)> = None;
        for key in KEYS {
            let Some(value) = fields.get(key).cloned() else { continue };
            // Test sets without answers have "" or -1.
            let untold = value == "" || value == "-1" || value == -1;
            match (self.index_of(key, &value), found) {
                _ if untold => {}
                (Ok(index), Some((first, other))) if index != other => {
                    return Err(format!("{first:?} and {key:?} name different choices, expected one"));
                }
                (Ok(index), _) => found = Some((key, index)),
                (Err(problem), None) => return Err(problem),
                // Something else by the same name.
                (Err(_), Some(_)) => continue,
            }
            fields.take(key, EXPECTED, |_| Some(()))?;
        }
        Ok(found.map(|(_, index)| index))
    }

    /// A label says which choice it is; where there is none, as [`ChoiceRow::index_of`].
    fn index_of(&self, key: &str, value: &Value) -> Result<usize, String> {
        let numbered: Vec<String>;
        let labels = match &self.labels {
            Labels::None => return ChoiceRow::index_of(key, value, &self.texts),
            Labels::Given(labels) => labels,
            Labels::Siqa(_) if value.as_str().is_some_and(is_number) => {
                numbered = (1..=self.texts.len()).map(|number| number.to_string()).collect();
                &numbered
            }
            Labels::Siqa(letters) if value.is_number() => {
                let letters = letters.join(", ");
                return Err(format!("{key:?} is {value}, expected {letters}, or a number from 1 in a string"));
            }
            Labels::Siqa(letters) => letters,
        };
        let said = match value {
            Value::String(text) => bare(text).to_owned(),
            value => value.to_string(),
        };
        let exact = labels.iter().position(|label| bare(label) == said);
        let mut alike = (0..labels.len()).filter(|&at| bare(&labels[at]).eq_ignore_ascii_case(&said));
        let mut by_text = (0..labels.len()).filter(|&at| value == self.texts[at].as_str());
        match (exact, alike.next(), alike.next(), by_text.next(), by_text.next()) {
            (Some(index), ..) | (None, Some(index), None, ..) | (None, None, None, Some(index), None) => Ok(index),
            _ if value.is_number() && !labels.iter().any(|label| is_number(label)) => {
                ChoiceRow::index_of(key, value, &self.texts)
            }
            _ => Err(format!("{key:?} is {value}, expected one of the labels {}", labels.join(", "))),
        }
    }
}

fn is_number(text: &str) -> bool {
    text.parse::<f64>().is_ok()
}

/// `(B)`, `B.` and `B` are one label.
fn bare(label: &str) -> &str {
    let bare = label.trim_matches(|c: char| !c.is_alphanumeric());
    if bare.is_empty() { label } else { bare }
}

/// Columns of one choice each, such as `answerA`, `option_b` or `C`.
fn columns(fields: &Fields) -> Option<Vec<String>> {
    let from = |prefix: &str, first: char| {
        let columns = (first..)
            .map(|letter| format!("{prefix}{letter}"))
            .take_while(|column| fields.get(column).is_some_and(|text| text != ""));
        let columns: Vec<String> = columns.take(26).collect();
        (columns.len() > 1).then_some(columns)
    };
    ["answer", "answer_", "option", "option_", "choice", "choice_"]
        .into_iter()
        .find_map(|prefix| from(prefix, 'A').or_else(|| from(prefix, 'a')))
        .or_else(|| from("", 'A'))
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn label(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => Some(number.to_string()),
        value => text(value),
    }
}

/// Texts with their labels, if they have any.
fn of_value(value: &Value) -> Option<(Vec<String>, Labels)> {
    match value {
        Value::Array(list) if list.iter().all(Value::is_string) => {
            Some((list.iter().filter_map(text).collect(), Labels::None))
        }
        Value::Array(list) => {
            let texts = list.iter().map(|choice| text(choice.get("text").or_else(|| choice.get("value"))?));
            let labels = list.iter().map(|choice| label(choice.get("label").or_else(|| choice.get("key"))?));
            Some((texts.collect::<Option<_>>()?, Labels::Given(labels.collect::<Option<_>>()?)))
        }
        Value::Object(map) => match (map.get("text"), map.get("label")) {
            (Some(texts), Some(labels)) => {
                let texts: Vec<String> = texts.as_array()?.iter().map(text).collect::<Option<_>>()?;
                let labels: Vec<String> = labels.as_array()?.iter().map(label).collect::<Option<_>>()?;
                (texts.len() == labels.len()).then_some((texts, Labels::Given(labels)))
            }
            _ => {
                // Parquet has a column for every letter that any row has.
                let mut choices: Vec<_> = map.iter().filter(|(_, value)| !value.is_null()).collect();
                choices.sort_by_key(|(label, _)| (label.len(), label.as_str()));
                let texts = choices.iter().map(|(_, value)| text(value)).collect::<Option<_>>()?;
                Some((texts, Labels::Given(choices.into_iter().map(|(label, _)| label.clone()).collect())))
            }
        },
        _ => None,
    }
}

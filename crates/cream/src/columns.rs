//! What a column says by its name: a part of the question, an answer, or whether an answer is wanted.
//!
//! A row type takes the columns that it understands. What is left is harmless (ids, sources, scores), unless it belongs
//! to the question: without it the question would be another one.

use serde_json::Value;

use crate::jsonl::{Fields, shown};

/// Words for a part of a question. A column is one if its name is made of these, of [`BESIDE`], letters and numbers:
/// `context`, `systemPrompt`, `option_a`, but not `context_length`. An s may follow each.
const QUESTION: &str = "article background body choice constraint content context conversation ctx demonstration \
    developer dialog dialogue distractor document ending evidence examples excerpt function goal hint history hypothesis \
    input instruction knowledge kwargs message option paragraph passage post premise problem prompt query question \
    scenario schema sentence situation sol stem story support system table template text tool transcript turns";

/// Words that stand beside those of a question.
const BESIDE: &str = "additional chat extra few human json list previous retrieved shot str supporting user";

/// Words for a part of a question that is no text.
const MEDIA: &str = "attachment audio diagram figure image img photo picture video";

/// Words that stand beside those: `image_url`, but not `image_id`. Of a text an address says only where it comes from.
const BESIDE_MEDIA: &str = "base64 bytes data file input list path prompt question url";

/// Words for an answer.
const ANSWER: &str = "answer code completion cop correct gold label output reply response solution target truth";

/// Words that stand beside those of an answer.
const BESIDE_ANSWER: &str = "best canonical choice expected final golden ground idx index key letter model option ref reference right span text";

/// Words that say of an answer that it is wanted, or that it is not. `is_` may stand before them.
const VERDICTS: [(&str, bool); 2] = [
    ("accepted chosen correct desirable good kto_tag label preferred sample_weight train wanted weight", true),
    ("bad incorrect rejected undesirable unwanted", false),
];

/// `systemPrompt`, `system_prompt` and `System Prompt2` are system and prompt.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for now in name.chars() {
        let new = (before.is_lowercase() && now.is_uppercase()) || before.is_numeric() != now.is_numeric();
        if new || !now.is_alphanumeric() {
            words.push(String::new());
        }
        if now.is_alphanumeric() {
            words.last_mut().expect("one at least").extend(now.to_lowercase());
        }
        before = now;
    }
    words.retain(|word| !word.is_empty() && !word.chars().all(char::is_numeric));
    words
}

fn made_of(name: &str, core: &str, beside: &str) -> bool {
    let words = words(name);
    let is = |word: &str, list: &str| {
        list.split_whitespace().any(|known| word == known || word.strip_suffix('s') == Some(known))
    };
    words.iter().any(|word| is(word, core))
        && words.iter().all(|word| is(word, core) || is(word, beside) || word.chars().count() == 1)
}

/// Whether a column belongs to the question by its name.
pub fn of_question(name: &str) -> bool {
    made_of(name, QUESTION, BESIDE) || made_of(name, MEDIA, BESIDE_MEDIA) || matches!(name.as_bytes(), [b'A'..=b'Z'])
}

/// Whether a column holds an answer by its name.
pub fn of_answer(name: &str) -> bool {
    made_of(name, ANSWER, BESIDE_ANSWER)
}

fn verdict(name: &str) -> Option<bool> {
    let name = words(name).join("_");
    let name = name.strip_prefix("is_").unwrap_or(&name);
    VERDICTS.into_iter().find(|(words, _)| words.split(' ').any(|word| word == name)).map(|(_, wanted)| wanted)
}

/// Whether a column says by its name that an answer is wanted, or that it is not.
pub fn of_verdict(name: &str) -> bool {
    verdict(name).is_some()
}

/// Whether a value says nothing: null, blank, empty, or made of such.
pub(crate) fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(list) => list.iter().all(is_nothing),
        Value::Object(map) => map.values().all(is_nothing),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The texts in a value, without the names of those who speak.
fn texts<'a>(value: &'a Value, into: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => into.push(text.trim()),
        Value::Array(list) => list.iter().for_each(|value| texts(value, into)),
        Value::Object(map) => {
            let said = map.iter().filter(|(key, _)| !["role", "from", "type"].contains(&key.as_str()));
            said.for_each(|(_, value)| texts(value, into));
        }
        _ => {}
    }
}

/// Whether `part` stands in `whole` as one or more lines of it.
fn has_lines(whole: &str, part: &str) -> bool {
    whole.match_indices(part).any(|(at, _)| {
        let (before, after) = (&whole[..at], &whole[at + part.len()..]);
        (before.trim_end_matches([' ', '\t']).is_empty() || before.ends_with('\n'))
            && (after.trim_start_matches([' ', '\t', '\r']).is_empty() || after.starts_with(['\n', '\r']))
    })
}

/// Whether `value` says only what `used` says, or all of it and more, as a rendered template does.
fn repeats(value: &Value, used: &[&str]) -> bool {
    let mut said = Vec::new();
    texts(value, &mut said);
    said.retain(|text| !text.is_empty());
    let used: Vec<&str> = used.iter().map(|text| text.trim()).filter(|text| !text.is_empty()).collect();
    if said.is_empty() || used.is_empty() {
        return false;
    }
    said.iter().all(|text| used.iter().any(|whole| has_lines(whole, text)))
        || used.iter().flat_map(|text| text.lines()).all(|line| said.iter().any(|text| text.contains(line.trim())))
}

impl Fields {
    /// Refuses a field that is left and belongs to the question by its name. `used` are the texts that the row was made
    /// of: a field that only repeats them is no loss. Empty fields and counts (`"turns": 2`) pass.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn refuse_rest(&self, used: &[&str]) -> Result<(), String> {
        let counts = |name: &str, value: &Value| name.ends_with('s') && (value.is_number() || value.is_boolean());
        for (name, value) in self.left() {
            if of_question(name) && !counts(name, value) && !repeats(value, used) {
                return Err(format!(
                    "{name:?} is {}: it belongs to the question and is not understood here, expected it within the \
                     prompt or left out",
                    shown(value)
                ));
            }
        }
        Ok(())
    }

    /// Takes out what says whether the answer is wanted (`label`, `is_chosen`, `desirable` and the like).
    ///
    /// # Errors
    /// It is not, or that is not clear: a sentence that names the field.
    pub fn take_verdict(&mut self) -> Result<(), String> {
        let mut names: Vec<(String, bool)> = Vec::new();
        for (name, value) in self.left() {
            // Beside a preference these are its two answers.
            let answer = ["chosen", "rejected"].contains(&name) && !value.is_boolean() && !value.is_number();
            if let Some(wanted) = verdict(name).filter(|_| !answer) {
                names.push((name.to_owned(), wanted));
            }
        }
        for (name, wanted) in names {
            let expected = format!("{wanted} or {}: it says whether the answer is wanted", u8::from(wanted));
            self.take(&name, &expected, |value| {
                let said = match value {
                    Value::Bool(said) => Some(*said),
                    Value::Number(number) if number.as_f64() == Some(1.0) => Some(true),
                    Value::Number(number) if number.as_f64() == Some(0.0) => Some(false),
                    Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
                        "true" | "1" | "yes" => Some(true),
                        "false" | "0" | "no" => Some(false),
                        _ => verdict(text),
                    },
                    _ => None,
                };
                (said == Some(wanted)).then_some(())
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jsonl::{Row, read_jsonl};
    use crate::rows::{Prompt, SftRow};

    #[test]
    fn names_say_what_belongs_to_the_question() {
        for name in [
            "context",
            "Context",
            "passage",
            "systemPrompt",
            "system_prompt",
            "input",
            "options",
            "option_a",
            "optionB",
            "sol1",
            "A",
            "hint",
            "tools",
            "images",
            "image_url",
            "input_image",
            "audio_path",
            "chat_history",
            "user_prompt",
            "chat_template_kwargs",
            "question stem",
            "few_shot_examples",
            "ctx_a",
            "distractor3",
            "premise",
            "text",
        ] {
            assert!(of_question(name), "{name}");
        }
        for name in [
            "id",
            "prompt_id",
            "question_id",
            "source",
            "score",
            "score_chosen",
            "category",
            "date",
            "language",
            "lang",
            "num_tokens",
            "input_tokens",
            "embedding",
            "url",
            "license",
            "split",
            "subject",
            "image_id",
            "document_url",
            "file_name",
            "context_length",
            "question_type",
            "completions",
            "logps",
            "tokens",
            "token_ids",
            "finish",
            "consistency",
            "ref_chosen_logps",
            "rewards",
            "answer",
            "chosen",
            "rejected",
            "original_question",
            "title",
            "level",
            "user",
            "a",
            "metadata",
        ] {
            assert!(!of_question(name), "{name}");
        }
        assert!(of_answer("canonical_solution") && of_answer("response_0") && of_answer("correctAnswer"));
        assert!(!of_answer("answer_start") && !of_answer("target_language") && !of_answer("source"));
    }

    fn read<R: Row>(fields: &str) -> Result<(), String> {
        let line = format!("{{\"id\":1,\"prompt\":\"Add the numbers.\",{fields}}}");
        read_jsonl::<R>("p", line.as_bytes()).map(|_| ()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_field_of_the_question_is_not_dropped() {
        for fields in [
            "\"context\":\"1 2\"",
            "\"input\":21",
            "\"system\":\"Be brief.\"",
            "\"tools\":[{\"name\":\"x\"}]",
            "\"images\":[{\"url\":\"x\"}]",
            "\"choices\":[\"x\",\"y\"]",
            "\"question\":\"Add\"",
            "\"turns\":[\"x\"]",
            "\"options\":[\"Add\",\"numbers\"]",
            "\"A\":\"x\"",
        ] {
            let message = read::<Prompt>(fields).unwrap_err();
            let name = fields.split(':').next().unwrap();
            assert!(message.contains(&format!("line 1: {name} is ")), "{message}");
            assert!(message.contains("belongs to the question"), "{message}");
        }
        for fields in [
            "\"context\":null",
            "\"input\":\" \"",
            "\"tools\":[]",
            "\"images\":[null]",
            "\"context\":{\"a\":null}",
            "\"question\":\"Add the numbers.\"",
            "\"turns\":1",
            "\"tools\":false",
            "\"text\":\"User: Add the numbers.\"",
            "\"source\":\"x\"",
            "\"label\":false",
            "\"question_id\":7",
            "\"completions\":[\"x\"]",
        ] {
            read::<Prompt>(fields).unwrap();
        }
    }

    #[test]
    fn an_unwanted_answer_is_not_one_to_imitate() {
        for fields in [
            "\"label\":false",
            "\"label\":0",
            "\"label\":\"False\"",
            "\"label\":-1",
            "\"label\":\"rejected\"",
            "\"label\":0.0",
            "\"is_chosen\":false",
            "\"chosen\":false",
            "\"desirable\":0",
            "\"undesirable\":true",
            "\"rejected\":true",
            "\"kto_tag\":false",
            "\"label\":\"sports\"",
            "\"label\":[true]",
            "\"weight\":0",
            "\"train\":false",
        ] {
            let message = read::<SftRow>(&format!("\"completion\":\"x\",{fields}")).unwrap_err();
            let name = fields.split(':').next().unwrap();
            assert!(message.contains(&format!("line 1: {name} is ")), "{message}");
            assert!(message.contains("it says whether the answer is wanted"), "{message}");
        }
        for fields in [
            "\"label\":true",
            "\"label\":1",
            "\"label\":\"true\"",
            "\"label\":null",
            "\"isDesirable\":1.0",
            "\"rejected\":false",
            "\"score\":0",
            "\"label\":\"chosen\"",
            "\"weight\":1.0",
        ] {
            read::<SftRow>(&format!("\"completion\":\"x\",{fields}")).unwrap();
        }
    }
}

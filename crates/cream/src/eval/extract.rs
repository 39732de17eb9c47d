//! What a written answer says: its final number, its letter, or all of it.
//!
//! A text is read as lm-evaluation-harness' filters read it, where those read as a person would: the number after `####`
//! (gsm8k, strict-match), the content of the last `\boxed{…}` (minerva_math), "the answer is …" and "Answer: …" (gsm8k-cot,
//! mmlu_pro, global_piqa), the last letter in brackets (gpqa, flexible-extract), else the last number (gsm8k, flexible-extract).
//! What a model goes on to ask and answer itself after a line `Question:` is not read, as there. It departs from them in that
//! what is said last counts, not what is said first; that denials and lists of the choices say nothing; that a letter may be
//! said in more ways ([`letter`]) and numbers are compared by value ([`number`]); and that what stands before `</think>` is
//! not read. Sentences are read in English.

mod letter;
mod number;
mod token;

use serde::{Deserialize, Serialize};

/// What of an answer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerMode {
    /// The number that is marked (`#### 42`, `\boxed{42}`, `<answer>42</answer>`), else the last that is stated ("the answer
    /// is 42"), else the last number. A unit or a percent sign is not part of it, nor is a word like "million".
    Number,
    /// The letter of a choice, A to J, that is marked, else the last that is stated ("the answer is B", "B is correct", "I
    /// would choose B", "B" as a sentence), else one that stands before a choice or a reason ("B) Paris"), else the last in
    /// brackets.
    Letter,
    /// What is marked, else all of it, in lower case, its spaces as one.
    Exact,
}

impl AnswerMode {
    /// The mode for these right answers: numbers, or letters, or else exact.
    pub fn of<'a>(answers: impl IntoIterator<Item = &'a str> + Clone) -> Self {
        let all = |is: fn(&str) -> bool, is_marked: fn(&str) -> bool| {
            let says = |answer: &str| marks(answer).last().map_or_else(|| is(answer), |content| is_marked(content));
            answers.clone().into_iter().all(says)
        };
        if all(number::is_number, number::begins_with_number) {
            AnswerMode::Number
        } else if all(letter::is_letter, letter::is_letter) {
            AnswerMode::Letter
        } else {
            AnswerMode::Exact
        }
    }

    /// As configurations and reports have it.
    pub fn name(self) -> &'static str {
        match self {
            AnswerMode::Number => "number",
            AnswerMode::Letter => "letter",
            AnswerMode::Exact => "exact",
        }
    }

    /// What `text` says, in a form that is equal where answers are; `None` where it says nothing of the kind.
    pub fn extract(self, text: &str) -> Option<String> {
        let text = after_thinking(text)?;
        match self {
            AnswerMode::Number => {
                let text = before_next_question(text);
                marks(text).iter().rev().find_map(|content| number::marked(content)).or_else(|| number::number(text))
            }
            AnswerMode::Letter => {
                let text = before_next_question(text);
                let marked = marks(text).iter().rev().find_map(|content| letter::letter(content));
                marked.or_else(|| letter::letter(text)).map(String::from)
            }
            AnswerMode::Exact => {
                let said = marks(text).pop().unwrap_or(text);
                let words: Vec<String> = said.split_whitespace().map(str::to_lowercase).collect();
                (!words.is_empty()).then(|| words.join(" "))
            }
        }
    }
}

/// The text after a model's thinking; `None` where that did not end.
fn after_thinking(text: &str) -> Option<&str> {
    match text.rsplit_once("</think>") {
        Some((_, after)) => Some(after),
        None if text.trim_start().starts_with("<think>") => None,
        None => Some(text),
    }
}

/// The text up to where it begins to ask another question.
fn before_next_question(text: &str) -> &str {
    let text = text.trim_start();
    let next = ["\nQuestion:", "\nQ:"].iter().filter_map(|ask| text.find(ask)).min();
    &text[..next.unwrap_or(text.len())]
}

/// What a text marks as its answer, in order: the line after `####`, the inside of a box, that of an `answer` tag.
fn marks(text: &str) -> Vec<&str> {
    let mut marks = Vec::new();
    for (at, _) in text.match_indices('#').chain(text.match_indices('\\')).chain(text.match_indices('<')) {
        let rest = &text[at..];
        let content = if text[..at].ends_with('#') {
            None
        } else if let Some(rest) = rest.strip_prefix("####").filter(|rest| !rest.starts_with('#')) {
            let line = rest.lines().next().unwrap_or_default();
            // Another mark on the same line ends this one.
            line.split("####").next().map(str::trim).filter(|line| !line.is_empty())
        } else if let Some(rest) = rest.strip_prefix("\\boxed").or_else(|| rest.strip_prefix("\\fbox")) {
            braced(rest.trim_start())
        } else if let Some(rest) = rest.strip_prefix("<answer>") {
            rest.split_once("</answer>").map(|(content, _)| content)
        } else {
            None
        };
        marks.extend(content.map(|content| (at, content)));
    }
    marks.sort_by_key(|&(at, _)| at);
    marks.into_iter().map(|(_, content)| content).collect()
}

/// What stands between the brace that `text` begins with and the one that closes it.
fn braced(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('{')?;
    let mut depth = 1;
    let closing = |&(_, c): &(usize, char)| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        depth == 0
    };
    inside.char_indices().find(closing).map(|(end, _)| &inside[..end])
}

#[cfg(test)]
mod tests;

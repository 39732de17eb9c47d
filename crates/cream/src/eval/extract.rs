//! What a written answer says: its final number, its letter, or all of it.

use serde::{Deserialize, Serialize};

/// What of an answer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerMode {
    /// The number after the last `####`, as GSM8K's solutions end, else the last number.
    Number,
    /// The letter of a choice, A to J: what follows the last "answer" (`The answer is (B)`), else one that is the whole
    /// first line or stands before punctuation at its start, else the last one in brackets.
    Letter,
    /// All of it, in lower case, its spaces as one.
    Exact,
}

impl AnswerMode {
    /// The mode for these right answers: numbers, or letters, or else exact.
    pub fn of<'a>(answers: impl IntoIterator<Item = &'a str> + Clone) -> Self {
        let is_number = |answer: &str| {
            answer.contains(MARK) || (numbers(answer).len() == 1 && !answer.contains(char::is_alphabetic))
        };
        if answers.clone().into_iter().all(is_number) {
            AnswerMode::Number
        } else if answers.into_iter().all(|answer| as_letter(answer.trim()).is_some()) {
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
        match self {
            AnswerMode::Number => {
                let marked = text.rsplit_once(MARK).and_then(|(_, after)| numbers(after).into_iter().next());
                marked.or_else(|| numbers(text).pop())
            }
            AnswerMode::Letter => letter(text).map(String::from),
            AnswerMode::Exact => {
                let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
                (!words.is_empty()).then(|| words.join(" "))
            }
        }
    }
}

const MARK: &str = "####";

/// All numbers of a text, in order: no leading zeros, no zeros at the end of a fraction, no signs of thousands.
///
/// A comma belongs to a number where groups of three digits follow. A minus does where nothing stands before it that
/// it could subtract from.
fn numbers(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let digit = |at: usize| chars.get(at).is_some_and(char::is_ascii_digit);
    let at = |at: Option<usize>| at.and_then(|at| chars.get(at)).copied();
    let (mut numbers, mut next) = (Vec::new(), 0);
    while next < chars.len() {
        if !digit(next) {
            next += 1;
            continue;
        }
        let (mut start, mut whole, mut fraction) = (next, String::new(), String::new());
        let point_before = at(start.checked_sub(1)) == Some('.')
            && at(start.checked_sub(2)).is_none_or(|c| !c.is_alphanumeric() && c != '.');
        if point_before {
            start -= 1;
        } else {
            while digit(next) {
                whole.push(chars[next]);
                next += 1;
                let group = whole.len() <= 3 || chars[next - 4] == ',';
                if group && at(Some(next)) == Some(',') && (1..=3).all(|i| digit(next + i)) && !digit(next + 4) {
                    next += 1;
                }
            }
        }
        if point_before || (at(Some(next)) == Some('.') && digit(next + 1)) {
            next += usize::from(!point_before);
            while digit(next) {
                fraction.push(chars[next]);
                next += 1;
            }
        }
        if matches!(at(start.checked_sub(1)), Some('$' | '€' | '£')) {
            start -= 1;
        }
        let minus = matches!(at(start.checked_sub(1)), Some('-' | '−'))
            && at(start.checked_sub(2)).is_none_or(|c| !c.is_alphanumeric() && c != ')');
        numbers.push(canonical(minus, &whole, &fraction));
    }
    numbers
}

fn canonical(minus: bool, whole: &str, fraction: &str) -> String {
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let sign = if minus && !(whole.is_empty() && fraction.is_empty()) { "-" } else { "" };
    let (whole, point) = (if whole.is_empty() { "0" } else { whole }, if fraction.is_empty() { "" } else { "." });
    format!("{sign}{whole}{point}{fraction}")
}

/// A word that is one letter, as a capital.
fn as_letter(word: &str) -> Option<char> {
    match word.as_bytes() {
        [letter @ (b'A'..=b'J' | b'a'..=b'j')] => Some(char::from(letter.to_ascii_uppercase())),
        _ => None,
    }
}

fn letter(text: &str) -> Option<char> {
    let bare = |word: &'_ str| word.trim_matches(|c: char| !c.is_alphanumeric()).to_owned();
    let lower = text.to_ascii_lowercase();
    if let Some(at) = lower.rfind("answer") {
        const FILLING: [&str; 11] =
            ["", "is", "option", "choice", "letter", "would", "be", "should", "the", "correct", "therefore"];
        let mut words = text[at + "answer".len()..].split_whitespace().peekable();
        while words.next_if(|word| FILLING.contains(&bare(word).to_ascii_lowercase().as_str())).is_some() {}
        if let Some(word) = words.next() {
            // "a" and "I" are words too.
            let is_word = matches!(word, "a" | "I") && words.next().is_some();
            if let Some(letter) = as_letter(&bare(word)).filter(|_| !is_word) {
                return Some(letter);
            }
        }
    }
    let first_line = text.trim().lines().next()?;
    let first = first_line.split_whitespace().next()?;
    if let Some(letter) = as_letter(&bare(first))
        && (first == first_line || !first.ends_with(char::is_alphanumeric))
    {
        return Some(letter);
    }
    let chars: Vec<char> = text.chars().collect();
    let in_brackets = |window: &[char]| match window {
        ['(', letter, ')'] | ['[', letter, ']'] => as_letter(&letter.to_string()),
        _ => None,
    };
    chars.windows(3).rev().find_map(in_brackets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn final_numbers_of_awkward_outputs() {
        for (text, expected) in [
            ("18", Some("18")),
            ("She has 3 + 4 = 7 eggs.\n#### 7", Some("7")),
            ("#### 12 eggs, of 20", Some("12")),
            ("#### 1 #### 2", Some("2")),
            ("It is 5. ####", Some("5")),
            ("The total is $1,234.50.", Some("1234.5")),
            ("1,234,567", Some("1234567")),
            ("1234,567", Some("567")),
            ("1,2,3", Some("3")),
            ("12,3456", Some("3456")),
            ("so 1, 2 and 30.", Some("30")),
            ("-5", Some("-5")),
            ("it fell by −3.0 degrees", Some("-3")),
            ("-$20", Some("-20")),
            ("10-5", Some("5")),
            ("(10) -5", Some("-5")),
            ("(x)-5", Some("5")),
            ("pages 3–7", Some("7")),
            (".50", Some("0.5")),
            ("-.5", Some("-0.5")),
            ("v1.2.3", Some("3")),
            ("007", Some("7")),
            ("-0", Some("0")),
            ("0.0", Some("0")),
            ("75%", Some("75")),
            ("3/4", Some("4")),
            ("**42**", Some("42")),
            ("42km", Some("42")),
            ("2.", Some("2")),
            ("x = 5.\n\nNo, 6.", Some("6")),
            ("٣", None),
            ("seven", None),
            ("", None),
        ] {
            assert_eq!(AnswerMode::Number.extract(text).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn letters_of_awkward_outputs() {
        for (text, expected) in [
            ("B", Some("B")),
            (" b\n", Some("B")),
            ("(B)", Some("B")),
            ("**B**", Some("B")),
            ("B. Paris", Some("B")),
            ("B) Paris", Some("B")),
            ("C: it rains", Some("C")),
            ("D\nBecause it rains.", Some("D")),
            ("The answer is B.", Some("B")),
            ("the ANSWER: c", Some("C")),
            ("Answer: (D) rain", Some("D")),
            ("The correct answer is option A because", Some("A")),
            ("The answer is A", Some("A")),
            ("The answer is **E**.", Some("E")),
            ("The answer is not A. The answer is B.", Some("B")),
            ("A is wrong, so the answer would be C", Some("C")),
            ("It must be (A) or rather (C).", Some("C")),
            ("[d]", Some("D")),
            ("The answer is a dog.", None),
            ("The answer is I think unknown", None),
            ("A dog is best", None),
            ("I think so", None),
            ("Paris", None),
            ("K", None),
            ("Ä.", None),
            ("", None),
            ("answer", None),
        ] {
            assert_eq!(AnswerMode::Letter.extract(text).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn exact_is_about_words() {
        let exact = |text| AnswerMode::Exact.extract(text);
        assert_eq!(exact("  New\n York "), exact("new york"));
        assert_ne!(exact("newyork"), exact("new york"));
        assert_eq!(exact(" \n"), None);
    }

    #[test]
    fn the_mode_follows_the_right_answers() {
        for (answers, mode) in [
            (&["18", "-5", "$1,200.50"][..], AnswerMode::Number),
            (&["2 + 2 = 4\n#### 4", "5"], AnswerMode::Number),
            (&["A", "d"], AnswerMode::Letter),
            (&["A", "1"], AnswerMode::Exact),
            (&["5 km"], AnswerMode::Exact),
            (&["1/2"], AnswerMode::Exact),
            (&["Paris"], AnswerMode::Exact),
        ] {
            assert_eq!(AnswerMode::of(answers.iter().copied()), mode, "{answers:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_fail(text in "[-−$.,0-9a-cA-C()# \nanswer:é]{0,40}") {
            for mode in [AnswerMode::Number, AnswerMode::Letter, AnswerMode::Exact] {
                let _ = mode.extract(&text);
            }
        }

        #[test]
        fn a_number_is_found_however_it_is_written(value in -10_000_000i64..10_000_000, cents in 0u32..100, before in "[a-z ]{0,9}") {
            let digits = value.unsigned_abs().to_string();
            let groups: Vec<String> = digits.as_bytes().rchunks(3).rev().map(|g| String::from_utf8(g.to_vec()).unwrap()).collect();
            let sign = if value < 0 { "-" } else { "" };
            let expected = canonical(value < 0, &digits, &format!("{cents:02}"));
            for whole in [digits, groups.join(",")] {
                let text = format!("{before} {sign}{whole}.{cents:02}.");
                prop_assert_eq!(AnswerMode::Number.extract(&text), Some(expected.clone()), "{}", text);
            }
        }
    }
}

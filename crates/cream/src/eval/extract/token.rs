//! What a text is made of, as far as letters are concerned.

/// A word, a letter or a sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// In lower case; contractions are two.
    Word(String),
    /// Of a choice, as it is written.
    Letter { written: char, bracketed: bool },
    /// A colon, an arrow.
    Colon,
    /// A dash between spaces.
    Dash,
    /// A comma, a semicolon, an opening bracket.
    Pause,
    /// A closing bracket.
    Close,
    /// The end of a sentence, and whether it asks.
    Stop { asks: bool },
}

pub(super) type Line = Vec<Token>;

use Token::{Close, Colon, Dash, Letter, Pause, Stop, Word};

/// Whether a token is one of some words, which spaces part.
pub(super) fn among(token: Option<&Token>, words: &str) -> bool {
    matches!(token, Some(Word(word)) if words.split(' ').any(|one| one == word))
}

/// The lines of a text that say anything.
pub(super) fn lines(text: &str) -> Vec<Line> {
    plain(text).lines().map(tokens).filter(|line| !line.is_empty()).collect()
}

/// Where sentences begin and end in a line.
pub(super) fn sentences(line: &[Token]) -> Vec<(usize, usize)> {
    let mut sentences = Vec::new();
    let mut start = 0;
    for end in 0..=line.len() {
        if matches!(line.get(end), None | Some(Stop { .. })) {
            if end > start {
                sentences.push((start, end));
            }
            start = end + 1;
        }
    }
    sentences
}

/// Without Markdown, LaTeX, tags and quotation marks.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for line in text.lines() {
        let mut rest = line.trim();
        while let Some(shorter) = ["#", "> ", "- ", "* ", "• ", "+ "].iter().find_map(|mark| rest.strip_prefix(mark))
        {
            rest = shorter.trim_start();
        }
        let mut chars = rest.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\\' => {
                    if chars.next_if(|c| !c.is_ascii_alphabetic()).is_none() {
                        while chars.next_if(char::is_ascii_alphabetic).is_some() {}
                    }
                    plain.push(' ');
                }
                '<' if chars.peek().is_some_and(|c| c.is_ascii_alphabetic() || *c == '/')
                    && chars.clone().any(|c| c == '>') =>
                {
                    while chars.next().is_some_and(|c| c != '>') {}
                }
                '{' | '}' | '$' | '*' | '`' | '"' | '“' | '”' | '„' | '«' | '»' | '‘' => {}
                '’' => plain.push('\''),
                c => plain.push(c),
            }
        }
        plain.push('\n');
    }
    plain
}

fn tokens(line: &str) -> Line {
    let chars: Vec<char> = line.chars().collect();
    let at = |at: usize| chars.get(at).copied();
    let letter = |c: Option<char>| c.filter(|c| matches!(c, 'A'..='J' | 'a'..='j'));
    let (mut line, mut next) = (Line::new(), 0);
    while let Some(c) = at(next) {
        let here = next;
        next += 1;
        match c {
            '(' | '[' => {
                let skip = |mut from: usize| {
                    while at(from) == Some(' ') {
                        from += 1;
                    }
                    from
                };
                let inside = skip(next);
                match (letter(at(inside)), skip(inside + 1)) {
                    (Some(written), end) if matches!(at(end), Some(')' | ']')) => {
                        line.push(Letter { written, bracketed: true });
                        next = end + 1;
                    }
                    _ => line.push(Pause),
                }
            }
            ')' | ']' => line.push(Close),
            ',' | ';' => line.push(Pause),
            ':' | '→' | '⇒' => line.push(Colon),
            '=' => line.push(Word("equals".into())),
            '-' | '–' | '—' => line.push(Dash),
            '/' => line.push(Word("or".into())),
            '?' => line.push(Stop { asks: true }),
            '.' if among(line.last(), "dr mr mrs ms st prof") => {}
            '.' | '!' | '…' => line.push(Stop { asks: false }),
            c if c.is_alphanumeric() => {
                // Signs inside a word, and those that make another thing of a letter: C++, A+, B.C., D-day.
                let inside = |at_sign: usize| {
                    matches!(at(at_sign), Some('\'' | '-' | '.' | '&' | '_' | '^' | '°'))
                        && at(at_sign + 1).is_some_and(char::is_alphanumeric)
                };
                while at(next).is_some_and(|c| c.is_alphanumeric() || matches!(c, '+' | '#')) || inside(next) {
                    next += 1;
                }
                // "B.Paris" is a label without its space.
                let initial = here == 0 && at(1) == Some('.') && at(2).is_some_and(char::is_uppercase);
                if initial && at(3).is_some_and(char::is_lowercase) {
                    next = 1;
                }
                word(&chars[here..next], &mut line);
            }
            _ => {}
        }
    }
    line
}

/// A word, or the words of a contraction.
fn word(chars: &[char], line: &mut Line) {
    let lower = chars.iter().collect::<String>().to_lowercase();
    let push = |part: &str, line: &mut Line| match (part.as_bytes(), chars[0]) {
        ([b'a'..=b'j'], written) => line.push(Letter { written, bracketed: false }),
        _ => line.push(Word(part.into())),
    };
    if lower == "cannot" || lower == "can't" {
        line.extend(["can", "not"].map(|word| Word(word.into())));
    } else if let Some(verb) = lower.strip_suffix("n't") {
        line.extend([verb, "not"].map(|word| Word(word.into())));
    } else if lower == "let's" {
        line.extend(["let", "us"].map(|word| Word(word.into())));
    } else if let Some((first, short)) = lower.split_once('\'') {
        let Some((_, whole)) =
            [("s", "is"), ("d", "would"), ("ll", "will"), ("m", "am"), ("re", "are"), ("ve", "have")]
                .iter()
                .find(|(known, _)| *known == short)
        else {
            return line.push(Word(lower));
        };
        push(first, line);
        line.push(Word((*whole).into()));
    } else {
        push(&lower, line);
    }
}

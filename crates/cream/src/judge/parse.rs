//! The points in a judgement, wherever they stand in it.
//!
//! What is called a score (or a rating, a grade, a total, points) counts before a bare `4/5` or `4 out of 5`, and that
//! before a line that is nothing but a number. A final, total or overall score counts before others. A range is its
//! middle; a fraction of 10 or 100 is brought to 5. Where two scores differ, or one lies outside 0 to 5, there is none:
//! better no vote than a guessed one.

/// The points, from 0 to 5, if the text gives them unambiguously.
pub fn parse_score(text: &str) -> Option<f64> {
    let tokens = tokens(text);
    let labelled = labelled(&tokens);
    let finals: Vec<Points> = labelled.iter().filter(|(is_final, _)| *is_final).map(|(_, points)| *points).collect();
    let all: Vec<Points> = labelled.iter().map(|(_, points)| *points).collect();
    [finals, all, scaled(&tokens), lone(&tokens)]
        .into_iter()
        .find(|found| !found.is_empty())
        .and_then(|found| agreed(&found))
}

/// `None`: a number that cannot be points.
type Points = Option<f64>;

/// The points, if all are the same.
fn agreed(found: &[Points]) -> Points {
    let first = *found.first()?;
    found.iter().all(|points| *points == first).then_some(first)?
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Number(f64),
    Word(String),
    Mark(char),
    LineEnd,
}

/// Words, numbers and punctuation, in lower case; emphasis, quotes and brackets are passed over.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.to_lowercase().chars().collect();
    let digit = |i: usize| chars.get(i).is_some_and(char::is_ascii_digit);
    let (mut tokens, mut i) = (Vec::new(), 0);
    while i < chars.len() {
        let (start, c) = (i, chars[i]);
        i += 1;
        // A minus stands at a number and after no other; elsewhere the same sign is a dash.
        let minus = c == '-' && digit(i) && (start == 0 || matches!(chars[start - 1], ' ' | ':' | '='));
        let minus = minus && !matches!(tokens.last(), Some(Token::Number(_)));
        if c.is_ascii_digit() || minus {
            while digit(i) || (i < chars.len() && matches!(chars[i], '.' | ',') && digit(i - 1) && digit(i + 1)) {
                i += 1;
            }
            let number: String = chars[start..i].iter().collect();
            // 1,000.5 or 1.2.3 is no number of points.
            tokens.push(Token::Number(number.replace(',', ".").parse().unwrap_or(f64::NAN)));
        } else if c.is_alphabetic() {
            while i < chars.len() && (chars[i].is_alphabetic() || matches!(chars[i], '\'' | '’')) {
                i += 1;
            }
            tokens.push(Token::Word(chars[start..i].iter().collect()));
        } else if c == '\n' {
            tokens.push(Token::LineEnd);
        } else if !c.is_whitespace() && !"*_#\"'`()[]{}<>|\\$“”".contains(c) {
            tokens.push(Token::Mark(c));
        }
    }
    tokens
}

/// A value, and where the tokens after it begin.
#[derive(Debug, Clone, Copy)]
struct Value {
    points: Points,
    end: usize,
    /// It names its scale: 4/5.
    is_scaled: bool,
    /// It is the scale itself: 0-5.
    is_scale: bool,
}

const NUMBERS: [&str; 11] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];

fn is_word(tokens: &[Token], at: usize, words: &[&str]) -> bool {
    matches!(tokens.get(at), Some(Token::Word(word)) if words.contains(&word.as_str()))
}

fn is_mark(tokens: &[Token], at: usize, marks: &str) -> bool {
    matches!(tokens.get(at), Some(Token::Mark(mark)) if marks.contains(*mark))
}

/// A number in digits or words, halves included; and where the tokens after it begin.
fn number(tokens: &[Token], at: usize) -> Option<(f64, usize)> {
    let whole = match tokens.get(at)? {
        Token::Number(number) => *number,
        Token::Word(word) => {
            // "this one is …"
            let pronoun =
                at > 0 && word == "one" && is_word(tokens, at - 1, &["this", "that", "each", "every", "which"]);
            let number = NUMBERS.iter().position(|name| name == word).filter(|_| !pronoun)?;
            number as f64
        }
        _ => return None,
    };
    let fraction = [Token::Number(1.0), Token::Mark('/'), Token::Number(2.0)];
    let words = ["and", "a", "half"].map(|word| Token::Word(word.into()));
    let after = at + 1;
    let half = [&[Token::Mark('½')][..], &fraction, &words].into_iter().find(|half| tokens[after..].starts_with(half));
    Some(half.map_or((whole, after), |half| (whole + 0.5, after + half.len())))
}

/// What a number is out of, if it says so: `/5`, `out of 5`, `of 5`, `%`.
fn scale(tokens: &[Token], at: usize) -> Option<(f64, usize)> {
    if is_mark(tokens, at, "%") {
        return Some((100.0, at + 1));
    }
    let after = if is_mark(tokens, at, "/") || is_word(tokens, at, &["of"]) {
        at + 1
    } else if is_word(tokens, at, &["out"]) && is_word(tokens, at + 1, &["of"]) {
        at + 2
    } else {
        return None;
    };
    number(tokens, after)
}

fn value(tokens: &[Token], at: usize) -> Option<Value> {
    let (first, mut end) = number(tokens, at)?;
    // A share or a percentage of something may be of anything: only a label makes points of it.
    let is_out_of = |at: usize| is_mark(tokens, at, "/") || is_word(tokens, at, &["out"]);
    let mut of = scale(tokens, end);
    let mut is_scaled = of.is_some() && is_out_of(end);
    end = of.map_or(end, |(_, end)| end);
    let (mut low, mut high) = (first, first);
    let connected = is_mark(tokens, end, "-–—") || is_word(tokens, end, &["to", "or"]);
    if connected && let Some((second, after)) = number(tokens, end + 1) {
        (high, end) = (second, after);
        if let Some((scale, after)) = scale(tokens, end) {
            // 3-4/5, or 3/5 - 4/5.
            if of.is_some_and(|(first, _)| first != scale) {
                low = f64::NAN;
            }
            is_scaled = is_out_of(end);
            (of, end) = (Some((scale, after)), after);
        }
    }
    let factor = match of.map(|(scale, _)| scale) {
        None => 1.0,
        Some(scale) if [5.0, 10.0, 100.0].contains(&scale) => 5.0 / scale,
        Some(_) => f64::NAN,
    };
    let in_range = |points: f64| (0.0..=5.0).contains(&(points * factor));
    let points = (in_range(low) && in_range(high)).then_some((low + high) / 2.0 * factor);
    let is_scale = of.is_none() && low <= 1.0 && high == 5.0;
    Some(Value { points, end, is_scaled, is_scale })
}

const LABELS: [&str; 4] = ["score", "rating", "grade", "total"];
const FINAL: [&str; 3] = ["final", "total", "overall"];
/// What may stand between a label and its number.
const FILLERS: [&str; 24] = [
    "is", "was", "be", "would", "i", "i'd", "give", "given", "gave", "assign", "it", "this", "one", "response",
    "answer", "a", "an", "the", "of", "for", "my", "points", "as", "at",
];

/// Every value that is called a score, and whether it is called final.
fn labelled(tokens: &[Token]) -> Vec<(bool, Points)> {
    let mut found = Vec::new();
    for label in 0..tokens.len() {
        let named = is_word(tokens, label, &LABELS)
            || (is_word(tokens, label, &["points"]) && is_mark(tokens, label + 1, ":="));
        if !named {
            continue;
        }
        let is_final = is_word(tokens, label, &FINAL) || (label > 0 && is_word(tokens, label - 1, &FINAL));
        let mut at = label + 1;
        while at < tokens.len() {
            match value(tokens, at) {
                Some(value) if value.is_scale => at = value.end,
                Some(value) => {
                    found.push((is_final, value.points));
                    break;
                }
                None if is_mark(tokens, at, ":=-–—→") || is_word(tokens, at, &FILLERS) => at += 1,
                None if is_word(tokens, at, &LABELS) => at += 1,
                // A line may end after "Score:", not after more words.
                None if tokens[at] == Token::LineEnd
                    && (at == label + 1 || is_mark(tokens, at - 1, ":=") || tokens[at - 1] == Token::LineEnd) =>
                {
                    at += 1;
                }
                None => break,
            }
        }
    }
    found
}

/// Every value that names its scale.
fn scaled(tokens: &[Token]) -> Vec<Points> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        match value(tokens, at) {
            Some(value) => {
                if value.is_scaled {
                    found.push(value.points);
                }
                at = value.end;
            }
            None => at += 1,
        }
    }
    found
}

/// Every line that is nothing but a value.
fn lone(tokens: &[Token]) -> Vec<Points> {
    let line = |line: &[Token]| {
        let value = value(line, 0)?;
        let rest = &line[value.end..];
        let ends =
            rest.iter().enumerate().all(|(i, _)| is_mark(rest, i, ".!") || is_word(rest, i, &["point", "points"]));
        ends.then_some(value.points)
    };
    tokens.split(|token| *token == Token::LineEnd).filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn awkward_judgements() {
        for (text, expected) in [
            // As asked, and nearly.
            ("Score: 4", Some(4.0)),
            ("The answer is relevant and complete.\n\nScore: 3", Some(3.0)),
            ("score:5", Some(5.0)),
            ("Score: 0", Some(0.0)),
            ("SCORE = 2.", Some(2.0)),
            // Order and dress.
            ("Score: 4\nIt covers 3 of the topics, in 2 steps.", Some(4.0)),
            ("**Score:** 4/5", Some(4.0)),
            ("**Score: 4**", Some(4.0)),
            ("Score:\n\n4", Some(4.0)),
            ("## Score\n3", Some(3.0)),
            ("{\"reason\": \"fine\", \"score\": 4}", Some(4.0)),
            ("<score>2</score>", Some(2.0)),
            ("Score (0-5): 4", Some(4.0)),
            ("Rating, on reflection: I give 4 out of 5", Some(4.0)),
            ("The score I would give this response is 4.", Some(4.0)),
            ("Score - 3", Some(3.0)),
            // Ranges, fractions, words.
            ("Score: 3-4/5", Some(3.5)),
            ("Score: 3 to 4", Some(3.5)),
            ("Score: 3/5 – 4/5", Some(3.5)),
            ("Score: 4.5", Some(4.5)),
            ("Score: 4,5/5", Some(4.5)),
            ("Score: 3 1/2", Some(3.5)),
            ("Score: 3½", Some(3.5)),
            ("Score: 8/10", Some(4.0)),
            ("Score: 80%", Some(4.0)),
            ("Score: four", Some(4.0)),
            ("The rating is three and a half.", Some(3.5)),
            ("A solid five out of five!", Some(5.0)),
            ("4/5, since it is short.", Some(4.0)),
            ("4", Some(4.0)),
            ("It is relevant and clear.\n4.", Some(4.0)),
            ("Points: 2", Some(2.0)),
            // Two scores.
            ("Score: 3\nScore: 3", Some(3.0)),
            ("Score: 3, no, Score: 4", None),
            ("Relevance score: 1\nClarity score: 1\nTotal score: 2", Some(2.0)),
            ("First score: 2. Final score: 4", Some(4.0)),
            ("Final score: 4\nFinal score: 3", None),
            ("2/5 for form, 4/5 for content", None),
            // None.
            ("", None),
            ("It is a good answer.", None),
            ("I award 1 point for relevance and 1 point for form.", None),
            ("1. Relevant\n2. Complete\n3. Helpful", None),
            ("It is 100% worth it, and two of five people agree.", None),
            ("Score: N/A", None),
            ("Score: N", None),
            ("Score: 0-5", None),
            ("The score depends. 3 points were made.", None),
            // Out of range.
            ("Score: 6", None),
            ("Score: -1", None),
            ("Score: 7/5", None),
            ("Score: 3/7", None),
            ("Score: 4-9", None),
            ("Score: 1,000.5", None),
            ("Score: 99999999999999999999999999", None),
        ] {
            assert_eq!(parse_score(text), expected, "{text:?}");
        }
    }

    #[test]
    fn any_text_has_points_in_range_or_none() {
        use proptest::prelude::*;
        let pieces = "(score|total|[0-9]{1,3}|[-:/., \n%½]|out of|five|to|[a-zé*]{1,3}){0,12}";
        proptest!(|(text in pieces)| {
            prop_assert!(parse_score(&text).is_none_or(|points| (0.0..=5.0).contains(&points)));
        });
    }
}

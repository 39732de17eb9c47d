//! The number that an answer says, in a form that is equal where values are.
//!
//! Signs of thousands are commas, points, spaces, apostrophes and underscores between groups of three digits (or, with
//! commas, two digits and in the end three). One comma between digits that parts no thousands is a decimal comma: `1,234`
//! is 1234, `1,5` is 1.5. Exponents (`1.2e3`, `3×10^4`) and fractions (`3/4`, `\frac{3}{4}`, `1 1/2`) are worked out. Powers of units
//! (`m^2`) are no numbers.

use std::cmp::Reverse;

/// A number and where it stands, sign and currency included.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Number {
    start: usize,
    end: usize,
    value: String,
    /// A digit at the end of a word: cm3, CO2.
    of_word: bool,
}

/// The last number that `text` states, else its last one.
pub(super) fn number(text: &str) -> Option<String> {
    let chars = plain(text);
    let numbers = numbers(&chars);
    stated(&chars, &numbers).or_else(|| last(&numbers)).map(|number| number.value.clone())
}

/// The number of a marked answer. A line after `####` may be a heading: one that has words before its number says none.
pub(super) fn marked(content: &str) -> Option<String> {
    let chars = plain(content);
    let numbers = numbers(&chars);
    let heading = chars.first().is_some_and(|c| c.is_alphabetic()) && !chars.contains(&'=');
    let told = told(&chars, &numbers, 0).or_else(|| numbers.first().filter(|_| !heading));
    told.map(|number| number.value.clone())
}

/// Whether a text is a number and nothing else, but for signs.
pub(super) fn is_number(text: &str) -> bool {
    let chars = plain(text);
    match numbers(&chars).as_slice() {
        [number] => {
            chars.iter().enumerate().all(|(at, c)| (number.start..number.end).contains(&at) || !c.is_alphanumeric())
        }
        _ => false,
    }
}

/// Whether a marked answer is one number, with a unit or without.
pub(super) fn begins_with_number(content: &str) -> bool {
    let chars = plain(content);
    let first = chars.iter().position(|c| !c.is_whitespace() && *c != '*');
    let word = |at: usize| chars.get(at).is_some_and(|c| c.is_alphanumeric());
    matches!(numbers(&chars).as_slice(), [number] if Some(number.start) == first && !word(number.end))
}

fn last(numbers: &[Number]) -> Option<&Number> {
    numbers.iter().enumerate().max_by_key(|(at, number)| (Reverse(number.of_word), *at)).map(|(_, number)| number)
}

/// The number of the last sentence that says "the answer is", "Answer:" or the like.
fn stated<'a>(chars: &[char], numbers: &'a [Number]) -> Option<&'a Number> {
    let words = words(chars);
    let cue = |&at: &usize| matches!(words[at].1.as_str(), "answer" | "ans");
    (0..words.len()).rev().filter(cue).find_map(|cue| {
        // The verb, or its sign, in the same sentence.
        let (_, _, after) = words[cue];
        let end = sentence_end(chars, after);
        let sign = (after..end).find(|&at| matches!(chars[at], ':' | '=' | '→'));
        let verb = words[cue + 1..].iter().find(|word| ["is", "was", "be", "equals", "s"].contains(&word.1.as_str()));
        let verb = verb.map(|&(_, _, end)| end).filter(|&at| at <= end);
        let said = [sign.map(|at| at + 1), verb].into_iter().flatten().min()?;
        told(chars, numbers, said)
    })
}

/// The number that the words from `from` on tell at once: "about 12", "x = 12", "3 + 4 = 7".
fn told<'a>(chars: &[char], numbers: &'a [Number], from: usize) -> Option<&'a Number> {
    const FILLING: [&str; 21] = [
        "is",
        "was",
        "be",
        "equal",
        "equals",
        "to",
        "about",
        "approximately",
        "around",
        "roughly",
        "exactly",
        "simply",
        "just",
        "that",
        "there",
        "are",
        "the",
        "a",
        "therefore",
        "thus",
        "then",
    ];
    let mut at = from;
    let mut lines = 0;
    let number = loop {
        if let Some(number) = numbers.iter().find(|number| number.start == at) {
            break number;
        }
        let c = *chars.get(at)?;
        if c.is_alphabetic() {
            let end = (at..chars.len()).find(|&at| !chars[at].is_alphanumeric()).unwrap_or(chars.len());
            let word: String = chars[at..end].iter().collect::<String>().to_lowercase();
            let variable = end == at + 1 && chars[end..].iter().find(|c| **c != ' ') == Some(&'=');
            if !variable && !FILLING.contains(&word.as_str()) {
                return None;
            }
            at = end;
        } else if c.is_ascii_digit() || matches!(c, '.' | '!' | '?' | ';') {
            return None;
        } else {
            lines += usize::from(c == '\n');
            at += 1;
        }
    };
    let after = &chars[number.end..];
    let text_follows = matches!(after, ['.' | ')', ' ', c, ..] if *c != '\n');
    if lines > 0 && text_follows {
        // The first point of a list.
        return None;
    }
    let end = sentence_end(chars, number.end);
    if let Some(equals) = (number.end..end).rev().find(|&at| chars[at] == '=') {
        return numbers.iter().find(|number| number.start > equals && number.start < end).or(Some(number));
    }
    let operator =
        after.iter().position(|c| *c != ' ').filter(|&at| matches!(after[at], '+' | '-' | '−' | '*' | '×' | '/' | '÷'));
    let operand = operator.and_then(|at| after[at + 1..].iter().find(|c| **c != ' '));
    match operand {
        Some(c) if c.is_ascii_digit() => None,
        _ => Some(number),
    }
}

fn sentence_end(chars: &[char], from: usize) -> usize {
    let ends = |&at: &usize| match chars[at] {
        '\n' | ';' => true,
        '.' | '!' | '?' => chars.get(at + 1).is_none_or(|c| c.is_whitespace()),
        _ => false,
    };
    (from..chars.len()).find(ends).unwrap_or(chars.len())
}

/// Words in lower case: where each begins, itself, where it ends.
fn words(chars: &[char]) -> Vec<(usize, String, usize)> {
    let mut words: Vec<(usize, String, usize)> = Vec::new();
    for (at, c) in chars.iter().enumerate().filter(|(_, c)| c.is_alphabetic()) {
        match words.last_mut() {
            Some((_, word, end)) if *end == at => {
                word.extend(c.to_lowercase());
                *end = at + 1;
            }
            _ => words.push((at, c.to_lowercase().collect(), at + 1)),
        }
    }
    words
}

/// Without LaTeX, and with signs of one kind: `\frac{1}{2}` and ½ as 1/2, `\times` as ×, 10⁴ as 10^4.
fn plain(text: &str) -> Vec<char> {
    const SUPERSCRIPTS: [char; 11] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹', '⁻'];
    const FRACTIONS: [(char, &str); 9] = [
        ('½', "1/2"),
        ('⅓', "1/3"),
        ('⅔', "2/3"),
        ('¼', "1/4"),
        ('¾', "3/4"),
        ('⅛', "1/8"),
        ('⅜', "3/8"),
        ('⅝', "5/8"),
        ('⅞', "7/8"),
    ];
    let chars: Vec<char> = text.chars().collect();
    let (mut plain, mut next) = (Vec::with_capacity(chars.len()), 0);
    let fraction = |plain: &mut Vec<char>, fraction: &str| {
        if plain.last().is_some_and(char::is_ascii_digit) {
            plain.push(' ');
        }
        plain.extend(fraction.chars());
    };
    while let Some(&c) = chars.get(next) {
        next += 1;
        if let Some(digit) = SUPERSCRIPTS.iter().position(|s| *s == c) {
            let goes_on = next > 1 && SUPERSCRIPTS.contains(&chars[next - 2]);
            plain.extend((!goes_on).then_some('^'));
            plain.push(if digit == 10 { '-' } else { char::from(b'0' + digit as u8) });
        } else if let Some((_, told)) = FRACTIONS.iter().find(|(sign, _)| *sign == c) {
            fraction(&mut plain, told);
        } else if c == '\\' {
            let end = (next..chars.len()).find(|&at| !chars[at].is_ascii_alphabetic()).unwrap_or(chars.len());
            let name: String = chars[next..end].iter().collect();
            match (name.as_str(), chars.get(end)) {
                ("", sign) => {
                    next += 1;
                    match sign {
                        Some(',' | ';' | ':' | ' ') => plain.push('\u{202f}'),
                        Some(sign @ ('$' | '%' | '#')) => plain.push(*sign),
                        Some('!') => {}
                        _ => plain.push(' '),
                    }
                }
                ("frac" | "dfrac" | "tfrac", Some('{')) => {
                    let rest: String = chars[end..].iter().collect();
                    let over = super::braced(&rest).and_then(|over| {
                        let under = super::braced(rest[over.len() + 2..].trim_start())?;
                        Some((over, under))
                    });
                    let whole = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
                    next = end;
                    if let Some((over, under)) = over.filter(|(over, under)| whole(over) && whole(under)) {
                        fraction(&mut plain, &format!("{over}/{under}"));
                        let braces = chars[end..].iter().enumerate().filter(|(_, c)| **c == '}').nth(1);
                        next += braces.map_or(0, |(at, _)| at + 1);
                    }
                }
                ("frac" | "dfrac" | "tfrac", Some(over)) if over.is_ascii_digit() => {
                    let under = chars.get(end + 1).filter(|c| c.is_ascii_digit());
                    fraction(&mut plain, &under.map_or(over.to_string(), |under| format!("{over}/{under}")));
                    next = end + 1 + usize::from(under.is_some());
                }
                ("times" | "cdot", _) => {
                    plain.push('×');
                    next = end;
                }
                _ => {
                    plain.push(' ');
                    next = end;
                }
            }
        } else if !matches!(c, '{' | '}') {
            plain.push(c);
        }
    }
    plain
}

/// The whole part and the fraction of a decimal, and where they end.
struct Decimal {
    whole: String,
    fraction: String,
    end: usize,
}

/// All numbers of a text, in order.
fn numbers(chars: &[char]) -> Vec<Number> {
    let at = |at: Option<usize>| at.and_then(|at| chars.get(at)).copied();
    let digit = |at: usize| chars.get(at).is_some_and(char::is_ascii_digit);
    let mut numbers: Vec<Number> = Vec::new();
    // Of the number before, if it is whole: it may be that of a mixed number, "1 1/2".
    let mut whole_before: Option<(usize, u128)> = None;
    let mut next = 0;
    while next < chars.len() {
        if !digit(next) {
            next += 1;
            continue;
        }
        let first = next;
        let before = at(first.checked_sub(1));
        let point_before =
            before == Some('.') && at(first.checked_sub(2)).is_none_or(|c| !c.is_alphanumeric() && c != '.');
        let Decimal { whole, fraction, end } = if point_before {
            let end = (first..).find(|&at| !digit(at)).unwrap_or(chars.len());
            Decimal { whole: String::new(), fraction: chars[first..end].iter().collect(), end }
        } else {
            decimal(chars, first)
        };
        let (exponent, end) = exponent(chars, &whole, end);
        next = end;
        let mixed = whole_before.take();
        let power = at(Some(end)) == Some('^')
            && at(Some(end + 1)).is_some_and(|c| c.is_alphanumeric() || matches!(c, '-' | '−'));
        if power {
            // 2^10: what it comes to is not said.
            let end = (end + 2..chars.len()).find(|&at| !digit(at));
            next = end.unwrap_or(chars.len());
        }
        let sign_before = matches!(before, Some('-' | '−')) && at(first.checked_sub(2)) == Some('^');
        let Some(exponent) = exponent.filter(|_| !power && before != Some('^') && !sign_before) else { continue };
        let (start, minus) = signed(chars, first - usize::from(point_before));
        let of_word = before.is_some_and(char::is_alphabetic) && end == first + 1;
        let mut number = Number { start, end, value: canonical(minus, &whole, &fraction, exponent), of_word };
        let plain = fraction.is_empty() && exponent == 0 && !of_word;
        if let (true, Some((over, under, end))) = (plain && before != Some('/'), over(chars, &whole, end)) {
            let mut over = over;
            if let Some((_, ahead)) = mixed.filter(|&(end, _)| end + 1 == start && !minus && over < under)
                && let Some(before) = numbers.pop()
            {
                // No overflow: the whole part has three digits at most.
                over = over.saturating_add(ahead.saturating_mul(under));
                number.start = before.start;
                number.value = ratio(before.value.starts_with('-'), over, under);
            } else {
                number.value = ratio(minus, over, under);
            }
            (number.end, next) = (end, end);
        } else if plain && whole.len() <= 3 && matches!(at(Some(end)), Some(' ' | '\u{202f}')) {
            whole_before = whole.parse().ok().map(|whole| (end, whole));
        }
        numbers.push(number);
    }
    numbers
}

/// Where a number begins with its sign and currency, and whether the sign is a minus: one that nothing stands before which
/// it could subtract from.
fn signed(chars: &[char], mut start: usize) -> (usize, bool) {
    let at = |at: Option<usize>| at.and_then(|at| chars.get(at)).copied();
    let currency = |start: usize| matches!(at(start.checked_sub(1)), Some('$' | '€' | '£' | '¥' | '₹'));
    let minus_before = |start: usize| {
        matches!(at(start.checked_sub(1)), Some('-' | '−' | '‑'))
            && at(start.checked_sub(2)).is_none_or(|c| !c.is_alphanumeric() && c != ')')
    };
    let mut minus = minus_before(start);
    start -= usize::from(minus);
    if currency(start) {
        start -= 1;
        if !minus && minus_before(start) {
            (minus, start) = (true, start - 1);
        }
    }
    (start, minus)
}

/// The decimal whose first digit is at `first`.
fn decimal(chars: &[char], first: usize) -> Decimal {
    let at = |at: usize| chars.get(at).copied();
    let digits = |from: usize| (from..).take_while(|&at| chars.get(at).is_some_and(char::is_ascii_digit)).count();
    let text = |from: usize, count: usize| chars[from..from + count].iter().collect::<String>();
    let count = digits(first);
    let mut end = first + count;
    let mut whole = text(first, count);
    let sign = at(end).filter(|c| matches!(c, ',' | '.' | '\'' | '’' | '_' | ' ' | '\u{a0}' | '\u{2009}' | '\u{202f}'));
    let in_list = |sign: char| first >= 2 && at(first - 1) == Some(sign) && chars[first - 2].is_ascii_digit();
    let mut decimal_signs: &[char] = &['.'];
    if let Some(sign) = sign.filter(|&sign| (1..=3).contains(&count) && !whole.starts_with('0') && !in_list(sign)) {
        let mut groups = Vec::new();
        let mut next = end;
        while at(next) == Some(sign) && digits(next + 1) > 0 {
            groups.push(digits(next + 1));
            next += 1 + digits(next + 1);
        }
        let decimal_comma = sign == '.' && at(next) == Some(',') && digits(next + 1) > 0;
        let threes = groups.iter().all(|&group| group == 3);
        let twos = sign == ','
            && count <= 2
            && groups
                .split_last()
                .is_some_and(|(last, rest)| *last == 3 && !rest.is_empty() && rest.iter().all(|&group| group == 2));
        // One point alone is a decimal point.
        let enough = groups.len() >= if sign == '.' && !decimal_comma { 2 } else { 1 };
        if enough && (threes || twos) {
            whole = chars[first..next].iter().filter(|c| c.is_ascii_digit()).collect();
            end = next;
            decimal_signs = match sign {
                ',' => &['.'],
                '.' => &[','],
                _ => &['.', ','],
            };
        }
    }
    let grouped = end > first + count;
    let fraction = |end: usize| text(end + 1, digits(end + 1));
    if at(end).is_some_and(|c| decimal_signs.contains(&c)) && digits(end + 1) > 0 {
        let fraction = fraction(end);
        return Decimal { end: end + 1 + fraction.len(), whole, fraction };
    }
    let comma = !grouped && at(end) == Some(',') && digits(end + 1) > 0 && !in_list(',');
    if comma {
        let fraction = fraction(end);
        let after = end + 1 + fraction.len();
        if at(after) != Some(',') || digits(after + 1) == 0 {
            return Decimal { end: after, whole, fraction };
        }
    }
    Decimal { whole, fraction: String::new(), end }
}

/// The exponent of ten after a number, 0 where there is none, and where it ends; no exponent where it is beyond all measure.
fn exponent(chars: &[char], whole: &str, end: usize) -> (Option<i64>, usize) {
    let at = |at: usize| chars.get(at).copied();
    let spaces = |from: usize| from + (from..).take_while(|&i| at(i) == Some(' ')).count();
    // Signed digits from `from` on.
    let integer = |from: usize| {
        let minus = matches!(at(from), Some('-' | '−'));
        let first = from + usize::from(minus || at(from) == Some('+'));
        let last = first + (first..).take_while(|&i| at(i).is_some_and(|c| c.is_ascii_digit())).count();
        (last > first).then(|| {
            let digits: String = chars[first..last].iter().collect();
            // Far from the end of i64, so that what is added to it later fits.
            let value = digits.parse::<i64>().ok().filter(|value| *value < i64::MAX / 4);
            (value.map(|value| if minus { -value } else { value }), last)
        })
    };
    let scientific = matches!(at(end), Some('e' | 'E')).then(|| integer(end + 1)).flatten();
    if let Some((value, last)) = scientific.filter(|&(_, last)| at(last).is_none_or(|c| !c.is_alphanumeric())) {
        return (value, last);
    }
    let times = spaces(end);
    let ten = spaces(times + 1);
    if matches!(at(times), Some('×' | 'x' | 'X' | '*' | '·' | '⋅'))
        && chars[ten.min(chars.len())..].starts_with(&['1', '0', '^'])
    {
        if let Some(exponent) = integer(ten + 3) {
            return exponent;
        }
    } else if whole == "10"
        && at(end) == Some('^')
        && let Some((value, last)) = integer(end + 1)
    {
        // 10^4 is 10 times 10^3.
        return (value.map(|value| value - 1), last);
    }
    (Some(0), end)
}

/// The two whole parts of the fraction that begins with `whole`, which ends at `end`, and where it ends.
fn over(chars: &[char], whole: &str, end: usize) -> Option<(u128, u128, usize)> {
    let digits = |from: usize| (from..).take_while(|&at| chars.get(at).is_some_and(char::is_ascii_digit)).count();
    let last = end + 1 + digits(end + 1);
    let goes_on = matches!(chars.get(last), Some('/' | ',' | '.')) && digits(last + 1) > 0;
    if chars.get(end) != Some(&'/') || last == end + 1 || goes_on {
        return None;
    }
    let under: u128 = chars[end + 1..last].iter().collect::<String>().parse().ok()?;
    Some((whole.parse().ok()?, under, last)).filter(|_| under > 0)
}

/// A fraction in lowest terms, or the decimal that it is.
fn ratio(minus: bool, over: u128, under: u128) -> String {
    let (mut a, mut b) = (over, under);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    let (over, under) = (over / a, under / a);
    let (mut rest, mut scaled, mut places) = (under, Some(over), 0);
    while rest > 1 && (rest % 2 == 0 || rest % 5 == 0) {
        let by = if rest % 10 == 0 {
            (10, 1)
        } else if rest % 2 == 0 {
            (2, 5)
        } else {
            (5, 2)
        };
        rest /= by.0;
        scaled = scaled.and_then(|scaled| scaled.checked_mul(by.1));
        places += 1;
    }
    match scaled {
        Some(scaled) if rest == 1 => canonical(minus, &scaled.to_string(), "", -places),
        _ => format!("{}{over}/{under}", if minus { "-" } else { "" }),
    }
}

/// A decimal times a power of ten: no leading zeros, none at the end of a fraction, an exponent only where it is long.
fn canonical(minus: bool, whole: &str, fraction: &str, exponent: i64) -> String {
    const LONGEST: i64 = 60;
    let digits = format!("{whole}{fraction}");
    let shorter = digits.trim_end_matches('0');
    let exponent = exponent - fraction.len() as i64 + (digits.len() - shorter.len()) as i64;
    let digits = shorter.trim_start_matches('0');
    if digits.is_empty() {
        return "0".into();
    }
    let sign = if minus { "-" } else { "" };
    let len = digits.len() as i64;
    if exponent > LONGEST || -exponent > LONGEST + len {
        return format!("{sign}{digits}e{exponent}");
    }
    if exponent >= 0 {
        return format!("{sign}{digits}{}", "0".repeat(exponent as usize));
    }
    let places = -exponent as usize;
    let digits = format!("{digits:0>width$}", width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    format!("{sign}{whole}.{fraction}")
}

//! A template's source, rewritten where minijinja reads it otherwise than jinja2 does.
//!
//! * Every end of line is a newline.
//! * String literals say plainly what Python's escapes in them mean.
//! * `a % b` is `__mod__(a, b)`, since `%` also formats strings.
//! * `{% for x in y %}` goes over `__items__(y)`, which knows its length, and is an error where Python's is.
//! * `{% set ns.a = b %}` is `{% do __set__(ns, "a", (b)) %}`, for the namespaces of this library.
//! * `{% generation %}` is a block that does nothing but confine what is set in it.

/// A piece of a tag: a name, a number, a string or an operator, with what is to stand around it.
struct Token<'a> {
    kind: Kind,
    /// What lies between this token and the one before it.
    gap: &'a str,
    source: &'a str,
    before: String,
    text: String,
    after: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Name,
    Number,
    String,
    Operator,
}

/// Names after which an operand begins, so that none goes on across them.
const WORDS: [&str; 8] = ["in", "not", "and", "or", "is", "if", "elif", "else"];
/// Operators that bind less than `%`, besides the binary `+` and `-`.
const LOOSER: [&str; 10] = [",", ":", "~", "=", "==", "!=", "<", ">", "<=", ">="];

/// Pieces of one expression, and branches of one `{% if %}`, that are taken: each lies within the one before it, and the
/// stack must hold them all. Long ones have some dozens.
const LONGEST: usize = 500;

/// A block that is open.
struct Block<'a> {
    name: &'a str,
    /// How many `{% elif %}` it has.
    branches: usize,
    /// The namespace and attribute that a `{% set %}` block is for.
    target: Option<(String, String)>,
}

/// The source for minijinja, or what in it is not supported.
pub(super) fn prepare(source: &str) -> Result<String, String> {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut rest = source.as_str();
    let mut out = String::with_capacity(source.len());
    let mut blocks = Vec::new();
    while let Some(start) = tag(rest) {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let len = match &rest[..2] {
            "{#" => {
                let len = rest.find("#}").map_or(rest.len(), |end| end + 2);
                out.push_str(&rest[..len]);
                len
            }
            "{%" => match raw(rest) {
                Some((text, len)) => {
                    out.push_str(&text);
                    len
                }
                None => rewrite(rest, "%}", &mut blocks, &mut out)?,
            },
            _ => rewrite(rest, "}}", &mut blocks, &mut out)?,
        };
        rest = &rest[len..];
    }
    out.push_str(rest);
    Ok(out)
}

/// Where the next tag begins.
fn tag(source: &str) -> Option<usize> {
    source.match_indices('{').map(|(at, _)| at).find(|&at| {
        let next = source.as_bytes().get(at + 1);
        next.is_some_and(|next| b"{%#".contains(next))
    })
}

/// A raw block at the start of `source`, and its length. jinja2 keeps the newline behind its first tag.
fn raw(source: &str) -> Option<(String, usize)> {
    let word = |text: &str, name: &str| -> Option<(usize, bool)> {
        let inner = text.strip_prefix("{%")?;
        let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner).trim_start().strip_prefix(name)?.trim_start();
        let plain = inner.starts_with("%}");
        let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner).strip_prefix("%}")?;
        Some((text.len() - inner.len(), plain))
    };
    let (first, plain) = word(source, "raw")?;
    let body = &source[first..];
    let (end, last) = body.match_indices("{%").find_map(|(at, _)| Some((at, word(&body[at..], "endraw")?.0)))?;
    let open = &source[..first - usize::from(plain) * 2];
    let keep = if plain { "+%}" } else { "" };
    Some((format!("{open}{keep}{}", &body[..end + last]), first + end + last))
}

/// Appends the tag at the start of `source`, rewritten, to `out`; its length.
fn rewrite<'a>(source: &'a str, close: &str, blocks: &mut Vec<Block<'a>>, out: &mut String) -> Result<usize, String> {
    let signed = source[2..].starts_with(['-', '+']);
    let open = 2 + usize::from(signed);
    let Some((mut tokens, end, closing)) = tokens(&source[open..], close)? else {
        // Not closed, as minijinja will say.
        out.push_str(source);
        return Ok(source.len());
    };
    if let Some(name) = unsupported(&tokens) {
        return Err(format!("{name} is not supported"));
    }
    // minijinja divides by how many it is given.
    let of = |at: usize| tokens.get(at).map_or("", |token| token.source);
    if (0..tokens.len())
        .any(|at| of(at) == "." && of(at + 1) == "cycle" && of(at + 2) == "(" && [")", "*"].contains(&of(at + 3)))
    {
        return Err("cycle without values is not supported".to_owned());
    }
    let mut behind = String::new();
    let mut closing = closing.to_owned();
    if close == "%}" {
        let name = tokens.first().map_or("", |token| token.source);
        let mut opens =
            ["if", "for", "with", "filter", "macro", "call", "autoescape", "block", "generation"].contains(&name);
        let mut target = None;
        match name {
            "generation" => tokens[0].text = "with".to_owned(),
            "endgeneration" => tokens[0].text = "endwith".to_owned(),
            "for" => each(&mut tokens),
            "set" => {
                opens = top(&tokens, |token| token.source == "=").is_none();
                target = set(&mut tokens, !opens);
            }
            "elif" => {
                if let Some(block) = blocks.last_mut() {
                    block.branches += 1;
                    if block.branches > LONGEST {
                        return Err(format!("more than {LONGEST} elif of one if are not supported"));
                    }
                }
            }
            // minijinja loses its place where these leave another block than a loop.
            "break" | "continue" => match blocks.iter().rev().find(|block| block.name != "if") {
                Some(block) if block.name != "for" => {
                    return Err(format!("{name} within {} is not supported", block.name));
                }
                _ => {}
            },
            _ => {}
        }
        if opens {
            blocks.push(Block { name, branches: 0, target });
        } else if let Some(ended) = name.strip_prefix("end")
            && let Some(block) = blocks.pop_if(|block| block.name == ended)
            && let Some((namespace, attribute)) = block.target
        {
            behind = format!("{{% do __set__({namespace}, \"{attribute}\", __block__) {closing}");
            closing = "%}".to_owned();
        }
    }
    remainders(&mut tokens);
    out.push_str(&source[..open]);
    for token in &tokens {
        for part in [token.gap, &token.before, &token.text, &token.after] {
            out.push_str(part);
        }
    }
    // What lies between the last token and the end of the tag.
    let inner: usize = tokens.iter().map(|token| token.gap.len() + token.source.len()).sum();
    out.push_str(&source[open + inner..open + end]);
    out.push_str(&closing);
    out.push_str(&behind);
    Ok(open + end + source[open + end..].find(close).map_or(0, |at| at + close.len()))
}

/// Tokens of a tag, the length up to its end, and the end itself; nothing where it has no end.
#[expect(clippy::type_complexity, reason = "used once")]
fn tokens<'a>(source: &'a str, close: &str) -> Result<Option<(Vec<Token<'a>>, usize, &'a str)>, String> {
    let mut tokens = Vec::new();
    let (mut at, mut last) = (0, 0);
    // How many pieces the expression in each open bracket has so far, and the one around them.
    let mut pieces = vec![0];
    loop {
        let rest = &source[at..];
        let Some(first) = rest.chars().next() else { return Ok(None) };
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let signed = usize::from(rest.starts_with(['-', '+']));
        if pieces.len() == 1 && rest[signed..].starts_with(close) {
            return Ok(Some((tokens, at, &rest[..signed + close.len()])));
        }
        let mut text = None;
        let (kind, len) = match first {
            '"' | '\'' => {
                let Some(len) = string_len(rest) else { return Ok(None) };
                text = Some(quoted(&unescaped(&rest[1..len - 1])?));
                (Kind::String, len)
            }
            '0'..='9' => (Kind::Number, number_len(rest)),
            first if first == '_' || first.is_alphabetic() => {
                let end = rest.find(|c: char| c != '_' && !c.is_alphanumeric());
                (Kind::Name, end.unwrap_or(rest.len()))
            }
            _ => {
                match first {
                    '(' | '[' | '{' => pieces.push(0),
                    ')' | ']' | '}' if pieces.len() > 1 => {
                        pieces.pop();
                    }
                    _ => {}
                }
                let two = ["//", "**", "==", "!=", ">=", "<="].iter().any(|two| rest.starts_with(two));
                (Kind::Operator, if two { 2 } else { first.len_utf8() })
            }
        };
        if let Some(pieces) = pieces.last_mut() {
            *pieces = if first == ',' { 0 } else { *pieces + 1 };
            if *pieces > LONGEST {
                return Err(format!("an expression of more than {LONGEST} pieces is not supported"));
            }
        }
        let token = &rest[..len];
        tokens.push(Token {
            kind,
            gap: &source[last..at],
            source: token,
            before: String::new(),
            text: text.unwrap_or_else(|| token.to_owned()),
            after: String::new(),
        });
        at += len;
        last = at;
    }
}

/// Length of the string literal at the start of `source`, quotes included.
fn string_len(source: &str) -> Option<usize> {
    let quote = source.chars().next()?;
    let mut escaped = false;
    let end = source[1..].char_indices().find(|&(_, c)| {
        let ends = c == quote && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.map(|(at, _)| at + 2)
}

fn number_len(source: &str) -> usize {
    let bytes = source.as_bytes();
    let mut len = 1;
    while let Some(&byte) = bytes.get(len) {
        let digit_next = bytes.get(len + 1).is_some_and(u8::is_ascii_digit);
        let exponent = bytes[len - 1].eq_ignore_ascii_case(&b'e') && !source.starts_with("0x");
        match byte {
            byte if byte == b'_' || byte.is_ascii_alphanumeric() => len += 1,
            b'.' if digit_next => len += 1,
            b'+' | b'-' if exponent && digit_next => len += 1,
            _ => break,
        }
    }
    len
}

/// What Python's escapes in a string literal mean.
fn unescaped(literal: &str) -> Result<String, String> {
    let mut out = String::with_capacity(literal.len());
    let mut chars = literal.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let Some(escape) = chars.next() else {
            out.push('\\');
            break;
        };
        let coded = |digits: String, radix: u32| {
            let code = u32::from_str_radix(&digits, radix).ok().and_then(char::from_u32);
            code.ok_or_else(|| format!("a string holds \\{escape}{digits}, which is not a character"))
        };
        let meant = match escape {
            '\n' => continue,
            '\\' | '\'' | '"' => escape,
            'a' => '\x07',
            'b' => '\x08',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            'x' | 'u' | 'U' => {
                let len = match escape {
                    'x' => 2,
                    'u' => 4,
                    _ => 8,
                };
                let digits: String = chars.by_ref().take(len).collect();
                if digits.len() < len {
                    return Err(format!("a string holds \\{escape}{digits}, expected {len} digits"));
                }
                coded(digits, 16)?
            }
            'N' => return Err("a string names a character with \\N, which is not supported".to_owned()),
            '0'..='7' => {
                let mut digits = escape.to_string();
                while digits.len() < 3
                    && let Some(digit) = chars.next_if(|c| ('0'..='7').contains(c))
                {
                    digits.push(digit);
                }
                coded(digits, 8)?
            }
            other => {
                out.push('\\');
                other
            }
        };
        out.push(meant);
    }
    Ok(out)
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A name in the tag that minijinja would take for one that is not set.
fn unsupported(tokens: &[Token<'_>]) -> Option<&'static str> {
    let used = |name: &&str| {
        let is_used = |(at, token): (usize, &Token<'_>)| token.source == *name && !after(tokens, at, ".");
        tokens.iter().enumerate().any(is_used)
    };
    ["varargs", "kwargs"].into_iter().find(used)
}

/// Whether the token at `at` follows `operator`.
fn after(tokens: &[Token<'_>], at: usize, operator: &str) -> bool {
    at > 0 && tokens[at - 1].source == operator
}

/// The first token for which `wanted` holds outside all brackets.
fn top(tokens: &[Token<'_>], wanted: impl Fn(&Token<'_>) -> bool) -> Option<usize> {
    let mut depth = 0_usize;
    tokens.iter().position(|token| {
        match token.source {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && wanted(token)
    })
}

/// `for x in y if z` as `for x in __items__((y)) if z`.
fn each(tokens: &mut [Token<'_>]) {
    let Some(word) = top(tokens, |token| token.source == "in") else { return };
    let first = word + 1;
    let len = top(&tokens[first..], |token| ["if", "recursive"].contains(&token.source));
    let end = len.map_or(tokens.len(), |len| first + len);
    if first < end {
        tokens[first].before.insert_str(0, "__items__((");
        tokens[end - 1].after.push_str("))");
    }
}

/// Rewrites a `set` whose target is an attribute; for a block the target is what is to be set at its end.
fn set(tokens: &mut [Token<'_>], assigns: bool) -> Option<(String, String)> {
    let names = |at: usize| tokens.get(at).is_some_and(|token| token.kind == Kind::Name);
    let ends = tokens.get(4).is_none_or(|token| ["=", "|"].contains(&token.source));
    if !(names(1) && names(3) && ends && tokens[2].source == ".") {
        return None;
    }
    let target = (tokens[1].source.to_owned(), tokens[3].source.to_owned());
    if assigns {
        tokens[0].text = "do".to_owned();
        tokens[1].before = "__set__(".to_owned();
        tokens[2].text = ", ".to_owned();
        tokens[3].text = format!("\"{}\"", target.1);
        tokens[4].text = ", (".to_owned();
        let last = tokens.len() - 1;
        tokens[last].after.push_str("))");
    } else {
        tokens[1].text = "__block__".to_owned();
        for token in &mut tokens[2..4] {
            token.text.clear();
        }
    }
    Some(target)
}

/// Every `a % b` as `__mod__(a, b)`.
fn remainders(tokens: &mut [Token<'_>]) {
    for at in 0..tokens.len() {
        if tokens[at].source != "%" {
            continue;
        }
        let first = left(tokens, at);
        if let Some(end) = operand(tokens, at + 1)
            && first < at
        {
            tokens[first].before.insert_str(0, "__mod__(");
            tokens[at].text = ",".to_owned();
            tokens[end - 1].after.push(')');
        }
    }
}

/// Where what `%` at `at` divides begins: products and quotients go on to the left.
fn left(tokens: &[Token<'_>], at: usize) -> usize {
    let mut depth = 0_usize;
    for index in (0..at).rev() {
        let token = &tokens[index];
        let stops = match token.source {
            ")" | "]" | "}" => {
                depth += 1;
                false
            }
            "(" | "[" | "{" if depth > 0 => {
                depth -= 1;
                false
            }
            "(" | "[" | "{" => true,
            _ if depth > 0 => false,
            "+" | "-" => index > 0 && ends_operand(tokens, index - 1),
            word if token.kind == Kind::Name => {
                let attribute = after(tokens, index, ".") || after(tokens, index, "|");
                !attribute && (WORDS.contains(&word) || index == 0 && tokens.len() > 1 && starts_tag(word))
            }
            operator => LOOSER.contains(&operator),
        };
        if stops {
            return index + 1;
        }
    }
    0
}

/// Whether a name at the start of a tag is the tag's, and no operand.
fn starts_tag(word: &str) -> bool {
    ["set", "for", "call", "filter", "with", "do", "print", "autoescape"].contains(&word)
}

fn ends_operand(tokens: &[Token<'_>], at: usize) -> bool {
    let token = &tokens[at];
    match token.kind {
        Kind::Operator => [")", "]", "}"].contains(&token.source),
        Kind::Name => after(tokens, at, ".") || !WORDS.contains(&token.source),
        _ => true,
    }
}

/// The end of the operand that begins at `at`: signs, a value, what is called or taken of it, filters, tests and powers.
fn operand(tokens: &[Token<'_>], mut at: usize) -> Option<usize> {
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|token| token.source == text);
    let group = |at: usize| -> Option<usize> {
        let mut depth = 0_usize;
        for (index, token) in tokens.iter().enumerate().skip(at) {
            match token.source {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.checked_sub(1)?,
                _ => {}
            }
            if depth == 0 {
                return Some(index + 1);
            }
        }
        None
    };
    let value = |at: usize| -> Option<usize> {
        let token = tokens.get(at)?;
        let mut end = match token.kind {
            Kind::Operator if ["(", "[", "{"].contains(&token.source) => group(at)?,
            Kind::Operator => return None,
            _ => at + 1,
        };
        while token.kind == Kind::String && tokens.get(end).is_some_and(|next| next.kind == Kind::String) {
            end += 1;
        }
        loop {
            end = match tokens.get(end).map(|token| token.source) {
                Some(".") => end + 2,
                Some("(" | "[") => group(end)?,
                _ => return Some(end),
            };
        }
    };
    while is(at, "-") || is(at, "+") {
        at += 1;
    }
    let mut end = value(at)?;
    loop {
        if is(end, "|") {
            end += 2;
        } else if is(end, "is") {
            end += if is(end + 1, "not") { 3 } else { 2 };
            let argument = tokens.get(end).is_some_and(|token| match token.kind {
                Kind::Operator => ["[", "{"].contains(&token.source),
                Kind::Name => !WORDS.contains(&token.source),
                _ => true,
            });
            if argument {
                end = value(end)?;
            }
        } else if is(end, "**") {
            return operand(tokens, end + 1);
        } else {
            return Some(end.min(tokens.len()));
        }
        while is(end, ".") {
            end += 2;
        }
        if is(end, "(") {
            end = group(end)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_rewritten_where_they_must_be() {
        for (source, expected) in [
            ("a\r\nb\rc", "a\nb\nc"),
            (r"{{ 'a\x41\u00e9\101\q' }}", r#"{{ "aAéA\\q" }}"#),
            ("{{ a.b % 2 == 0 }}", "{{ __mod__(a.b , 2) == 0 }}"),
            ("{{- 1 + -a * b % c|d(1) % e }}", "{{- 1 + __mod__(__mod__(-a * b , c|d(1)) , e) }}"),
            ("{% if not x[1] % 3 and y %}", "{% if not __mod__(x[1] , 3) and y %}"),
            ("{% set x = a % (b % c) -%}", "{% set x = __mod__(a , (__mod__(b , c))) -%}"),
            ("{% set n.a = 1, 2 %}", r#"{% do __set__(n, "a" , ( 1, 2)) %}"#),
            (
                "{% set n.a|upper %}x{% endset -%}",
                concat!("{% set __block__|upper %}x{% endset %}", r#"{% do __set__(n, "a", __block__) -%}"#,),
            ),
            ("{% for a, (b, c) in x if y %}", "{% for a, (b, c) in __items__((x)) if y %}"),
            ("{%- generation -%}x{%+ endgeneration %}", "{%- with -%}x{%+ endwith %}"),
            ("{% raw %}\n{{ 1 % 2 }}{%- endraw %}{# 1 % 2 #}", "{% raw +%}\n{{ 1 % 2 }}{%- endraw %}{# 1 % 2 #}"),
            ("100 % {x} {{ '{% generation %}' }}", "100 % {x} {{ \"{% generation %}\" }}"),
            ("{{ x", "{{ x"),
            ("{{ x[a % b:c] }}", "{{ x[__mod__(a , b):c] }}"),
        ] {
            assert_eq!(prepare(source).unwrap(), expected);
        }
        for (source, expected) in [
            ("{{ varargs }}", "varargs is not supported"),
            (r"{{ '\N{BULLET}' }}", r"\N"),
            (r"{{ '\ud83d' }}", "not a character"),
            (r"{{ '\x4' }}", "expected 2 digits"),
            (&format!("{{{{ a{} }}}}", ".a".repeat(300)), "more than 500 pieces"),
            (&format!("{{{{ [(1{})] }}}}", "+1".repeat(300)), "more than 500 pieces"),
            (&format!("{{% if not {} 1 %}}", "not ".repeat(500)), "more than 500 pieces"),
            (&format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(501)), "more than 500 elif"),
        ] {
            let message = prepare(source).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }
}

//! What Python's values can do in a template, where minijinja and its `pycompat` do not, or do otherwise.

use std::ops::Range;

use minijinja::value::{Kwargs, Rest, Tuple, ValueKind, ValueOrKwargs, from_args};
use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat;

/// Arguments by position or keyword, in the order of `names`; one that is not among them is an error.
pub(super) fn arguments<const N: usize>(args: &[Value], names: [&str; N]) -> Result<[Option<Value>; N], Error> {
    let (given, keywords): (&[Value], Kwargs) = from_args(args)?;
    if given.len() > N {
        return Err(Error::from(ErrorKind::TooManyArguments));
    }
    let mut found = [const { None }; N];
    for (index, name) in names.into_iter().enumerate() {
        let keyword: Option<Value> = if keywords.has(name) { Some(keywords.get(name)?) } else { None };
        if keyword.is_some() && index < given.len() {
            return Err(refused(format!("{name} is given twice")));
        }
        found[index] = given.get(index).cloned().or(keyword);
    }
    keywords.assert_all_used()?;
    Ok(found)
}

/// A float as Python's `repr` has it.
pub(super) fn float(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let (magnitude, scientific) = (number.abs(), format!("{number:e}"));
    if number != 0.0
        && !(1e-4..1e16).contains(&magnitude)
        && let Some((digits, exponent)) = scientific.split_once('e')
    {
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    format!("{number:?}")
}

/// `left % right`: the rest of a division, or a format and its arguments.
pub(super) fn remainder(state: &mut State, left: &Value, right: &Value) -> Result<Value, Error> {
    let Some(format) = left.as_str() else {
        let rest = state.env().compile_expression("left % right")?;
        return rest.eval(minijinja::context! { left, right });
    };
    let conversions = Conversions::of(format);
    let mut args = vec![left.clone()];
    match right.kind() {
        ValueKind::Map if conversions.named => {
            let mut pairs = Vec::new();
            for key in right.try_iter()? {
                pairs.push((key.to_string(), right.get_item(&key)?));
            }
            args.push(pairs.into_iter().collect::<Kwargs>().into());
        }
        ValueKind::Map if conversions.count == 0 => {}
        _ if right.downcast_object_ref::<Tuple>().is_some() => args.extend(right.try_iter()?),
        _ => args.push(right.clone()),
    }
    formatted(state, &args)
}

/// The filter `format`, which is an error where arguments are left over.
pub(super) fn format(state: &mut State, format: &Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = args.into_values();
    let (positional, keywords): (&[Value], Kwargs) = from_args(&args)?;
    if !positional.is_empty() && keywords.args().next().is_some() {
        return Err(refused("format: arguments by position and by keyword at once".to_owned()));
    }
    formatted(state, &[std::slice::from_ref(format), &args[..]].concat())
}

/// The first argument is the format.
fn formatted(state: &mut State, args: &[Value]) -> Result<Value, Error> {
    let conversions = Conversions::of(args[0].as_str().unwrap_or_default());
    if !conversions.named && args.len() - 1 > conversions.count {
        return Err(refused("not all arguments converted during string formatting".to_owned()));
    }
    state.apply_filter("__format__", args)
}

/// What a format of `%` takes.
struct Conversions {
    named: bool,
    count: usize,
}

impl Conversions {
    fn of(format: &str) -> Self {
        let mut found = Conversions { named: false, count: 0 };
        let mut rest = format;
        while let Some(at) = rest.find('%') {
            rest = &rest[at + 1..];
            found.named |= rest.starts_with('(');
            let end = rest.find(|c: char| c == '%' || c.is_ascii_alphabetic()).unwrap_or(rest.len());
            found.count += rest[..end].matches('*').count();
            if !rest[end..].starts_with('%') {
                found.count += 1;
            }
            rest = rest.get(end + 1..).unwrap_or_default();
        }
        found
    }
}

/// `default(default_value='', boolean=false)`.
pub(super) fn default(value: &Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let [other, boolean] = arguments(&args.into_values(), ["default_value", "boolean"])?;
    let falsy = boolean.is_some_and(|boolean| boolean.is_true()) && !value.is_true();
    Ok(if value.is_undefined() || falsy { other.unwrap_or_else(|| Value::from("")) } else { value.clone() })
}

/// `trim(chars=none)`.
pub(super) fn trim(value: &Value, args: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let [chars] = arguments(&args.into_values(), ["chars"])?;
    Ok(strip(&value.to_string(), &text_or_none("trim", chars)?, true, true).to_owned())
}

/// `map` with the name of a filter, which gets all other arguments, or with an attribute.
pub(super) fn map(state: &mut State, value: &Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = args.into_values();
    let Some(filter) = args.first().and_then(|name| name.as_str().map(str::to_owned)) else {
        return state.apply_filter("__map__", &[std::slice::from_ref(value), &args[..]].concat());
    };
    let mut mapped = Vec::new();
    for item in items(value)?.try_iter()? {
        state.consume_fuel(1)?;
        mapped.push(state.apply_filter(&filter, &[&[item], &args[1..]].concat())?);
    }
    Ok(Value::from(mapped))
}

/// What a loop goes over: a text is its characters, and only what is defined by its items has any.
pub(super) fn items(value: &Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::String => Ok(value.as_str().unwrap_or_default().chars().map(Value::from).collect::<Vec<_>>().into()),
        kind if iterable(value) => {
            // Of what is gone over once, `loop.length` and `loop.last` would not be known.
            let counted = value.len().is_some() || kind != ValueKind::Iterable;
            Ok(if counted { value.clone() } else { value.try_iter()?.collect::<Vec<_>>().into() })
        }
        _ => Err(refused(format!("{value} is not iterable"))),
    }
}

/// The test `iterable`.
pub(super) fn iterable(value: &Value) -> bool {
    matches!(
        value.kind(),
        ValueKind::Undefined
            | ValueKind::String
            | ValueKind::Bytes
            | ValueKind::Seq
            | ValueKind::Map
            | ValueKind::Iterable
    )
}

/// Methods of texts, lists and dicts.
pub(super) fn method(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    let own = match value.kind() {
        ValueKind::String => text_method(state, value.as_str().unwrap_or_default(), name, args)?,
        ValueKind::Map if name == "copy" => {
            let [] = arguments(args, [])?;
            Some(value.clone())
        }
        ValueKind::Seq => list_method(value, name, args)?,
        _ => None,
    };
    match own {
        Some(result) => Ok(result),
        None => pycompat::unknown_method_callback(state, value, name, args),
    }
}

fn list_method(value: &Value, name: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    Ok(match name {
        "copy" => {
            let [] = arguments(args, [])?;
            Some(value.clone())
        }
        "index" => {
            let [wanted] = arguments(args, ["value"])?;
            let wanted = required(name, wanted)?;
            let at = value.try_iter()?.position(|item| item == wanted);
            Some(at.map(Value::from).ok_or_else(|| refused(format!("{wanted} is not in list")))?)
        }
        _ => None,
    })
}

fn text_method(state: &State, text: &str, name: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    let one = |names: [&str; 1]| arguments(args, names).map(|[argument]| argument);
    let none = || arguments(args, []).map(|[]: [Option<Value>; 0]| ());
    Ok(Some(match name {
        "strip" | "lstrip" | "rstrip" => {
            let chars = text_or_none(name, one(["chars"])?)?;
            Value::from(strip(text, &chars, name != "rstrip", name != "lstrip"))
        }
        "split" | "rsplit" => {
            let [separator, limit] = arguments(args, ["sep", "maxsplit"])?;
            let limit = limit.map_or(Ok(-1), i64::try_from)?;
            let separator = text_or_none(name, separator)?;
            Value::from(split(text, separator.as_deref(), limit, name == "rsplit")?)
        }
        "partition" | "rpartition" => {
            let separator = text_of(name, one(["sep"])?)?;
            if separator.is_empty() {
                return Err(refused("empty separator".to_owned()));
            }
            let parts = if name == "partition" {
                text.split_once(&separator).map_or([text, "", ""], |(left, right)| [left, &separator, right])
            } else {
                text.rsplit_once(&separator).map_or(["", "", text], |(left, right)| [left, &separator, right])
            };
            Value::from(Tuple::from(parts.map(Value::from)))
        }
        "removeprefix" => {
            let prefix = text_of(name, one(["prefix"])?)?;
            Value::from(text.strip_prefix(prefix.as_str()).unwrap_or(text))
        }
        "removesuffix" => {
            let suffix = text_of(name, one(["suffix"])?)?;
            Value::from(text.strip_suffix(suffix.as_str()).unwrap_or(text))
        }
        "zfill" => {
            let missing = missing(state, text, &required(name, one(["width"])?)?)?;
            let sign = usize::from(text.starts_with(['-', '+']));
            Value::from([&text[..sign], &"0".repeat(missing), &text[sign..]].concat())
        }
        "center" | "ljust" | "rjust" => {
            let [width, fill] = arguments(args, ["width", "fillchar"])?;
            let fill = text_or_none(name, fill)?.unwrap_or_else(|| " ".to_owned());
            if fill.chars().count() != 1 {
                return Err(refused(format!("{name}: fills with {fill:?}, expected one character")));
            }
            let width = required(name, width)?;
            let missing = missing(state, text, &width)?;
            let left = match name {
                "ljust" => 0,
                "rjust" => missing,
                // As CPython divides an odd number of characters.
                _ => missing / 2 + (missing & usize::try_from(width).unwrap_or(0) & 1),
            };
            Value::from([&fill.repeat(left), text, &fill.repeat(missing - left)].concat())
        }
        "expandtabs" => {
            let size = one(["tabsize"])?.map_or(Ok(8), usize::try_from)?;
            let tabs = text.matches('\t').count();
            state.consume_fuel((tabs as u64).saturating_mul(size as u64) / 64)?;
            Value::from(expandtabs(text, size))
        }
        "casefold" => {
            none()?;
            if !text.is_ascii() {
                return Err(refused(format!("casefold of {text:?}, which has more than ASCII, is not supported")));
            }
            Value::from(text.to_lowercase())
        }
        "swapcase" => {
            none()?;
            let swap = |c: char| match c {
                c if c.is_uppercase() => c.to_lowercase().collect::<String>(),
                c => c.to_uppercase().collect(),
            };
            Value::from(text.chars().map(swap).collect::<String>())
        }
        "title" => {
            none()?;
            Value::from(title(text))
        }
        "istitle" => {
            none()?;
            Value::from(title(text) == text && text.chars().any(char::is_alphabetic))
        }
        "isdigit" | "isdecimal" => {
            none()?;
            if let Some(c) = text.chars().find(|c| !c.is_ascii() && c.is_numeric()) {
                return Err(refused(format!("{name} of {c:?} is not supported")));
            }
            Value::from(!text.is_empty() && text.chars().all(|c| c.is_ascii_digit()))
        }
        "isidentifier" => {
            none()?;
            let word = |c: char| c == '_' || c.is_alphanumeric();
            Value::from(text.starts_with(|c| word(c) && !c.is_numeric()) && text.chars().all(word))
        }
        "isspace" => {
            none()?;
            Value::from(!text.is_empty() && text.chars().all(is_space))
        }
        "find" | "rfind" | "index" | "rindex" | "count" => {
            let [wanted, start, end] = arguments(args, ["sub", "start", "end"])?;
            let (wanted, range) = (text_of(name, wanted)?, range(text, start, end)?);
            let Some(range) = range.filter(|range| range.start <= text.len()) else {
                return Ok(Some(Value::from(if name == "count" { 0 } else { -1 })));
            };
            let part = &text[range.clone()];
            let at = match name {
                "count" => return Ok(Some(Value::from(part.matches(&wanted).count()))),
                "find" | "index" => part.find(&wanted),
                _ => part.rfind(&wanted),
            };
            match at {
                Some(at) => Value::from(text[..range.start + at].chars().count()),
                None if name.ends_with("find") => Value::from(-1),
                None => return Err(refused("substring not found".to_owned())),
            }
        }
        "startswith" | "endswith" => {
            let [wanted, start, end] = arguments(args, ["prefix", "start", "end"])?;
            let wanted = required(name, wanted)?;
            let Some(range) = range(text, start, end)? else { return Ok(Some(Value::from(false))) };
            let part = &text[range];
            let affixes = match wanted.as_str() {
                Some(_) => vec![wanted.clone()],
                None if wanted.downcast_object_ref::<Tuple>().is_some() => wanted.try_iter()?.collect(),
                None => return Err(refused(format!("{name}: {wanted}, expected a text or a tuple of texts"))),
            };
            let mut found = false;
            for affix in affixes {
                let affix = text_of(name, Some(affix))?;
                found |= if name == "startswith" { part.starts_with(&affix) } else { part.ends_with(&affix) };
            }
            Value::from(found)
        }
        "join" => {
            let values = required(name, one(["iterable"])?)?;
            let mut parts = Vec::new();
            for value in items(&values)?.try_iter()? {
                state.consume_fuel(1 + text.len() as u64 / 64)?;
                parts.push(text_of(name, Some(value))?);
            }
            Value::from(parts.join(text))
        }
        "splitlines" => {
            let keep = one(["keepends"])?.is_some_and(|keep| keep.is_true());
            Value::from(lines(text, keep))
        }
        _ => return Ok(None),
    }))
}

fn required(name: &str, argument: Option<Value>) -> Result<Value, Error> {
    argument.ok_or_else(|| Error::new(ErrorKind::MissingArgument, name.to_owned()))
}

fn text_of(name: &str, argument: Option<Value>) -> Result<String, Error> {
    let argument = required(name, argument)?;
    let text = argument.as_str().ok_or_else(|| refused(format!("{name}: {argument}, expected a text")))?;
    Ok(text.to_owned())
}

/// A text that `None` stands for too.
fn text_or_none(name: &str, argument: Option<Value>) -> Result<Option<String>, Error> {
    argument.filter(|argument| !argument.is_none()).map(|argument| text_of(name, Some(argument))).transpose()
}

/// How many characters a text lacks to be `width` wide.
fn missing(state: &State, text: &str, width: &Value) -> Result<usize, Error> {
    let width = i64::try_from(width.clone())?;
    let missing = usize::try_from(width).unwrap_or(0).saturating_sub(text.chars().count());
    state.consume_fuel(missing as u64 / 64)?;
    Ok(missing)
}

/// Python's white space, which has four separators more than Unicode's.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

fn strip<'a>(text: &'a str, chars: &Option<String>, start: bool, end: bool) -> &'a str {
    let unwanted = |c: char| match chars {
        Some(chars) => chars.contains(c),
        None => is_space(c),
    };
    let text = if start { text.trim_start_matches(unwanted) } else { text };
    if end { text.trim_end_matches(unwanted) } else { text }
}

/// `split` and, from the right, `rsplit`; a negative limit is none.
fn split(text: &str, separator: Option<&str>, limit: i64, right: bool) -> Result<Vec<Value>, Error> {
    let limit = usize::try_from(limit).ok();
    let pieces = limit.map_or(usize::MAX, |limit| limit.saturating_add(1));
    let mut parts: Vec<&str> = match separator {
        Some("") => return Err(refused("empty separator".to_owned())),
        Some(separator) if right => text.rsplitn(pieces, separator).collect(),
        Some(separator) => text.splitn(pieces, separator).collect(),
        None => {
            let mut parts = Vec::new();
            let mut rest = strip(text, &None, !right, right);
            while !rest.is_empty() && parts.len() + 1 < pieces {
                let cut = if right { rest.rfind(is_space) } else { rest.find(is_space) };
                let Some(cut) = cut else { break };
                let (left, remainder) = rest.split_at(cut);
                let (part, other) = if right { (strip(remainder, &None, true, true), left) } else { (left, remainder) };
                parts.push(part);
                rest = strip(other, &None, !right, right);
            }
            if !rest.is_empty() {
                parts.push(if limit.is_none() { strip(rest, &None, true, true) } else { rest });
            }
            parts.retain(|part| !part.is_empty());
            parts
        }
    };
    if right {
        parts.reverse();
    }
    Ok(parts.into_iter().map(Value::from).collect())
}

/// The bytes of `text[start:end]`, counted in characters as Python slices; nothing where it begins behind its end.
fn range(text: &str, start: Option<Value>, end: Option<Value>) -> Result<Option<Range<usize>>, Error> {
    let len = text.chars().count() as i64;
    let place = |value: Option<Value>, default: i64| match value.filter(|value| !value.is_none()) {
        None => Ok(default),
        Some(value) => i64::try_from(value).map(|at| if at < 0 { (at + len).max(0) } else { at }),
    };
    let (start, end) = (place(start, 0)?, place(end, len)?.min(len));
    let byte = |at: i64| text.char_indices().nth(at as usize).map_or(text.len(), |(byte, _)| byte);
    Ok((start <= end).then(|| byte(start)..byte(end)))
}

fn title(text: &str) -> String {
    let (mut out, mut inside) = (String::new(), false);
    for c in text.chars() {
        match inside {
            true => out.extend(c.to_lowercase()),
            false => out.extend(c.to_uppercase()),
        }
        inside = c.is_alphabetic();
    }
    out
}

fn expandtabs(text: &str, size: usize) -> String {
    let (mut out, mut column) = (String::new(), 0);
    for c in text.chars() {
        match c {
            '\t' => {
                let spaces = if size == 0 { 0 } else { size - column % size };
                out.extend(std::iter::repeat_n(' ', spaces));
                column += spaces;
            }
            '\n' | '\r' => {
                out.push(c);
                column = 0;
            }
            c => {
                out.push(c);
                column += 1;
            }
        }
    }
    out
}

/// Lines as Python's `splitlines` has them, which knows more ends than `\n`.
fn lines(text: &str, keep: bool) -> Vec<Value> {
    let ends =
        |c: char| matches!(c, '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.find(ends) {
        let len = match rest[end..].starts_with("\r\n") {
            true => 2,
            false => rest[end..].chars().next().map_or(0, char::len_utf8),
        };
        lines.push(Value::from(&rest[..if keep { end + len } else { end }]));
        rest = &rest[end + len..];
    }
    if !rest.is_empty() {
        lines.push(Value::from(rest));
    }
    lines
}

fn refused(problem: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, problem)
}

//! The filter `tojson` of transformers: Python's `json.dumps`.

use minijinja::value::{Rest, ValueKind, ValueOrKwargs};
use minijinja::{Error, ErrorKind, State, Value};

use super::namespace::DEPTH;
use super::python::{arguments, float};

/// How JSON is laid out.
struct Layout {
    ensure_ascii: bool,
    /// What a level is indented with; none, and all stands on one line.
    indent: Option<String>,
    /// Between items, and between key and value.
    separators: (String, String),
    sort_keys: bool,
}

/// `tojson(ensure_ascii=false, indent=none, separators=none, sort_keys=false)`.
pub(super) fn tojson(state: &State, value: &Value, args: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let [ensure_ascii, indent, separators, sort_keys] =
        arguments(&args.into_values(), ["ensure_ascii", "indent", "separators", "sort_keys"])?;
    let flag = |value: Option<Value>| value.is_some_and(|value| value.is_true());
    let indent = indent.filter(|indent| !indent.is_none());
    let indent = match indent {
        None => None,
        Some(indent) => Some(match indent.as_str() {
            Some(text) => text.to_owned(),
            None => {
                let width = i64::try_from(indent.clone())
                    .map_err(|_| refused(format!("tojson: indent is {indent}, expected a number or a text")))?;
                state.consume_fuel(width.unsigned_abs() / 64)?;
                " ".repeat(usize::try_from(width).unwrap_or(0))
            }
        }),
    };
    let separators = match separators.filter(|separators| !separators.is_none()) {
        None => (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned()),
        Some(given) => {
            let texts: Option<Vec<String>> = given.try_iter()?.map(|text| text.as_str().map(str::to_owned)).collect();
            match texts.map(<[String; 2]>::try_from) {
                Some(Ok([item, key])) => (item, key),
                _ => return Err(refused(format!("tojson: separators is {given}, expected two texts"))),
            }
        }
    };
    let layout = Layout { ensure_ascii: flag(ensure_ascii), indent, separators, sort_keys: flag(sort_keys) };
    let mut out = String::new();
    layout.write(state, &mut out, value, 0)?;
    Ok(out)
}

impl Layout {
    fn write(&self, state: &State, out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > DEPTH {
            return Err(refused(format!("tojson: values more than {DEPTH} deep")));
        }
        match value.kind() {
            ValueKind::Seq => {
                let items: Vec<Value> = value.try_iter()?.collect();
                self.container(state, out, ['[', ']'], items, depth, |item, out| {
                    self.write(state, out, &item, depth + 1)
                })
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sort_keys {
                    let [text, number] = [ValueKind::String, ValueKind::Number];
                    if !keys.iter().all(|key| key.kind() == text) && !keys.iter().all(|key| key.kind() == number) {
                        return Err(refused("tojson: keys of several kinds cannot be sorted".to_owned()));
                    }
                    keys.sort();
                }
                self.container(state, out, ['{', '}'], keys, depth, |key, out| {
                    match key.kind() {
                        ValueKind::String => self.text(out, key.as_str().unwrap_or_default()),
                        ValueKind::Bool | ValueKind::None | ValueKind::Number => {
                            out.push('"');
                            self.write(state, out, &key, depth)?;
                            out.push('"');
                        }
                        _ => return Err(refused(format!("tojson: {key} is no key in JSON"))),
                    }
                    out.push_str(&self.separators.1);
                    self.write(state, out, &value.get_item(&key)?, depth + 1)
                })
            }
            ValueKind::String => {
                let text = value.as_str().unwrap_or_default();
                state.consume_fuel(text.len() as u64 / 64)?;
                self.text(out, text);
                Ok(())
            }
            ValueKind::Number => {
                match f64::try_from(value.clone()) {
                    Ok(number) if !value.is_integer() => out.push_str(&float(number)),
                    _ => out.push_str(&value.to_string()),
                }
                Ok(())
            }
            ValueKind::Bool => {
                out.push_str(if value.is_true() { "true" } else { "false" });
                Ok(())
            }
            ValueKind::None => {
                out.push_str("null");
                Ok(())
            }
            _ => Err(refused(format!("tojson: a value of kind {} has no JSON", value.kind()))),
        }
    }

    /// Items between brackets, each written by `item`.
    fn container(
        &self,
        state: &State,
        out: &mut String,
        brackets: [char; 2],
        items: Vec<Value>,
        depth: usize,
        mut item: impl FnMut(Value, &mut String) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let [open, close] = brackets;
        out.push(open);
        let empty = items.is_empty();
        let line = |out: &mut String, depth: usize| {
            let Some(indent) = &self.indent else { return Ok(()) };
            state.consume_fuel((indent.len() * depth) as u64 / 64)?;
            out.push('\n');
            out.push_str(&indent.repeat(depth));
            Ok::<(), Error>(())
        };
        for (index, value) in items.into_iter().enumerate() {
            state.consume_fuel(1)?;
            if index > 0 {
                out.push_str(&self.separators.0);
            }
            line(out, depth + 1)?;
            item(value, out)?;
        }
        if !empty {
            line(out, depth)?;
        }
        out.push(close);
        Ok(())
    }

    fn text(&self, out: &mut String, text: &str) {
        out.push('"');
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\x08' => out.push_str("\\b"),
                '\x0c' => out.push_str("\\f"),
                c if c < ' ' || self.ensure_ascii && !c.is_ascii() => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        *out += &format!("\\u{unit:04x}");
                    }
                }
                c => out.push(c),
            }
        }
        out.push('"');
    }
}

fn refused(problem: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, problem)
}

//! Chat templates, rendered as transformers renders them (`transformers/utils/chat_template_utils.py`).
//!
//! Same environment: `trim_blocks`, `lstrip_blocks`, loop controls, Python's string methods, `raise_exception`,
//! `strftime_now`, a `tojson` that escapes no HTML. Departs from it in three ways: the steps of one rendering are bounded,
//! a clock is there only if one is set, and `{% generation %}` marks nothing.
//!
//! Not bounded is the stack: minijinja 3.1 overflows it on a namespace that a template stores in itself and prints.

use std::collections::BTreeMap;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde};
use minijinja::{Environment, ErrorKind, State, Value};
use minijinja_contrib::pycompat;
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use super::Message;
use super::clock::strftime;
use crate::error::{Error, Result};

const NAME: &str = "chat_template";
/// Steps that one rendering may take. A long conversation takes a few thousand.
const FUEL: u64 = 10_000_000;

/// A compiled chat template.
#[derive(Debug)]
pub(super) struct Template {
    file: String,
    source: String,
    environment: Environment<'static>,
}

impl Template {
    /// Compiles `source`, found in `file`.
    pub(super) fn new(file: &str, source: String) -> Result<Self> {
        let mut environment = Environment::new();
        let failed = |problem: minijinja::Error| Error::file(file, NAME, format_args!("{problem:#}"));
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(failed)?);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(pycompat::unknown_method_callback);
        environment.add_filter("tojson", tojson);
        environment.add_function("raise_exception", |message: String| -> Result<Value, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_template_owned(NAME, without_generation_marks(&source)).map_err(failed)?;
        Ok(Template { file: file.to_owned(), source, environment })
    }

    /// Gives templates the function `strftime_now`, standing at `seconds` since 1970.
    pub(super) fn set_clock(&mut self, seconds: i64) {
        self.environment.add_function("strftime_now", move |format: &str| strftime(format, seconds));
    }

    /// The source as it stood in the file.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// The text of a conversation; `named` holds `bos_token` and the like.
    pub(super) fn render(
        &self,
        messages: &[Message],
        named: &BTreeMap<String, String>,
        add_generation_prompt: bool,
    ) -> Result<String> {
        #[derive(Serialize)]
        struct Context<'a> {
            messages: &'a [Message],
            add_generation_prompt: bool,
            tools: (),
            documents: (),
            #[serde(flatten)]
            named: &'a BTreeMap<String, String>,
        }
        let context = Context { messages, add_generation_prompt, tools: (), documents: (), named };
        self.environment
            .get_template(NAME)
            .and_then(|template| template.render(Serde(&context)))
            .map_err(|problem| Error::Request(format!("{}: {NAME}: {problem:#}", self.file)))
    }
}

/// Python's `json.dumps(value, ensure_ascii=False, indent=indent)`.
fn tojson(state: &State, value: &Value, options: Kwargs) -> Result<Value, minijinja::Error> {
    let indent: Option<usize> = options.get("indent")?;
    let failed = |problem| minijinja::Error::new(ErrorKind::BadSerialization, "tojson").with_source(problem);
    let mut json = Vec::new();
    match indent {
        Some(width) => {
            let spaces = " ".repeat(width.min(16));
            let formatter = PrettyFormatter::with_indent(spaces.as_bytes());
            value.serialize(&mut Serializer::with_formatter(&mut json, formatter)).map_err(failed)?;
        }
        None => value.serialize(&mut Serializer::with_formatter(&mut json, Spaced)).map_err(failed)?,
    }
    state.consume_fuel(json.len() as u64 / 64)?;
    String::from_utf8(json)
        .map(Value::from)
        .map_err(|problem| minijinja::Error::new(ErrorKind::BadSerialization, "tojson").with_source(problem))
}

/// JSON on one line with a space after each comma and colon, as Python writes it.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, out: &mut W, first: bool) -> std::io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, out: &mut W, first: bool) -> std::io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, out: &mut W) -> std::io::Result<()> {
        out.write_all(b": ")
    }
}

/// `{% generation %}` and `{% endgeneration %}` (which mark what transformers trains on) as blocks that do nothing.
fn without_generation_marks(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start + 2);
        out.push_str(before);
        let Some(end) = tag.find("%}") else {
            rest = tag;
            break;
        };
        match tag[..end].trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+') {
            "generation" => out.push_str(&tag[..end].replace("generation", "if true")),
            "endgeneration" => out.push_str(&tag[..end].replace("endgeneration", "endif")),
            _ => out.push_str(&tag[..end]),
        }
        rest = &tag[end..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    fn render(source: &str) -> Result<String> {
        Template::new("f", source.to_owned())?.render(&[], &BTreeMap::new(), true)
    }

    #[test]
    fn templates_render_as_in_transformers() {
        #[derive(Deserialize)]
        struct Golden {
            name: String,
            template: String,
            messages: Vec<Message>,
            add_generation_prompt: bool,
            rendered: String,
        }
        let golden: Vec<Golden> =
            serde_json::from_str(include_str!("../../../../tests/golden/templates.json")).unwrap();
        assert_eq!(golden.len(), 30);
        let named =
            [("bos_token", "<s>"), ("eos_token", "</s>")].map(|(name, text)| (name.to_owned(), text.to_owned()));
        for Golden { name, template, messages, add_generation_prompt, rendered } in golden {
            let found =
                Template::new("f", template).unwrap().render(&messages, &named.clone().into(), add_generation_prompt);
            assert_eq!(found.unwrap(), rendered, "{name}");
        }
    }

    #[test]
    fn a_templates_own_complaint_is_the_message() {
        let message = render("{{ raise_exception('roles must alternate') }}").unwrap_err().to_string();
        assert!(message.contains("roles must alternate"), "{message}");
    }

    #[test]
    fn work_is_bounded() {
        let endless = "{% for a in range(9999) %}{% for b in range(9999) %}{{ b }}{% endfor %}{% endfor %}";
        assert!(render(endless).is_err());
        assert!(
            render(
                "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}"
            )
            .is_err()
        );
        assert!(render("{{ 'a' * 100000000000 }}").is_err());
    }

    #[test]
    fn a_clock_is_there_only_if_set() {
        let source = "{% if strftime_now is defined %}{{ strftime_now('%d %b %Y') }}{% else %}none{% endif %}";
        let mut template = Template::new("f", source.to_owned()).unwrap();
        assert_eq!(template.render(&[], &BTreeMap::new(), false).unwrap(), "none");
        template.set_clock(1_709_164_800);
        assert_eq!(template.render(&[], &BTreeMap::new(), false).unwrap(), "29 Feb 2024");
    }

    #[test]
    fn bad_syntax_names_the_file() {
        let message = render("{% for %}").unwrap_err().to_string();
        assert!(message.starts_with("f: chat_template: "), "{message}");
    }
}

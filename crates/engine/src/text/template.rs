//! Chat templates, rendered as transformers renders them (`transformers/utils/chat_template_utils.py`).
//!
//! Same environment: `trim_blocks`, `lstrip_blocks`, loop controls, Python's methods, `raise_exception`, `strftime_now`, a
//! `tojson` that escapes no HTML. What minijinja reads otherwise than jinja2 is rewritten first ([`source`]). Departs from
//! transformers in these ways: the steps of one rendering are bounded, a namespace holds plain data only, `strftime_now`
//! stands at the start of a day, `{% generation %}` marks nothing; filters and tests that jinja2 alone has are refused,
//! as are `varargs` and `kwargs` in macros; what comes from a generator is a list; printed outside `tojson`, floats beyond
//! 1e16 or below 1e-4 have no exponent, and `dict.items()` and its like have no name.

mod json;
mod namespace;
mod python;
mod source;

use std::collections::BTreeMap;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, Value, filters};
use serde::Serialize;

use super::Message;
use super::clock::Date;
use crate::error::{Error, Result};

const NAME: &str = "chat_template";
/// Steps that one rendering may take. A long conversation takes a few thousand.
const FUEL: u64 = 10_000_000;

/// A compiled chat template.
#[derive(Debug, Clone)]
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
        environment.set_unknown_method_callback(python::method);
        environment.add_filter("tojson", json::tojson);
        environment.add_filter("default", python::default);
        environment.add_filter("d", python::default);
        environment.add_filter("trim", python::trim);
        environment.add_filter("__format__", filters::format);
        environment.add_filter("format", python::format);
        environment.add_filter("__map__", filters::map);
        environment.add_filter("map", python::map);
        // Not as jinja2's.
        environment.remove_filter("pprint");
        environment.remove_filter("attr");
        environment.add_test("iterable", python::iterable);
        environment.add_test("sequence", python::iterable);
        environment.add_function("namespace", namespace::namespace);
        environment.add_function("__set__", namespace::set);
        environment.add_function("__items__", python::items);
        environment.add_function("__mod__", python::remainder);
        environment.add_function("raise_exception", |message: String| -> Result<Value, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_function("strftime_now", |_: String| -> Result<Value, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, "the template prints the date, and none is set"))
        });
        let prepared = source::prepare(&source).map_err(|problem| Error::file(file, NAME, problem))?;
        environment.add_template_owned(NAME, prepared).map_err(failed)?;
        Ok(Template { file: file.to_owned(), source, environment })
    }

    /// Whether what is rendered depends on the date.
    pub(super) fn reads_date(&self) -> bool {
        self.source.contains("strftime_now")
    }

    /// The day at which `strftime_now` stands.
    pub(super) fn set_date(&mut self, date: Date) {
        self.environment.add_function("strftime_now", move |format: &str| {
            date.strftime(format).map_err(|problem| minijinja::Error::new(ErrorKind::InvalidOperation, problem))
        });
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

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::tests::golden_file;

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
        let golden: Vec<Golden> = serde_json::from_slice(&golden_file("templates.json")).unwrap();
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
    fn awkward_templates_render_as_in_transformers() {
        let golden: Vec<(String, Option<String>)> = serde_json::from_slice(&golden_file("awkward.json")).unwrap();
        assert!(golden.len() > 500);
        let said = [("system", "Be."), ("user", "Hi"), ("assistant", "Yo</think>x")];
        let messages = said.map(|(role, content)| Message { role: role.to_owned(), content: content.to_owned() });
        let named =
            [("bos_token", "<s>"), ("eos_token", "</s>")].map(|(name, text)| (name.to_owned(), text.to_owned()));
        let mut wrong = Vec::new();
        for (template, rendered) in golden {
            let found = Template::new("f", template.clone()).and_then(|mut template| {
                template.set_date(Date::of_seconds(0));
                template.render(&messages, &named.clone().into(), true)
            });
            if found.as_ref().ok() != rendered.as_ref() {
                wrong.push(format!("{template:?}\n  expected {rendered:?}\n  found    {found:?}"));
            }
        }
        assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    }

    #[test]
    fn what_is_not_supported_is_refused() {
        for source in [
            "{{ 'x' | urlencode }}",
            "{{ {'a': 1} | attr('a') }}",
            "{{ [1] | pprint }}",
            "{{ [3, 1] | sort(true) }}",
            "{{ [1] | slice(2, fill_with=0) }}",
            "{{ 'x' is callable }}",
            "{{ 'x'.encode() }}",
            "{{ 'ß'.casefold() }}",
            "{{ '½'.isdigit() }}",
            "{{ '%r' % 'x' }}",
            "{{ '\\N{BULLET}' }}",
            "{% macro m() %}{{ varargs }}{% endmacro %}",
            "{% macro m() %}{{ kwargs }}{% endmacro %}{{ m(a=1) }}",
            "{% for i in [1] %}{% with a = 1 %}{% break %}{% endwith %}{% endfor %}",
            "{% for i in [1] %}{% generation %}{% continue %}{% endgeneration %}{% endfor %}",
            "{% for i in [1] %}{% set a %}{% break %}{% endset %}{% endfor %}",
            "{% for i in [1] %}{{ loop.cycle() }}{% endfor %}",
            "{% for i in [1] %}{% set l = loop %}{{ l . cycle(*[]) }}{% endfor %}",
        ] {
            assert!(render(source).is_err(), "{source}");
        }
    }

    #[test]
    fn the_longest_that_is_taken_fits_the_stack() {
        for source in [
            format!("{{{{ 1{} }}}}", "|string".repeat(249)),
            format!("{{{{ 1{} }}}}", "+1".repeat(249)),
            format!("{{{{ {}1 }}}}", "not ".repeat(499)),
            format!("{{{{ 1{} }}}}", " % 2".repeat(140)),
            format!("{{{{ 1{} }}}}", " if 1 else 1".repeat(120)),
            format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(500)),
            format!("{{{{ [{}] }}}}", "1, ".repeat(10_000)),
        ] {
            render(&source).unwrap();
        }
    }

    #[test]
    fn no_value_holds_itself() {
        let store = "{% set ns = namespace(a=1) %}{% set ns.me = ";
        for (value, then) in [
            ("ns", "{{ ns }}"),
            ("[ns]", "{{ ns }}"),
            ("{'a': [1, (2, ns)]}", "{{ ns.me }}"),
            ("{'a': ns}.items()", "{{ ns.me | list }}"),
            ("[ns, 1] | map('default', 1)", "{{ ns.me == ns.me }}"),
            ("namespace(up=ns)", "{{ ns }}"),
            ("[ns][0:]", "{{ ns.me | tojson }}"),
            ("{ns: 1}", "{{ {ns.me: 1} }}"),
        ] {
            let source = format!("{store}{value} %}}{then}");
            let message = render(&source).unwrap_err().to_string();
            assert!(message.contains("a namespace holds plain data only"), "{source}: {message}");
        }
        for source in [
            "{% set ns = namespace() %}{% for i in [ns, 1] %}{% if loop.last %}{% set ns.me = loop %}{% endif %}{% endfor %}",
            "{% set ns = namespace() %}{% macro m() %}{% endmacro %}{% set ns.me = m %}{{ ns }}",
            "{% set ns = namespace() %}{% for i in [1, ns] %}{% set ns.me = loop %}{{ ns }}{% endfor %}",
            "{% set ns = namespace() %}{% set ns.x = [] %}{% for i in range(100000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns }}",
            "{% set ns = namespace(x=1) %}{% for i in range(100) %}{% set ns.x = {'a': ns.x, 'b': ns.x} %}{% endfor %}{{ ns.x }}",
            "{% macro m(x) %}{{ m([x]) }}{% endmacro %}{{ m(1) }}",
        ] {
            assert!(render(source).is_err(), "{source} {:?}", render(source));
        }
        assert_eq!(
            render("{% set ns = namespace(a=(1, {'b': 2, 'a': 1})) %}{{ ns.a }} {{ ns }}").unwrap(),
            "(1, {'b': 2, 'a': 1}) <Namespace {'a': (1, {'b': 2, 'a': 1})}>"
        );
        assert_eq!(
            render("{% set ns = namespace() %}{{ [ns, {'a': ns}] }}").unwrap(),
            "[<Namespace {}>, {'a': <Namespace {}>}]"
        );
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
    fn the_date_is_the_one_that_is_set() {
        let mut template = Template::new("f", "{{ strftime_now('%d %b %Y') }}".to_owned()).unwrap();
        assert!(template.reads_date());
        let message = template.render(&[], &BTreeMap::new(), false).unwrap_err().to_string();
        assert!(message.contains("prints the date, and none is set"), "{message}");
        template.set_date("2024-02-29".parse().unwrap());
        assert_eq!(template.render(&[], &BTreeMap::new(), false).unwrap(), "29 Feb 2024");
    }

    #[test]
    fn bad_syntax_names_the_file() {
        let message = render("{% for %}").unwrap_err().to_string();
        assert!(message.starts_with("f: chat_template: "), "{message}");
    }
}

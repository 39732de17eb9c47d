//! Text to tokens and back, as a model's own files say: tokenizer, special tokens, chat template.

mod clock;
mod template;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, Tokenizer};

use crate::error::{Error, Result};
use crate::generate::Finish;
pub use clock::Date;
use template::Template;

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What is said.
    pub content: String,
}

/// Tokenizer and chat template of one model.
#[derive(Debug)]
pub struct Text {
    file: String,
    tokenizer: Tokenizer,
    template: Option<Template>,
    date: Option<Date>,
    named: BTreeMap<String, String>,
    vocab_size: usize,
    embedded: usize,
    /// What the tokenizer puts before a text.
    before: Vec<u32>,
    after_answer: Option<String>,
    end_of_turn: u32,
    stop: Vec<u32>,
    origin: Origin,
}

/// The files or entries that a [`Text`] was read from: as they are, it is written again.
#[derive(Debug)]
pub(crate) enum Origin {
    /// Files that transformers reads, by name.
    Folder(Vec<(String, Vec<u8>)>),
    /// Entries of a GGUF file, by key: each value behind its type.
    Gguf(BTreeMap<String, Vec<u8>>),
}

/// What a reader of model files found for a [`Text`].
pub(crate) struct Parts {
    /// File that messages name.
    pub(crate) file: String,
    pub(crate) tokenizer: Tokenizer,
    /// The chat template's source.
    pub(crate) template: Option<String>,
    /// `bos_token`, `eos_token` and the like with their text, as templates see them.
    pub(crate) named: BTreeMap<String, String>,
    /// Tokens that end a completion, the most likely end of a turn first.
    pub(crate) stop: Vec<u32>,
    /// How many tokens the model embeds.
    pub(crate) embedded: usize,
    /// Where these parts came from.
    pub(crate) origin: Origin,
}

impl Text {
    pub(crate) fn new(parts: Parts) -> Result<Self> {
        let Parts { file, mut tokenizer, template, named, mut stop, embedded, origin } = parts;
        // Neither is part of a model: transformers too sets them per call.
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|problem| Error::file(&file, "truncation", problem))?;
        let vocab_size = tokenizer.get_vocab(true).values().max().map_or(0, |&id| id as usize + 1);
        if vocab_size > embedded {
            let problem = format!("{vocab_size} tokens, but the model embeds only {embedded}");
            return Err(Error::file(&file, "vocabulary", problem));
        }
        if let Some(name) = ["bos_token", "eos_token"]
            .into_iter()
            .find(|&name| named.get(name).is_some_and(|token| tokenizer.token_to_id(token).is_none()))
        {
            return Err(Error::file(&file, name, format_args!("{:?} is not in the vocabulary", named[name])));
        }
        if let Some(id) = stop.iter().find(|&&id| id as usize >= embedded) {
            return Err(Error::file(&file, "eos_token_id", format_args!("{id}, but the model embeds only {embedded}")));
        }
        let template = template.map(|source| Template::new(&file, source)).transpose()?;
        let eos = named.get("eos_token").and_then(|token| tokenizer.token_to_id(token));
        stop.extend(eos);
        let mut text = Text {
            file,
            tokenizer,
            template,
            date: None,
            named,
            vocab_size,
            embedded,
            before: Vec::new(),
            after_answer: None,
            end_of_turn: 0,
            stop,
            origin,
        };
        text.before = before(&text.tokenizer);
        text.after_answer = text.after_answer();
        text.end_of_turn = match text.end_of_turn_in_template().or(eos).or(text.stop.first().copied()) {
            Some(token) => token,
            None => return Err(Error::file(&text.file, "eos_token", "missing, and no chat template writes one")),
        };
        text.stop.push(text.end_of_turn);
        text.stop = BTreeSet::from_iter(text.stop).into_iter().collect();
        Ok(text)
    }

    /// What the chat template writes after what the assistant says.
    fn after_answer(&self) -> Option<String> {
        const SAID: &str = "Yes";
        let turn = |role: &str, content: &str| Message { role: role.to_owned(), content: content.to_owned() };
        let mut template = self.template.clone()?;
        // Any day will do.
        template.set_date(Date::of_seconds(0));
        let rendered = template.render(&[turn("user", "Well?"), turn("assistant", SAID)], &self.named, false).ok()?;
        Some(rendered[rendered.rfind(SAID)? + SAID.len()..].to_owned())
    }

    /// The first token of its own that it writes there, which is special from then on, whatever the files say.
    fn end_of_turn_in_template(&mut self) -> Option<u32> {
        let after = self.encode(self.after_answer.as_ref()?, false).ok()?;
        let added = self.tokenizer.get_added_tokens_decoder();
        let ends = |token: &&AddedToken| token.special || !token.content.trim().is_empty();
        let (id, token) = after.into_iter().find_map(|id| Some((id, added.get(&id).filter(ends)?.clone())))?;
        self.tokenizer.add_tokens(&[AddedToken { special: true, ..token }]);
        Some(id)
    }

    /// Tokens of a conversation up to where the assistant speaks next, through the chat template.
    ///
    /// As transformers' `apply_chat_template(messages, add_generation_prompt=True)`: only the template puts a bos.
    pub fn prompt(&self, messages: &[Message]) -> Result<Vec<u32>> {
        self.encode(&self.render(messages, true)?, false)
    }

    /// The text that the chat template makes of a conversation.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        match &self.template {
            Some(template) => template.render(messages, &self.named, add_generation_prompt),
            None => {
                Err(Error::Request(format!("{}: the model has no chat template; give prompts as raw text", self.file)))
            }
        }
    }

    /// Tokens of a text that goes on, with the special tokens (bos) that the tokenizer itself puts before one, unless the
    /// text begins with them already.
    pub fn raw(&self, text: &str) -> Result<Vec<u32>> {
        self.encode(text, true)
    }

    /// Tokens of a conversation and what the assistant says next, with the end of its turn where it is `Stop`.
    ///
    /// As TRL has them: the chat template renders both as one text, which is encoded as a whole. So what the template puts
    /// around an answer is there, and a tokenizer that begins a text with a space of its own does so once. They begin with
    /// the tokens of [`Text::prompt`], unless the template renders the prompt otherwise once it is answered, or a token
    /// spans the border. Unlike TRL's they end with the turn: nobody draws what the template writes after it.
    pub fn prompt_and_completion(&self, messages: &[Message], said: &str, finish: Finish) -> Result<Vec<u32>> {
        let Some(after) = &self.after_answer else {
            // A template that writes no answers: one follows its prompt.
            return self.ended(&(self.render(messages, true)? + said), false, finish);
        };
        let answer = Message { role: "assistant".to_owned(), content: said.to_owned() };
        let whole = self.render(&[messages, &[answer]].concat(), false)?;
        let Some(unended) = whole.strip_suffix(after) else {
            let problem = format!("the chat template writes other than {after:?} after the answer {said:?}");
            return Err(Error::Request(format!("{}: {problem}", self.file)));
        };
        if finish == Finish::Stop && self.encode(after, false)?.contains(&self.end_of_turn) {
            let mut tokens = self.encode(&whole, false)?;
            let end = tokens.iter().rposition(|&token| token == self.end_of_turn).map_or(tokens.len(), |end| end + 1);
            tokens.truncate(end);
            return Ok(tokens);
        }
        self.ended(unended, false, finish)
    }

    /// Tokens of a raw text and what comes after it, with the end of the turn where it is `Stop`.
    pub fn raw_and_completion(&self, prompt: &str, said: &str, finish: Finish) -> Result<Vec<u32>> {
        self.ended(&format!("{prompt}{said}"), true, finish)
    }

    /// Tokens of a text, with the end of the turn where it is `Stop` and not there yet.
    fn ended(&self, text: &str, begin: bool, finish: Finish) -> Result<Vec<u32>> {
        let mut tokens = self.encode(text, begin)?;
        if finish == Finish::Stop && tokens.last().is_none_or(|last| !self.stop.contains(last)) {
            tokens.push(self.end_of_turn);
        }
        Ok(tokens)
    }

    /// What was said with tokens that were drawn, the stop token and special ones left out.
    ///
    /// # Errors
    /// A token outside the vocabulary, or `Stop` without a stop token at the end.
    pub fn said(&self, tokens: &[u32], finish: Finish) -> Result<String> {
        let failed = |problem: String| Err(Error::Request(problem));
        if let Some(token) = tokens.iter().find(|&&token| token as usize >= self.embedded) {
            return failed(format!("token {token}, expected below {}", self.embedded));
        }
        let words = match (finish, tokens.split_last()) {
            (Finish::Length, _) => tokens,
            (Finish::Stop, Some((last, words))) if self.stop.contains(last) => words,
            (Finish::Stop, last) => {
                let last = last.map_or("no token".to_owned(), |(last, _)| last.to_string());
                return failed(format!("{last} at the end of what ends by \"stop\", expected one of {:?}", self.stop));
            }
        };
        let text = self.tokenizer.decode(words, true).or_else(|problem| failed(format!("{}: {problem}", self.file)))?;
        // A cut may have gone through a character.
        let whole = if finish == Finish::Length { text.trim_end_matches(char::REPLACEMENT_CHARACTER) } else { &text };
        Ok(whole.to_owned())
    }

    /// The token that ends an assistant's turn: the one the chat template writes there, else the end of text.
    pub fn end_of_turn(&self) -> u32 {
        self.end_of_turn
    }

    /// All tokens that end a completion, ascending: end of turn, end of text, and what `generation_config.json` lists.
    pub fn stop_tokens(&self) -> &[u32] {
        &self.stop
    }

    /// Whether [`Text::prompt`] can serve.
    pub fn has_chat_template(&self) -> bool {
        self.template.is_some()
    }

    /// One more than the largest token; a model may embed more.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// Id of `bos_token`, `eos_token`, `pad_token` or `unk_token`, if the model names one.
    pub fn named_token(&self, name: &str) -> Option<u32> {
        self.tokenizer.token_to_id(self.named.get(name)?)
    }

    /// Whether the chat template prints the date. Then [`Text::set_date`] must be called before prompts are rendered.
    pub fn reads_date(&self) -> bool {
        self.template.as_ref().is_some_and(Template::reads_date)
    }

    /// The day that chat templates print; in transformers it is always today.
    pub fn set_date(&mut self, date: Date) {
        if let Some(template) = &mut self.template {
            template.set_date(date);
        }
        self.date = Some(date);
    }

    /// The day that is set.
    pub fn date(&self) -> Option<Date> {
        self.date
    }

    /// What was read to make this.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The tokenizer alone.
    pub(crate) fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The chat template's source.
    pub(crate) fn template(&self) -> Option<&str> {
        self.template.as_ref().map(Template::source)
    }

    /// What the tokenizer puts before a text.
    pub(crate) fn before(&self) -> &[u32] {
        &self.before
    }

    /// Name of the file, for messages.
    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    /// Names and contents of the files from which transformers loads this tokenizer and template.
    pub fn files(&self) -> Result<Vec<(String, Vec<u8>)>> {
        if let Origin::Folder(files) = &self.origin {
            return Ok(files.clone());
        }
        let failed = |problem: &dyn std::fmt::Display| Error::file(&self.file, "tokenizer", problem);
        let tokenizer = self.tokenizer.to_string(false).map_err(|problem| failed(&problem))?;
        let mut config = serde_json::json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "clean_up_tokenization_spaces": false,
        });
        for (name, token) in &self.named {
            config[name] = token.as_str().into();
        }
        let config = serde_json::to_vec_pretty(&config).map_err(|problem| failed(&problem))?;
        let mut files =
            vec![("tokenizer.json".to_owned(), tokenizer.into_bytes()), ("tokenizer_config.json".to_owned(), config)];
        if let Some(template) = &self.template {
            files.push(("chat_template.jinja".to_owned(), template.source().as_bytes().to_vec()));
        }
        Ok(files)
    }

    /// Tokens of a text; with `begin` those that the tokenizer puts before one stand there once. What it puts behind a
    /// text is never there: text goes on.
    fn encode(&self, text: &str, begin: bool) -> Result<Vec<u32>> {
        let encoding = self.tokenizer.encode_fast(text, false);
        let encoding = encoding.map_err(|problem| Error::Request(format!("{}: {problem}", self.file)))?;
        let tokens = encoding.get_ids();
        Ok(if begin && !tokens.starts_with(&self.before) { [&self.before, tokens].concat() } else { tokens.to_vec() })
    }
}

/// The tokens that a tokenizer puts before every text.
fn before(tokenizer: &Tokenizer) -> Vec<u32> {
    let processor = serde_json::to_value(tokenizer.get_post_processor()).unwrap_or_default();
    let steps = processor["processors"].as_array().into_iter().flatten().chain([&processor]);
    let mut tokens = Vec::new();
    for step in steps.filter(|step| step["type"] == "TemplateProcessing") {
        let pieces = step["single"].as_array().into_iter().flatten();
        for name in pieces.map_while(|piece| piece["SpecialToken"]["id"].as_str()) {
            let ids = step["special_tokens"][name]["ids"].as_array().into_iter().flatten();
            tokens.extend(ids.filter_map(|id| u32::try_from(id.as_u64()?).ok()));
        }
    }
    tokens
}

/// Makes `tokenizer` put `first` before and `last` after every raw text, each a token's text and id, and nothing else.
pub(crate) fn add_ends(
    tokenizer: &mut Tokenizer,
    first: Option<(String, u32)>,
    last: Option<(String, u32)>,
) -> std::result::Result<(), String> {
    let end = |token: &Option<(String, u32)>| token.iter().map(|(text, _)| text.clone()).collect::<Vec<_>>();
    let single = [end(&first), vec!["$A".to_owned()], end(&last)].concat();
    let pair = [&single[..], &["$B:1".to_owned()]].concat();
    let processor = TemplateProcessing::builder()
        .try_single(single)?
        .try_pair(pair)?
        .special_tokens(first.into_iter().chain(last).collect::<Vec<_>>())
        .build()
        .map_err(|problem| problem.to_string())?;
    tokenizer.with_post_processor(Some(processor));
    Ok(())
}

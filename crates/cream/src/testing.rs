//! A tiny model for tests: the engine's golden one, with a vocabulary of letters.

use std::collections::BTreeMap;

use cream_engine::{Budget, Checkpoint, Cpu, Llama, Outline, Text, hf};
use serde_json::json;

use crate::error::{Error, Result};
use crate::policy::{Encoder, Policy};
use crate::progress::{Progress, Update};
use crate::rows::{Prompt, SftRow, Turns};
use crate::store::Memory;

/// The same numbers over the same rows, laid out in other batches: sums of f32 in another order. Relative, absolute
/// below 1.
pub(crate) const LAYOUT: f64 = 1e-4;

/// The model's own files, as a Hugging Face folder has them.
pub(crate) fn files() -> hf::Files {
    let golden = "../../tests/golden/tied/";
    let read = |name: &str| std::fs::read(format!("{golden}{name}")).unwrap();
    let special = ["<unk>", "<s>", "</s>"];
    let vocabulary: BTreeMap<String, usize> =
        (0..320).map(|i| (special.get(i).map_or_else(|| letter(i), |&token| token.to_owned()), i)).collect();
    let token = |id: usize| {
        json!({"id": id, "content": special[id], "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true})
    };
    let tokenizer = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [token(0), token(1), token(2)],
        "normalizer": null,
        "pre_tokenizer": null,
        "post_processor": null,
        "decoder": {"type": "Fuse"},
        "model": {"type": "BPE", "vocab": vocabulary, "merges": [], "unk_token": "<unk>"},
    });
    let template = "{% for turn in messages %}<s>{{ turn.content }}</s>{% endfor %}\
                    {% if add_generation_prompt %}<s>{% endif %}";
    let config = json!({"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "chat_template": template});
    BTreeMap::from([
        ("config.json".into(), read("config.json")),
        ("model.safetensors".into(), read("model.safetensors")),
        ("tokenizer.json".into(), tokenizer.to_string().into_bytes()),
        ("tokenizer_config.json".into(), config.to_string().into_bytes()),
    ])
}

/// The model with its text.
pub(crate) struct Tiny {
    pub(crate) model: Llama<Cpu>,
    pub(crate) text: Text,
}

impl Tiny {
    pub(crate) fn new() -> Self {
        let files = files();
        Tiny { model: model(&files, true), text: text(&files) }
    }

    pub(crate) fn encoder(&self) -> Encoder<'_> {
        Encoder {
            text: &self.text,
            raw: false,
            max_prompt_tokens: Encoder::MAX_PROMPT_TOKENS,
            context: self.model.config().max_position_embeddings,
        }
    }

    pub(crate) fn policy(&self) -> Policy<'_, Llama<Cpu>> {
        Policy { model: &self.model, adapter: None, encoder: self.encoder(), fingerprint: "of tiny" }
    }
}

/// The letter that is token `i`.
pub(crate) fn letter(i: usize) -> String {
    char::from_u32(0x100 + i as u32).unwrap().to_string()
}

pub(crate) fn text(files: &hf::Files) -> Text {
    hf::load(files).unwrap().1.unwrap()
}

pub(crate) fn model(files: &hf::Files, trainable: bool) -> Llama<Cpu> {
    let (checkpoint, _): (Checkpoint<'_>, _) = hf::load(files).unwrap();
    Llama::new(Cpu::new(), &checkpoint, trainable).unwrap()
}

/// The model with a NaN that every token goes through.
pub(crate) fn damaged(files: &hf::Files) -> Llama<Cpu> {
    let (mut checkpoint, _): (Checkpoint<'_>, _) = hf::load(files).unwrap();
    let norm = checkpoint.tensors.get_mut("model.norm.weight").unwrap();
    norm.bytes.to_mut()[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    Llama::new(Cpu::new(), &checkpoint, false).unwrap()
}

/// Outlines of the model on a CPU that may take so much.
pub(crate) fn outlines(files: &hf::Files, budget: Budget) -> [Outline; 2] {
    let (checkpoint, _) = hf::load(files).unwrap();
    let cpu = Cpu::new().with_budget(budget);
    [false, true].map(|trainable| Outline::unloaded(&cpu, &checkpoint, trainable))
}

pub(crate) fn prompts(count: usize) -> Vec<Prompt> {
    let prompt = |i| Prompt { id: format!("p{i}"), prompt: Turns::Text(letter(10 + i) + &letter(20 + i)) };
    (0..count).map(prompt).collect()
}

pub(crate) fn supervised(count: usize) -> Vec<SftRow> {
    let row = |i| SftRow { prompt: Turns::Text(letter(30 + i)), completion: letter(40 + i) + &letter(50) };
    (0..count).map(row).collect()
}

/// Remembers what it is told, and stops after so many updates.
pub(crate) struct Log {
    pub(crate) lines: Vec<String>,
    pub(crate) details: Vec<String>,
    pub(crate) updates: Vec<(String, usize, usize)>,
    pub(crate) stop_after: usize,
}

impl Log {
    pub(crate) fn new(stop_after: usize) -> Self {
        Log { lines: Vec::new(), details: Vec::new(), updates: Vec::new(), stop_after }
    }
}

impl Progress for Log {
    fn update(&mut self, update: &Update<'_>) -> Result<()> {
        self.updates.push((format!("{} {}", update.stage, update.output), update.done, update.total));
        if self.updates.len() > self.stop_after {
            return Err(Error::Caller("stopped".into()));
        }
        Ok(())
    }

    fn log(&mut self, line: &str) {
        self.lines.push(line.into());
    }

    fn detail(&mut self, lines: &str) {
        self.details.push(lines.into());
    }
}

/// A store that dies at its n-th change, of which an append is done by half.
pub(crate) struct Mortal {
    pub(crate) inner: Memory,
    pub(crate) changes_left: usize,
}

impl Mortal {
    fn change(&mut self, act: impl FnOnce(&mut Memory) -> Result<()>) -> Result<()> {
        match self.changes_left.checked_sub(1) {
            None => Err(Error::Caller("dead".into())),
            Some(left) => {
                self.changes_left = left;
                act(&mut self.inner)
            }
        }
    }
}

impl Mortal {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.inner.read(name)
    }

    fn exists(&self, name: &str) -> bool {
        self.inner.exists(name)
    }

    fn names(&self, start: &str) -> Result<Vec<String>> {
        self.inner.names(start)
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.change(|store| store.write(name, bytes))
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        if self.changes_left == 0 {
            self.inner.append(name, &bytes[..bytes.len() / 2])?;
        }
        self.change(|store| store.append(name, bytes))
    }

    fn truncate(&mut self, name: &str, len: usize) -> Result<()> {
        self.change(|store| store.truncate(name, len))
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        self.change(|store| store.rename(from, to))
    }

    fn remove(&mut self, name: &str) -> Result<()> {
        self.change(|store| store.remove(name))
    }
}

crate::store_at_once!(Mortal);

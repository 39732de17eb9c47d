//! The tokenizer inside a GGUF file, as a `tokenizers::Tokenizer` that encodes as the original did.
//!
//! Two kinds exist for Llama: byte-level BPE (`gpt2`: merges in the file, the splitting rule named by
//! `tokenizer.ggml.pre`) and SentencePiece BPE (`llama`: scores in the file, merges follow from them).

use std::collections::{BTreeMap, BTreeSet, HashSet};

use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::sequence::Sequence as Decoders;
use tokenizers::decoders::strip::Strip;
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::normalizers::{NFC, Prepend, Replace, Sequence as Normalizers};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior, Tokenizer};

use super::container::Container;
use crate::error::{Error, Result};
use crate::text::{Origin, Parts, Text, add_ends};

/// How all keys begin that are read here.
pub(super) const PREFIX: &str = "tokenizer.";

pub(super) const MODEL: &str = "tokenizer.ggml.model";
pub(super) const PRE: &str = "tokenizer.ggml.pre";
pub(super) const TOKENS: &str = "tokenizer.ggml.tokens";
pub(super) const SCORES: &str = "tokenizer.ggml.scores";
pub(super) const MERGES: &str = "tokenizer.ggml.merges";
pub(super) const TYPES: &str = "tokenizer.ggml.token_type";

/// `tokenizer.ggml.token_type`: unknown (2) and control (3) tokens are special, user-defined (4) ones are only kept whole.
/// Unused tokens (5) fill a gap, bytes (6) stand for what has no other token.
pub(super) const NORMAL: i64 = 1;
pub(super) const UNKNOWN: i64 = 2;
pub(super) const CONTROL: i64 = 3;
pub(super) const USER_DEFINED: i64 = 4;
pub(super) const UNUSED: i64 = 5;
pub(super) const BYTE: i64 = 6;

/// Tokens that end what a model says, whatever their type, as llama.cpp knows them by name (`llama-vocab.cpp`).
const ENDS: [&str; 26] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|eom_id|>",
    "</s>",
    "<eos>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<end_of_utterance>",
    "<｜end▁of▁sentence｜>",
    "<|fim_pad|>",
    "<fim-pad>",
    "<fim_pad>",
    "<PAD>",
    "[PAD]",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<fim-repo>",
    "<REPO>",
    "<reponame>",
    "<|file_sep|>",
];
/// Others that are special whatever their type: begins of turns, and the places of fill-in-the-middle.
const SPECIAL: [&str; 18] = [
    "<s>",
    "<bos>",
    "<pad>",
    "<mask>",
    "<unk>",
    "<start_of_turn>",
    "<fim-prefix>",
    "<fim_prefix>",
    "<PRE>",
    "▁<PRE>",
    "<fim-suffix>",
    "<fim_suffix>",
    "<SUF>",
    "▁<SUF>",
    "<fim-middle>",
    "<fim_middle>",
    "<MID>",
    "▁<MID>",
];

/// Splitting rules by the names that `tokenizer.ggml.pre` may have.
pub(super) const RULES: [(&str, Rule); 7] = [
    ("default", Rule::Default),
    ("gpt-2", Rule::Gpt2),
    ("smollm", Rule::SmolLm),
    ("llama-bpe", Rule::Llama3),
    ("llama3", Rule::Llama3),
    ("llama-v3", Rule::Llama3),
    ("qwen2", Rule::Qwen2),
];

/// How a text is split before its parts are merged.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Rule {
    Default,
    Gpt2,
    SmolLm,
    Llama3,
    Qwen2,
}

/// Tokens, by id, that tell a published vocabulary from others: what its rule is need not be written.
const TELLING: [(Rule, &[(usize, &str)]); 4] = [
    (Rule::Llama3, &[(128_000, "<|begin_of_text|>"), (128_001, "<|end_of_text|>")]),
    (Rule::Qwen2, &[(151_643, "<|endoftext|>"), (151_644, "<|im_start|>"), (151_645, "<|im_end|>")]),
    (
        Rule::SmolLm,
        &[(0, "<|endoftext|>"), (1, "<|im_start|>"), (2, "<|im_end|>"), (3, "<repo_name>"), (4, "<reponame>")],
    ),
    (Rule::Gpt2, &[(0, "!"), (262, "Ġthe"), (50_256, "<|endoftext|>")]),
];

/// Longest SentencePiece token, in bytes, that merges are rebuilt for: rebuilding takes the square of it.
const LONGEST_PIECE: usize = 512;

/// Splits of Llama 3 and Qwen 2, from their tokenizer.json.
const LLAMA3_SPLIT: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2_SPLIT: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// llama.cpp's rule for files that name none of its others: each pattern splits what the one before it left.
const DEFAULT_SPLITS: [&str; 4] = [
    r"[\p{P}\$\+<=>\^~\|]+",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
    r"\p{N}+",
    r"[0-9][0-9][0-9]",
];

/// Tokenizer and chat template of the file; the model embeds `embedded` tokens.
pub(super) fn text(container: &Container, embedded: usize) -> Result<Text> {
    let file = &container.file;
    let tokens =
        container.strings(TOKENS)?.ok_or_else(|| Error::file(file, TOKENS, "missing, expected an array of strings"))?;
    let vocab: Vocab = (0..).zip(&tokens).map(|(id, &token)| (token.to_owned(), id)).collect();
    if vocab.len() != tokens.len() {
        let problem = format!("{} tokens of which only {} differ", tokens.len(), vocab.len());
        return Err(Error::file(file, TOKENS, problem));
    }
    let types = container.integers(TYPES)?.unwrap_or_else(|| vec![1; tokens.len()]);
    if types.len() != tokens.len() {
        let problem = format!("{} types for {} tokens", types.len(), tokens.len());
        return Err(Error::file(file, TYPES, problem));
    }
    let special = |name: &str| {
        let key = format!("tokenizer.ggml.{name}_token_id");
        match container.size(&key)? {
            None => Ok(None),
            Some(id) if id < tokens.len() => Ok(Some((id as u32, tokens[id].to_owned()))),
            Some(id) => Err(Error::file(file, key, format_args!("{id}, the file has {} tokens", tokens.len()))),
        }
    };
    let model = container.string(MODEL)?;
    // A file of this kind that does not say has them where SentencePiece puts them.
    let or_usual = |found: Option<(u32, String)>, id: u32, text: &str| {
        let usual = model == "llama" && tokens.get(id as usize) == Some(&text);
        found.or_else(|| usual.then(|| (id, text.to_owned())))
    };
    let unknown = or_usual(special("unknown")?, 0, "<unk>").map(|(_, token)| token);
    let (bos, eos) = (or_usual(special("bos")?, 1, "<s>"), or_usual(special("eos")?, 2, "</s>"));
    let mut stop = Vec::new();
    stop.extend(eos.as_ref().map(|(id, _)| *id));
    for name in ["eot", "eom"] {
        stop.extend(special(name)?.map(|(id, _)| id));
    }

    let (mut tokenizer, bos_by_default) = match model {
        "gpt2" => byte_level(container, &tokens, vocab)?,
        "llama" => (sentence_piece(container, &tokens, vocab, unknown.clone())?, true),
        other => {
            let problem = format!("{other:?}, only \"gpt2\" and \"llama\" are supported");
            return Err(Error::file(file, MODEL, problem));
        }
    };
    let made = merged(container)?;
    let named: BTreeSet<u32> = stop.iter().chain(bos.iter().map(|(id, _)| id)).copied().collect();
    let is_special = |id: u32, token: &str, kind: i64| match kind {
        UNKNOWN | CONTROL => true,
        NORMAL | USER_DEFINED => {
            let is_text = made.contains(token) || token.chars().nth(1).is_none();
            !is_text && (named.contains(&id) || looks_special(token))
        }
        _ => false,
    };
    let (mut of_model, mut whole) = (Vec::new(), Vec::new());
    for ((id, &token), &kind) in (0..).zip(&tokens).zip(&types) {
        if is_special(id, token, kind) {
            of_model.push(AddedToken::from(token, true).normalized(false));
            if ENDS.contains(&token) {
                stop.push(id);
            }
        } else if kind == USER_DEFINED {
            whole.push(AddedToken::from(token, false).normalized(false));
        }
    }
    tokenizer.add_special_tokens(&of_model);
    tokenizer.add_tokens(&whole);

    let add_bos = container.bool("tokenizer.ggml.add_bos_token")?.unwrap_or(bos_by_default);
    let add_eos = container.bool("tokenizer.ggml.add_eos_token")?.unwrap_or(false);
    let first = bos.as_ref().filter(|_| add_bos).map(|(id, token)| (token.clone(), *id));
    let last = eos.as_ref().filter(|_| add_eos).map(|(id, token)| (token.clone(), *id));
    add_ends(&mut tokenizer, first, last)
        .map_err(|problem| Error::file(file, "tokenizer.ggml.bos_token_id", problem))?;

    let named = [
        ("bos_token", bos.map(|(_, token)| token)),
        ("eos_token", eos.map(|(_, token)| token)),
        ("unk_token", unknown),
    ];
    Text::new(Parts {
        file: file.clone(),
        tokenizer,
        template: container.optional_string("tokenizer.chat_template")?.map(str::to_owned),
        named: named
            .into_iter()
            .filter_map(|(name, token)| Some((name.to_owned(), token?)))
            .collect::<BTreeMap<_, _>>(),
        stop,
        embedded,
        origin: Origin::Gguf(container.encoded_under(PREFIX)),
    })
}

/// Whether a token is no text, by how it is written: the rule of llama.cpp's `convert_hf_to_gguf.py`, and known names.
fn looks_special(token: &str) -> bool {
    let between = |left, right| token.starts_with(left) && token.ends_with(right);
    between("<|", "|>") || between("<｜", "｜>") || ENDS.contains(&token) || SPECIAL.contains(&token)
}

/// The tokens that merges make, which are text however they are written.
fn merged(container: &Container) -> Result<HashSet<String>> {
    let merges = container.strings(MERGES)?.unwrap_or_default();
    Ok(merges
        .into_iter()
        .filter_map(|merge| merge.split_once(' ').map(|(left, right)| [left, right].concat()))
        .collect())
}

/// Byte-level BPE, and whether such a vocabulary has a bos in front unless the file says otherwise.
fn byte_level(container: &Container, tokens: &[&str], vocab: Vocab) -> Result<(Tokenizer, bool)> {
    let file = &container.file;
    let mut merges = Merges::new();
    for (index, merge) in container.strings(MERGES)?.unwrap_or_default().into_iter().enumerate() {
        let (left, right) = merge.split_once(' ').ok_or_else(|| {
            Error::file(
                file,
                format_args!("{MERGES}[{index}]"),
                format_args!("{merge:?}, expected two tokens and a space"),
            )
        })?;
        merges.push((left.to_owned(), right.to_owned()));
    }
    let rule = rule(container, tokens)?;
    let llama3 = rule == Rule::Llama3;
    let model = BPE::builder().vocab_and_merges(vocab, merges).ignore_merges(llama3).build();
    let mut tokenizer = Tokenizer::new(model.map_err(|problem| Error::file(file, MERGES, problem))?);

    let splitting = rule.splitting().map_err(|problem| Error::file(file, PRE, problem))?;
    tokenizer.with_normalizer((rule == Rule::Qwen2).then_some(NFC));
    tokenizer.with_pre_tokenizer(Some(splitting)).with_decoder(Some(bytes(true)));
    Ok((tokenizer, llama3))
}

fn bytes(use_regex: bool) -> ByteLevel {
    ByteLevel::new(false, true, use_regex)
}

impl Rule {
    /// The steps by which a text is split.
    pub(super) fn splitting(self) -> tokenizers::Result<PreTokenizers> {
        let split = |pattern: &str| {
            Split::new(SplitPattern::Regex(pattern.to_owned()), SplitDelimiterBehavior::Isolated, false)
        };
        Ok(PreTokenizers::new(match self {
            Rule::Default => {
                let splits = DEFAULT_SPLITS.iter().map(|pattern| Ok(split(pattern)?.into()));
                splits.chain([Ok(bytes(false).into())]).collect::<tokenizers::Result<Vec<_>>>()?
            }
            Rule::Gpt2 => vec![bytes(true).into()],
            Rule::SmolLm => vec![Digits::new(true).into(), bytes(true).into()],
            Rule::Llama3 => vec![split(LLAMA3_SPLIT)?.into(), bytes(false).into()],
            Rule::Qwen2 => vec![split(QWEN2_SPLIT)?.into(), bytes(false).into()],
        }))
    }
}

/// The rule that the file names, or that of the vocabulary where it is one that everybody knows.
fn rule(container: &Container, tokens: &[&str]) -> Result<Rule> {
    let pre = container.optional_string(PRE)?;
    let found = match pre {
        Some(pre) => RULES.iter().find(|(name, _)| *name == pre).map(|(_, rule)| *rule),
        None => {
            let has = |(id, text): &(usize, &str)| tokens.get(*id) == Some(text);
            TELLING.iter().find(|(_, telling)| telling.iter().all(has)).map(|(rule, _)| *rule)
        }
    };
    found.ok_or_else(|| {
        let known = RULES.map(|(name, _)| name).join(", ");
        let problem = match pre {
            Some(pre) => format!("{pre:?}, supported are {known}"),
            None => format!(
                "missing, and the vocabulary is none that is known; write the name of the model's rule into the file, one \
                 of {known}: gguf-new-metadata --pre-tokenizer NAME OLD.gguf NEW.gguf"
            ),
        };
        Error::file(&container.file, PRE, problem)
    })
}

/// SentencePiece BPE, as Hugging Face's `LlamaConverter` rebuilds it.
fn sentence_piece(container: &Container, tokens: &[&str], vocab: Vocab, unknown: Option<String>) -> Result<Tokenizer> {
    let file = &container.file;
    let scores = container.floats(SCORES)?.unwrap_or_default();
    if scores.len() != tokens.len() {
        let problem = format!("{} scores for {} tokens", scores.len(), tokens.len());
        return Err(Error::file(file, SCORES, problem));
    }
    if let Some(token) = tokens.iter().find(|token| token.len() > LONGEST_PIECE) {
        let problem = format!("a token of {} bytes, expected {LONGEST_PIECE} at most", token.len());
        return Err(Error::file(file, TOKENS, problem));
    }
    let merges = merges_by_score(tokens, &scores, &vocab);
    let mut model = BPE::builder().vocab_and_merges(vocab, merges).byte_fallback(true).fuse_unk(true);
    if let Some(unknown) = unknown {
        model = model.unk_token(unknown);
    }
    let mut tokenizer = Tokenizer::new(model.build().map_err(|problem| Error::file(file, TOKENS, problem))?);

    let replace = |from: &str, to: &str| Replace::new(from, to).map_err(|problem| Error::file(file, MODEL, problem));
    let prefix = container.bool("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
    let mut normalizers = vec![replace(" ", "▁")?.into()];
    let mut decoders = vec![replace("▁", " ")?.into(), ByteFallback::new().into(), Fuse::new().into()];
    if prefix {
        normalizers.insert(0, Prepend::new("▁".to_owned()).into());
        decoders.push(Strip::new(' ', 1, 0).into());
    }
    tokenizer.with_normalizer(Some(Normalizers::new(normalizers))).with_decoder(Some(Decoders::new(decoders)));
    Ok(tokenizer)
}

/// Every way to put a token together from two others, best score first; equal scores: longest left part first.
fn merges_by_score(tokens: &[&str], scores: &[f32], vocab: &Vocab) -> Merges {
    let mut merges = Vec::new();
    for (&token, &score) in tokens.iter().zip(scores) {
        for (cut, _) in token.char_indices().skip(1) {
            let (left, right) = token.split_at(cut);
            if vocab.contains_key(left) && vocab.contains_key(right) {
                merges.push((score, left, right));
            }
        }
    }
    merges.sort_by(|(a, a_left, a_right), (b, b_left, b_right)| {
        let lengths = |left: &str, right: &str| (left.chars().count(), right.chars().count());
        b.total_cmp(a).then_with(|| lengths(b_left, b_right).cmp(&lengths(a_left, a_right)))
    });
    merges.into_iter().map(|(_, left, right)| (left.to_owned(), right.to_owned())).collect()
}

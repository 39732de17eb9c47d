//! The tokenizer inside a GGUF file, as a `tokenizers::Tokenizer` that encodes as the original did.
//!
//! Two kinds exist for Llama: byte-level BPE (`gpt2`: merges in the file, the splitting rule named by
//! `tokenizer.ggml.pre`) and SentencePiece BPE (`llama`: scores in the file, merges follow from them).

use std::collections::BTreeMap;

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
use crate::text::{Parts, Text, add_ends};

const MODEL: &str = "tokenizer.ggml.model";
const PRE: &str = "tokenizer.ggml.pre";
const TOKENS: &str = "tokenizer.ggml.tokens";
const SCORES: &str = "tokenizer.ggml.scores";
const MERGES: &str = "tokenizer.ggml.merges";
const TYPES: &str = "tokenizer.ggml.token_type";

/// `tokenizer.ggml.token_type`: unknown (2) and control (3) tokens are special, user-defined (4) ones are only kept whole.
const UNKNOWN: i64 = 2;
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

/// Longest SentencePiece token, in bytes, that merges are rebuilt for: rebuilding takes the square of it.
const LONGEST_PIECE: usize = 512;

/// Splits of Llama 3 and Qwen 2, from their tokenizer.json.
const LLAMA3_SPLIT: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2_SPLIT: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

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
    let unknown = special("unknown")?.map(|(_, token)| token);

    let (mut tokenizer, bos_by_default) = match container.string(MODEL)? {
        "gpt2" => byte_level(container, vocab)?,
        "llama" => (sentence_piece(container, &tokens, vocab, unknown.clone())?, true),
        other => {
            let problem = format!("{other:?}, only \"gpt2\" and \"llama\" are supported");
            return Err(Error::file(file, MODEL, problem));
        }
    };
    let of_kind = |wanted: &[i64], special: bool| -> Vec<AddedToken> {
        let found = tokens.iter().zip(&types).filter(|(_, kind)| wanted.contains(kind));
        found.map(|(&token, _)| AddedToken::from(token, special).normalized(false)).collect()
    };
    tokenizer.add_special_tokens(&of_kind(&[UNKNOWN, CONTROL], true));
    tokenizer.add_tokens(&of_kind(&[USER_DEFINED], false));

    let (bos, eos) = (special("bos")?, special("eos")?);
    let add_bos = container.bool("tokenizer.ggml.add_bos_token")?.unwrap_or(bos_by_default);
    let add_eos = container.bool("tokenizer.ggml.add_eos_token")?.unwrap_or(false);
    let first = bos.as_ref().filter(|_| add_bos).map(|(id, token)| (token.clone(), *id));
    let last = eos.as_ref().filter(|_| add_eos).map(|(id, token)| (token.clone(), *id));
    add_ends(&mut tokenizer, first, last)
        .map_err(|problem| Error::file(file, "tokenizer.ggml.bos_token_id", problem))?;

    let mut stop = Vec::new();
    for name in ["eos", "eot", "eom"] {
        stop.extend(special(name)?.map(|(id, _)| id));
    }
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
        files: None,
    })
}

/// Byte-level BPE, and whether such a vocabulary has a bos in front unless the file says otherwise.
fn byte_level(container: &Container, vocab: Vocab) -> Result<(Tokenizer, bool)> {
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
    let pre = container.optional_string(PRE)?.unwrap_or("default");
    let llama3 = matches!(pre, "llama-bpe" | "llama3" | "llama-v3");
    let model = BPE::builder().vocab_and_merges(vocab, merges).ignore_merges(llama3).build();
    let mut tokenizer = Tokenizer::new(model.map_err(|problem| Error::file(file, MERGES, problem))?);

    let bytes = |use_regex| ByteLevel::new(false, true, use_regex);
    let split = |pattern: &str| {
        Split::new(SplitPattern::Regex(pattern.to_owned()), SplitDelimiterBehavior::Isolated, false)
            .map_err(|problem| Error::file(file, PRE, problem))
    };
    let steps = match pre {
        "default" | "gpt-2" => vec![bytes(true).into()],
        "smollm" => vec![Digits::new(true).into(), bytes(true).into()],
        "qwen2" => {
            tokenizer.with_normalizer(Some(NFC));
            vec![split(QWEN2_SPLIT)?.into(), bytes(false).into()]
        }
        _ if llama3 => vec![split(LLAMA3_SPLIT)?.into(), bytes(false).into()],
        other => {
            let problem = format!("{other:?}, supported are default, gpt-2, smollm, llama-bpe, qwen2");
            return Err(Error::file(file, PRE, problem));
        }
    };
    tokenizer.with_pre_tokenizer(Some(PreTokenizers::new(steps))).with_decoder(Some(bytes(true)));
    Ok((tokenizer, llama3))
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

//! Names what lies in a file's place: a pointer that was never followed, a web page, weights of another format.

use std::fmt::Display;

/// How such files begin, what they are, and the next step.
const BEGINNINGS: [(&[u8], &str); 9] = [
    (
        b"version https://git-lfs.github.com/spec/",
        "a Git LFS pointer in place of the file: fetch the file itself (git lfs pull)",
    ),
    (
        b"PK\x03\x04",
        "a zip archive, such as PyTorch's .bin and .pt files: load it with transformers and save_pretrained(…, safe_serialization=True)",
    ),
    (
        b"\x80\x02\x8a\x0a",
        "PyTorch's pickle: load it with transformers and save_pretrained(…, safe_serialization=True)",
    ),
    (b"\x1f\x8b\x08", "a gzip archive: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive: unpack it first"),
    (b"GGUF", "a GGUF file: it holds a whole model and is given by itself"),
    (b"tjgg", "a GGML file from before GGUF: convert the original weights with llama.cpp's convert_hf_to_gguf.py"),
    (b"lmgg", "a GGML file from before GGUF: convert the original weights with llama.cpp's convert_hf_to_gguf.py"),
    (b"algg", "a GGML adapter from before GGUF: give the original adapter in PEFT's layout"),
];

/// What a file is that is none of those read here, with the next step.
pub(crate) fn named(bytes: &[u8]) -> Option<&'static str> {
    let begins = |with: &[u8]| bytes.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    if begins(b"<!doctype html") || begins(b"<html") {
        return Some("a web page in place of the file: fetch the file itself, from its download link");
    }
    BEGINNINGS.iter().find(|(beginning, _)| bytes.starts_with(beginning)).map(|&(_, what)| what)
}

/// The problem of a file that could not be read: what it is instead, where that is known.
pub(crate) fn or(bytes: &[u8], problem: impl Display) -> String {
    match named(bytes) {
        Some(what) => what.to_owned(),
        None if bytes.is_empty() => "an empty file: fetch it again".to_owned(),
        None => problem.to_string(),
    }
}

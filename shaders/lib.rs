//! WGSL kernels by name: plain text that naga and browsers both take, one entry point `main` each, behind the texts of
//! [`LIBRARIES`] that it needs.
//!
//! It does *not* compile or run them, nor say which belong together: `cream-engine` does.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

/// Each file's name and its text, in the order of their names.
macro_rules! files {
    ($folder:literal: $($name:literal,)+) => { &[$(($name, include_str!(concat!($folder, $name, ".wgsl"))),)+] };
}

/// The kernels.
pub const KERNELS: &[(&str, &str)] = files![
    "":
    "adamw",
    "attention",
    "attention_backward_kv",
    "attention_backward_q",
    "attention_backward_rows",
    "attention_cooperative",
    "attention_decode",
    "attention_decode_join",
    "copy_columns",
    "embed",
    "embed_backward",
    "largest",
    "matmul",
    "matmul_backward_input",
    "matmul_backward_input_cooperative",
    "matmul_backward_weight",
    "matmul_backward_weight_cooperative",
    "matmul_cooperative",
    "matmul_few",
    "matmul_sum",
    "rms_norm",
    "rms_norm_backward",
    "rms_norm_backward_weight",
    "rope",
    "rope_to_cache",
    "sample",
    "store_rows",
    "sum_of_squares",
    "swiglu",
    "swiglu_backward",
    "token_logps",
    "token_logps_backward",
];

/// What several kernels share, and how each format of a stored matrix is read.
pub const LIBRARIES: &[(&str, &str)] = files![
    "lib/":
    "bf16",
    "d_out",
    "d_out_by_fours",
    "f16",
    "f32",
    "fragments_16",
    "fragments_8",
    "heads",
    "heads_by_fours",
    "k_scales",
    "product",
    "q4_0",
    "q4_1",
    "q4_k",
    "q5_0",
    "q5_1",
    "q5_k",
    "q6_k",
    "q8_0",
    "queries",
    "rounded",
    "scale",
    "scores",
    "sigmoid",
    "turn",
    "x",
    "x_by_fours",
];

/// The text of a kernel. In a `const` a name that no kernel has does not compile.
///
/// # Panics
/// A name that no kernel has.
pub const fn kernel(name: &str) -> &'static str {
    named(KERNELS, name)
}

/// The text of a library. In a `const` a name that no library has does not compile.
///
/// # Panics
/// A name that no library has.
pub const fn library(name: &str) -> &'static str {
    named(LIBRARIES, name)
}

const fn named(files: &'static [(&'static str, &'static str)], name: &str) -> &'static str {
    let mut i = 0;
    while i < files.len() {
        if same(files[i].0.as_bytes(), name.as_bytes()) {
            return files[i].1;
        }
        i += 1;
    }
    panic!("no shader has this name");
}

/// `==` is not for constants.
const fn same(left: &[u8], right: &[u8]) -> bool {
    let mut i = 0;
    while i < left.len() && i < right.len() && left[i] == right[i] {
        i += 1;
    }
    i == left.len() && i == right.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;
    use std::vec::Vec;
    use std::{fs, path::Path};

    #[test]
    fn every_file_is_listed() {
        for (files, folder) in [(KERNELS, "."), (LIBRARIES, "lib")] {
            let there = fs::read_dir(Path::new(folder)).unwrap().map(|entry| entry.unwrap().file_name());
            let mut there: Vec<String> =
                there.filter_map(|name| Some(name.to_str()?.strip_suffix(".wgsl")?.into())).collect();
            there.sort();
            assert!(files.iter().map(|(name, _)| *name).eq(there.iter().map(String::as_str)), "{folder}: {there:?}");
        }
    }

    #[test]
    fn texts_are_found_by_their_whole_name() {
        const ROPE: &str = kernel("rope");
        assert_eq!(ROPE, fs::read_to_string("rope.wgsl").unwrap());
        assert_eq!(library("f32"), fs::read_to_string("lib/f32.wgsl").unwrap());
        for unknown in ["", "rop", "rope_", "f32"] {
            assert!(std::panic::catch_unwind(|| kernel(unknown)).is_err(), "{unknown}");
        }
    }
}

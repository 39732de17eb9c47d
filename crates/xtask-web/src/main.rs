//! `xtask-web INPUT.wasm NAME FOLDER`: what the `wasm-bindgen` program does with `--target web`, by its library.
//!
//! Apart from xtask, which is compiled before anything else.

use std::env;
use std::path::Path;

use anyhow::{Context, Result, bail};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [input, name, folder] = &args[..] else { bail!("usage: xtask-web INPUT.wasm NAME FOLDER") };
    let mut bindgen = Bindgen::new();
    bindgen.web(true)?.input_path(input).out_name(name).typescript(true);
    // Else init() does not find the wasm file by itself.
    bindgen.omit_default_module_path(false);
    bindgen.generate(Path::new(folder)).with_context(|| format!("cannot make bindings of {input}"))
}

//! `cargo xtask web`: the npm package, and a static folder with the page. Plain cargo, wasm-bindgen's library, wasm-opt.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::test::step;

pub(crate) const WASM: &str = "wasm32-unknown-unknown";
const LICENCES: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];

/// A wasm package: what is built, and what becomes of it.
struct Wasm {
    package: &'static str,
    /// Of Cargo.toml.
    profile: &'static str,
    /// Below web/pkg.
    folder: &'static str,
    /// Of its files.
    name: &'static str,
    /// For wasm-opt.
    optimise: &'static str,
}

const WASMS: [Wasm; 2] = [
    Wasm { package: "cream-web", profile: "web", folder: "", name: "cream", optimise: "-O1" },
    Wasm { package: "cream-web-core", profile: "web-core", folder: "core", name: "core", optimise: "-Oz" },
];

/// What rustc's code for wasm32 and .cargo/config.toml make use of.
const FEATURES: [&str; 7] = [
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
    "--enable-simd",
];

/// What nobody reads who runs it.
const STRIP: [&str; 2] = ["--strip-producers", "--strip-target-features"];

/// Everything, served on a port if there is one.
pub(crate) fn run(port: Option<&str>) -> Result<()> {
    let port = port.map(str::parse::<u16>).transpose().context("a port is a number from 0 to 65535")?;
    make()?;
    match port {
        Some(port) => crate::serve::run(&crate::root().join("web/dist"), port),
        None => Ok(()),
    }
}

/// web/pkg and, with the page, web/dist.
pub(crate) fn make() -> Result<()> {
    packages()?;
    let (page, dist) = (crate::root().join("web/page"), crate::root().join("web/dist"));
    npm(&page, &["ci", "--no-audit", "--no-fund"])?;
    npm(&page, &["run", "build"])?;
    emptied(&dist)?;
    copied(&page.join("dist"), &dist)
}

/// web/pkg: what `npm pack` packs.
fn packages() -> Result<()> {
    crate::test::target(WASM)?;
    let web = crate::root().join("web");
    npm(&web, &["ci", "--no-audit", "--no-fund"])?;
    let pkg = web.join("pkg");
    for wasm in &WASMS {
        wasm.make(&pkg.join(wasm.folder))?;
    }
    fs::write(pkg.join("package.json"), manifest())?;
    fs::copy(web.join("README.md"), pkg.join("README.md"))?;
    for licence in LICENCES {
        fs::copy(crate::root().join(licence), pkg.join(licence))?;
    }
    Ok(())
}

impl Wasm {
    /// Into an empty folder, unless it is there already.
    fn make(&self, folder: &Path) -> Result<()> {
        let &Wasm { package, profile, name, optimise, .. } = self;
        step(&["build", "--profile", profile, "--target", WASM, "--package", package, "--locked"], &[])?;
        let target = crate::target()?;
        let built = target.join(WASM).join(profile).join(package.replace('-', "_")).with_extension("wasm");
        let entry = folder.join("node.js");
        let changed = |path: &Path| fs::metadata(path)?.modified();
        if changed(&entry).is_ok_and(|made| changed(&built).is_ok_and(|built| built < made)) {
            return Ok(());
        }
        emptied(folder)?;
        let mut bindgen = crate::cargo(&["run", "--quiet", "--release", "--locked", "--target-dir"]);
        bindgen.arg(&target).args(["--manifest-path", "crates/xtask-web/Cargo.toml", "--"]);
        crate::run(bindgen.arg(&built).arg(name).arg(folder))?;

        let wasm = folder.join(format!("{name}_bg.wasm"));
        let before = fs::metadata(&wasm)?.len();
        let mut optimiser = Command::new("node");
        optimiser.arg(crate::root().join("web/node_modules/binaryen/bin/wasm-opt"));
        crate::run(optimiser.args(FEATURES).args(STRIP).arg(optimise).arg(&wasm).arg("-o").arg(&wasm))?;
        println!("{package}: {before} bytes, after wasm-opt {}", fs::metadata(&wasm)?.len());
        fs::write(entry, node_entry(name))?;
        Ok(())
    }
}

/// Where node's `import` comes in.
fn node_entry(name: &str) -> String {
    format!(
        r#"// {name}.js under node, whose fetch takes no file: init() without an argument reads the wasm file that lies beside it.
import {{ readFile }} from "node:fs/promises";
import init from "./{name}.js";

export * from "./{name}.js";
const beside = new URL("./{name}_bg.wasm", import.meta.url);
export default async (module) => init(module ?? {{ module_or_path: await readFile(beside) }});
"#
    )
}

/// package.json of web/pkg.
fn manifest() -> String {
    let entry = |path: &str, name: &str| {
        format!(r#"{{ "types": "{path}/{name}.d.ts", "node": "{path}/node.js", "default": "{path}/{name}.js" }}"#)
    };
    format!(
        r#"{{
  "name": "cream-web",
  "version": "{version}",
  "description": "Language models that improve by judging themselves, in the browser: sample, score, rank and train on WebGPU or the CPU",
  "keywords": ["dpo", "preference", "self-rewarding", "webgpu", "wasm", "llama"],
  "license": "MIT OR Apache-2.0",
  "type": "module",
  "sideEffects": false,
  "exports": {{
    ".": {main},
    "./core": {core},
    "./cream_bg.wasm": "./cream_bg.wasm",
    "./core_bg.wasm": "./core/core_bg.wasm",
    "./package.json": "./package.json"
  }},
  "types": "./cream.d.ts",
  "files": ["*.js", "*.d.ts", "*.wasm", "core", "snippets", "LICENSE-*"]
}}
"#,
        version = env!("CARGO_PKG_VERSION"),
        main = entry(".", "cream"),
        core = entry("./core", "core"),
    )
}

fn npm(folder: &Path, args: &[&str]) -> Result<()> {
    // cmd.exe alone finds npm.cmd.
    crate::run(Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" }).args(args).current_dir(folder))
}

/// The folder with nothing in it.
fn emptied(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}

/// What is in one folder, in another too.
fn copied(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copied(&path, &copy)?;
        } else {
            fs::copy(&path, &copy).with_context(|| format!("cannot copy {}", path.display()))?;
        }
    }
    Ok(())
}

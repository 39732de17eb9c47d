//! All shaders, by name: plain WGSL files, one entry point `main` each.

use std::hash::{Hash, Hasher};

/// A shader: its file, behind the files of shaders/lib that it needs.
///
/// Pipelines are looked up by it at every dispatch, so its texts are neither hashed nor, as a rule, compared: the name
/// stands for the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shader {
    name: &'static str,
    libraries: [&'static str; 3],
    main: &'static str,
}

impl PartialEq for Shader {
    fn eq(&self, other: &Self) -> bool {
        let same = |(left, right): (&&str, &&str)| std::ptr::eq(*left, *right) || left == right;
        self.name == other.name && self.libraries.iter().zip(&other.libraries).all(same)
    }
}

impl Eq for Shader {}

impl Hash for Shader {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.name, self.libraries.map(str::len)).hash(state);
    }
}

/// `shader!("name")`, or `shader!("name", library, …)` with the texts of up to three libraries.
macro_rules! shader {
    ($name:literal $(, $library:expr)*) => {
        $crate::gpu::shaders::Shader::new($name, &[$($library),*], const { cream_shaders::kernel($name) })
    };
}
pub(super) use shader;

/// The text of files in shaders/lib, by name.
macro_rules! library {
    ($name:literal) => { const { cream_shaders::library($name) } };
    ($($name:literal),+) => { $crate::gpu::shaders::joined!($(cream_shaders::library($name)),+) };
}
pub(super) use library;

/// Constant texts as one, which is a constant too.
macro_rules! joined {
    ($($text:expr),+) => {{
        const TEXTS: &[&str] = &[$($text),+];
        const BYTES: [u8; $crate::gpu::shaders::bytes(TEXTS)] = $crate::gpu::shaders::join(TEXTS);
        const { $crate::gpu::shaders::text(&BYTES) }
    }};
}
pub(super) use joined;

/// How many bytes texts have.
pub(super) const fn bytes(texts: &[&str]) -> usize {
    let (mut bytes, mut i) = (0, 0);
    while i < texts.len() {
        bytes += texts[i].len();
        i += 1;
    }
    bytes
}

/// The `N` bytes of texts.
pub(super) const fn join<const N: usize>(texts: &[&str]) -> [u8; N] {
    let mut bytes = [0; N];
    let (mut rest, mut i): (&mut [u8], _) = (&mut bytes, 0);
    while i < texts.len() {
        let (text, behind) = rest.split_at_mut(texts[i].len());
        text.copy_from_slice(texts[i].as_bytes());
        (rest, i) = (behind, i + 1);
    }
    bytes
}

pub(super) const fn text(bytes: &'static [u8]) -> &'static str {
    match str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => panic!("shaders are UTF-8"),
    }
}

impl Shader {
    pub(super) fn new(name: &'static str, needed: &[&'static str], main: &'static str) -> Self {
        let mut libraries = [""; 3];
        libraries[..needed.len()].copy_from_slice(needed);
        Shader { name, libraries, main }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn source(&self) -> String {
        self.libraries.concat() + self.main
    }
}

/// Whether each storage binding is read only, in the order of their numbers.
pub(super) fn access(source: &str) -> Vec<bool> {
    let declarations = source.lines().filter_map(|line| line.strip_prefix("@group(0) @binding("));
    let mut bindings: Vec<_> = declarations.filter(|line| line.contains("var<storage")).collect();
    bindings.sort_by_key(|line| line.split(')').next().and_then(|number| number.parse::<usize>().ok()));
    bindings.iter().map(|line| !line.contains("read_write")).collect()
}

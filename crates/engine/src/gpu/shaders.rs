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
        $crate::gpu::shaders::Shader::new(
            $name,
            &[$($library),*],
            include_str!(concat!("../../../../shaders/", $name, ".wgsl")),
        )
    };
}
pub(super) use shader;

/// The text of files in shaders/lib, by name.
macro_rules! library {
    ($($name:literal),+) => { concat!($(include_str!(concat!("../../../../shaders/lib/", $name, ".wgsl"))),+) };
}
pub(super) use library;

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

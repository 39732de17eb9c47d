//! All shaders, by name: plain WGSL files, one entry point `main` each.

use std::hash::{Hash, Hasher};

/// A shader: its file, behind the functions of a file in shaders/lib where it needs one.
///
/// Pipelines are looked up by it at every dispatch, so its texts are neither hashed nor, as a rule, compared: the name
/// stands for the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shader {
    name: &'static str,
    library: &'static str,
    main: &'static str,
}

impl PartialEq for Shader {
    fn eq(&self, other: &Self) -> bool {
        let same = |left: &str, right: &str| std::ptr::eq(left, right) || left == right;
        self.name == other.name && same(self.library, other.library)
    }
}

impl Eq for Shader {}

impl Hash for Shader {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.name, self.library.len()).hash(state);
    }
}

/// `shader!("name")` or `shader!("name", "library")`.
macro_rules! shader {
    ($name:literal) => {
        $crate::gpu::shaders::Shader::new($name, "", include_str!(concat!("../../../../shaders/", $name, ".wgsl")))
    };
    ($name:literal, $library:literal) => {
        $crate::gpu::shaders::Shader::new(
            $name,
            include_str!(concat!("../../../../shaders/lib/", $library, ".wgsl")),
            include_str!(concat!("../../../../shaders/", $name, ".wgsl")),
        )
    };
}
pub(super) use shader;

impl Shader {
    pub(super) const fn new(name: &'static str, library: &'static str, main: &'static str) -> Self {
        Shader { name, library, main }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn source(&self) -> String {
        format!("{}{}", self.library, self.main)
    }
}

/// Whether each storage binding is read only, in the order of their numbers, which is that of the text.
pub(super) fn access(source: &str) -> Vec<bool> {
    let declarations = source.lines().filter(|line| line.starts_with("@group(0)") && line.contains("var<storage"));
    declarations.map(|line| !line.contains("read_write")).collect()
}

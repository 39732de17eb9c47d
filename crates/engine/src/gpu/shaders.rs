//! All shaders, by name: plain WGSL files, one entry point `main` each.

/// A shader: its file, behind the functions of a file in shaders/lib where it needs one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Shader {
    name: &'static str,
    library: &'static str,
    main: &'static str,
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

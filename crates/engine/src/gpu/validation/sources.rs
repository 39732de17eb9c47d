//! The text of every shader in each of its forms, and the constants that it is used with.

use cream_shaders::{KERNELS, LIBRARIES};

/// A shader behind the files of shaders/lib that it needs.
pub(super) struct Form {
    /// Of all its files.
    pub(super) name: String,
    /// Of its own file.
    pub(super) kernel: String,
    pub(super) source: String,
}

/// Values of `override` constants by name.
pub(super) type Constants = Vec<(&'static str, u32)>;

/// Widths of heads: one that four does not divide, the usual one, the widest.
const WIDTHS: [u32; 3] = [10, 64, 128];

impl Form {
    /// Whether it is for adapters with cooperative matrices only.
    pub(super) fn is_cooperative(&self) -> bool {
        is_cooperative(&self.source)
    }

    /// Every choice of constants that the engine makes for it, but for heads of other widths.
    pub(super) fn constants(&self) -> Vec<Constants> {
        let each = |name, values: &[u32]| values.iter().map(|&value| vec![(name, value)]).collect();
        match self.kernel.as_str() {
            "attention_cooperative" => each("E", &WIDTHS[..2]),
            kernel if kernel.starts_with("attention") => each("E", &WIDTHS),
            "matmul_few" => few(),
            "sample" => each("penalised", &[0, 1]),
            "sum_of_squares" => each("squared", &[0, 1]),
            _ if self.is_cooperative() => each("SIDE", &[64, 128]),
            _ => vec![vec![]],
        }
    }
}

/// Products of all sizes, plain and with all that a decoding step adds; each addition in the largest.
fn few() -> Vec<Constants> {
    let of = |rows, flags: [u32; 4]| {
        let flags = ["GAINED", "NORMED", "ADAPTED", "GATED"].into_iter().zip(flags);
        [("ROWS", rows)].into_iter().chain(flags).collect()
    };
    let sizes = [1, 4, 8, 16, 32, 64].into_iter();
    let extremes = sizes.flat_map(|rows| [of(rows, [0; 4]), of(rows, [1; 4])]);
    let between = [[1, 0, 0, 0], [0, 0, 1, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 0, 1]].map(|flags| of(64, flags));
    extremes.chain(between).collect()
}

/// Each shader as it is used.
pub(super) fn forms() -> Vec<Form> {
    let all = |&(kernel, source): &'static (&'static str, &'static str)| {
        let forms = complete(kernel.to_owned(), source.to_owned()).into_iter();
        forms.map(move |(name, source)| Form { name, kernel: kernel.to_owned(), source })
    };
    KERNELS.iter().flat_map(all).collect()
}

/// The functions that a source has.
fn functions(source: &str) -> impl Iterator<Item = &str> {
    source.lines().filter_map(|line| line.strip_prefix("fn ")?.split('(').next())
}

/// A source behind each library in turn that has a function it calls and does not have itself, until none is missing.
fn complete(name: String, source: String) -> Vec<(String, String)> {
    let calls = |function: &str| {
        let named = |at: usize| !source[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_');
        source.match_indices(&format!("{function}(")).any(|(at, _)| named(at))
    };
    let missing = |function: &&str| calls(function) && functions(&source).all(|own| own != *function);
    let Some(function) = LIBRARIES.iter().flat_map(|(_, library)| functions(library)).find(missing) else {
        return vec![(name, source)];
    };
    let has = |library: &str| functions(library).any(|other| other == function);
    let needed = LIBRARIES.iter().filter(|(_, library)| has(library));
    let behind = |&(library, text): &(&str, &str)| {
        // Directives come first.
        let all = if is_cooperative(&source) { [&source, text] } else { [text, &source] };
        complete(format!("{library} + {name}"), all.concat())
    };
    needed.flat_map(behind).collect()
}

fn is_cooperative(source: &str) -> bool {
    source.lines().any(|line| line == "enable wgpu_cooperative_matrix;")
}

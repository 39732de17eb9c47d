//! Every shader in every form, compiled for Vulkan, Metal and DX12 without any of them, and held to the portable floor.

use std::fs;
use std::path::{Path, PathBuf};

use naga::back::{hlsl, msl, pipeline_constants::process_overrides, spv};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module, ShaderStage};

/// What any adapter takes.
const MOST_INVOCATIONS: u32 = 256;
const MOST_WORKGROUP_BYTES: u32 = 16 << 10;
const MOST_STORAGE_BINDINGS: usize = 8;

/// The WGSL files of a folder by name, in order.
fn files(folder: &Path) -> Vec<(String, String)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "wgsl"));
    paths.sort();
    let name = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

/// The functions that a source has.
fn functions(source: &str) -> impl Iterator<Item = &str> {
    source.lines().filter_map(|line| line.strip_prefix("fn ")?.split('(').next())
}

/// Each shader as it is used.
fn forms() -> Vec<(String, String)> {
    let folder = Path::new("../../shaders");
    let libraries = files(&folder.join("lib"));
    files(folder).into_iter().flat_map(|(name, source)| complete(name, source, &libraries)).collect()
}

/// A source behind each library in turn that has a function it calls and does not have itself, until none is missing.
fn complete(name: String, source: String, libraries: &[(String, String)]) -> Vec<(String, String)> {
    let calls = |function: &str| {
        let named = |at: usize| !source[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_');
        source.match_indices(&format!("{function}(")).any(|(at, _)| named(at))
    };
    let missing = |function: &&str| calls(function) && functions(&source).all(|own| own != *function);
    let Some(function) = libraries.iter().flat_map(|(_, library)| functions(library)).find(missing) else {
        return vec![(name, source)];
    };
    let has = |library: &str| functions(library).any(|other| other == function);
    let needed = libraries.iter().filter(|(_, library)| has(library));
    let behind = |(library, text): &(String, String)| {
        // Directives come first.
        let all = if is_cooperative(&source) { [&source, text] } else { [text, &source] }.map(String::as_str);
        complete(format!("{library} + {name}"), all.concat(), libraries)
    };
    needed.flat_map(behind).collect()
}

/// Whether it is for adapters with cooperative matrices only.
fn is_cooperative(source: &str) -> bool {
    source.lines().any(|line| line == "enable wgpu_cooperative_matrix;")
}

fn validate(name: &str, source: &str, module: &Module) -> ModuleInfo {
    // f16 in memory only, which every target of wgpu but old OpenGL unpacks.
    let mut capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    if is_cooperative(source) {
        capabilities |= Capabilities::SHADER_FLOAT16 | Capabilities::COOPERATIVE_MATRIX | Capabilities::SUBGROUP;
    }
    let mut validator = Validator::new(ValidationFlags::all(), capabilities);
    validator.subgroup_stages(naga::valid::ShaderStages::COMPUTE);
    validator.validate(module).unwrap_or_else(|error| panic!("{name}: {:?}", error.into_inner()))
}

/// What a kernel's constants are set to: both sizes of a cooperative tile; heads of one number, and the widest of each
/// layout.
fn sizes(source: &str) -> Vec<Option<(&'static str, f64)>> {
    let has = |constant: &str| source.contains(&format!("\noverride {constant}: u32"));
    if has("SIDE") {
        [64.0, 128.0].map(|side| Some(("SIDE", side))).into()
    } else if has("E") {
        [1.0, 64.0, 128.0].map(|width| Some(("E", width))).into()
    } else {
        vec![None]
    }
}

#[test]
fn every_shader_compiles_for_every_target() {
    let forms = forms();
    assert!(forms.iter().any(|(_, source)| !is_cooperative(source)), "no portable shaders");
    assert!(forms.iter().any(|(_, source)| is_cooperative(source)), "no cooperative shaders");
    for (name, source) in &forms {
        let parsed = naga::front::wgsl::parse_str(source)
            .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(source)));
        let info = validate(name, source, &parsed);
        for constants in sizes(source) {
            let constants = constants.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            let main = Some((ShaderStage::Compute, "main"));
            let (module, info) = process_overrides(&parsed, &info, main, &constants)
                .unwrap_or_else(|error| panic!("{name}: overrides need a default: {error}"));
            assert_within_limits(name, &module, is_cooperative(source));
            assert_translates(name, &module, &info, is_cooperative(source));
        }
    }
}

fn assert_translates(name: &str, module: &Module, info: &ModuleInfo, cooperative: bool) {
    let words = spv::write_vec(module, info, &spv::Options::default(), None);
    assert!(!words.unwrap().is_empty(), "{name}: SPIR-V");

    // Simdgroup matrices came with version 2.3.
    let lang_version = if cooperative { (2, 3) } else { msl::Options::default().lang_version };
    let options = msl::Options { fake_missing_bindings: true, lang_version, ..Default::default() };
    let (text, _) = msl::write_string(module, info, &options, &Default::default()).unwrap();
    assert!(text.contains("kernel void"), "{name}: MSL");

    // DX12 has no cooperative matrices in wgpu, and no adapter there lists any.
    if !cooperative {
        let options = hlsl::Options { fake_missing_bindings: true, ..Default::default() };
        let mut text = String::new();
        hlsl::Writer::new(&mut text, &options, &Default::default()).write(module, info, None).unwrap();
        assert!(text.contains("numthreads"), "{name}: HLSL");
    }
}

fn assert_within_limits(name: &str, module: &Module, cooperative: bool) {
    let [entry] = &module.entry_points[..] else { panic!("{name}: one entry point, not {:?}", module.entry_points) };
    assert_eq!(entry.name, "main", "{name}");
    let invocations: u32 = entry.workgroup_size.iter().product();
    assert!(invocations <= MOST_INVOCATIONS, "{name}: {invocations} invocations a workgroup");

    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).unwrap();
    let of = |wanted: fn(&AddressSpace) -> bool| module.global_variables.iter().filter(move |(_, v)| wanted(&v.space));
    let workgroup = of(|space| matches!(space, AddressSpace::WorkGroup));
    let bytes: u32 = workgroup.map(|(_, variable)| layouter[variable.ty].size).sum();
    let most = if cooperative { super::forms::WORKGROUP_BYTES } else { MOST_WORKGROUP_BYTES };
    assert!(bytes <= most, "{name}: {bytes} bytes of workgroup memory");
    let bindings = of(|space| matches!(space, AddressSpace::Storage { .. })).count();
    assert!(bindings <= MOST_STORAGE_BINDINGS, "{name}: {bindings} storage bindings");
}

/// Bindings are laid out from the text, line by line.
#[test]
fn the_text_says_what_each_binding_is() {
    for (name, source) in forms() {
        let module = naga::front::wgsl::parse_str(&source).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut storage: Vec<_> = module
            .global_variables
            .iter()
            .filter_map(|(_, variable)| match variable.space {
                AddressSpace::Storage { access } => Some((variable.binding?.binding, access)),
                _ => None,
            })
            .collect();
        storage.sort_by_key(|(binding, _)| *binding);
        let read_only: Vec<bool> =
            storage.iter().map(|(_, access)| !access.contains(naga::StorageAccess::STORE)).collect();
        assert_eq!(super::shaders::access(&source), read_only, "{name}");
        assert!(storage.iter().map(|(binding, _)| *binding).eq(0..storage.len() as u32), "{name}: binding numbers");
    }
}

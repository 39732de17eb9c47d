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
    files(folder).iter().flat_map(|(name, source)| complete(name, source, &libraries)).collect()
}

/// A file alone, or behind each library in turn that has a function it calls and does not have itself; a library may
/// need another one.
fn complete(name: &str, source: &str, libraries: &[(String, String)]) -> Vec<(String, String)> {
    let calls =
        |function: &str| source.contains(&format!("{function}(")) && functions(source).all(|own| own != function);
    let needed = libraries.iter().filter(|(_, library)| functions(library).any(calls));
    let behind: Vec<_> = needed
        .flat_map(|(library, text)| complete(library, text, libraries))
        .map(|(library, text)| (format!("{library} + {name}"), format!("{text}{source}")))
        .collect();
    if behind.is_empty() { vec![(name.to_owned(), source.to_owned())] } else { behind }
}

fn validate(name: &str, module: &Module) -> ModuleInfo {
    // f16 in memory only, which every target of wgpu but old OpenGL unpacks.
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::SHADER_FLOAT16_IN_FLOAT32);
    validator.validate(module).unwrap_or_else(|error| panic!("{name}: {:?}", error.into_inner()))
}

#[test]
fn every_shader_compiles_for_every_target() {
    let forms = forms();
    assert!(!forms.is_empty(), "no shaders");
    for (name, source) in &forms {
        let parsed = naga::front::wgsl::parse_str(source)
            .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(source)));
        let info = validate(name, &parsed);
        let main = Some((ShaderStage::Compute, "main"));
        let (module, info) = process_overrides(&parsed, &info, main, &Default::default())
            .unwrap_or_else(|error| panic!("{name}: overrides need a default: {error}"));
        assert_portable(name, &module);

        let words = spv::write_vec(&module, &info, &spv::Options::default(), None);
        assert!(!words.unwrap().is_empty(), "{name}: SPIR-V");

        let options = msl::Options { fake_missing_bindings: true, ..Default::default() };
        let (text, _) = msl::write_string(&module, &info, &options, &Default::default()).unwrap();
        assert!(text.contains("kernel void"), "{name}: MSL");

        let options = hlsl::Options { fake_missing_bindings: true, ..Default::default() };
        let mut text = String::new();
        hlsl::Writer::new(&mut text, &options, &Default::default()).write(&module, &info, None).unwrap();
        assert!(text.contains("numthreads"), "{name}: HLSL");
    }
}

fn assert_portable(name: &str, module: &Module) {
    let [entry] = &module.entry_points[..] else { panic!("{name}: one entry point, not {:?}", module.entry_points) };
    assert_eq!(entry.name, "main", "{name}");
    let invocations: u32 = entry.workgroup_size.iter().product();
    assert!(invocations <= MOST_INVOCATIONS, "{name}: {invocations} invocations a workgroup");

    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).unwrap();
    let of = |wanted: fn(&AddressSpace) -> bool| module.global_variables.iter().filter(move |(_, v)| wanted(&v.space));
    let workgroup = of(|space| matches!(space, AddressSpace::WorkGroup));
    let bytes: u32 = workgroup.map(|(_, variable)| layouter[variable.ty].size).sum();
    assert!(bytes <= MOST_WORKGROUP_BYTES, "{name}: {bytes} bytes of workgroup memory");
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

//! Every shader in every form, compiled for Vulkan, Metal and DX12 without any of them, and held to the portable floor.

mod chromium;
mod sources;
mod spirv;

use naga::back::pipeline_constants::process_overrides;
use naga::back::{hlsl, msl};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module, ShaderStage};

use sources::{Constants, Form, forms};

/// What any adapter takes.
const MOST_INVOCATIONS: u32 = 256;
const MOST_WORKGROUP_BYTES: u32 = 16 << 10;
const MOST_STORAGE_BINDINGS: usize = 8;

/// A form with the values of its constants, as naga understands it.
struct Compiled {
    /// Of the form, with the constants.
    name: String,
    module: Module,
    info: ModuleInfo,
    cooperative: bool,
}

impl Form {
    /// With each choice of its constants.
    fn compiled(&self) -> Vec<Compiled> {
        let (name, source) = (&self.name, &self.source);
        let parsed = naga::front::wgsl::parse_str(source)
            .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(source)));
        // f16 in memory only, which every target of wgpu but old OpenGL unpacks.
        let mut capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
        if self.is_cooperative() {
            capabilities |= Capabilities::SHADER_FLOAT16 | Capabilities::COOPERATIVE_MATRIX | Capabilities::SUBGROUP;
        }
        let mut validator = Validator::new(ValidationFlags::all(), capabilities);
        validator.subgroup_stages(naga::valid::ShaderStages::COMPUTE);
        let info = validator.validate(&parsed).unwrap_or_else(|error| panic!("{name}: {:?}", error.into_inner()));
        let with = |constants: Constants| {
            let name = format!("{name} with {constants:?}");
            let mut names: Vec<&str> = constants.iter().map(|(name, _)| *name).collect();
            names.sort();
            assert_eq!(names, chosen(source), "{name}");
            let values = constants.iter().map(|&(name, value)| (name.to_owned(), f64::from(value))).collect();
            let (module, info) = process_overrides(&parsed, &info, Some((ShaderStage::Compute, "main")), &values)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            let (module, info) = (module.into_owned(), info.into_owned());
            Compiled { name, module, info, cooperative: self.is_cooperative() }
        };
        self.constants().into_iter().map(with).collect()
    }
}

/// The constants that are for the engine to choose: those whose default is a number or a flag, not made of others.
fn chosen(source: &str) -> Vec<&str> {
    let declarations = source.lines().filter_map(|line| line.strip_prefix("override ")?.split_once(" = "));
    let is_literal = |default: &str| {
        let default = default.split(';').next().unwrap_or_default();
        default == "false" || default.trim_end_matches('u').parse::<u32>().is_ok()
    };
    let chosen = declarations.filter(|(_, default)| is_literal(default));
    let mut names: Vec<&str> = chosen.filter_map(|(name, _)| name.split(':').next()).collect();
    names.sort();
    names
}

#[test]
fn every_shader_compiles_for_every_target() {
    let forms = forms();
    for cooperative in [false, true] {
        assert!(forms.iter().any(|form| form.is_cooperative() == cooperative), "cooperative {cooperative}: none");
    }
    for compiled in forms.iter().flat_map(Form::compiled) {
        assert_within_limits(&compiled);
        assert_translates(&compiled);
    }
}

/// SPIR-V is in [`spirv`].
fn assert_translates(Compiled { name, module, info, cooperative }: &Compiled) {
    // Simdgroup matrices came with version 2.3.
    let lang_version = if *cooperative { (2, 3) } else { msl::Options::default().lang_version };
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

fn assert_within_limits(Compiled { name, module, cooperative, .. }: &Compiled) {
    let [entry] = &module.entry_points[..] else { panic!("{name}: one entry point, not {:?}", module.entry_points) };
    assert_eq!(entry.name, "main", "{name}");
    let invocations: u32 = entry.workgroup_size.iter().product();
    assert!(invocations <= MOST_INVOCATIONS, "{name}: {invocations} invocations a workgroup");

    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).unwrap();
    let of = |wanted: fn(&AddressSpace) -> bool| module.global_variables.iter().filter(move |(_, v)| wanted(&v.space));
    let workgroup = of(|space| matches!(space, AddressSpace::WorkGroup));
    let bytes: u32 = workgroup.map(|(_, variable)| layouter[variable.ty].size).sum();
    let most = if *cooperative { super::forms::WORKGROUP_BYTES } else { MOST_WORKGROUP_BYTES };
    assert!(bytes <= most, "{name}: {bytes} bytes of workgroup memory");
    let bindings = of(|space| matches!(space, AddressSpace::Storage { .. })).count();
    assert!(bindings <= MOST_STORAGE_BINDINGS, "{name}: {bindings} storage bindings");
}

/// Bindings are laid out from the text, line by line.
#[test]
fn the_text_says_what_each_binding_is() {
    for Form { name, source, .. } in forms() {
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

//! The SPIR-V that naga writes of every shader, checked by a program that shares nothing with it.

use std::env;
use std::io::{self, Write, stderr};
use std::process::{Command, Stdio};

use naga::back::spv;
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};

use super::Compiled;
use super::sources::{Form, forms};

/// What a validator says that is older than SPV_KHR_cooperative_matrix (2023.3), as Debian 12's is.
const NO_COOPERATIVE_MATRICES: &str = "Invalid capability operand: 6022";

/// What a validator of 2025 says of naga's strides of arrays in workgroup memory, which are superfluous: gfx-rs/wgpu
/// issue 7696.
const SUPERFLUOUS_LAYOUT: &str = "VUID-StandaloneSpirv-None-10684";

/// What wgpu asks for where Vulkan is 1.3; every kernel writes what it reads of workgroup memory.
fn options() -> spv::Options<'static> {
    let restrict = BoundsCheckPolicy::Restrict;
    spv::Options {
        lang_version: (1, 6),
        bounds_check_policies: BoundsCheckPolicies { index: restrict, buffer: restrict, ..Default::default() },
        force_loop_bounding: false,
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        ..Default::default()
    }
}

#[test]
fn an_independent_validator_takes_the_spir_v() {
    let validator = Command::new("spirv-val").arg("--version").output();
    if validator.is_err() {
        assert!(env::var_os("CI").is_none(), "spirv-val: missing, and CI needs it (cargo xtask test)");
        let _ = writeln!(stderr(), "skipped: SPIR-V is not validated: no spirv-val (apt-get install spirv-tools)");
        return;
    }
    let mut unknown = 0;
    for Compiled { name, module, info, cooperative } in forms().iter().flat_map(Form::compiled) {
        let words = spv::write_vec(&module, &info, &options(), None).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut complaint = complaint_of("vulkan1.3", &words).unwrap();
        if complaint.contains(SUPERFLUOUS_LAYOUT) {
            // A validator ends at its first complaint: by the rules of SPIR-V alone, then.
            complaint = complaint_of("spv1.6", &words).unwrap();
        }
        if cooperative && complaint.contains(NO_COOPERATIVE_MATRICES) {
            unknown += 1;
        } else {
            assert_eq!(complaint, "", "{name}");
        }
    }
    if unknown > 0 {
        let _ =
            writeln!(stderr(), "skipped: {unknown} cooperative forms: this spirv-val is from before their extension");
    }
}

/// What the validator has against a module by some rules; nothing if it is valid.
fn complaint_of(rules: &str, words: &[u32]) -> io::Result<String> {
    let mut validator = Command::new("spirv-val");
    validator.args(["--target-env", rules, "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut validator = validator.spawn()?;
    // It reads all before it says anything.
    validator.stdin.take().expect("piped").write_all(bytemuck::cast_slice(words))?;
    let output = validator.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    Ok(if output.status.success() { String::new() } else { format!("{}: {said}", output.status) })
}

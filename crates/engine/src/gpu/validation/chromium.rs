//! Every portable shader through Chromium's compiler, which shares nothing with naga, under WebGPU's default limits; and
//! some of them run there.

use std::collections::{HashMap, HashSet};
use std::env;
use std::io::{Write, stderr};
use std::path::Path;
use std::process::{Command, Stdio};

use cream_core::Sampling;
use serde_json::{Value, json};

use super::sources::{Constants, Form, forms};
use crate::gpu::shaders::access;
use crate::tests::random::Random;
use crate::tests::{assert_close, read, unwritten, widened};
use crate::tolerances::DEVICE;
use crate::{Backend, Cpu, Dtype, Matrix};

const CHROMIUM: &str = "/usr/bin/chromium";
/// Words of a kernel's parameters, as the engine binds them.
const PARAMETER_WORDS: usize = 64;

#[test]
fn chromium_takes_every_portable_shader_and_computes_the_same() {
    let folder = Path::new("../../tests/browser");
    for needed in [Path::new(CHROMIUM), &folder.join("node_modules")] {
        if !needed.exists() {
            assert!(env::var_os("CI").is_none(), "{}: missing, and CI needs it (cargo xtask test)", needed.display());
            let needed = needed.display();
            let _ = writeln!(stderr(), "skipped: shaders in Chromium need {needed} (cargo xtask test)");
            return;
        }
    }
    let forms: Vec<Form> = forms().into_iter().filter(|form| !form.is_cooperative()).collect();
    assert!(!forms.is_empty(), "no portable shaders");
    let runs = [matmul(), rms_norm(), sample()];
    let shaders = forms.iter().zip(constants(&forms)).map(|(form, constants)| shader(form, &constants, Value::Null));
    let shaders: Vec<Value> = shaders.chain(runs.iter().map(|run| run.shader(&forms))).collect();

    let results = in_chromium(&folder.join("shaders.mjs"), &Value::Array(shaders));
    let problems: Vec<&str> = results["problems"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    for run in &runs {
        run.check(&results["outputs"][run.form]);
    }
}

/// Which constants of each form to make pipelines with. Forms of a product differ in how they read their factors, which
/// its module tells; the software adapter takes seconds for its pipelines, so that only the first has them.
fn constants(forms: &[Form]) -> Vec<Vec<Constants>> {
    let mut seen = HashSet::new();
    let of = |form: &Form| {
        let first = seen.insert(form.kernel.clone());
        if first || !form.kernel.starts_with("matmul") { form.constants() } else { Vec::new() }
    };
    forms.iter().map(of).collect()
}

fn shader(form: &Form, constants: &[Constants], run: Value) -> Value {
    let constants = constants.iter().map(|constants| constants.iter().copied().collect::<HashMap<_, _>>());
    json!({
        "name": form.name, "source": form.source, "readOnly": access(&form.source),
        "constants": constants.collect::<Vec<_>>(), "run": run,
    })
}

/// What shaders.mjs says of these shaders.
fn in_chromium(script: &Path, shaders: &Value) -> Value {
    let node = Command::new("node")
        .args([script.as_os_str(), CHROMIUM.as_ref()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut node = node.unwrap();
    // It reads all before it says anything.
    node.stdin.take().unwrap().write_all(shaders.to_string().as_bytes()).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A kernel run once on small data.
struct Run {
    form: &'static str,
    constants: Constants,
    /// Of the storage bindings.
    buffers: Vec<Vec<u32>>,
    parameters: Vec<u32>,
    groups: [u32; 3],
    /// Which binding is written.
    out: usize,
    expected: Expected,
}

enum Expected {
    Numbers(Vec<f32>),
    Tokens(Vec<u32>),
}

impl Run {
    fn shader(&self, forms: &[Form]) -> Value {
        let form = forms.iter().find(|form| form.name == self.form).unwrap_or_else(|| panic!("no {}", self.form));
        let mut parameters = self.parameters.clone();
        parameters.resize(PARAMETER_WORDS, 0);
        let run = json!({"buffers": self.buffers, "parameters": parameters, "groups": self.groups});
        shader(form, std::slice::from_ref(&self.constants), run)
    }

    fn check(&self, buffers: &Value) {
        let out = buffers[self.out].as_array().unwrap_or_else(|| panic!("{} was not run", self.form));
        let words: Vec<u32> = out.iter().map(|word| word.as_u64().unwrap() as u32).collect();
        match &self.expected {
            Expected::Tokens(tokens) => assert_eq!(&words, tokens, "{}", self.form),
            Expected::Numbers(numbers) => {
                let got: Vec<f32> = words.into_iter().map(f32::from_bits).collect();
                assert_close(&got, &widened(numbers), DEVICE, self.form);
            }
        }
    }
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

/// Rows and columns of out that its tile cuts, of a weight in blocks.
fn matmul() -> Run {
    let (cpu, mut random) = (Cpu::new(), Random::seeded(1));
    let [rows, d_in, d_out] = [5, 64, 70];
    let (weight, x) = (random.tensor(Dtype::Q4_1, d_out, d_in), random.normals(rows * d_in, 1.0));
    let mut out = unwritten(&cpu, rows * d_out);
    cpu.matmul(&cpu.upload(&x), &Matrix::stored(&cpu, &weight), 0.5, false, &mut out);
    let words = weight.bytes.as_chunks().0.iter().map(|&word| u32::from_le_bytes(word)).collect();
    let [rows, d_in, d_out] = [rows, d_in, d_out].map(|size| size as u32);
    Run {
        form: "x_by_fours + q4_1 + matmul",
        constants: vec![],
        buffers: vec![words, bits(&x), vec![0; (rows * d_out) as usize]],
        // rows, d_out, d_in, stride, first, accumulate, alpha, part
        parameters: vec![rows, d_out, d_in, d_in, 0, 0, 0.5_f32.to_bits(), d_in],
        groups: [2, 1, 1],
        out: 2,
        expected: Expected::Numbers(read(&cpu, &out)),
    }
}

fn rms_norm() -> Run {
    const EPS: f32 = 1e-5;
    let (cpu, mut random) = (Cpu::new(), Random::seeded(2));
    let (rows, width) = (3, 577);
    let (x, weight) = (random.normals(rows * width, 1.0), random.normals(width, 1.0));
    let mut out = unwritten(&cpu, x.len());
    cpu.rms_norm(&cpu.upload(&x), &cpu.upload(&weight), EPS, &mut out);
    Run {
        form: "rms_norm",
        constants: vec![],
        buffers: vec![bits(&x), bits(&weight), vec![0; x.len()]],
        parameters: vec![width as u32, rows as u32, EPS.to_bits()],
        groups: [rows as u32, 1, 1],
        out: 2,
        expected: Expected::Numbers(read(&cpu, &out)),
    }
}

fn sample() -> Run {
    let (cpu, mut random) = (Cpu::new(), Random::seeded(3));
    let (rows, vocab, seed) = (4, 1000, 7);
    let (logits, streams) = (random.normals(rows * vocab, 3.0), random.words_of(4 * rows));
    let sampling = Sampling { top_k: 40, ..Sampling::default() };
    let mut out = cpu.indices(&vec![u32::MAX; rows]);
    cpu.sample(&cpu.upload(&logits), &sampling, seed, &cpu.indices(&streams), None, &mut out);
    let Sampling { temperature, top_k, top_p, min_p, repetition_penalty } = sampling;
    let [inverse, top_p, min_p, penalty, reciprocal] =
        [1.0 / temperature, top_p, min_p, repetition_penalty, 1.0 / repetition_penalty].map(f32::to_bits);
    Run {
        form: "sample",
        constants: vec![("penalised", 0)],
        buffers: vec![bits(&logits), streams, vec![0], vec![0; rows]],
        parameters: vec![vocab as u32, rows as u32, seed as u32, 0, inverse, top_k, top_p, min_p, penalty, reciprocal],
        groups: [rows as u32, 1, 1],
        out: 3,
        expected: Expected::Tokens(pollster::block_on(cpu.read_indices(&[&out])).unwrap().swap_remove(0)),
    }
}

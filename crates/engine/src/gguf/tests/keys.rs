//! Keys that leave a Llama as it is, and keys that change it.

use super::*;

/// The value type of a 32-bit float.
const FLOAT: u32 = 6;

#[test]
fn keys_that_leave_a_llama_as_it_is() {
    for (key, kind, value) in [
        ("llama.vocab_size", 4, u32(8)),
        ("llama.expert_count", 4, u32(0)),
        ("llama.expert_used_count", 4, u32(2)),
        ("llama.rope.dimension_count", 4, u32(4)),
        ("llama.rope.freq_base", FLOAT, f32(10_000.0)),
        ("llama.rope.scaling.type", 8, string("none")),
        ("llama.rope.scaling.factor", FLOAT, f32(0.0)),
        ("llama.rope.scaling.factor", FLOAT, f32(1.0)),
        ("llama.rope.scale_linear", FLOAT, f32(1.0)),
        ("llama.rope.scaling.attn_factor", FLOAT, f32(1.0)),
        ("llama.rope.scaling.original_context_length", 4, u32(8192)),
        ("llama.rope.scaling.finetuned", 7, vec![1]),
        ("llama.rope.scaling.yarn_log_multiplier", FLOAT, f32(0.1)),
        ("llama.attention.scale", FLOAT, f32(0.5)),
        ("llama.attention.scale", FLOAT, f32(0.0)),
        ("llama.attention.sliding_window", 4, u32(0)),
        ("llama.attention.sliding_window", 4, u32(32)),
        ("llama.attention.sliding_window", 4, u32(u32::MAX)),
        ("llama.attention.sliding_window", 5, (-1_i32).to_le_bytes().to_vec()),
        ("llama.attention.causal", 7, vec![1]),
        ("llama.attention.clamp_kqv", FLOAT, f32(0.0)),
        ("llama.attention.max_alibi_bias", FLOAT, f32(0.0)),
        ("llama.logit_scale", FLOAT, f32(1.0)),
        ("llama.logit_scale", FLOAT, f32(0.0)),
        ("llama.residual_scale", FLOAT, f32(1.0)),
        ("llama.embedding_scale", FLOAT, f32(1.0)),
        ("llama.final_logit_softcapping", FLOAT, f32(0.0)),
        ("llama.use_parallel_residual", 7, vec![0]),
        ("llama.tensor_data_layout", 8, string("Meta AI original pth")),
        ("llama.of_tomorrow", 4, u32(0)),
        ("llama.of_tomorrow", 8, string("")),
        ("general.type", 8, string("model")),
        ("general.file_type", 4, u32(15)),
        ("split.count", 2, vec![0, 0]),
        ("split.count", 2, vec![1, 0]),
        ("quantize.imatrix.file", 8, string("a.dat")),
    ] {
        let mut builder = Builder::tiny();
        builder.set(key, kind, value);
        let bytes = builder.build();
        let (checkpoint, _) = load("m.gguf", &bytes).unwrap_or_else(|error| panic!("{key}: {error}"));
        assert_eq!(checkpoint.config.rope_scaling, None, "{key}");
    }
}

#[test]
fn keys_that_change_a_llama_are_refused_by_name() {
    for (key, kind, value) in [
        ("llama.expert_count", 4, u32(8)),
        ("llama.rope.dimension_count", 4, u32(2)),
        ("llama.rope.scaling.type", 8, string("yarn")),
        ("llama.rope.scaling.type", 8, string("longrope")),
        ("llama.rope.scaling.attn_factor", FLOAT, f32(1.2)),
        ("llama.rope.scaling.alpha", FLOAT, f32(1000.0)),
        ("llama.rope.dimension_sections", 9, [u32(5), 1_u64.to_le_bytes().to_vec(), u32(2)].concat()),
        ("llama.attention.scale", FLOAT, f32(0.25)),
        ("llama.attention.sliding_window", 4, u32(16)),
        ("llama.attention.causal", 7, vec![0]),
        ("llama.attention.clamp_kqv", FLOAT, f32(8.0)),
        ("llama.attention.max_alibi_bias", FLOAT, f32(8.0)),
        ("llama.attention.temperature_scale", FLOAT, f32(0.1)),
        ("llama.logit_scale", FLOAT, f32(0.125)),
        ("llama.residual_scale", FLOAT, f32(0.22)),
        ("llama.embedding_scale", FLOAT, f32(12.0)),
        ("llama.final_logit_softcapping", FLOAT, f32(30.0)),
        ("llama.attn_logit_softcapping", FLOAT, f32(50.0)),
        ("llama.use_parallel_residual", 7, vec![1]),
        ("llama.tensor_data_layout", 8, string("reshaped")),
        ("llama.nextn_predict_layers", 4, u32(1)),
        ("llama.of_tomorrow", 4, u32(3)),
        ("general.type", 8, string("adapter")),
        ("general.type", 8, string("mmproj")),
        ("general.type", 8, string("imatrix")),
        ("split.count", 2, vec![3, 0]),
    ] {
        let mut builder = Builder::tiny();
        builder.set(key, kind, value);
        let message = builder.refusal();
        assert!(message.starts_with(&format!("m.gguf: {key}: ")), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn linear_scaling_is_read_as_llama_cpp_reads_it() {
    for (keys, factor) in [
        (&[("scaling.type", None), ("scaling.factor", Some(4.0))][..], Some(4.0)),
        // No type is linear.
        (&[("scaling.factor", Some(4.0))], Some(4.0)),
        (&[("scale_linear", Some(4.0))], Some(4.0)),
        (&[("scaling.type", None), ("scale_linear", Some(4.0))], Some(4.0)),
        (&[("scaling.factor", Some(2.0)), ("scale_linear", Some(4.0))], Some(2.0)),
        (&[("scaling.type", None)], None),
    ] {
        let mut builder = Builder::tiny();
        for (key, value) in keys {
            match value {
                Some(value) => builder.set(&format!("llama.rope.{key}"), FLOAT, f32(*value)),
                None => builder.set(&format!("llama.rope.{key}"), 8, string("linear")),
            }
        }
        let bytes = builder.build();
        let found = load("m.gguf", &bytes).unwrap().0.config.rope_scaling;
        assert_eq!(found, factor.map(|factor| RopeScaling::Linear { factor }), "{keys:?}");
    }
    let mut both = Builder::tiny();
    both.set("llama.rope.scaling.factor", FLOAT, f32(4.0));
    let mut divisors = |values: [f32; 2]| {
        both.tensors.retain(|(name, ..)| name != "rope_freqs.weight");
        both.tensors.push(("rope_freqs.weight".to_owned(), vec![2], 0, values.map(f32::to_le_bytes).concat()));
        both.build()
    };
    assert!(load("m.gguf", &divisors([1.0, 1.0])).is_ok());
    assert!(refusal(&divisors([1.0, 8.0])).contains("rope_freqs.weight: divisors beside linear scaling"));
}

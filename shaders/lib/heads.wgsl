// q, k and v of heads of any width E. Four numbers from number `at` on.

@group(0) @binding(0) var<storage, read> q: array<f32>;              // [T, H * E]
@group(0) @binding(1) var<storage, read> k: array<f32>;              // [rows, K * E]
@group(0) @binding(2) var<storage, read> v: array<f32>;              // [rows, K * E]

fn q_at(at: u32) -> vec4<f32> {
    return vec4(q[at], q[at + 1u], q[at + 2u], q[at + 3u]);
}

fn k_at(at: u32) -> vec4<f32> {
    return vec4(k[at], k[at + 1u], k[at + 2u], k[at + 3u]);
}

fn v_at(at: u32) -> vec4<f32> {
    return vec4(v[at], v[at + 1u], v[at + 2u], v[at + 3u]);
}

// Four columns from e on, zeros where they are not of the head. Rows past the last are read as the last: what they
// would hold is masked or not stored.
fn kept(values: vec4<f32>, e: u32) -> vec4<f32> {
    return select(vec4(0.0), values, vec4(e) + vec4(0u, 1u, 2u, 3u) < vec4(E));
}

// q, k and v of heads of a width E that four divides, which are read in one go. Four numbers from number `at` on.

@group(0) @binding(0) var<storage, read> q: array<vec4<f32>>;        // [T, H * E / 4]
@group(0) @binding(1) var<storage, read> k: array<vec4<f32>>;        // [rows, K * E / 4]
@group(0) @binding(2) var<storage, read> v: array<vec4<f32>>;        // [rows, K * E / 4]

fn q_at(at: u32) -> vec4<f32> {
    return q[at / 4u];
}

fn k_at(at: u32) -> vec4<f32> {
    return k[at / 4u];
}

fn v_at(at: u32) -> vec4<f32> {
    return v[at / 4u];
}

// Four columns from e on, zeros where they are not of the head. Rows past the last are read as the last: what they
// would hold is masked or not stored.
fn kept(values: vec4<f32>, e: u32) -> vec4<f32> {
    return select(vec4(0.0), values, e < E);
}

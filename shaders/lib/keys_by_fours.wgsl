// k and v: f32, heads of a width that four divides, which are read in one go.

@group(0) @binding(1) var<storage, read> k: array<vec4<f32>>;    // [rows, K * E / 4]
@group(0) @binding(2) var<storage, read> v: array<vec4<f32>>;    // [rows, K * E / 4]

// Four columns of a head from number `at` on, which is its column e.
fn k_at(at: u32, e: u32) -> vec4<f32> {
    return k[at / 4u];
}

fn v_at(at: u32, e: u32) -> vec4<f32> {
    return v[at / 4u];
}

// k and v: f32, heads of any width E.

@group(0) @binding(1) var<storage, read> k: array<f32>;          // [rows, K * E]
@group(0) @binding(2) var<storage, read> v: array<f32>;          // [rows, K * E]

// Four columns of a head from number `at` on, which is its column e: zeros where they are not of the head.
fn k_at(at: u32, e: u32) -> vec4<f32> {
    let inside = vec4(e) + vec4(0u, 1u, 2u, 3u) < vec4(E);
    return select(vec4(0.0), vec4(k[at], k[at + 1u], k[at + 2u], k[at + 3u]), inside);
}

fn v_at(at: u32, e: u32) -> vec4<f32> {
    let inside = vec4(e) + vec4(0u, 1u, 2u, 3u) < vec4(E);
    return select(vec4(0.0), vec4(v[at], v[at + 1u], v[at + 2u], v[at + 3u]), inside);
}

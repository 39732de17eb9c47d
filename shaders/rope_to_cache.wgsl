// Rows of queries, keys and values behind each other, taken apart: queries rotated (see rope.wgsl), keys rotated and values
// as they are to their rows of a cache; one invocation a pair. Needs lib/turn.wgsl in front of it.

struct Parameters {
    rows: u32,
    query_heads: u32,
    key_value_heads: u32,
    half: u32,                  // E / 2
}

@group(0) @binding(0) var<storage, read> x: array<f32>;               // [T, (H + 2 K) * E]
@group(0) @binding(1) var<storage, read> positions: array<u32>;       // [T]
@group(0) @binding(2) var<storage, read> frequencies: array<f32>;     // [E / 2]
@group(0) @binding(3) var<storage, read> at: array<u32>;              // [T]
@group(0) @binding(4) var<storage, read_write> q: array<f32>;         // [T, H * E]
@group(0) @binding(5) var<storage, read_write> keys: array<f32>;      // [.., K * E]
@group(0) @binding(6) var<storage, read_write> values: array<f32>;    // [.., K * E]
@group(0) @binding(7) var<uniform> parameters: Parameters;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let half = parameters.half;
    let query_heads = parameters.query_heads;
    let key_value_heads = parameters.key_value_heads;
    let number = (group.x + group.y * groups.x) * 256u + local;
    let row = number / half / (query_heads + 2u * key_value_heads);
    if row >= parameters.rows {
        return;
    }
    let head = number / half % (query_heads + 2u * key_value_heads);
    let e = number % half;
    let start = number / half * 2u * half + e;
    let pair = vec2(x[start], x[start + half]);
    if head >= query_heads + key_value_heads {
        let to = (at[row] * key_value_heads + head - query_heads - key_value_heads) * 2u * half + e;
        values[to] = pair.x;
        values[to + half] = pair.y;
        return;
    }
    let turned = rotated(pair, turn(f32(positions[row]) * frequencies[e]));
    if head >= query_heads {
        let to = (at[row] * key_value_heads + head - query_heads) * 2u * half + e;
        keys[to] = turned.x;
        keys[to + half] = turned.y;
    } else {
        let to = (row * query_heads + head) * 2u * half + e;
        q[to] = turned.x;
        q[to + half] = turned.y;
    }
}

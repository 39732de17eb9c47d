// Joins what attention_decode.wgsl made of the parts of each context: their log-sum-exps weigh their outs. One workgroup
// a tile and query head.

struct Parameters {
    tiles: u32,
    query_heads: u32,
    key_value_heads: u32,
    parts: u32,
}

// As in attention_decode.wgsl.
struct Tile {
    query_start: u32,
    len: u32,
    prefix_start: u32,
    prefix_len: u32,
    own_start: u32,
    visible: u32,
}

@group(0) @binding(0) var<storage, read> part_out: array<f32>;   // [parts, tiles, H * E]
@group(0) @binding(1) var<storage, read> part_lse: array<f32>;   // [parts, tiles, H]
@group(0) @binding(2) var<storage, read> tiles: array<Tile>;     // [tiles]
@group(0) @binding(3) var<storage, read_write> out: array<f32>;  // [T, H * E]
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;  // [T, H]
@group(0) @binding(5) var<uniform> parameters: Parameters;

// Width of a head.
override E: u32 = 64u;

const LOWEST = -3.0e38;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let number = group.x + group.y * groups.x;
    if number >= parameters.tiles {
        return;
    }
    let row = number * parameters.query_heads + group.z;
    let rows = parameters.tiles * parameters.query_heads;
    var maximum = LOWEST;
    for (var part = 0u; part < parameters.parts; part++) {
        maximum = max(maximum, part_lse[part * rows + row]);
    }
    var sum = 0.0;
    for (var part = 0u; part < parameters.parts; part++) {
        sum += exp(part_lse[part * rows + row] - maximum);
    }
    let to = tiles[number].query_start * parameters.query_heads + group.z;
    for (var e = local; e < E; e += 64u) {
        var total = 0.0;
        for (var part = 0u; part < parameters.parts; part++) {
            total += exp(part_lse[part * rows + row] - maximum) * part_out[(part * rows + row) * E + e];
        }
        out[to * E + e] = total / sum;
    }
    if local == 0u {
        lse[to] = maximum + log(sum);
    }
}

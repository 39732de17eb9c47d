// Attention of tiles of one query (decoding), a workgroup per part of a tile's context and query head: the context goes
// by in chunks. An invocation first scores whole keys, then sums four columns of the values over some keys. Several parts
// have rows of out and lse of their own, which attention_decode_join.wgsl joins. Where k and v are a window of the keys,
// the context is what lies in it, and the parts of other windows come before and after.
// Needs lib/queries.wgsl, and lib/heads.wgsl or lib/heads_by_fours.wgsl, in front of it.

struct Parameters {
    tiles: u32,
    query_heads: u32,
    key_value_heads: u32,
    // Of the whole context.
    parts: u32,
    // Keys of a part.
    part: u32,
    // Parts here, and those of the windows before.
    here: u32,
    before: u32,
}

@group(0) @binding(3) var<storage, read> tiles: array<Tile>;     // [tiles]
@group(0) @binding(4) var<storage, read_write> out: array<f32>;  // [T, H * E] or [parts, tiles, H * E]
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;  // [T, H] or [parts, tiles, H]
@group(0) @binding(6) var<uniform> parameters: Parameters;

// Width of a head, at most 256.
override E: u32 = 64u;
override COLUMNS: u32 = (E + 3u) / 4u;
// Invocations that share four columns of the values.
override STRIPS: u32 = 256u / COLUMNS;

const CHUNK = 1024u;

var<workgroup> q_row: array<vec4<f32>, COLUMNS>;
var<workgroup> scores: array<f32, CHUNK>;
// What each invocation has of a maximum, a sum or the output.
var<workgroup> partial: array<f32, 256>;
var<workgroup> partial_total: array<vec4<f32>, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let number = group.x + group.y * groups.x;
    if number >= parameters.tiles * parameters.here {
        return;
    }
    let part = number / parameters.tiles;
    let tile = tiles[number % parameters.tiles];
    let head = group.z;
    let kv_width = parameters.key_value_heads * E;
    let kv_head = head * parameters.key_value_heads / parameters.query_heads * E;
    let query = tile.query_start * parameters.query_heads + head;
    if local < COLUMNS {
        q_row[local] = kept(q_at(query * E + local * 4u), local * 4u) * inverseSqrt(f32(E));
    }
    let column = local % COLUMNS * 4u;
    let strip = local / COLUMNS;

    var maximum = LOWEST;
    // Each of an invocation's own keys and strip.
    var sum = 0.0;
    var total = vec4(0.0);
    let end = min((part + 1u) * parameters.part, tile.visible);
    for (var start = part * parameters.part; start < end; start += CHUNK) {
        let len = min(CHUNK, end - start);
        workgroupBarrier();
        var highest = LOWEST;
        for (var key = local; key < len; key += 256u) {
            let at = key_row(tile, start + key) * kv_width + kv_head;
            var score = 0.0;
            for (var c = 0u; c < COLUMNS; c++) {
                score += dot(q_row[c], kept(k_at(at + c * 4u), c * 4u));
            }
            scores[key] = score;
            highest = max(highest, score);
        }
        partial[local] = highest;
        for (var half = 128u; half > 0u; half /= 2u) {
            workgroupBarrier();
            if local < half {
                partial[local] = max(partial[local], partial[local + half]);
            }
        }
        workgroupBarrier();
        let before = maximum;
        maximum = max(maximum, partial[0]);
        let shrink = exp(before - maximum);
        sum *= shrink;
        total *= shrink;
        for (var key = local; key < len; key += 256u) {
            let weight = exp(scores[key] - maximum);
            scores[key] = weight;
            sum += weight;
        }
        workgroupBarrier();
        if strip < STRIPS {
            for (var key = strip; key < len; key += STRIPS) {
                let at = key_row(tile, start + key) * kv_width + kv_head + column;
                total += scores[key] * kept(v_at(at), column);
            }
        }
    }

    partial_total[local] = total;
    partial[local] = sum;
    for (var half = 128u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if local < half {
            partial[local] += partial[local + half];
        }
    }
    workgroupBarrier();
    let row = select(parameters.before * parameters.tiles + number, tile.query_start, parameters.parts == 1u);
    let to = row * parameters.query_heads + head;
    sum = partial[0];
    if local < COLUMNS {
        for (var i = 1u; i < STRIPS; i++) {
            total += partial_total[local + i * COLUMNS];
        }
        // A part may begin behind the last key that a tile sees here. A sum that is NaN is not 0, and stays.
        let values = select(total / sum, vec4(0.0), vec4(sum == 0.0));
        for (var i = 0u; i < 4u && column + i < E; i++) {
            out[to * E + column + i] = values[i];
        }
    }
    if local == 0u {
        lse[to] = select(maximum + log(sum), LOWEST, sum == 0.0);
    }
}

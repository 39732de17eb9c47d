// Causal grouped-query attention, a workgroup per tile of queries and query head: tiles of keys, then of values, pass
// through workgroup memory, under a running maximum and sum (arXiv 2205.14135).
// Needs lib/queries.wgsl in front of it.

struct Parameters {
    tiles: u32,
    query_heads: u32,
    key_value_heads: u32,
}

@group(0) @binding(0) var<storage, read> q: array<f32>;          // [T, H * E]
@group(0) @binding(1) var<storage, read> k: array<f32>;          // [rows, K * E]
@group(0) @binding(2) var<storage, read> v: array<f32>;          // [rows, K * E]
@group(0) @binding(3) var<storage, read> tiles: array<Tile>;     // [tiles]
@group(0) @binding(4) var<storage, read_write> out: array<f32>;  // [T, H * E]
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;  // [T, H]
@group(0) @binding(6) var<uniform> parameters: Parameters;

// Width of a head, at most 4 * LANES.
override E: u32 = 64u;
// Queries a workgroup takes; tiles hold TILE of them.
override ROWS: u32 = 16u;
override TILE: u32 = 16u;
override KEYS: u32 = 2u * ROWS;
// Invocations that share a query: each has a few keys of the scores, then four columns of the output.
override LANES: u32 = 256u / ROWS;
override COLUMNS: u32 = (E + 3u) / 4u;
// Odd, so that neighbouring lanes read rows in different banks.
override STRIDE: u32 = COLUMNS | 1u;
override Q_SIZE: u32 = ROWS * STRIDE;
override KV_SIZE: u32 = KEYS * STRIDE;
override SCORES_STRIDE: u32 = KEYS + 1u;
override SCORES_SIZE: u32 = ROWS * SCORES_STRIDE;

const LOWEST = -3.0e38;

var<workgroup> q_rows: array<vec4<f32>, Q_SIZE>;
// Keys, then values.
var<workgroup> kv_rows: array<vec4<f32>, KV_SIZE>;
var<workgroup> scores: array<f32, SCORES_SIZE>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let parts = TILE / ROWS;
    let number = group.x + group.y * groups.x;
    if number >= parameters.tiles * parts {
        return;
    }
    let tile = tiles[number / parts];
    let first = number % parts * ROWS;
    if first >= tile.len {
        return;
    }
    let head = group.z;
    let q_width = parameters.query_heads * E;
    let kv_width = parameters.key_value_heads * E;
    let kv_head = head * parameters.key_value_heads / parameters.query_heads * E;
    let row = local / LANES;
    let lane = local % LANES;
    let query = first + row;
    let in_tile = query < tile.len;
    let visible = tile.visible + query;

    let scale = inverseSqrt(f32(E));
    for (var i = local; i < ROWS * COLUMNS; i += 256u) {
        let e = i % COLUMNS * 4u;
        let query = min(first + i / COLUMNS, tile.len - 1u);
        let at = (tile.query_start + query) * q_width + head * E + e;
        let values = kept(vec4(q[at], q[at + 1u], q[at + 2u], q[at + 3u]), e);
        q_rows[i / COLUMNS * STRIDE + i % COLUMNS] = scale * values;
    }

    var maximum = LOWEST;
    var sum = 0.0;
    var total = vec4(0.0);
    // No query of the part sees keys beyond these.
    let end = tile.visible + min(first + ROWS, tile.len) - 1u;
    for (var start = 0u; start < end; start += KEYS) {
        for (var i = local; i < KEYS * COLUMNS; i += 256u) {
            let e = i % COLUMNS * 4u;
            let at = key_row(tile, min(start + i / COLUMNS, end - 1u)) * kv_width + kv_head + e;
            kv_rows[i / COLUMNS * STRIDE + i % COLUMNS] =
                kept(vec4(k[at], k[at + 1u], k[at + 2u], k[at + 3u]), e);
        }
        workgroupBarrier();
        for (var key = lane; key < KEYS; key += LANES) {
            var score = 0.0;
            for (var c = 0u; c < COLUMNS; c++) {
                score += dot(q_rows[row * STRIDE + c], kv_rows[key * STRIDE + c]);
            }
            scores[row * SCORES_STRIDE + key] = select(LOWEST, score, start + key < visible);
        }
        workgroupBarrier();
        for (var i = local; i < KEYS * COLUMNS; i += 256u) {
            let e = i % COLUMNS * 4u;
            let at = key_row(tile, min(start + i / COLUMNS, end - 1u)) * kv_width + kv_head + e;
            kv_rows[i / COLUMNS * STRIDE + i % COLUMNS] =
                kept(vec4(v[at], v[at + 1u], v[at + 2u], v[at + 3u]), e);
        }
        let before = maximum;
        for (var key = 0u; key < KEYS; key++) {
            maximum = max(maximum, scores[row * SCORES_STRIDE + key]);
        }
        workgroupBarrier();
        for (var key = lane; key < KEYS; key += LANES) {
            let at = row * SCORES_STRIDE + key;
            scores[at] = exp(scores[at] - maximum);
        }
        workgroupBarrier();
        let shrink = exp(before - maximum);
        sum *= shrink;
        total *= shrink;
        if lane < COLUMNS {
            for (var key = 0u; key < KEYS; key++) {
                let weight = scores[row * SCORES_STRIDE + key];
                sum += weight;
                total += weight * kv_rows[key * STRIDE + lane];
            }
        }
        workgroupBarrier();
    }

    if in_tile && lane < COLUMNS {
        let at = (tile.query_start + query) * q_width + head * E + lane * 4u;
        let values = total / sum;
        for (var i = 0u; i < 4u && lane * 4u + i < E; i++) {
            out[at + i] = values[i];
        }
        if lane == 0u {
            lse[(tile.query_start + query) * parameters.query_heads + head] = maximum + log(sum);
        }
    }
}

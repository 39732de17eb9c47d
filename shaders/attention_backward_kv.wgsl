// d_v = pᵀ · d_out and d_k = d_sᵀ · q with p = exp(score - lse) and d_s = p * (d_out · vᵀ - sum(d_out * out)) / sqrt(E),
// a workgroup per tile of keys and key-value head, which goes over all queries and query heads that see the keys; the
// scores are computed again.

struct Parameters {
    tiles: u32,
    query_heads: u32,
    key_value_heads: u32,
}

// Consecutive keys, which are also rows of queries: a key is seen by its own query and all later ones before `query_end`.
struct Tile {
    start: u32,
    len: u32,
    query_end: u32,
}

@group(0) @binding(0) var<storage, read> q: array<f32>;              // [T, H * E]
@group(0) @binding(1) var<storage, read> k: array<f32>;              // [T, K * E]
@group(0) @binding(2) var<storage, read> v: array<f32>;              // [T, K * E]
@group(0) @binding(3) var<storage, read> d_out: array<f32>;          // [T, H * E]
@group(0) @binding(4) var<storage, read> by_row: array<vec2<f32>>;   // [T, H]
@group(0) @binding(5) var<storage, read> tiles: array<Tile>;         // [tiles]
@group(0) @binding(6) var<storage, read_write> d_k: array<f32>;      // [T, K * E]
@group(0) @binding(7) var<storage, read_write> d_v: array<f32>;      // [T, K * E]
@group(0) @binding(8) var<uniform> parameters: Parameters;

// Width of a head, at most 4 * LANES.
override E: u32 = 64u;
// Keys a workgroup takes, of the TILE in a tile, and queries at a time.
override ROWS: u32 = 16u;
override TILE: u32 = 16u;
// Invocations that share a key: the first ROWS have a query of the scores, the first COLUMNS four columns of d_k and d_v.
override LANES: u32 = 256u / ROWS;
override COLUMNS: u32 = (E + 3u) / 4u;
// Odd, so that neighbouring lanes read rows in different banks.
override STRIDE: u32 = COLUMNS | 1u;
override SIZE: u32 = ROWS * STRIDE;
override SCORES_STRIDE: u32 = ROWS + 1u;
override SCORES_SIZE: u32 = ROWS * SCORES_STRIDE;

var<workgroup> k_rows: array<vec4<f32>, SIZE>;
var<workgroup> v_rows: array<vec4<f32>, SIZE>;
// Queries, d_out, then queries again.
var<workgroup> q_rows: array<vec4<f32>, SIZE>;
var<workgroup> weights: array<f32, SCORES_SIZE>;
var<workgroup> d_scores: array<f32, SCORES_SIZE>;

// Four columns from e on, zeros where they are not of the head. Rows past the last are read as the last: what they
// would hold is masked or not stored.
fn kept(values: vec4<f32>, e: u32) -> vec4<f32> {
    return select(vec4(0.0), values, vec4(e) + vec4(0u, 1u, 2u, 3u) < vec4(E));
}

// Rows from `start` on into workgroup memory.
fn load_queries(start: u32, end: u32, head: u32, local: u32) {
    for (var i = local; i < ROWS * COLUMNS; i += 256u) {
        let e = i % COLUMNS * 4u;
        let at = min(start + i / COLUMNS, end - 1u) * parameters.query_heads * E + head * E + e;
        q_rows[i / COLUMNS * STRIDE + i % COLUMNS] =
            kept(vec4(q[at], q[at + 1u], q[at + 2u], q[at + 3u]), e);
    }
}

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
    let q_width = parameters.query_heads * E;
    let kv_width = parameters.key_value_heads * E;
    let kv_head = group.z * E;
    let row = local / LANES;
    let lane = local % LANES;
    let key = tile.start + first + row;
    let in_tile = first + row < tile.len;
    let scale = inverseSqrt(f32(E));

    for (var i = local; i < ROWS * COLUMNS; i += 256u) {
        let e = i % COLUMNS * 4u;
        let key = min(first + i / COLUMNS, tile.len - 1u);
        let at = (tile.start + key) * kv_width + kv_head + e;
        let to = i / COLUMNS * STRIDE + i % COLUMNS;
        k_rows[to] = kept(vec4(k[at], k[at + 1u], k[at + 2u], k[at + 3u]), e);
        v_rows[to] = kept(vec4(v[at], v[at + 1u], v[at + 2u], v[at + 3u]), e);
    }

    var total_k = vec4(0.0);
    var total_v = vec4(0.0);
    let per_key = parameters.query_heads / parameters.key_value_heads;
    for (var head = group.z * per_key; head < (group.z + 1u) * per_key; head++) {
        for (var start = tile.start + first; start < tile.query_end; start += ROWS) {
            workgroupBarrier();
            load_queries(start, tile.query_end, head, local);
            workgroupBarrier();
            let query = start + lane;
            // What the row does not see may have a score far above the log-sum-exp.
            let seen = lane < ROWS && in_tile && query >= key && query < tile.query_end;
            let of_row = by_row[min(query, tile.query_end - 1u) * parameters.query_heads + head];
            var weight = 0.0;
            if seen {
                var score = 0.0;
                for (var c = 0u; c < COLUMNS; c++) {
                    score += dot(k_rows[row * STRIDE + c], q_rows[lane * STRIDE + c]);
                }
                weight = exp(score * scale - of_row.x);
            }
            workgroupBarrier();
            for (var i = local; i < ROWS * COLUMNS; i += 256u) {
                let e = i % COLUMNS * 4u;
                let at = min(start + i / COLUMNS, tile.query_end - 1u) * q_width + head * E + e;
                let values = vec4(d_out[at], d_out[at + 1u], d_out[at + 2u], d_out[at + 3u]);
                q_rows[i / COLUMNS * STRIDE + i % COLUMNS] = kept(values, e);
            }
            workgroupBarrier();
            if lane < ROWS {
                var d_weight = 0.0;
                for (var c = 0u; c < COLUMNS; c++) {
                    d_weight += dot(v_rows[row * STRIDE + c], q_rows[lane * STRIDE + c]);
                }
                weights[row * SCORES_STRIDE + lane] = weight;
                d_scores[row * SCORES_STRIDE + lane] = weight * (d_weight - of_row.y) * scale;
            }
            workgroupBarrier();
            if lane < COLUMNS {
                for (var i = 0u; i < ROWS; i++) {
                    total_v += weights[row * SCORES_STRIDE + i] * q_rows[i * STRIDE + lane];
                }
            }
            workgroupBarrier();
            load_queries(start, tile.query_end, head, local);
            workgroupBarrier();
            if lane < COLUMNS {
                for (var i = 0u; i < ROWS; i++) {
                    total_k += d_scores[row * SCORES_STRIDE + i] * q_rows[i * STRIDE + lane];
                }
            }
        }
    }

    if in_tile && lane < COLUMNS {
        let at = key * kv_width + kv_head + lane * 4u;
        for (var i = 0u; i < 4u && lane * 4u + i < E; i++) {
            d_k[at + i] = total_k[i];
            d_v[at + i] = total_v[i];
        }
    }
}

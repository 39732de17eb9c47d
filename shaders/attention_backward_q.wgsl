// d_q = d_s · k with p = exp(score - lse) and d_s = p * (d_out · vᵀ - sum(d_out * out)) / sqrt(E), a workgroup per tile
// of queries and query head; the scores are computed again.
// Needs lib/queries.wgsl in front of it.

struct Parameters {
    tiles: u32,
    query_heads: u32,
    key_value_heads: u32,
}

@group(0) @binding(0) var<storage, read> q: array<f32>;              // [T, H * E]
@group(0) @binding(1) var<storage, read> k: array<f32>;              // [rows, K * E]
@group(0) @binding(2) var<storage, read> v: array<f32>;              // [rows, K * E]
@group(0) @binding(3) var<storage, read> d_out: array<f32>;          // [T, H * E]
@group(0) @binding(4) var<storage, read> by_row: array<vec2<f32>>;   // [T, H]
@group(0) @binding(5) var<storage, read> tiles: array<Tile>;         // [tiles]
@group(0) @binding(6) var<storage, read_write> d_q: array<f32>;      // [T, H * E]
@group(0) @binding(7) var<uniform> parameters: Parameters;

// Width of a head, at most 4 * LANES.
override E: u32 = 64u;
// Queries a workgroup takes, of the TILE in a tile, and keys at a time.
override ROWS: u32 = 16u;
override TILE: u32 = 16u;
// Invocations that share a query: the first ROWS have a key of the scores, the first COLUMNS four columns of d_q.
override LANES: u32 = 256u / ROWS;
override COLUMNS: u32 = (E + 3u) / 4u;
// Odd, so that neighbouring lanes read rows in different banks.
override STRIDE: u32 = COLUMNS | 1u;
override SIZE: u32 = ROWS * STRIDE;
override SCORES_STRIDE: u32 = ROWS + 1u;
override SCORES_SIZE: u32 = ROWS * SCORES_STRIDE;

var<workgroup> q_rows: array<vec4<f32>, SIZE>;
var<workgroup> d_out_rows: array<vec4<f32>, SIZE>;
// Values, then keys.
var<workgroup> kv_rows: array<vec4<f32>, SIZE>;
var<workgroup> d_scores: array<f32, SCORES_SIZE>;

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
    let visible = select(0u, tile.visible + query, in_tile);

    for (var i = local; i < ROWS * COLUMNS; i += 256u) {
        let e = i % COLUMNS * 4u;
        let query = min(first + i / COLUMNS, tile.len - 1u);
        let at = (tile.query_start + query) * q_width + head * E + e;
        let to = i / COLUMNS * STRIDE + i % COLUMNS;
        q_rows[to] = kept(vec4(q[at], q[at + 1u], q[at + 2u], q[at + 3u]), e);
        d_out_rows[to] = kept(vec4(d_out[at], d_out[at + 1u], d_out[at + 2u], d_out[at + 3u]), e);
    }
    let scale = inverseSqrt(f32(E));
    let of_row = by_row[min(tile.query_start + query, tile.query_start + tile.len - 1u) * parameters.query_heads + head];

    var total = vec4(0.0);
    // No query of the part sees keys beyond these.
    let end = tile.visible + min(first + ROWS, tile.len) - 1u;
    for (var start = 0u; start < end; start += ROWS) {
        for (var i = local; i < ROWS * COLUMNS; i += 256u) {
            let e = i % COLUMNS * 4u;
            let at = key_row(tile, min(start + i / COLUMNS, end - 1u)) * kv_width + kv_head + e;
            kv_rows[i / COLUMNS * STRIDE + i % COLUMNS] =
                kept(vec4(v[at], v[at + 1u], v[at + 2u], v[at + 3u]), e);
        }
        workgroupBarrier();
        var d_weight = 0.0;
        if lane < ROWS {
            for (var c = 0u; c < COLUMNS; c++) {
                d_weight += dot(d_out_rows[row * STRIDE + c], kv_rows[lane * STRIDE + c]);
            }
        }
        workgroupBarrier();
        for (var i = local; i < ROWS * COLUMNS; i += 256u) {
            let e = i % COLUMNS * 4u;
            let at = key_row(tile, min(start + i / COLUMNS, end - 1u)) * kv_width + kv_head + e;
            kv_rows[i / COLUMNS * STRIDE + i % COLUMNS] =
                kept(vec4(k[at], k[at + 1u], k[at + 2u], k[at + 3u]), e);
        }
        workgroupBarrier();
        if lane < ROWS {
            var score = 0.0;
            for (var c = 0u; c < COLUMNS; c++) {
                score += dot(q_rows[row * STRIDE + c], kv_rows[lane * STRIDE + c]);
            }
            // Scores that the row does not see may be far above its log-sum-exp.
            var d_score = 0.0;
            if start + lane < visible {
                d_score = exp(score * scale - of_row.x) * (d_weight - of_row.y) * scale;
            }
            d_scores[row * SCORES_STRIDE + lane] = d_score;
        }
        workgroupBarrier();
        if lane < COLUMNS {
            for (var key = 0u; key < ROWS; key++) {
                total += d_scores[row * SCORES_STRIDE + key] * kv_rows[key * STRIDE + lane];
            }
        }
        workgroupBarrier();
    }

    if in_tile && lane < COLUMNS {
        let at = (tile.query_start + query) * q_width + head * E + lane * 4u;
        for (var i = 0u; i < 4u && lane * 4u + i < E; i++) {
            d_q[at + i] = total[i];
        }
    }
}

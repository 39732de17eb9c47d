// d_v = pᵀ · d_out and d_k = d_sᵀ · q with p = exp(score - lse) and d_s = p * (d_out · vᵀ - sum(d_out * out)) / sqrt(E),
// a workgroup per tile of keys and query head, which goes over all queries that see the keys; the scores are computed
// again. Query heads that share a key-value head write a part of its gradients each.
// Needs files of lib/ in front of it: scores.wgsl, and a width's of q, k and v and of d_out.

struct Parameters {
    tiles: u32,
    query_heads: u32,
    key_value_heads: u32,
    // Rows of a part, from the batch's row `first` on.
    first: u32,
    rows: u32,
}

// Consecutive keys, which are also rows of queries: a key is seen by its own query and all later ones before `query_end`.
struct Tile {
    start: u32,
    len: u32,
    query_end: u32,
}

@group(0) @binding(4) var<storage, read> by_row: array<vec2<f32>>;   // [T, H]
@group(0) @binding(5) var<storage, read> tiles: array<Tile>;         // [tiles]
@group(0) @binding(6) var<storage, read_write> d_k: array<f32>;      // [H / K, rows, K * E]
@group(0) @binding(7) var<storage, read_write> d_v: array<f32>;      // [H / K, rows, K * E]
@group(0) @binding(8) var<uniform> parameters: Parameters;

override LEFT_STRIDE: u32 = DEPTH;

const LOWEST = -3.0e38;

// Of one key, for four queries: what a query does not see may have a score far above its log-sum-exp.
fn weight(scores: vec4<f32>, key: u32, queries: vec4<u32>, end: u32, log_sums: vec4<f32>) -> vec4<f32> {
    let seen = (queries >= vec4(key)) & (queries < vec4(end));
    return exp(select(vec4(LOWEST), scores - log_sums, seen));
}

// Four columns of one key of the tile.
fn store(key: u32, last: u32, head: u32, column: u32, k: vec4<f32>, v: vec4<f32>) {
    if key <= last {
        let sharing = parameters.query_heads / parameters.key_value_heads;
        let row = head % sharing * parameters.rows + key - parameters.first;
        let at = (row * parameters.key_value_heads + head / sharing) * E + column;
        for (var i = 0u; i < 4u && column + i < E; i++) {
            d_k[at + i] = k[i];
            d_v[at + i] = v[i];
        }
    }
}

@compute @workgroup_size(64)
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
    let row = local / LANES * 4u;
    let lane = local % LANES;
    let used = first + row < tile.len;
    let key = tile.start + first + row;
    let last = tile.start + tile.len - 1u;
    let last_query = tile.query_end - 1u;
    let scale = inverseSqrt(f32(E));

    var total_k = Sums();
    var total_v = Sums();
    for (var start = tile.start + first; start < tile.query_end; start += COLUMNS) {
        let query = vec4(start + 4u * lane) + vec4(0u, 1u, 2u, 3u);
        let row_at = min(query, vec4(last_query)) * parameters.query_heads + head;
        let of_rows = transpose(mat4x2(by_row[row_at.x], by_row[row_at.y], by_row[row_at.z], by_row[row_at.w]));
        var scores = mat4x4<f32>();
        for (var four = 0u; four < FOURS; four += DEPTH) {
            workgroupBarrier();
            for (var i = local; i < 256u; i += 64u) {
                let e = (four + i % DEPTH) * 4u;
                let at = min(start + i / DEPTH, last_query) * q_width + head * E;
                put_column(i / DEPTH, i % DEPTH, kept(q_at(at + e), e));
            }
            for (var i = local; i < LEFT_SIZE; i += 64u) {
                let e = (four + i % DEPTH) * 4u;
                let at = min(tile.start + first + i / DEPTH, last) * kv_width + kv_head;
                left[i] = scale * kept(k_at(at + e), e);
            }
            workgroupBarrier();
            if used {
                scores = scored(scores, row, lane, 0u);
            }
        }
        put_weights(row, lane, mat4x4(
            weight(scores[0], key, query, tile.query_end, of_rows[0]),
            weight(scores[1], key + 1u, query, tile.query_end, of_rows[0]),
            weight(scores[2], key + 2u, query, tile.query_end, of_rows[0]),
            weight(scores[3], key + 3u, query, tile.query_end, of_rows[0]),
        ));
        for (var column = 0u; column < COLUMNS && start + column < tile.query_end; column += AT_ONCE) {
            workgroupBarrier();
            for (var i = local; i < 256u; i += 64u) {
                let e = i % WIDTH * 4u;
                let at = min(start + column + i / WIDTH, last_query) * q_width + head * E;
                right[i] = kept(d_out_at(at + e), e);
            }
            workgroupBarrier();
            if used {
                total_v = weighed(total_v, row, lane, column);
            }
        }
        var d_weights = mat4x4<f32>();
        for (var four = 0u; four < FOURS; four += DEPTH) {
            workgroupBarrier();
            for (var i = local; i < 256u; i += 64u) {
                let e = (four + i % DEPTH) * 4u;
                let at = min(start + i / DEPTH, last_query) * q_width + head * E;
                put_column(i / DEPTH, i % DEPTH, kept(d_out_at(at + e), e));
            }
            for (var i = local; i < LEFT_SIZE; i += 64u) {
                let e = (four + i % DEPTH) * 4u;
                let at = min(tile.start + first + i / DEPTH, last) * kv_width + kv_head;
                left[i] = kept(v_at(at + e), e);
            }
            workgroupBarrier();
            if used {
                d_weights = scored(d_weights, row, lane, 0u);
            }
        }
        // Its own four of the weights each.
        let at = row * LANES + lane;
        put_weights(row, lane, mat4x4(
            scale * weights[at] * (d_weights[0] - of_rows[1]),
            scale * weights[at + LANES] * (d_weights[1] - of_rows[1]),
            scale * weights[at + 2u * LANES] * (d_weights[2] - of_rows[1]),
            scale * weights[at + 3u * LANES] * (d_weights[3] - of_rows[1]),
        ));
        for (var column = 0u; column < COLUMNS && start + column < tile.query_end; column += AT_ONCE) {
            workgroupBarrier();
            for (var i = local; i < 256u; i += 64u) {
                let e = i % WIDTH * 4u;
                let at = min(start + column + i / WIDTH, last_query) * q_width + head * E;
                right[i] = kept(q_at(at + e), e);
            }
            workgroupBarrier();
            if used {
                total_k = weighed(total_k, row, lane, column);
            }
        }
    }

    let near = 4u * lane;
    let far = 4u * (LANES + lane);
    store(key, last, head, near, total_k.near[0], total_v.near[0]);
    store(key, last, head, far, total_k.far[0], total_v.far[0]);
    store(key + 1u, last, head, near, total_k.near[1], total_v.near[1]);
    store(key + 1u, last, head, far, total_k.far[1], total_v.far[1]);
    store(key + 2u, last, head, near, total_k.near[2], total_v.near[2]);
    store(key + 2u, last, head, far, total_k.far[2], total_v.far[2]);
    store(key + 3u, last, head, near, total_k.near[3], total_v.near[3]);
    store(key + 3u, last, head, far, total_k.far[3], total_v.far[3]);
}

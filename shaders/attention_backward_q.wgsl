// d_q = d_s · k with p = exp(score - lse) and d_s = p * (d_out · vᵀ - sum(d_out * out)) / sqrt(E), a workgroup per tile
// of queries and query head; the scores are computed again.
// Needs files of lib/ in front of it: scores.wgsl, queries.wgsl, and a width's of q, k and v and of d_out.

struct Parameters {
    tiles: u32,
    query_heads: u32,
    key_value_heads: u32,
}

@group(0) @binding(4) var<storage, read> by_row: array<vec2<f32>>;   // [T, H]
@group(0) @binding(5) var<storage, read> tiles: array<Tile>;         // [tiles]
@group(0) @binding(6) var<storage, read_write> d_q: array<f32>;      // [T, H * E]
@group(0) @binding(7) var<uniform> parameters: Parameters;

override LEFT_STRIDE: u32 = DEPTH;

fn put_four(at: u32, column: u32, values: vec4<f32>) {
    for (var i = 0u; i < 4u && column + i < E; i++) {
        d_q[at + column + i] = values[i];
    }
}

// A lane's eight columns of one query of the tile.
fn store(query: u32, last: u32, head: u32, lane: u32, near: vec4<f32>, far: vec4<f32>) {
    if query <= last {
        let at = (query * parameters.query_heads + head) * E;
        put_four(at, 4u * lane, near);
        put_four(at, 4u * (LANES + lane), far);
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
    let visible = tile.visible + first + row;

    let scale = inverseSqrt(f32(E));
    let query = tile.query_start + first + row;
    let last = tile.query_start + tile.len - 1u;
    let of_row0 = by_row[min(query, last) * parameters.query_heads + head];
    let of_row1 = by_row[min(query + 1u, last) * parameters.query_heads + head];
    let of_row2 = by_row[min(query + 2u, last) * parameters.query_heads + head];
    let of_row3 = by_row[min(query + 3u, last) * parameters.query_heads + head];

    var total = Sums();
    // No query of the part sees keys beyond these.
    let end = tile.visible + min(first + ROWS, tile.len) - 1u;
    for (var start = 0u; start < end; start += COLUMNS) {
        var scores = mat4x4<f32>();
        for (var four = 0u; four < FOURS; four += DEPTH) {
            workgroupBarrier();
            for (var i = local; i < 256u; i += 64u) {
                let e = (four + i % DEPTH) * 4u;
                let key = key_row(tile, min(start + i / DEPTH, end - 1u));
                put_column(i / DEPTH, i % DEPTH, kept(k_at(key * kv_width + kv_head + e), e));
            }
            for (var i = local; i < LEFT_SIZE; i += 64u) {
                let e = (four + i % DEPTH) * 4u;
                let query = min(tile.query_start + first + i / DEPTH, last);
                left[i] = scale * kept(q_at(query * q_width + head * E + e), e);
            }
            workgroupBarrier();
            if used {
                scores = scored(scores, row, lane, 0u);
            }
        }
        var d_weights = mat4x4<f32>();
        for (var four = 0u; four < FOURS; four += DEPTH) {
            workgroupBarrier();
            for (var i = local; i < 256u; i += 64u) {
                let e = (four + i % DEPTH) * 4u;
                let key = key_row(tile, min(start + i / DEPTH, end - 1u));
                put_column(i / DEPTH, i % DEPTH, kept(v_at(key * kv_width + kv_head + e), e));
            }
            for (var i = local; i < LEFT_SIZE; i += 64u) {
                let e = (four + i % DEPTH) * 4u;
                let query = min(tile.query_start + first + i / DEPTH, last);
                left[i] = kept(d_out_at(query * q_width + head * E + e), e);
            }
            workgroupBarrier();
            if used {
                d_weights = scored(d_weights, row, lane, 0u);
            }
        }
        // Scores that a row does not see may be far above its log-sum-exp.
        scores = masked(scores, start + 4u * lane, visible);
        put_weights(row, lane, mat4x4(
            scale * exp(scores[0] - of_row0.x) * (d_weights[0] - of_row0.y),
            scale * exp(scores[1] - of_row1.x) * (d_weights[1] - of_row1.y),
            scale * exp(scores[2] - of_row2.x) * (d_weights[2] - of_row2.y),
            scale * exp(scores[3] - of_row3.x) * (d_weights[3] - of_row3.y),
        ));
        for (var column = 0u; column < COLUMNS && start + column < end; column += AT_ONCE) {
            workgroupBarrier();
            for (var i = local; i < 256u; i += 64u) {
                let e = i % WIDTH * 4u;
                let key = key_row(tile, min(start + column + i / WIDTH, end - 1u));
                right[i] = kept(k_at(key * kv_width + kv_head + e), e);
            }
            workgroupBarrier();
            if used {
                total = weighed(total, row, lane, column);
            }
        }
    }

    store(query, last, head, lane, total.near[0], total.far[0]);
    store(query + 1u, last, head, lane, total.near[1], total.far[1]);
    store(query + 2u, last, head, lane, total.near[2], total.far[2]);
    store(query + 3u, last, head, lane, total.near[3], total.far[3]);
}

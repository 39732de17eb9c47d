// Causal grouped-query attention, a workgroup per tile of queries and query head: blocks of keys, then of values, pass
// through workgroup memory, under a running maximum and sum (arXiv 2205.14135).
// Needs files of lib/ in front of it: scores.wgsl, queries.wgsl, and a width's of q, k and v.

struct Parameters {
    tiles: u32,
    query_heads: u32,
    key_value_heads: u32,
}

@group(0) @binding(3) var<storage, read> tiles: array<Tile>;         // [tiles]
@group(0) @binding(4) var<storage, read_write> out: array<f32>;      // [T, H * E]
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;      // [T, H]
@group(0) @binding(6) var<uniform> parameters: Parameters;

// The left matrix, the queries, stays.
override LEFT_STRIDE: u32 = (FOURS + DEPTH - 1u) / DEPTH * DEPTH;

fn each_by(rows: mat4x4<f32>, factors: vec4<f32>) -> mat4x4<f32> {
    return mat4x4(rows[0] * factors.x, rows[1] * factors.y, rows[2] * factors.z, rows[3] * factors.w);
}

fn exp_of(rows: mat4x4<f32>, minus: vec4<f32>) -> mat4x4<f32> {
    return mat4x4(exp(rows[0] - minus.x), exp(rows[1] - minus.y), exp(rows[2] - minus.z), exp(rows[3] - minus.w));
}

fn put_four(at: u32, column: u32, values: vec4<f32>) {
    for (var i = 0u; i < 4u && column + i < E; i++) {
        out[at + column + i] = values[i];
    }
}

// A lane's eight columns of one query of the tile, and from the first lane the log-sum-exp.
fn store(query: u32, last: u32, head: u32, lane: u32, near: vec4<f32>, far: vec4<f32>, log_sum: f32) {
    if query <= last {
        let at = query * parameters.query_heads + head;
        put_four(at * E, 4u * lane, near);
        put_four(at * E, 4u * (LANES + lane), far);
        if lane == 0u {
            lse[at] = log_sum;
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
    let visible = tile.visible + first + row;

    let last = tile.query_start + tile.len - 1u;
    let scale = inverseSqrt(f32(E));
    for (var i = local; i < LEFT_SIZE; i += 64u) {
        let e = i % LEFT_STRIDE * 4u;
        let query = min(tile.query_start + first + i / LEFT_STRIDE, last);
        left[i] = scale * kept(q_at(query * q_width + head * E + e), e);
    }

    // Of the four rows; the sum is of a lane's own columns until the end.
    var maximum = vec4(LOWEST);
    var sum = vec4(0.0);
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
            workgroupBarrier();
            if used {
                scores = scored(scores, row, lane, four);
            }
        }
        scores = masked(scores, start + 4u * lane, visible);
        workgroupBarrier();
        let by_column = transpose(scores);
        right[local] = max(max(by_column[0], by_column[1]), max(by_column[2], by_column[3]));
        workgroupBarrier();
        let before = maximum;
        for (var i = 0u; i < LANES; i++) {
            maximum = max(maximum, right[local - lane + i]);
        }
        let shrink = exp(before - maximum);
        let rows = exp_of(scores, maximum);
        put_weights(row, lane, rows);
        sum = sum * shrink + vec4(1.0) * rows;
        total = Sums(each_by(total.near, shrink), each_by(total.far, shrink));
        for (var column = 0u; column < COLUMNS && start + column < end; column += AT_ONCE) {
            workgroupBarrier();
            for (var i = local; i < 256u; i += 64u) {
                let e = i % WIDTH * 4u;
                let key = key_row(tile, min(start + column + i / WIDTH, end - 1u));
                right[i] = kept(v_at(key * kv_width + kv_head + e), e);
            }
            workgroupBarrier();
            if used {
                total = weighed(total, row, lane, column);
            }
        }
    }

    workgroupBarrier();
    right[local] = sum;
    workgroupBarrier();
    sum = vec4(0.0);
    for (var i = 0u; i < LANES; i++) {
        sum += right[local - lane + i];
    }
    let near = each_by(total.near, 1.0 / sum);
    let far = each_by(total.far, 1.0 / sum);
    let log_sum = maximum + log(sum);
    let query = tile.query_start + first + row;
    store(query, last, head, lane, near[0], far[0], log_sum.x);
    store(query + 1u, last, head, lane, near[1], far[1], log_sum.y);
    store(query + 2u, last, head, lane, near[2], far[2], log_sum.z);
    store(query + 3u, last, head, lane, near[3], far[3], log_sum.w);
}

// As attention.wgsl, on cooperative matrices, for heads of at most 64 numbers: queries, keys, values and weights are
// rounded to f16. Two subgroups of 32 have 16 queries each, and 64 keys go by at a time; scores and what they weigh pass
// through workgroup memory in f32, a lane's share of them into registers.
// Needs files of lib/ in front of it: fragments, rounded.wgsl, queries.wgsl, and a width's of q, k and v.

struct Parameters {
    tiles: u32,
    query_heads: u32,
    key_value_heads: u32,
}

@group(0) @binding(3) var<storage, read> tiles: array<Tile>;         // [tiles]
@group(0) @binding(4) var<storage, read_write> out: array<f32>;      // [T, H * E]
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;      // [T, H]
@group(0) @binding(6) var<uniform> parameters: Parameters;

// Width of a head, at most 64.
override E: u32 = 64u;
const KEYS = 64u;
// A row of 64 numbers, with 8 more against bank conflicts.
const STRIDE = 72u;
// The left tile: 32 queries, then their weights. The right one: 64 keys, then values.
const TILE_SIZE = 4608u;
const WEIGHTS = 2304u;

// 16 x 64 numbers of each subgroup, by blocks of 16 x 16.
var<workgroup> blocks: array<f32, 2048>;
// Of a lane's two rows: the maximum of its scores, or their sum.
var<workgroup> partial: array<vec2<f32>, 64>;

// What a lane has of its subgroup's 16 x 64 numbers: columns 4 * (lane % 4) to 4 * (lane % 4) + 3 of each of the four
// blocks, in row lane / 4 and in row 8 + lane / 4.
struct Share {
    upper: mat4x4<f32>,
    lower: mat4x4<f32>,
}

fn four_of_blocks(at: u32) -> vec4<f32> {
    return vec4(blocks[at], blocks[at + 1u], blocks[at + 2u], blocks[at + 3u]);
}

fn row_of_blocks(at: u32) -> mat4x4<f32> {
    return mat4x4(
        four_of_blocks(at),
        four_of_blocks(at + 256u),
        four_of_blocks(at + 512u),
        four_of_blocks(at + 768u),
    );
}

fn share(subgroup: u32, lane: u32) -> Share {
    let at = subgroup * 1024u + 4u * lane;
    return Share(row_of_blocks(at), row_of_blocks(at + 128u));
}

// A query's scores for keys from `key` on, four of each 16: the lowest where it does not see a key.
fn seen(scores: mat4x4<f32>, key: u32, visible: u32) -> mat4x4<f32> {
    let keys = vec4(key) + vec4(0u, 1u, 2u, 3u);
    let lowest = vec4(LOWEST);
    return mat4x4(
        select(lowest, scores[0], keys < vec4(visible)),
        select(lowest, scores[1], keys + 16u < vec4(visible)),
        select(lowest, scores[2], keys + 32u < vec4(visible)),
        select(lowest, scores[3], keys + 48u < vec4(visible)),
    );
}

fn greatest(row: mat4x4<f32>) -> f32 {
    let most = max(max(row[0], row[1]), max(row[2], row[3]));
    return max(max(most.x, most.y), max(most.z, most.w));
}

fn sum_of(row: mat4x4<f32>) -> f32 {
    return dot(row[0] + row[1] + row[2] + row[3], vec4(1.0));
}

fn exp_of(row: mat4x4<f32>, minus: f32) -> mat4x4<f32> {
    return mat4x4(exp(row[0] - minus), exp(row[1] - minus), exp(row[2] - minus), exp(row[3] - minus));
}

fn put_weights(at: u32, row: mat4x4<f32>) {
    put_left(at, rounded(row[0]));
    put_left(at + 16u, rounded(row[1]));
    put_left(at + 32u, rounded(row[2]));
    put_left(at + 48u, rounded(row[3]));
}

fn put_four(at: u32, column: u32, values: vec4<f32>) {
    for (var i = 0u; i < 4u && column + i < E; i++) {
        out[at + column + i] = values[i];
    }
}

// A lane's columns of one query of the tile, and from the first lane of a row the log-sum-exp.
fn store(query: u32, last: u32, head: u32, column: u32, row: mat4x4<f32>, log_sum: f32) {
    if query <= last {
        let at = query * parameters.query_heads + head;
        put_four(at * E, column, row[0]);
        put_four(at * E, column + 16u, row[1]);
        put_four(at * E, column + 32u, row[2]);
        put_four(at * E, column + 48u, row[3]);
        if column == 0u {
            lse[at] = log_sum;
        }
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    invocation: Invocation,
) {
    let number = group.x + group.y * groups.x;
    if number >= parameters.tiles {
        return;
    }
    let local = invocation.local;
    let subgroup = subgroup_of(invocation);
    let lane = lane_of(invocation);
    let tile = tiles[number];
    let head = group.z;
    let q_width = parameters.query_heads * E;
    let kv_width = parameters.key_value_heads * E;
    let kv_head = head * parameters.key_value_heads / parameters.query_heads * E;
    // Of the tile: the subgroup's first row, and the upper of the lane's two.
    let first = 16u * subgroup;
    let row = first + lane / 4u;
    let column = 4u * (lane % 4u);
    let visible = tile.visible + row;
    let own = 32u * subgroup + lane;

    let last = tile.query_start + tile.len - 1u;
    let scale = inverseSqrt(f32(E));
    for (var i = local; i < 512u; i += 64u) {
        let e = i % 16u * 4u;
        let query = min(tile.query_start + i / 16u, last);
        put_left(i / 16u * STRIDE + e, rounded(scale * kept(q_at(query * q_width + head * E + e), e)));
    }
    for (var i = local; i < 2048u; i += 64u) {
        blocks[i] = 0.0;
    }
    workgroupBarrier();
    let zeros = get_sums(4u * subgroup);

    // Of both rows; the sum is of a lane's own columns until the end.
    var maximum = vec2(LOWEST);
    var sum = vec2(0.0);
    var total = Share();
    // No query of the tile sees keys beyond these.
    let end = tile.visible + tile.len - 1u;
    for (var start = 0u; start < end; start += KEYS) {
        workgroupBarrier();
        for (var i = local; i < 1024u; i += 64u) {
            let e = i % 16u * 4u;
            let key = key_row(tile, min(start + i / 16u, end - 1u));
            put_right(i / 16u * STRIDE + e, rounded(kept(k_at(key * kv_width + kv_head + e), e)));
        }
        workgroupBarrier();
        var scores0 = zeros;
        var scores1 = zeros;
        var scores2 = zeros;
        var scores3 = zeros;
        for (var e = 0u; e < E; e += 16u) {
            let queries = left_by_rows(first * STRIDE + e, STRIDE);
            let keys0 = right_by_columns(e, STRIDE);
            scores0 = multiply_add(queries, keys0, scores0);
            let keys1 = right_by_columns(16u * STRIDE + e, STRIDE);
            scores1 = multiply_add(queries, keys1, scores1);
            let keys2 = right_by_columns(32u * STRIDE + e, STRIDE);
            scores2 = multiply_add(queries, keys2, scores2);
            let keys3 = right_by_columns(48u * STRIDE + e, STRIDE);
            scores3 = multiply_add(queries, keys3, scores3);
        }
        put_sums(4u * subgroup, scores0);
        put_sums(4u * subgroup + 1u, scores1);
        put_sums(4u * subgroup + 2u, scores2);
        put_sums(4u * subgroup + 3u, scores3);
        workgroupBarrier();

        for (var i = local; i < 1024u; i += 64u) {
            let e = i % 16u * 4u;
            let key = key_row(tile, min(start + i / 16u, end - 1u));
            put_right(i / 16u * STRIDE + e, rounded(kept(v_at(key * kv_width + kv_head + e), e)));
        }
        var scores = share(subgroup, lane);
        scores.upper = seen(scores.upper, start + column, visible);
        scores.lower = seen(scores.lower, start + column, visible + 8u);
        partial[own] = vec2(greatest(scores.upper), greatest(scores.lower));
        workgroupBarrier();
        let before = maximum;
        for (var i = 0u; i < 4u; i++) {
            maximum = max(maximum, partial[own - lane % 4u + i]);
        }
        let upper = exp_of(scores.upper, maximum.x);
        let lower = exp_of(scores.lower, maximum.y);
        put_weights(WEIGHTS + row * STRIDE + column, upper);
        put_weights(WEIGHTS + (row + 8u) * STRIDE + column, lower);
        workgroupBarrier();

        var sums0 = zeros;
        var sums1 = zeros;
        var sums2 = zeros;
        var sums3 = zeros;
        for (var key = 0u; key < KEYS; key += 16u) {
            let weights = left_by_rows(WEIGHTS + first * STRIDE + key, STRIDE);
            let values0 = right_by_rows(key * STRIDE, STRIDE);
            sums0 = multiply_add(weights, values0, sums0);
            let values1 = right_by_rows(key * STRIDE + 16u, STRIDE);
            sums1 = multiply_add(weights, values1, sums1);
            let values2 = right_by_rows(key * STRIDE + 32u, STRIDE);
            sums2 = multiply_add(weights, values2, sums2);
            let values3 = right_by_rows(key * STRIDE + 48u, STRIDE);
            sums3 = multiply_add(weights, values3, sums3);
        }
        put_sums(4u * subgroup, sums0);
        put_sums(4u * subgroup + 1u, sums1);
        put_sums(4u * subgroup + 2u, sums2);
        put_sums(4u * subgroup + 3u, sums3);
        workgroupBarrier();
        let more = share(subgroup, lane);
        let shrink = exp(before - maximum);
        sum = sum * shrink + vec2(sum_of(upper), sum_of(lower));
        total = Share(total.upper * shrink.x + more.upper, total.lower * shrink.y + more.lower);
    }

    workgroupBarrier();
    partial[own] = sum;
    workgroupBarrier();
    sum = vec2(0.0);
    for (var i = 0u; i < 4u; i++) {
        sum += partial[own - lane % 4u + i];
    }
    let log_sum = maximum + log(sum);
    let query = tile.query_start + row;
    store(query, last, head, column, total.upper * (1.0 / sum.x), log_sum.x);
    store(query + 8u, last, head, column, total.lower * (1.0 / sum.y), log_sum.y);
}

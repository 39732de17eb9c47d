// What the kernels over tiles of queries share.

// Consecutive queries of one segment: query i sees the first `visible + i` of its keys, which are the prefix's rows, then
// its own.
struct Tile {
    query_start: u32,
    len: u32,
    prefix_start: u32,
    prefix_len: u32,
    own_start: u32,
    visible: u32,
}

const LOWEST = -3.0e38;

fn key_row(tile: Tile, key: u32) -> u32 {
    return select(tile.own_start + key - tile.prefix_len, tile.prefix_start + key, key < tile.prefix_len);
}

// Scores of four queries, the first of which sees `visible` keys, and of four keys from `key` on: the lowest where a
// query does not see a key.
fn masked(scores: mat4x4<f32>, key: u32, visible: u32) -> mat4x4<f32> {
    let keys = vec4(key) + vec4(0u, 1u, 2u, 3u);
    let lowest = vec4(LOWEST);
    return mat4x4(
        select(lowest, scores[0], keys < vec4(visible)),
        select(lowest, scores[1], keys < vec4(visible + 1u)),
        select(lowest, scores[2], keys < vec4(visible + 2u)),
        select(lowest, scores[3], keys < vec4(visible + 3u)),
    );
}

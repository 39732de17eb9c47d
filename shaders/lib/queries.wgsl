// What the kernels over tiles of queries share. Needs E, the width of a head.

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

fn key_row(tile: Tile, key: u32) -> u32 {
    return select(tile.own_start + key - tile.prefix_len, tile.prefix_start + key, key < tile.prefix_len);
}

// Four columns from e on, zeros where they are not of the head. Rows past the last are read as the last: what they
// would hold is masked or not stored.
fn kept(values: vec4<f32>, e: u32) -> vec4<f32> {
    return select(vec4(0.0), values, vec4(e) + vec4(0u, 1u, 2u, 3u) < vec4(E));
}


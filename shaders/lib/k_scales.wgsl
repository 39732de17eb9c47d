// What Q4_K and Q5_K share: the scales of a block, in its words 0 to 3: d and m as f16, then 12 bytes.

fn scale_byte(block: u32, i: u32) -> u32 {
    return (weight[block + 1u + i / 4u] >> (i % 4u * 8u)) & 255u;
}

// The 6-bit scale and minimum of one run of 32, times the block's: for runs 0 to 3 the low six bits of bytes `run` and
// `run + 4`; for runs 4 to 7 four bits of byte `run + 4` and, on top, the two high bits of bytes `run - 4` and `run`.
fn scale_and_minimum(block: u32, run: u32) -> vec2<f32> {
    let dm = unpack2x16float(weight[block]);
    if run < 4u {
        return dm * vec2<f32>(vec2(scale_byte(block, run), scale_byte(block, run + 4u)) & vec2(63u));
    }
    let low = scale_byte(block, run + 4u);
    let high = vec2(scale_byte(block, run - 4u), scale_byte(block, run)) >> vec2(6u);
    return dm * vec2<f32>(vec2(low & 15u, low >> 4u) | (high << vec2(4u)));
}


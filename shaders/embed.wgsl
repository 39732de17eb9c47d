// out[t] = table[ids[t]], four columns an invocation, where the table's rows that are bound hold it. Needs a file of lib/ in front of it: the table is its `weight`.

struct Parameters {
    rows: u32,
    width: u32,
    stride: u32,
    first: u32,                 // rows of the table that are bound
    count: u32,
}

@group(0) @binding(1) var<storage, read> ids: array<u32>;            // [T]
@group(0) @binding(2) var<storage, read_write> out: array<f32>;      // [T, D]
@group(0) @binding(3) var<uniform> parameters: Parameters;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let fours = (parameters.width + 3u) / 4u;
    let at = (group.x + group.y * groups.x) * 256u + local;
    let row = at / fours;
    let column = at % fours * 4u;
    if row >= parameters.rows {
        return;
    }
    let id = ids[row] - parameters.first;
    if id >= parameters.count {
        return;
    }
    let values = weight_at(id, column, parameters.stride);
    for (var i = 0u; i < 4u && column + i < parameters.width; i++) {
        out[row * parameters.width + column + i] = values[i];
    }
}

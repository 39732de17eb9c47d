// d_table[ids[t]] += d_out[t], one workgroup a token: the first with its id adds the rows of all that have it, in the
// order of t, and the others return. So no two workgroups write one row, and every run adds in the same order.

struct Parameters {
    rows: u32,
    width: u32,
    first: u32,                 // rows of the table that are bound
    count: u32,
}

@group(0) @binding(0) var<storage, read> d_out: array<f32>;          // [T, D]
@group(0) @binding(1) var<storage, read> ids: array<u32>;            // [T]
@group(0) @binding(2) var<storage, read_write> d_table: array<f32>;  // [V, D]
@group(0) @binding(3) var<uniform> parameters: Parameters;

var<workgroup> found: atomic<u32>;
// Whether each of 256 consecutive tokens has the id.
var<workgroup> has_id: array<bool, 256>;

// How many of the 256 tokens from `start` on, and before `end`, have the id.
fn count(start: u32, end: u32, id: u32, local: u32) -> u32 {
    workgroupBarrier();
    if local == 0u {
        atomicStore(&found, 0u);
    }
    workgroupBarrier();
    let has = start + local < end && ids[min(start + local, end - 1u)] == id;
    has_id[local] = has;
    if has {
        atomicAdd(&found, 1u);
    }
    return workgroupUniformLoad(&found);
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let token = group.x + group.y * groups.x;
    if token >= parameters.rows {
        return;
    }
    let id = ids[token];
    if id - parameters.first >= parameters.count {
        return;
    }
    for (var start = 0u; start < token; start += 256u) {
        if count(start, token, id, local) > 0u {
            return;
        }
    }
    for (var start = token; start < parameters.rows; start += 256u) {
        if count(start, parameters.rows, id, local) == 0u {
            continue;
        }
        for (var i = 0u; i < 256u; i++) {
            if has_id[i] {
                for (var column = local; column < parameters.width; column += 256u) {
                    d_table[(id - parameters.first) * parameters.width + column] += d_out[(start + i) * parameters.width + column];
                }
            }
        }
    }
}

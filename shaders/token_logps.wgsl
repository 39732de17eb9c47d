// Takes one tile of logits into each token's running maximum, sum and target logit; one workgroup a token. The first
// tile starts them, the last one turns them into log-sum-exp and log-probability (online softmax, arXiv 1805.02867).

struct Parameters {
    rows: u32,
    // Columns of the tile, and its first one in the vocabulary.
    width: u32,
    first: u32,
    vocab: u32,
}

@group(0) @binding(0) var<storage, read> logits: array<f32>;         // [T, width]
@group(0) @binding(1) var<storage, read> targets: array<u32>;        // [T]
@group(0) @binding(2) var<storage, read_write> logps: array<f32>;    // [T], the target's logit until the last tile
@group(0) @binding(3) var<storage, read_write> lse: array<f32>;      // [T], the maximum until the last tile
@group(0) @binding(4) var<storage, read_write> sums: array<f32>;     // [T], of exp(logit - maximum)
@group(0) @binding(5) var<uniform> parameters: Parameters;

const LOWEST = -3.0e38;
var<workgroup> shares: array<f32, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = group.x + group.y * groups.x;
    if row >= parameters.rows {
        return;
    }
    let start = row * parameters.width;
    var highest = LOWEST;
    for (var i = local; i < parameters.width; i += 256u) {
        highest = max(highest, logits[start + i]);
    }
    shares[local] = highest;
    for (var half = 128u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if local < half {
            shares[local] = max(shares[local], shares[local + half]);
        }
    }
    workgroupBarrier();
    highest = shares[0];
    let is_first = parameters.first == 0u;
    if !is_first {
        highest = max(highest, lse[row]);
    }
    // All have read the maxima, old and new, before the next sums and the next maximum take their places.
    workgroupBarrier();

    var sum = 0.0;
    for (var i = local; i < parameters.width; i += 256u) {
        sum += exp(logits[start + i] - highest);
    }
    shares[local] = sum;
    for (var half = 128u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if local < half {
            shares[local] += shares[local + half];
        }
    }
    if local > 0u {
        return;
    }
    sum = shares[0];
    if !is_first {
        sum += sums[row] * exp(lse[row] - highest);
    }
    let target_column = targets[row] - parameters.first;
    var logit = logps[row];
    if targets[row] >= parameters.first && target_column < parameters.width {
        logit = logits[start + target_column];
    }
    if parameters.first + parameters.width < parameters.vocab {
        sums[row] = sum;
        lse[row] = highest;
        logps[row] = logit;
    } else {
        lse[row] = highest + log(sum);
        logps[row] = logit - (highest + log(sum));
    }
}

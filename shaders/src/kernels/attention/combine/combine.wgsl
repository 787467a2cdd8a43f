// Combines the partials of a row's KV splits into the output of attention (flash-decoding, Dao et
// al. 2023). With m the largest `row_max` of the splits s, and w_s = exp(row_max_s - m):
//
//     out = sum_s w_s acc_s / sum_s w_s row_sum_s
//
// The same formula combines the subgroups of a workgroup in `decode/combine.wgsl`, and the
// invocations in `cpu/combine.wgsl`.
//
// Workgroup (x, y) takes head x of token y. Its invocations form SPLIT_GROUPS groups, each of which
// takes every SPLIT_GROUPS-th split. An invocation takes one vec4 of `acc`. Workgroup memory has
// the groups' sums, then the output.
//
// With PAGED (kernel `attention_combine_paged`) tokens are the rows of a batch, and each row says
// which token partials are its own.
#import kernels/shared/step.wgsl
#ifdef PAGED
#import kernels/shared/batch.wgsl
#endif

struct Params {
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
#ifdef PAGED
    token_partials: u32, // that `partials` holds
#else
    splits: u32,
#endif
    block: u32, // block of the Hadamard transform that values were cached with; 1: no transform
    reserved0: u32, reserved1: u32, reserved2: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read> partials: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

#ifdef PAGED
@group(0) @binding(4) var<storage, read> batch_rows: array<BatchRow>;
#else
#import kernels/attention/kv_splits.wgsl
#endif
#import kv/hadamard.wgsl

override SPLIT_GROUPS: u32 = 2;

const GROUP_SIZE = 32u; // invocations of a split group: a vec4 of the longest head each
var<workgroup> group_acc: array<vec4<f32>, GROUP_SIZE * SPLIT_GROUPS>;
// The largest scores, then the sums of weights.
var<workgroup> group_stat: array<f32, GROUP_SIZE * SPLIT_GROUPS>;

@compute @workgroup_size(GROUP_SIZE, SPLIT_GROUPS)
#ifdef PAGED
fn attention_combine_paged(
#else
fn attention_combine(
#endif
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let head = group.x;
    let token = group.y;
    if token >= step_.count {
        return;
    }
    let partial_len = p.head_dim + 2u;
#ifdef PAGED
    let batch_row = batch_rows[token];
    if batch_row.partials == 0u {
        return;
    }
    // Reads no token partial beyond those that the buffer holds.
    let first_partial = min(batch_row.first_partial, p.token_partials - 1u);
    let row = (first_partial * p.heads + head) * partial_len;
    let split_stride = batch_row.partial_stride * p.heads * partial_len;
    let last_split = (p.token_partials - 1u - first_partial) / max(batch_row.partial_stride, 1u);
    let splits = min(batch_row.partials, last_split + 1u);
#else
    let ratio = p.heads / p.kv_heads;
    let rows = step_.count * ratio;
    let row = ((head / ratio) * rows + token * ratio + head % ratio) * partial_len;
    let split_stride = p.kv_heads * rows * partial_len;
    // Bounds that depend on more than uniforms: see matmul's row_groups.
    let splits = min(splits_in_use(p.splits), arrayLength(&partials));
#endif
    let block = min(p.block, arrayLength(&out));
    var row_max = -1e30;
    for (var s = local_index; s < splits; s += GROUP_SIZE * SPLIT_GROUPS) {
        row_max = max(row_max, partials[row + s * split_stride + p.head_dim]);
    }
    group_stat[local_index] = row_max;
    for (var half = GROUP_SIZE * SPLIT_GROUPS / 2u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if local_index < half {
            group_stat[local_index] = max(group_stat[local_index], group_stat[local_index + half]);
        }
    }
    workgroupBarrier();
    row_max = group_stat[0];
    workgroupBarrier();

    let i = local_index % GROUP_SIZE;
    let has_vec4 = i < p.head_dim / 4u;
    var acc = vec4<f32>();
    var row_sum = 0.0;
    if has_vec4 {
        for (var s = local_index / GROUP_SIZE; s < splits; s += SPLIT_GROUPS) {
            let at = row + s * split_stride;
            let weight = exp(partials[at + p.head_dim] - row_max);
            let d = at + 4u * i;
            let split_acc = vec4<f32>(
                partials[d], partials[d + 1u], partials[d + 2u], partials[d + 3u],
            );
            acc = fma(vec4<f32>(weight), split_acc, acc);
            row_sum = fma(weight, partials[at + p.head_dim + 1u], row_sum);
        }
    }
    group_acc[local_index] = acc;
    group_stat[local_index] = row_sum;
    for (var half = SPLIT_GROUPS / 2u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if local_index < half * GROUP_SIZE {
            group_acc[local_index] += group_acc[local_index + half * GROUP_SIZE];
            group_stat[local_index] += group_stat[local_index + half * GROUP_SIZE];
        }
    }
    if local_index < GROUP_SIZE && has_vec4 {
        let mean = group_acc[local_index] / group_stat[local_index];
        vector[4u * local_index] = mean.x;
        vector[4u * local_index + 1u] = mean.y;
        vector[4u * local_index + 2u] = mean.z;
        vector[4u * local_index + 3u] = mean.w;
    }
    workgroupBarrier();
    if block > 1u {
        hadamard(local_index, p.head_dim, block);
    }
    if local_index < p.head_dim / 2u {
        let at = (token * p.heads + head) * p.head_dim + 2u * local_index;
        out[at] = vector[2u * local_index];
        out[at + 1u] = vector[2u * local_index + 1u];
    }
}

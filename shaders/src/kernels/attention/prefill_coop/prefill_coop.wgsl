// Prefill by cooperative matrix: FlashAttention (Dao et al. 2022) on GPUs whose subgroups of 32
// multiply matrices of 16 x 16 f16, with sums in f32 (Vulkan's cooperative matrices).
//
// A workgroup has 128 rows and goes through its slots in tiles of 32. Each of its eight subgroups
// has 16 rows; their queries q0..q7 and sums acc0..acc7 stay in the subgroup's matrices, 16 floats
// of a head in each. Two lanes share a row's scores, 16 slots each. Workgroup memory has the tile's
// keys and values as f16, the weights in place of the keys, and the scores.
//
// Elements of a matrix have no addresses, so anything done to one goes through workgroup memory. To
// rescale `acc` rarely, weights are relative to `reference_max`, which trails `row_max` and moves
// only where weights might leave the range of f16.
//
// naga takes matrices neither in arrays nor through pointers, so the matrices are variables of the
// entry point, and five parts of its body, each a list over them, are in files of their own:
// load_queries, score_keys, rescale_acc, add_values and store_partials.
const ROWS_PER_WORKGROUP = 128u;
const WORKGROUP_SIZE = 256u;
const ROWS_PER_SUBGROUP = 16u;
const SLOTS_PER_TILE = 32u;
const RESCALE_THRESHOLD = 8.0; // weights stay below exp(8) = 2,981

override HEAD_VEC4S: u32 = HEAD_DIM / 4u;
override HEAD_BLOCKS: u32 = HEAD_DIM / 16u; // matrices across a head

// vec4s from one key or value to the next, from one row's weights to the next row's, and from one
// row's scores to the next row's. They avoid bank conflicts between neighbours.
const KV_PITCH = 34u;
const WEIGHT_PITCH = 10u;
const SCORE_PITCH = 9u;

// The tile's keys [slot, vec4], then its weights [row, four slots]. At first, queries.
var<workgroup> keys: array<vec4<f16>, 1280>;
// [slot, vec4]
var<workgroup> values: array<vec4<f16>, SLOTS_PER_TILE * KV_PITCH>;
// The tile's scores [row, four slots], or a matrix of `acc` [row, four floats].
var<workgroup> scores: array<vec4<f32>, ROWS_PER_WORKGROUP * SCORE_PITCH>;
// [subgroup]: 1 where some row's `reference_max` moves.
var<workgroup> needs_rescale: array<u32, 8>;

alias MatrixA = coop_mat16x16<f16, A>;
alias MatrixB = coop_mat16x16<f16, B>;
alias MatrixC = coop_mat16x16<f32, C>;

#import kernels/attention/prefill_coop/load_f16.wgsl
#import kernels/attention/prefill_coop/matrices.wgsl

// naga treats the result of a function with arguments as divergent, and so would reject cooperative
// matrices after the early returns.
@diagnostic(off, derivative_uniformity)
@compute @workgroup_size(WORKGROUP_SIZE)
#ifdef PAGED
fn attention_paged(
#else
fn attention(
#endif
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let ratio = p.heads / p.kv_heads;
    let work = work_of(group);
    let rows = rows_of(work);
    let row0 = first_row_of(group, ROWS_PER_WORKGROUP);
    let kv_head = group.y;
    if row0 >= rows || !has_work(group, work) {
        return;
    }
    let last_row = min(row0 + ROWS_PER_WORKGROUP, rows) - 1u;
    let slots = work_slots(work, last_row);
    let begin = slots.begin;
    let end = slots.end;
    if begin >= end && continues_partials() {
        return;
    }
    let last = max(end, 1u) - 1u;
    let subgroup = local_index / 32u;

    // Which 16 floats of the tile's keys and values this invocation loads. Neighbours have adjacent
    // words: the same block of adjacent keys, and adjacent blocks of a value.
    let key_slot = local_index % 32u;
    let key_block = min(local_index / 32u, HEAD_BLOCKS - 1u);
    let value_slot = local_index / 8u;
    let value_block = min(local_index % 8u, HEAD_BLOCKS - 1u);
    var offset = slot_offset(slots, min(begin, last));
    var next_key = load_key_words(min(begin + key_slot, last) + offset, kv_head, key_block);
    var next_value = load_value_words(min(begin + value_slot, last) + offset, kv_head, value_block);

#import kernels/attention/prefill_coop/load_queries.wgsl

    let row = row0 + subgroup * ROWS_PER_SUBGROUP + local_index % 32u / 2u;
    let half = local_index % 2u; // which 16 slots of the row's
    let visible = min(visible_slots(work, row), end);
    let subgroup_scores = subgroup * ROWS_PER_SUBGROUP * SCORE_PITCH;
    let row_scores = subgroup_scores + local_index % 32u / 2u * SCORE_PITCH;
    // This lane's eight of the row's 16 floats, when `scores` has a matrix of `acc`.
    let lane_acc = row_scores + 2u * half;
    var row_max = MASKED_SCORE;
    // Weights are exp(score - reference_max); row_max - reference_max <= RESCALE_THRESHOLD.
    var reference_max = MASKED_SCORE;
    var row_sum = 0.0; // over this lane's slots
    for (var first = begin; first < end; first += SLOTS_PER_TILE) {
        workgroupBarrier();
        if local_index / 32u < HEAD_BLOCKS {
            let key_index = min(first + key_slot, last) + offset;
            let k = key_f16x16(next_key, key_index, kv_head, key_block);
            let at = key_slot * KV_PITCH + 4u * key_block;
            keys[at] = k.v0;
            keys[at + 1u] = k.v1;
            keys[at + 2u] = k.v2;
            keys[at + 3u] = k.v3;
        }
        if local_index % 8u < HEAD_BLOCKS {
            let value_index = min(first + value_slot, last) + offset;
            let v = value_f16x16(next_value, value_index, kv_head, value_block);
            let at = value_slot * KV_PITCH + 4u * value_block;
            values[at] = v.v0;
            values[at + 1u] = v.v1;
            values[at + 2u] = v.v2;
            values[at + 3u] = v.v3;
        }
        workgroupBarrier();
        let next = first + SLOTS_PER_TILE;
        offset = slot_offset(slots, min(next, last));
        next_key = load_key_words(min(next + key_slot, last) + offset, kv_head, key_block);
        next_value =
            load_value_words(min(next + value_slot, last) + offset, kv_head, value_block);
#import kernels/attention/prefill_coop/score_keys.wgsl
        let at = row_scores + 4u * half;
        let slot = first + 16u * half;
        let scores0 = load_scores(at, slot, visible);
        let scores1 = load_scores(at + 1u, slot + 4u, visible);
        let scores2 = load_scores(at + 2u, slot + 8u, visible);
        let scores3 = load_scores(at + 3u, slot + 12u, visible);
        let lane_max = max4(max(max(scores0, scores1), max(scores2, scores3)));
        let tile_max = max(lane_max, subgroupShuffleXor(lane_max, 1u));
        row_max = max(row_max, tile_max);
#import kernels/attention/prefill_coop/rescale_acc.wgsl
        let weights0 = weights_of(scores0, reference_max);
        let weights1 = weights_of(scores1, reference_max);
        let weights2 = weights_of(scores2, reference_max);
        let weights3 = weights_of(scores3, reference_max);
        row_sum += (sum4(weights0) + sum4(weights1)) + (sum4(weights2) + sum4(weights3));
#import kernels/attention/prefill_coop/add_values.wgsl
    }

#import kernels/attention/prefill_coop/store_partials.wgsl
}

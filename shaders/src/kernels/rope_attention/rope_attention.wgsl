// Attention of one token on GPUs in one dispatch: rotates q and k by the token's position, appends
// k and v to the KV cache, and attends, by the algorithm of `attention/decode` (flash-decoding, Dao
// et al. 2023).
//
// Workgroup (0, y, z) takes all rows of KV head y, four at most, and KV split z. First, subgroups 0
// to 3 prepare the query of one row each, subgroup 4 the key and subgroup 5 the value; a lane has
// one vec4. Then decode's algorithm goes through the positions before the token.
//
// The split of the token's own position also attends to the token's key and value, as they will be
// decoded from the cache, without reading them back.
#import kernels/shared/step.wgsl

struct Params {
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    rotary_dim: u32,    // floats of a head that are rotated
    splits: u32,        // KV splits
    segment_start: u32, // position of the segment's first slot
    segment_len: u32,   // slots in the segment
    k_words: u32,       // words of a cached key
    v_words: u32,       // words of a cached value
    scale: f32,         // of scores
    k_block: u32,       // block of the Hadamard transform of q and k; 1: no transform
    v_block: u32,       // the same of v
    write_output: u32,  // 1: there is one split, so the output is stored instead of partials
    // Always 1. Opaque to the compiler, so loops that step by it are not unrolled.
    one: u32,
    reserved0: u32, reserved1: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
// See rope_append.wgsl.
@group(0) @binding(2) var<storage, read> tables: array<vec2<f32>>;
// [heads + 2 kv_heads, head_dim]
@group(0) @binding(3) var<storage, read> qkv: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> k_cache: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> v_cache: array<u32>;
@group(0) @binding(6) var<storage, read_write> partials: array<f32>;
@group(0) @binding(7) var<storage, read_write> out: array<vec4<f32>>;

override K_PER_WORD: u32 = 2; // floats of a key in a 32-bit word
override V_PER_WORD: u32 = 2; // floats of a value in a 32-bit word
override HEAD_DIM: u32 = 128u;

const MASKED_SCORE = -1e30;

#import kv/kv.wgsl
#import kernels/rope_append/rotation.wgsl
#import kernels/attention/kv_splits.wgsl
#import kernels/attention/slots.wgsl
#import kernels/attention/decode/partials.wgsl

#import kernels/rope_attention/lane_hadamard.wgsl

#import kernels/rope_attention/append.wgsl

@compute @workgroup_size(WORKGROUP_SIZE)
fn rope_attention(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let kv_head = group.y;
    let split = group.z;
    if split >= splits_in_use(p.splits) {
        return;
    }
    // The slots before the token's own.
    let slot = min(step_.position - p.segment_start, p.segment_len - 1u);
    let size = split_size(slot + 1u, p.splits);
    let has_token = split == slot / size;
    let begin = min(split * size, slot);
    let slots = Slots(begin, min(begin + size, slot));
    let prefetched = prefetch_first(slots, kv_head, local_index);

    let rows = p.heads / p.kv_heads;
    let vec4s = HEAD_DIM / 4u;
    let subgroup = local_index / SUBGROUP_SIZE;
    let lane = local_index % SUBGROUP_SIZE;
    let is_value = subgroup > ROWS_PER_WORKGROUP;
    let query = kv_head * rows + min(subgroup, rows - 1u);
    let head = select(
        query,
        p.heads + kv_head + select(0u, p.kv_heads, is_value),
        subgroup >= ROWS_PER_WORKGROUP,
    );
    var lane_vector = vec4<f32>();
    if lane < vec4s {
        lane_vector = qkv[head * vec4s + lane];
        if !is_value {
            let pair = 2u * lane;
            lane_vector = vec4<f32>(
                rotate(lane_vector.xy, step_.position, pair),
                rotate(lane_vector.zw, step_.position, pair + 1u),
            );
        }
    }
    if max(p.k_block, p.v_block) > 1u {
        lane_vector = hadamard(lane_vector, select(p.k_block, p.v_block, is_value), local_index);
    }
    let encoded = encode(lane_vector, select(K_PER_WORD, V_PER_WORD, is_value), lane, local_index);
    let lane_query = lane_vector * p.scale;
    if lane < vec4s && subgroup < ROWS_PER_WORKGROUP {
        store_query(subgroup, lane, lane_query);
    } else if lane < vec4s && subgroup < ROWS_PER_WORKGROUP + 2u {
        store_new_token((subgroup - ROWS_PER_WORKGROUP) * vec4s + lane, encoded.decoded);
    }
    workgroupBarrier();
    let score = subgroup_sum(
        vec4<f32>(select(
            0.0, dot(lane_query, load_new_token(min(lane, vec4s - 1u))), lane < vec4s,
        )),
        local_index,
    ).x;
    if lane == 0u && subgroup < ROWS_PER_WORKGROUP {
        store_new_token(2u * vec4s + subgroup, vec4<f32>(score));
    }
    workgroupBarrier();
    // The first subgroup starts from the token itself, whose weight is 1.
    var initial = identity();
    if has_token && local_index < SUBGROUP_SIZE {
        initial.row_max = vec4<f32>(
            load_new_token(2u * vec4s).x, load_new_token(2u * vec4s + 1u).x,
            load_new_token(2u * vec4s + 2u).x, load_new_token(2u * vec4s + 3u).x,
        );
        if local_index == 0u {
            initial.row_sum = vec4<f32>(1.0);
        }
        if local_index < LANES_PER_VALUE {
            let v = load_new_token(vec4s + lane_vec4(local_index));
            let u = load_new_token(vec4s + lane_vec4(local_index) + 1u);
            initial.acc = Acc8(
                vec4<f32>(v.x), vec4<f32>(v.y), vec4<f32>(v.z), vec4<f32>(v.w),
                vec4<f32>(u.x), vec4<f32>(u.y), vec4<f32>(u.z), vec4<f32>(u.w),
            );
        }
    }
    let result = attend(initial, prefetched, slots, kv_head, local_index);

    // The cache is written after all reads of it.
    if has_token && lane < vec4s && subgroup == ROWS_PER_WORKGROUP {
        for (var i = 0u; i < max(4u / K_PER_WORD, 1u); i++) {
            store_key_word(slot, kv_head, lane * 4u / K_PER_WORD + i, encoded.words[i]);
        }
        let w = scales_word(K_PER_WORD, lane, p.k_words);
        if w < p.k_words {
            store_key_word(slot, kv_head, w, encoded.scales);
        }
    }
    if has_token && lane < vec4s && subgroup == ROWS_PER_WORKGROUP + 1u {
        for (var i = 0u; i < max(4u / V_PER_WORD, 1u); i++) {
            store_value_word(slot, kv_head, lane * 4u / V_PER_WORD + i, encoded.words[i]);
        }
        let w = scales_word(V_PER_WORD, lane, p.v_words);
        if w < p.v_words {
            store_value_word(slot, kv_head, w, encoded.scales);
        }
    }

    if p.write_output == 0u {
        let row = vec4<u32>(0u, 1u, 2u, 3u);
        let first = (split * p.kv_heads + kv_head) * rows;
        let at = (first + min(row, vec4<u32>(rows - 1u))) * (HEAD_DIM + 2u);
        store_partials(at, row < vec4<u32>(rows), result, local_index);
        return;
    }
    // Redistributes the output: each lane gets a vec4 of its subgroup's row.
    workgroupBarrier();
    if local_index < HEAD_DIM {
        store_output(acc_dim(local_index), result.acc / result.row_sum);
    }
    workgroupBarrier();
    var lane_output = vec4<f32>();
    if lane < vec4s && subgroup < ROWS_PER_WORKGROUP {
        let d = 4u * lane;
        lane_output = vec4<f32>(
            load_output(d)[subgroup], load_output(d + 1u)[subgroup],
            load_output(d + 2u)[subgroup], load_output(d + 3u)[subgroup],
        );
    }
    if p.v_block > 1u {
        lane_output = hadamard(lane_output, p.v_block, local_index);
    }
    if lane < vec4s && subgroup < rows {
        out[(kv_head * rows + subgroup) * vec4s + lane] = lane_output;
    }
}

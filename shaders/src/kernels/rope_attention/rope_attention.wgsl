// One token's attention, from the product with its projections on, for GPUs: rotates q and k by
// their position, appends k and v to the KV cache, and attends. A workgroup takes all rows of a KV
// head, four at most, and one of the splits of the positions.
//
// The token's own key and value are seen as they are cached, without being read back. The split
// that they are of sees to them.
#import kernels/shared/step.wgsl

struct Params {
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    rotary_dim: u32, // floats of a head that are rotated
    splits: u32,
    first: u32,      // position that the segment begins with
    len: u32,        // positions in the segment
    k_words: u32,    // of a cached vector
    v_words: u32,
    scale: f32,      // of the scores
    k_block: u32,    // of the Hadamard transform of q and k; 1: none
    v_block: u32,
    finish: u32,     // 1: there is one split, and the result is stored instead of states
    one: u32,      // 1, which no compiler knows
    reserved0: u32, reserved1: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
// See rope_append.wgsl.
@group(0) @binding(2) var<storage, read> tables: array<vec2<f32>>;
// The query heads, then the keys, then the values.
@group(0) @binding(3) var<storage, read> qkv: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> k_cache: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> v_cache: array<u32>;
@group(0) @binding(6) var<storage, read_write> states: array<f32>;
@group(0) @binding(7) var<storage, read_write> y: array<vec4<f32>>;

override K_VALUES: u32 = 2; // floats in a word
override V_VALUES: u32 = 2;
override HEAD_DIM: u32 = 128u;

const NEVER = -1e30; // the score of what may not be seen

#import kv/kv.wgsl
#import kernels/rope_append/rotation.wgsl
#import kernels/attention/splits.wgsl
#import kernels/attention/decode/partials.wgsl

// The orthonormal Walsh-Hadamard transform of consecutive blocks of a vector, of which each
// invocation of a team has a quad.
fn hadamard(own: vec4<f32>, block: u32, lane: u32) -> vec4<f32> {
    let a = vec4<f32>(own.x + own.y, own.x - own.y, own.z + own.w, own.z - own.w);
    var v = vec4<f32>(a.x + a.z, a.y + a.w, a.x - a.z, a.y - a.w);
    // Teams may have blocks of their own, but what they tell each other is in step.
    for (var mask = 1u; mask < max(p.k_block, p.v_block) / 4u; mask <<= 1u) {
        let other = swapped(v, mask, lane);
        if mask < block / 4u {
            v = select(v + other, other - v, (lane & mask) != 0u);
        }
    }
    return select(own, v * inverseSqrt(f32(block)), block > 1u);
}

#import kernels/rope_attention/cached.wgsl

@compute @workgroup_size(LANES)
fn rope_attention(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let kv_head = group.y;
    let split = group.z;
    if split >= splits_in_use(p.splits) {
        return;
    }
    // The positions before the token's own.
    let slot = min(step_.position - p.first, p.len - 1u);
    let share = share_of(slot + 1u, p.splits);
    let is_newest = split == slot / share;
    let begin = min(split * share, slot);
    let end = min(begin + share, slot);
    let ahead = start(begin, end, kv_head, lane);

    // A team for each row, then one for the key, and one for the value.
    let rows = p.heads / p.kv_heads;
    let quads = HEAD_DIM / 4u;
    let team = lane / TEAM;
    let quad = lane % TEAM;
    let is_value = team > ROWS;
    let query = kv_head * rows + min(team, rows - 1u);
    let vector = select(query, p.heads + kv_head + select(0u, p.kv_heads, is_value), team >= ROWS);
    var vector_quad = vec4<f32>();
    if quad < quads {
        vector_quad = qkv[vector * quads + quad];
        if !is_value {
            let pair = 2u * quad;
            vector_quad = vec4<f32>(
                rotated(vector_quad.xy, step_.position, pair), rotated(vector_quad.zw, step_.position, pair + 1u),
            );
        }
    }
    if max(p.k_block, p.v_block) > 1u {
        vector_quad = hadamard(vector_quad, select(p.k_block, p.v_block, is_value), lane);
    }
    let fresh = cached(vector_quad, select(K_VALUES, V_VALUES, is_value), quad, lane);
    let query_quad = vector_quad * p.scale;
    if quad < quads && team < ROWS {
        put_query(team, quad, query_quad);
    } else if quad < quads && team < ROWS + 2u {
        put_own((team - ROWS) * quads + quad, fresh.seen);
    }
    workgroupBarrier();
    let score = total_of(vec4<f32>(select(0.0, dot(query_quad, own(min(quad, quads - 1u))), quad < quads)), lane).x;
    if quad == 0u && team < ROWS {
        put_own(2u * quads + team, vec4<f32>(score));
    }
    workgroupBarrier();
    // The first team of positions has the token's own, of weight 1, to begin with.
    var begun = nothing();
    if is_newest && lane < TEAM {
        begun.peak = vec4<f32>(own(2u * quads).x, own(2u * quads + 1u).x, own(2u * quads + 2u).x, own(2u * quads + 3u).x);
        if lane == 0u {
            begun.total = vec4<f32>(1.0);
        }
        if lane < EIGHTHS {
            let value = own(quads + value_quad(lane));
            let next = own(quads + value_quad(lane) + 1u);
            begun.sums = Sums(
                vec4<f32>(value.x), vec4<f32>(value.y), vec4<f32>(value.z), vec4<f32>(value.w),
                vec4<f32>(next.x), vec4<f32>(next.y), vec4<f32>(next.z), vec4<f32>(next.w),
            );
        }
    }
    let whole = attended(begun, ahead, begin, end, kv_head, lane);

    if is_newest && quad < quads && team == ROWS {
        // What was read of the keys has been read.
        for (var i = 0u; i < max(4u / K_VALUES, 1u); i++) {
            put_key_word(slot, kv_head, quad * 4u / K_VALUES + i, fresh.words[i]);
        }
        let w = scales_word(K_VALUES, quad, p.k_words);
        if w < p.k_words {
            put_key_word(slot, kv_head, w, fresh.scales);
        }
    }
    if is_newest && quad < quads && team == ROWS + 1u {
        for (var i = 0u; i < max(4u / V_VALUES, 1u); i++) {
            put_value_word(slot, kv_head, quad * 4u / V_VALUES + i, fresh.words[i]);
        }
        let w = scales_word(V_VALUES, quad, p.v_words);
        if w < p.v_words {
            put_value_word(slot, kv_head, w, fresh.scales);
        }
    }

    if p.finish == 0u {
        let at = states_at(split, kv_head, rows, 0u);
        put_states(at, vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(rows), whole, lane);
        return;
    }
    // To invocations that have a quad of a row each.
    workgroupBarrier();
    if lane < HEAD_DIM {
        put_result(float_of(lane), whole.sum / whole.total);
    }
    workgroupBarrier();
    var result = vec4<f32>();
    if quad < quads && team < ROWS {
        let at = 4u * quad;
        result = vec4<f32>(result_of(at)[team], result_of(at + 1u)[team], result_of(at + 2u)[team], result_of(at + 3u)[team]);
    }
    if p.v_block > 1u {
        result = hadamard(result, p.v_block, lane);
    }
    if quad < quads && team < rows {
        y[(kv_head * rows + team) * quads + quad] = result;
    }
}

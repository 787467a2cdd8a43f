// Attention of one token, for GPUs with matrix units: how a workgroup of eight subgroups goes through its positions, 128 at a time. For
// scores each subgroup has 16 positions, for sums 16 floats of values.
//
// Queries and weights are two halves each, the second what the first left over, and so two rows of a matrix: 0 to 3, and 4 to 7. Keys and
// values are halves. Sums are multiplied anew as in matrix.wgsl, only where weights would leave the halves' range.
#import attend_cached

const LANES = 256u;
const TEAM = 32u;  // invocations of a subgroup
const WIDTH = 128u;
const LARGER = 8.0;

override QUADS: u32 = HEAD_DIM / 4u;
override PARTS: u32 = HEAD_DIM / 16u;

// Vectors from one key, value or row of queries or weights to the next, and from one row's scores to the next's: none meets its
// neighbours in a bank.
const PITCH = 34u;
const SCORES = 33u;

// Keys [position, quad], then values.
var<workgroup> tile: array<vec4<f16>, WIDTH * PITCH>;
// Queries [row, quad], then weights [row, four positions]. Rows from 8 on are zeros.
var<workgroup> rows_: array<vec4<f16>, 16u * PITCH>;
// [row, four positions], then sums on their way.
var<workgroup> scores: array<vec4<f32>, 16u * SCORES>;
var<workgroup> kept: array<vec4<f32>, 68>;
// Of each row what its sums are to be multiplied by; in the end its largest score, what sums are held against, and total.
var<workgroup> of_rows: array<f32, 4u * ROWS>;

alias Left = coop_mat16x16<f16, A>;
alias Right = coop_mat16x16<f16, B>;
alias Sums = coop_mat16x16<f32, C>;

#import attend_parts

fn swapped(own: vec4<f32>, mask: u32, lane: u32) -> vec4<f32> {
    return subgroupShuffleXor(own, mask);
}

fn total_of(v: vec4<f32>, lane: u32) -> vec4<f32> {
    return subgroupAdd(v);
}

fn float_of(lane: u32) -> u32 {
    return lane;
}

// A vector of a row as two halves.
fn put_both(row: u32, i: u32, v: vec4<f32>) {
    let high = within(v);
    rows_[row * PITCH + i] = high;
    rows_[(row + ROWS) * PITCH + i] = vec4<f16>(v - vec4<f32>(high));
}

fn put_query(row: u32, quad: u32, v: vec4<f32>) {
    put_both(row, quad, v);
}

// See stream.wgsl.
fn put_own(i: u32, v: vec4<f32>) {
    kept[i] = v;
}

fn own(i: u32) -> vec4<f32> {
    return kept[i];
}

fn put_result(i: u32, v: vec4<f32>) {
    scores[i] = v;
}

fn result_of(i: u32) -> vec4<f32> {
    return scores[i];
}

// Of a tile's keys or values, what an invocation brings.
struct Pieces { a: Part, b: Part, c: Part, d: Part }

// Neighbours have the same part of neighbouring keys.
fn key_slot(lane: u32, piece: u32) -> u32 {
    return lane % 32u + 32u * piece;
}

fn key_piece(first: u32, piece: u32, last: u32, kv_head: u32, lane: u32) -> Part {
    return key_part(min(first + key_slot(lane, piece), last), kv_head, min(lane / 32u, PARTS - 1u));
}

fn load_keys(first: u32, last: u32, kv_head: u32, lane: u32) -> Pieces {
    return Pieces(
        key_piece(first, 0u, last, kv_head, lane), key_piece(first, 1u, last, kv_head, lane),
        key_piece(first, 2u, last, kv_head, lane), key_piece(first, 3u, last, kv_head, lane),
    );
}

fn put_sixteen(at: u32, v: Sixteen) {
    tile[at] = v.a;
    tile[at + 1u] = v.b;
    tile[at + 2u] = v.c;
    tile[at + 3u] = v.d;
}

fn put_key(k: Part, first: u32, piece: u32, last: u32, kv_head: u32, lane: u32) {
    let part = lane / 32u;
    let slot = key_slot(lane, piece);
    if part < PARTS {
        put_sixteen(slot * PITCH + 4u * part, key_of(k, min(first + slot, last), kv_head, part));
    }
}

fn put_keys(k: Pieces, first: u32, last: u32, kv_head: u32, lane: u32) {
    put_key(k.a, first, 0u, last, kv_head, lane);
    put_key(k.b, first, 1u, last, kv_head, lane);
    put_key(k.c, first, 2u, last, kv_head, lane);
    put_key(k.d, first, 3u, last, kv_head, lane);
}

// Neighbours have neighbouring parts of a value.
fn value_slot(lane: u32, piece: u32) -> u32 {
    return lane / 8u + 32u * piece;
}

fn value_piece(first: u32, piece: u32, last: u32, kv_head: u32, lane: u32) -> Part {
    return value_part(min(first + value_slot(lane, piece), last), kv_head, min(lane % 8u, PARTS - 1u));
}

fn load_values(first: u32, last: u32, kv_head: u32, lane: u32) -> Pieces {
    return Pieces(
        value_piece(first, 0u, last, kv_head, lane), value_piece(first, 1u, last, kv_head, lane),
        value_piece(first, 2u, last, kv_head, lane), value_piece(first, 3u, last, kv_head, lane),
    );
}

fn put_value(v: Part, first: u32, piece: u32, last: u32, kv_head: u32, lane: u32) {
    let part = lane % 8u;
    let slot = value_slot(lane, piece);
    if part < PARTS {
        put_sixteen(slot * PITCH + 4u * part, value_of(v, min(first + slot, last), kv_head, part));
    }
}

fn put_values(v: Pieces, first: u32, last: u32, kv_head: u32, lane: u32) {
    put_value(v.a, first, 0u, last, kv_head, lane);
    put_value(v.b, first, 1u, last, kv_head, lane);
    put_value(v.c, first, 2u, last, kv_head, lane);
    put_value(v.d, first, 3u, last, kv_head, lane);
}

// What is on its way: the first keys and values.
struct Ahead { keys: Pieces, values: Pieces }

fn start(begin: u32, end: u32, kv_head: u32, lane: u32) -> Ahead {
    let last = max(end, 1u) - 1u;
    return Ahead(load_keys(begin, last, kv_head, lane), load_values(begin, last, kv_head, lane));
}

// 16 floats of the queries.
fn queries(quad: u32) -> Left {
    return coopLoadT<Left>(&rows_[quad], PITCH);
}

// Adds what 16 floats of a head do to scores of 16 positions from `first` on.
fn with_keys(sums: Sums, q: Left, first: u32, quad: u32) -> Sums {
    return coopMultiplyAdd(q, coopLoad<Right>(&tile[first * PITCH + quad], PITCH), sums);
}

// Adds 16 floats of 16 values from `first` on by their weights.
fn with_values(sums: Sums, first: u32, quad: u32) -> Sums {
    return coopMultiplyAdd(coopLoadT<Left>(&rows_[first / 4u], PITCH), coopLoadT<Right>(&tile[first * PITCH + quad], PITCH), sums);
}

fn largest_of(v: vec4<f32>) -> f32 {
    return max(max(v.x, v.y), max(v.z, v.w));
}

fn of_row(i: u32) -> vec4<f32> {
    return vec4<f32>(of_rows[i * ROWS], of_rows[i * ROWS + 1u], of_rows[i * ROWS + 2u], of_rows[i * ROWS + 3u]);
}

// The rows' state after slots `begin` to `end`, which `ahead` has the first of. The queries are there.
// For naga, what depends on a variable differs between invocations.
@diagnostic(off, derivative_uniformity)
fn attended(ahead: Ahead, begin: u32, end: u32, kv_head: u32, lane: u32) -> Whole {
    let subgroup = lane / TEAM;
    let place = lane % TEAM;
    let last = max(end, 1u) - 1u;
    for (var i = lane; i < 8u * PITCH; i += LANES) {
        rows_[8u * PITCH + i] = vec4<f16>();
    }
    workgroupBarrier();
    var q0 = queries(0u);
    var q1 = Left();
    var q2 = Left();
    var q3 = Left();
    var q4 = Left();
    var q5 = Left();
    var q6 = Left();
    var q7 = Left();
    if HEAD_DIM > 16u {
        q1 = queries(4u);
    }
    if HEAD_DIM > 32u {
        q2 = queries(8u);
    }
    if HEAD_DIM > 48u {
        q3 = queries(12u);
    }
    if HEAD_DIM > 64u {
        q4 = queries(16u);
    }
    if HEAD_DIM > 80u {
        q5 = queries(20u);
    }
    if HEAD_DIM > 96u {
        q6 = queries(24u);
    }
    if HEAD_DIM > 112u {
        q7 = queries(28u);
    }

    // Of the row whose scores the subgroup looks at; subgroups 4 to 7 do the same as 0 to 3, for what is left over of weights.
    let row = subgroup % ROWS;
    var top = NEVER;
    var peak = NEVER; // what sums are held against: no less than `top` by more than LARGER
    var total = 0.0;  // this invocation's part of it
    var sums = Sums();
    var keys = ahead.keys;
    var values = ahead.values;
    let quad = 4u * min(subgroup, PARTS - 1u);
    for (var first = begin; first < end; first += WIDTH) {
        workgroupBarrier();
        put_keys(keys, first, last, kv_head, lane);
        workgroupBarrier();
        keys = load_keys(first + WIDTH, last, kv_head, lane);
        var found = Sums();
        let own_first = 16u * subgroup;
        found = with_keys(found, q0, own_first, 0u);
        if HEAD_DIM > 16u {
            found = with_keys(found, q1, own_first, 4u);
        }
        if HEAD_DIM > 32u {
            found = with_keys(found, q2, own_first, 8u);
        }
        if HEAD_DIM > 48u {
            found = with_keys(found, q3, own_first, 12u);
        }
        if HEAD_DIM > 64u {
            found = with_keys(found, q4, own_first, 16u);
        }
        if HEAD_DIM > 80u {
            found = with_keys(found, q5, own_first, 20u);
        }
        if HEAD_DIM > 96u {
            found = with_keys(found, q6, own_first, 24u);
        }
        if HEAD_DIM > 112u {
            found = with_keys(found, q7, own_first, 28u);
        }
        coopStoreT(found, &scores[4u * subgroup], SCORES);
        workgroupBarrier();
        put_values(values, first, last, kv_head, lane);
        values = load_values(first + WIDTH, last, kv_head, lane);
        let slots = vec4<u32>(first + 4u * place) + vec4<u32>(0u, 1u, 2u, 3u);
        let known = slots < vec4<u32>(end);
        let score = select(vec4<f32>(NEVER), scores[row * SCORES + place] + scores[(row + ROWS) * SCORES + place], known);
        top = max(top, subgroupMax(largest_of(score)));
        let before = peak;
        peak = select(peak, top, top > peak + LARGER);
        let rescale = exp(before - peak);
        let weight = select(vec4<f32>(), exp(score - peak), known);
        total = fma(total, rescale, (weight.x + weight.y) + (weight.z + weight.w));
        let high = vec4<f16>(weight);
        rows_[subgroup * PITCH + place] = select(vec4<f16>(weight - vec4<f32>(high)), high, subgroup < ROWS);
        if place == 0u && subgroup < ROWS {
            of_rows[row] = rescale;
        }
        workgroupBarrier();
        if any(of_row(0u) != vec4<f32>(1.0)) && first > begin {
            // The subgroups' sums, [row, four floats], 16 rows of 16.
            let to_ = 64u * subgroup;
            coopStoreT(sums, &scores[to_], 4u);
            workgroupBarrier();
            let pair = to_ + 2u * place;
            let factor = of_rows[place / 2u % ROWS];
            scores[pair] *= factor;
            scores[pair + 1u] *= factor;
            workgroupBarrier();
            sums = coopLoadT<Sums>(&scores[to_], 4u);
        }
        for (var i = 0u; i < WIDTH; i += 16u) {
            sums = with_values(sums, i, quad);
        }
    }

    total = subgroupAdd(total);
    workgroupBarrier();
    if subgroup < PARTS {
        coopStoreT(sums, &scores[4u * subgroup], SCORES);
    }
    if place == 0u && subgroup < ROWS {
        of_rows[ROWS + row] = top;
        of_rows[2u * ROWS + row] = peak;
        of_rows[3u * ROWS + row] = total;
    }
    workgroupBarrier();
    let at = min(lane, HEAD_DIM - 1u) / 4u;
    let c = lane % 4u;
    let sum = vec4<f32>(
        scores[at][c] + scores[4u * SCORES + at][c], scores[SCORES + at][c] + scores[5u * SCORES + at][c],
        scores[2u * SCORES + at][c] + scores[6u * SCORES + at][c], scores[3u * SCORES + at][c] + scores[7u * SCORES + at][c],
    );
    let of_top = exp(of_row(2u) - of_row(1u));
    return Whole(sum * of_top, of_row(1u), of_row(3u) * of_top);
}

// What decode's invocations hold: in workgroup memory, and each for itself.

// Workgroup memory: the queries [vec4, row], then what subgroups exchange, then what rope_attention
// keeps of the new token. At the end the subgroups' `acc`, for heads of up to 128 floats.
var<workgroup> scratch: array<vec4<f32>, 8u * 128u>;
const EXCHANGE = 128u + 4u;
const NEW_TOKEN = EXCHANGE + 2u * WORKGROUP_SIZE;

// The index of row 0 of a vec4 of the queries. Each quarter begins in another bank.
fn query_index(i: u32) -> u32 {
    return i * ROWS_PER_WORKGROUP + i / QUARTER_VEC4S;
}

fn store_query(row: u32, i: u32, v: vec4<f32>) {
    scratch[query_index(i) + row] = v;
}

// 68 vec4s that a kernel may use until it calls `attend`.
fn store_new_token(i: u32, v: vec4<f32>) {
    scratch[NEW_TOKEN + i] = v;
}

fn load_new_token(i: u32) -> vec4<f32> {
    return scratch[NEW_TOKEN + i];
}

// HEAD_DIM vec4s that a kernel may use after `attend`.
fn store_output(i: u32, v: vec4<f32>) {
    scratch[i] = v;
}

fn load_output(i: u32) -> vec4<f32> {
    return scratch[i];
}

// A lane's part of its subgroup's partials of four rows: eight floats of `acc`, the whole
// `row_max`, and a summand of `row_sum`.
struct LanePartial {
    acc: Acc8,
    row_max: vec4<f32>,
    row_sum: vec4<f32>,
}

// Eight adjacent floats of `acc`, each of four rows.
struct Acc8 {
    d0: vec4<f32>, d1: vec4<f32>, d2: vec4<f32>, d3: vec4<f32>,
    d4: vec4<f32>, d5: vec4<f32>, d6: vec4<f32>, d7: vec4<f32>,
}

// The scores of four rows with each of four keys.
struct Scores4 { key0: vec4<f32>, key1: vec4<f32>, key2: vec4<f32>, key3: vec4<f32> }

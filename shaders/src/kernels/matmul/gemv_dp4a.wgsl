// GEMV for GPUs with packed dot products (dp4a): one token, the first of x and out.
//
// Codes of weights are not converted to floats. A workgroup quantises x to integers of 24 bits, as
// fine as an f32's mantissa, and splits each into three signed bytes in workgroup memory; products
// with codes and their sums are then exact.
//
// A row group of ROWS_PER_TILE * K_SPLITS invocations multiplies ROWS_PER_TILE rows of each of two
// tiles, and its invocations share the groups of these rows. Each invocation prefetches weights two
// groups ahead, so that loads only pause while a part of x is quantised.
override ROWS_PER_TILE: u32 = 8; // rows of each tile in a row group
override K_SPLITS: u32 = 4;      // invocations that share a row
override ROW_GROUP_SIZE: u32 = ROWS_PER_TILE * K_SPLITS;

const INVOCATIONS = 256u;
const STAGED_GROUPS = 128u; // groups of x in workgroup memory

// Half a group is 16 floats, which share a scale. Its bytes take three vectors: the lowest, middle
// and highest byte of each integer. At the end the array holds sums.
var<workgroup> x_bytes: array<vec4<u32>, 6u * STAGED_GROUPS>;
// For each half group: the scale of its integers, the sum of its floats, and of x's squares.
var<workgroup> x_scales: array<vec3<f32>, 2u * STAGED_GROUPS>;

// A little less than the largest integer of three signed bytes, 8355711: the division may round up.
const MAX_INTEGER = 8355584.0;
const BYTE_BIAS = vec4<i32>(0x808080);

// The bytes at bit `place` of four words, as a word of signed bytes.
fn gather_bytes(words: vec4<u32>, place: u32) -> u32 {
    let bytes = ((words >> vec4<u32>(place)) & vec4<u32>(255u)) << vec4<u32>(0u, 8u, 16u, 24u);
    return (bytes.x | bytes.y | bytes.z | bytes.w) ^ 0x80808080u;
}

// The integers plus a bias, with which each byte counts from -128.
fn to_integers(v: vec4<f32>, inverse: f32) -> vec4<u32> {
    return bitcast<vec4<u32>>(vec4<i32>(round(v * inverse)) + BYTE_BIAS);
}

// Half a group of x: field `v<i>` has the floats from 4 i on.
struct HalfGroup { v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32> }

// Half group `i` of x, or the last one.
fn load_half_group(i: u32) -> HalfGroup {
    let at = 4u * min(i, 2u * groups_in_row() - 1u);
    return HalfGroup(x[at], x[at + 1u], x[at + 2u], x[at + 3u]);
}

fn largest_magnitude(v: HalfGroup) -> f32 {
    let m = max(max(abs(v.v0), abs(v.v1)), max(abs(v.v2), abs(v.v3)));
    return max(max(m.x, m.y), max(m.z, m.w));
}

// Quantises half group `i` of x into slot `slot` of workgroup memory.
fn stage_half_group(v: HalfGroup, i: u32, slot: u32) {
    var normed = v;
    var squares = 0.0;
    if IS_NORMED {
        squares = horizontal_sum(fma(v.v0, v.v0, v.v1 * v.v1) + fma(v.v2, v.v2, v.v3 * v.v3));
        let at = 4u * i;
        normed = HalfGroup(
            v.v0 * norm[at], v.v1 * norm[at + 1u], v.v2 * norm[at + 2u], v.v3 * norm[at + 3u],
        );
    }
    let scale = max(largest_magnitude(normed), 1e-30) / MAX_INTEGER;
    let inverse = 1.0 / scale;
    let a = to_integers(normed.v0, inverse);
    let b = to_integers(normed.v1, inverse);
    let c = to_integers(normed.v2, inverse);
    let d = to_integers(normed.v3, inverse);
    x_bytes[3u * slot] = vec4<u32>(
        gather_bytes(a, 0u), gather_bytes(b, 0u), gather_bytes(c, 0u), gather_bytes(d, 0u),
    );
    x_bytes[3u * slot + 1u] = vec4<u32>(
        gather_bytes(a, 8u), gather_bytes(b, 8u), gather_bytes(c, 8u), gather_bytes(d, 8u),
    );
    x_bytes[3u * slot + 2u] = vec4<u32>(
        gather_bytes(a, 16u), gather_bytes(b, 16u), gather_bytes(c, 16u), gather_bytes(d, 16u),
    );
    x_scales[slot] = vec3<f32>(
        scale, horizontal_sum((normed.v0 + normed.v1) + (normed.v2 + normed.v3)), squares,
    );
}

fn dot_16_bytes(codes: vec4<u32>, x: vec4<u32>) -> i32 {
    return (dot4I8Packed(codes.x, x.x) + dot4I8Packed(codes.y, x.y))
        + (dot4I8Packed(codes.z, x.z) + dot4I8Packed(codes.w, x.w));
}

// A half group of x in workgroup memory.
struct StagedHalfGroup {
    low: vec4<u32>, middle: vec4<u32>, high: vec4<u32>,
    scale: f32, sum: f32, squares: f32,
}

fn staged_half_group(slot: u32) -> StagedHalfGroup {
    let scales = x_scales[slot];
    return StagedHalfGroup(
        x_bytes[3u * slot], x_bytes[3u * slot + 1u], x_bytes[3u * slot + 2u],
        scales.x, scales.y, scales.z,
    );
}

// 16 codes times half a group of x.
fn dot_half_group(codes: vec4<u32>, x: StagedHalfGroup) -> f32 {
    let high = f32(dot_16_bytes(codes, x.high) * 256 + dot_16_bytes(codes, x.middle));
    return fma(high, 256.0, f32(dot_16_bytes(codes, x.low))) * x.scale;
}

fn dot_coded_group(w: CodedGroup, first: StagedHalfGroup, second: StagedHalfGroup) -> f32 {
    let codes = vec2<f32>(
        dot_half_group(w.codes.first, first), dot_half_group(w.codes.second, second),
    );
    return dot(codes, w.scale) + dot(vec2<f32>(first.sum, second.sum), w.shift);
}

// The same group of the invocation's two rows.
struct RowPair { first: PackedGroup, second: PackedGroup }

fn load_row_pair(bases: vec2<u32>, g: u32) -> RowPair {
    let within = min(g, groups_in_row() - 1u);
    return RowPair(load_packed(bases.x, within), load_packed(bases.y, within));
}

// Both rows' group `g` times the group of x in slot `slot`, and the sum of that group's squares.
fn dot_row_pair(w: RowPair, g: u32, slot: u32) -> vec3<f32> {
    let a = staged_half_group(2u * slot);
    let b = staged_half_group(2u * slot + 1u);
    return vec3<f32>(
        dot_coded_group(unpack_codes(w.first, g), a, b),
        dot_coded_group(unpack_codes(w.second, g), a, b),
        a.squares + b.squares,
    );
}

@compute @workgroup_size(INVOCATIONS)
fn matmul(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let row_group = workgroup_index(workgroup) * (INVOCATIONS / ROW_GROUP_SIZE)
        + local_index / ROW_GROUP_SIZE;
    let tile_pair = row_group / (32u / ROWS_PER_TILE);
    let row = row_group % (32u / ROWS_PER_TILE) * ROWS_PER_TILE + local_index % ROWS_PER_TILE;
    let bases = vec2<u32>(
        tile_row_base(2u * tile_pair, row), tile_row_base(2u * tile_pair + 1u, row),
    );
    var g = local_index % ROW_GROUP_SIZE / ROWS_PER_TILE;
    var w0 = load_row_pair(bases, g);
    var w1 = load_row_pair(bases, g + K_SPLITS);
    var sum = vec3<f32>();
    var next_x = load_half_group(local_index);
    for (var first = 0u; first < groups_in_row(); first += STAGED_GROUPS) {
        workgroupBarrier();
        let half_group = 2u * first + local_index;
        let v = next_x;
        next_x = load_half_group(half_group + INVOCATIONS);
        if half_group < 2u * groups_in_row() {
            stage_half_group(v, half_group, local_index);
        }
        workgroupBarrier();
        let end = min(first + STAGED_GROUPS, groups_in_row());
        for (; g < end; g += K_SPLITS) {
            let w2 = load_row_pair(bases, g + 2u * K_SPLITS);
            sum += dot_row_pair(w0, g, g - first);
            w0 = w1;
            w1 = w2;
        }
    }

    workgroupBarrier();
    x_bytes[local_index] = vec4<u32>(bitcast<vec3<u32>>(sum), 0u);
    workgroupBarrier();
    if local_index % ROW_GROUP_SIZE < ROWS_PER_TILE {
        for (var i = ROWS_PER_TILE; i < ROW_GROUP_SIZE; i += ROWS_PER_TILE) {
            sum += bitcast<vec3<f32>>(x_bytes[local_index + i].xyz);
        }
        if IS_NORMED {
            sum *= norm_scale(sum.z);
        }
        store_pair(0u, 1u, tile_pair, row, sum.x, sum.y);
    }
}

// out[t, first_row + r] = sum over k of W[r, k] x[t, k], stored as the epilogue says.
//
// Rows lie in tiles of 32, whose words are interleaved: neighbouring invocations load neighbouring
// rows of a tile. Each variant's file says how it divides tiles, tokens and columns.
#import kernels/shared/step.wgsl
#import weights/wgsl/group.wgsl

struct Params {
    groups_per_row: u32, // groups of 32 weights
    rows: u32,           // in this shard
    first_row: u32,      // row of out that the shard begins with
    out_width: u32,      // floats from one token's out to the next's
    x_first: u32,        // row of x of the first token
    tokens: u32,         // 0: as many as the step says
    epilogue: u32,       // how the product is stored, as EPILOGUE
    workgroups_x: u32,   // workgroups in the first dispatch dimension
    row_words: u32,      // words in a packed row
    is_normed: u32,      // 1: x is to be normalised, as IS_NORMED
    eps: f32,            // of the norm
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read> weights: array<u32>;
// `weights_vec4` is the same buffer as `weights`, four words at a time.
#ifdef INT64
@group(0) @binding(3) var<storage, read> weights_vec4: array<vec2<u64>>;
@group(0) @binding(4) var<storage, read> x: array<vec2<u64>>;
@group(0) @binding(5) var<storage, read> norm: array<vec2<u64>>;
#else
@group(0) @binding(3) var<storage, read> weights_vec4: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> norm: array<vec4<f32>>;
#endif
@group(0) @binding(6) var<storage, read_write> out: array<f32>;

// Whether the kernel normalises x: it divides x by its root mean square and multiplies it by
// `norm`. Methods for one row of x and for a few do that on the way.
override IS_NORMED: bool = false;

// Shape constants of gemv, gemv_dp4a and few_rows: loops unroll, and addresses do not wait for the
// parameters.
// 0: the parameter counts.
override GROUPS_PER_ROW: u32 = 0u;
override ROWS: u32 = 0u;
override ROW_WORDS: u32 = 0u;
override WORKGROUPS_X: u32 = 0u;

// Index of the workgroup among those for the same tokens.
fn workgroup_index(workgroup: vec3<u32>) -> u32 {
    return workgroup.x + workgroup.y * select(WORKGROUPS_X, p.workgroups_x, WORKGROUPS_X == 0u);
}

fn groups_in_row() -> u32 {
    return select(GROUPS_PER_ROW, p.groups_per_row, GROUPS_PER_ROW == 0u);
}

#import weight_format

// Groups in a row, as a loop bound.
//
// Lavapipe compiles a kernel anew for each value of a uniform that alone bounds a loop or decides a
// branch, and keeps every result. A bound that also depends on a buffer's length avoids that.
fn group_count() -> u32 {
    return min(p.groups_per_row, arrayLength(&weights));
}

fn token_count() -> u32 {
    return min(select(p.tokens, step_.count, p.tokens == 0u), arrayLength(&x));
}

// The first row of the last group of `rows` rows of x. Variants that load whole groups of rows load
// this group in place of any beyond it, and store nothing for those: no row of x beyond the last
// whole group is read.
fn last_row_group(tokens: u32, rows: u32) -> u32 {
    return (tokens - 1u) / rows * rows;
}

// Where row `row` of a tile begins. For a tile beyond the end, it is the row of the last tile.
fn tile_row_base(tile: u32, row: u32) -> u32 {
    let rows = select(ROWS, p.rows, ROWS == 0u);
    let row_words = select(ROW_WORDS, p.row_words, ROW_WORDS == 0u);
    return row_base(min(tile, (rows - 1u) / 32u) * 32u + row, row_words);
}

// Where four rows of a tile begin, 8 apart.
fn tile_row_bases(tile: u32, row: u32) -> vec4<u32> {
    return vec4<u32>(
        tile_row_base(tile, row), tile_row_base(tile, row + 8u),
        tile_row_base(tile, row + 16u), tile_row_base(tile, row + 24u),
    );
}

#ifdef INT64
fn floats_of(v: vec2<u64>) -> vec4<f32> {
    return bitcast<vec4<f32>>(u64_pair_to_words(v));
}
#else
fn floats_of(v: vec4<f32>) -> vec4<f32> {
    return v;
}
#endif

fn x_vec4(at: u32) -> vec4<f32> {
    return floats_of(x[at]);
}

fn norm_vec4(at: u32) -> vec4<f32> {
    return floats_of(norm[at]);
}

// The group of x whose first vector is `at`.
fn load_x(at: u32) -> Group {
    return Group(
        to_float4(x_vec4(at)), to_float4(x_vec4(at + 1u)),
        to_float4(x_vec4(at + 2u)), to_float4(x_vec4(at + 3u)),
        to_float4(x_vec4(at + 4u)), to_float4(x_vec4(at + 5u)),
        to_float4(x_vec4(at + 6u)), to_float4(x_vec4(at + 7u)),
    );
}

#ifdef SUBGROUP_BROADCAST
// A group of which lanes 0 to 7 hold a vector each. A broadcast costs less than a load.
fn broadcast_group(v: vec4<f32>) -> Group {
    return Group(
        subgroupBroadcast(v, 0u), subgroupBroadcast(v, 1u),
        subgroupBroadcast(v, 2u), subgroupBroadcast(v, 3u),
        subgroupBroadcast(v, 4u), subgroupBroadcast(v, 5u),
        subgroupBroadcast(v, 6u), subgroupBroadcast(v, 7u),
    );
}
#endif

// IS_NORMED as a parameter, for variants that are not compiled for each use. See group_count for
// the bound.
fn is_normed() -> bool {
    return min(p.is_normed, arrayLength(&out)) == 1u;
}

// The factor of the norm, given the sum of the squares of x.
fn norm_scale(squares: f32) -> f32 {
    return 1.0 / sqrt(squares / f32(groups_in_row() * 32u) + p.eps);
}

fn horizontal_sum(v: vec4<f32>) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
}

#ifdef F16
#else
#import kernels/matmul/dot.wgsl
#endif
#import kernels/matmul/epilogue.wgsl

#ifdef GEMV
#import kernels/matmul/gemv.wgsl
#endif
#ifdef GEMV_DP4A
#import kernels/matmul/gemv_dp4a.wgsl
#endif
#ifdef CPU_GEMV
#import kernels/matmul/cpu_gemv.wgsl
#endif
#ifdef CPU_GEMM
#import kernels/matmul/cpu_gemm.wgsl
#endif
#ifdef CPU_GEMV_SUBGROUP
#import kernels/matmul/cpu_gemv_subgroup.wgsl
#endif
#ifdef FEW_ROWS
#import kernels/matmul/few_rows.wgsl
#endif
#ifdef CPU_FEW_ROWS
#import kernels/matmul/cpu_few_rows.wgsl
#endif
#ifdef CPU_FEW_ROWS_SUBGROUP
#import kernels/matmul/cpu_few_rows_subgroup.wgsl
#endif
#ifdef GEMM_COOP
#import kernels/matmul/gemm_coop.wgsl
#endif
#ifdef GEMM
#import kernels/matmul/gemm.wgsl
#endif

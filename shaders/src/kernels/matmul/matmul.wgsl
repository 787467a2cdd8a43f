// y[t, first + r] = sum over k of W[r, k] x[t, k], or += it. Or the gate of a feed-forward layer,
// silu(gate) * up with silu(a) = a / (1 + exp(-a)) (Shazeer 2020): of two such rows where tiles of
// 32 rows alternate between the gate's and the other's, or of the product and of what is in y.
//
// A tile's rows are the neighbouring invocations', for that is how their words are interleaved.
// What else is shared out, each variant says.
#import kernels/shared/step.wgsl
#import weights/wgsl/group.wgsl

struct Params {
    groups: u32,   // of 32 weights in a row
    rows: u32,     // in this shard
    first: u32,    // row of y that the shard begins with
    y_width: u32,  // floats from one token's y to the next's
    x_first: u32,  // the first token's row in x
    tokens: u32,   // at most; 0: as many as the step says
    epilogue: u32,      // what becomes of the product, as EPILOGUE
    across: u32,   // workgroups in the first dispatch dimension
    row_words: u32,
    normed: u32,   // 1: NORMED is set, or would be
    eps: f32,      // of the norm
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read> weights: array<u32>;
#ifdef INT64
@group(0) @binding(3) var<storage, read> quads: array<vec2<u64>>; // the same
@group(0) @binding(4) var<storage, read> x: array<vec2<u64>>;
@group(0) @binding(5) var<storage, read> norm: array<vec2<u64>>;
#else
@group(0) @binding(3) var<storage, read> quads: array<vec4<u32>>; // the same
@group(0) @binding(4) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> norm: array<vec4<f32>>;
#endif
@group(0) @binding(6) var<storage, read_write> y: array<f32>;

// Whether x is still to be normalised: by the root of its mean square, and `norm`. Variants for one
// token do it as they go.
override NORMED: bool = false;

// Some variants are compiled for a shape: then loops unroll, and no address waits for parameters.
// 0: it is the parameters'.
override GROUPS: u32 = 0u;
override ROWS: u32 = 0u;
override ROW_WORDS: u32 = 0u;
override ACROSS: u32 = 0u;

// Which of the workgroups this is.
fn unit_of(group: vec3<u32>) -> u32 {
    return group.x + group.y * select(ACROSS, p.across, ACROSS == 0u);
}

fn groups_in_row() -> u32 {
    return select(GROUPS, p.groups, GROUPS == 0u);
}

#import weight_format

// Groups in a row. Lavapipe specialises a kernel to uniforms that alone end a loop or decide a
// branch, and where that changes the code much it compiles anew at every dispatch and keeps it all.
// A bound that is not of uniforms alone is left be.
fn row_groups() -> u32 {
    return min(p.groups, arrayLength(&weights));
}

fn token_count() -> u32 {
    return min(select(p.tokens, step_.count, p.tokens == 0u), arrayLength(&x));
}

// The first row of the last group of `rows` rows of x. Variants that load x by groups of rows load
// this one in place of those beyond the tokens, and store nothing of it: x has whole groups of
// rows, and no row beyond is read.
fn last_row_group(tokens: u32, rows: u32) -> u32 {
    return (tokens - 1u) / rows * rows;
}

// Where row `lane` of a tile begins; a tile beyond the end reads what is last there, and stores
// nothing.
fn base_of(tile: u32, lane: u32) -> u32 {
    let rows = select(ROWS, p.rows, ROWS == 0u);
    let row_words = select(ROW_WORDS, p.row_words, ROW_WORDS == 0u);
    return row_base(min(tile, (rows - 1u) / 32u) * 32u + lane, row_words);
}

// Where four rows of a tile begin, 8 apart.
fn bases_of(tile: u32, lane: u32) -> vec4<u32> {
    return vec4<u32>(base_of(tile, lane), base_of(tile, lane + 8u), base_of(tile, lane + 16u), base_of(tile, lane + 24u));
}

#ifdef INT64
fn floats_of(quad: vec2<u64>) -> vec4<f32> {
    return bitcast<vec4<f32>>(halves_of(quad));
}
#else
fn floats_of(quad: vec4<f32>) -> vec4<f32> {
    return quad;
}
#endif

fn x_quad(at: u32) -> vec4<f32> {
    return floats_of(x[at]);
}

fn norm_quad(at: u32) -> vec4<f32> {
    return floats_of(norm[at]);
}

fn load_x(at: u32) -> Group {
    return Group(
        four(x_quad(at)), four(x_quad(at + 1u)), four(x_quad(at + 2u)), four(x_quad(at + 3u)),
        four(x_quad(at + 4u)), four(x_quad(at + 5u)), four(x_quad(at + 6u)), four(x_quad(at + 7u)),
    );
}

#ifdef SUBGROUP_BROADCAST
// A group, of which each of eight lanes has a quad: a broadcast is cheaper than a load.
fn spread_x(own: vec4<f32>) -> Group {
    return Group(
        subgroupBroadcast(own, 0u), subgroupBroadcast(own, 1u), subgroupBroadcast(own, 2u), subgroupBroadcast(own, 3u),
        subgroupBroadcast(own, 4u), subgroupBroadcast(own, 5u), subgroupBroadcast(own, 6u), subgroupBroadcast(own, 7u),
    );
}
#endif

// NORMED for variants that are not compiled for each use. A bound that is not of uniforms alone:
// see row_groups.
fn is_normed() -> bool {
    return min(p.normed, arrayLength(&y)) == 1u;
}

// What products with a normalised x are multiplied with, once the squares are known.
fn norm_scale(squares: f32) -> f32 {
    return 1.0 / sqrt(squares / f32(groups_in_row() * 32u) + p.eps);
}

fn horizontal(v: vec4<f32>) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
}

#ifdef F16
#else
// The sums of a group's halves, by which shifts are multiplied.
fn sums_of(v: Group) -> vec2<f32> {
    return vec2<f32>(horizontal((v.a + v.b) + (v.c + v.d)), horizontal((v.e + v.f) + (v.g + v.h)));
}

fn dot_stored(w: Stored, v: Group, sums: vec2<f32>) -> f32 {
    let low = fma(w.q.d, v.d, fma(w.q.c, v.c, fma(w.q.b, v.b, w.q.a * v.a)));
    let high = fma(w.q.h, v.h, fma(w.q.g, v.g, fma(w.q.f, v.f, w.q.e * v.e)));
    let codes = vec2<f32>(horizontal(low), horizontal(high));
    return dot(codes, w.scale) + dot(sums, w.shift);
}
fn squares_of(v: Group) -> f32 {
    let low = fma(v.d, v.d, fma(v.c, v.c, fma(v.b, v.b, v.a * v.a)));
    return horizontal(low + fma(v.h, v.h, fma(v.g, v.g, fma(v.f, v.f, v.e * v.e))));
}

fn times_norm(v: Group, at: u32) -> Group {
    return Group(
        v.a * norm_quad(at), v.b * norm_quad(at + 1u), v.c * norm_quad(at + 2u), v.d * norm_quad(at + 3u),
        v.e * norm_quad(at + 4u), v.f * norm_quad(at + 5u), v.g * norm_quad(at + 6u), v.h * norm_quad(at + 7u),
    );
}
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
#ifdef GEMM_COOP
#import kernels/matmul/gemm_coop.wgsl
#endif
#ifdef GEMM
#import kernels/matmul/gemm.wgsl
#endif

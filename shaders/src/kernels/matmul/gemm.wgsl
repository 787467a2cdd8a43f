// Many tokens, for GPUs: 128 rows of 128 tokens a workgroup through workgroup memory, eight rows of
// eight tokens an invocation: 16 loads for 256 multiply-adds. A weight is multiplied with a vector
// of tokens, so x is turned over on its way.
//
// Where GPUs compute in halves, two multiply-adds are one instruction. A group's products are added
// up in halves, such sums in f32. They, as x itself, have to stay within 65504. Of tokens there are
// half as many then: sums of both kinds for eight are more than the 128 registers that an
// invocation has on some GPUs.
#ifdef F16
const QUADS = 8u; // vectors of four columns at a time: a group
const PARTS = 1u; // fours of tokens of an invocation
alias Tokens = Four;
alias Sums = vec4<f32>;
#else
const QUADS = 4u; // half a group
const PARTS = 2u;
struct Tokens { a: Four, b: Four }
alias Sums = Tokens;
#endif

// [quad, tile, pair of rows, one of them]: its four columns.
var<workgroup> w_tile: array<array<array<array<Four, 2>, 16>, 4>, QUADS>;
// [quad, column, four tokens]. Which four differs from quad to quad (`place`), for else those who
// bring them met in one bank.
var<workgroup> x_tile: array<array<array<Four, 16u * PARTS>, 4>, QUADS>;

fn place(four: u32, quad: u32) -> u32 {
    return four ^ (quad * PARTS);
}

fn within(v: vec4<f32>) -> Four {
#ifdef F16
    return clamp(vec4<f16>(v), vec4<f16>(-65504.0h), vec4<f16>(65504.0h));
#else
    return v;
#endif
}

fn bring_half(row: u32, quad: u32, a: Four, b: Four, c: Four, d: Four, scale: f32, shift: f32) {
    let s = Four(vec4<f32>(scale));
    let t = Four(vec4<f32>(shift));
    let tile = row / 32u;
    let pair = row / 2u % 16u;
    w_tile[quad][tile][pair][row % 2u] = fma(a, s, t);
    w_tile[quad + 1u][tile][pair][row % 2u] = fma(b, s, t);
    w_tile[quad + 2u][tile][pair][row % 2u] = fma(c, s, t);
    w_tile[quad + 3u][tile][pair][row % 2u] = fma(d, s, t);
}

fn bring_weights(row: u32, w: Stored, first: u32) {
#ifdef F16
    bring_half(row, 0u, w.q.a, w.q.b, w.q.c, w.q.d, w.scale.x, w.shift.x);
    bring_half(row, 4u, w.q.e, w.q.f, w.q.g, w.q.h, w.scale.y, w.shift.y);
#else
    if first == 0u {
        bring_half(row, 0u, w.q.a, w.q.b, w.q.c, w.q.d, w.scale.x, w.shift.x);
    } else {
        bring_half(row, 0u, w.q.e, w.q.f, w.q.g, w.q.h, w.scale.y, w.shift.y);
    }
#endif
}

// Brings a quad of columns of four tokens.
fn bring_tokens(at: u32, stride: u32, quad: u32, four: u32) {
    let t0 = in_order(x[at]);
    let t1 = in_order(x[at + stride]);
    let t2 = in_order(x[at + 2u * stride]);
    let t3 = in_order(x[at + 3u * stride]);
    let to_ = place(four, quad);
    x_tile[quad][0][to_] = within(vec4<f32>(t0.x, t1.x, t2.x, t3.x));
    x_tile[quad][1][to_] = within(vec4<f32>(t0.y, t1.y, t2.y, t3.y));
    x_tile[quad][2][to_] = within(vec4<f32>(t0.z, t1.z, t2.z, t3.z));
    x_tile[quad][3][to_] = within(vec4<f32>(t0.w, t1.w, t2.w, t3.w));
}

// An invocation's tokens, of one column.
fn column(quad: u32, c: u32, at: u32) -> Tokens {
#ifdef F16
    return x_tile[quad][c][at];
#else
    return Tokens(x_tile[quad][c][at], x_tile[quad][c][at + 1u]);
#endif
}

// Adds four columns of a row.
fn columns(sum: Four, w: Four, x0: Four, x1: Four, x2: Four, x3: Four) -> Four {
    return fma(Four(w.w), x3, fma(Four(w.z), x2, fma(Four(w.y), x1, fma(Four(w.x), x0, sum))));
}

fn products(sum: Tokens, w: Four, x0: Tokens, x1: Tokens, x2: Tokens, x3: Tokens) -> Tokens {
#ifdef F16
    return columns(sum, w, x0, x1, x2, x3);
#else
    return Tokens(columns(sum.a, w, x0.a, x1.a, x2.a, x3.a), columns(sum.b, w, x0.b, x1.b, x2.b, x3.b));
#endif
}

// What a group's products are added to, and what then becomes of the sums.
fn begun(sums: Sums) -> Tokens {
#ifdef F16
    return Tokens();
#else
    return sums;
#endif
}

fn ended(sums: Sums, group: Tokens) -> Sums {
#ifdef F16
    return sums + vec4<f32>(group);
#else
    return group;
#endif
}

fn store_four(token: u32, tokens: u32, pair: u32, lane: u32, a: vec4<f32>, b: vec4<f32>) {
    for (var i = 0u; i < 4u; i++) {
        store_pair(token + i, tokens, pair, lane, a[i], b[i]);
    }
}

fn store_tokens(token: u32, tokens: u32, pair: u32, lane: u32, a: Sums, b: Sums) {
#ifdef F16
    store_four(token, tokens, pair, lane, a, b);
#else
    store_four(token, tokens, pair, lane, a.a, b.a);
    store_four(token + 4u, tokens, pair, lane, a.b, b.b);
#endif
}

@compute @workgroup_size(256)
fn matmul(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tokens = token_count();
    let token = group.z * 64u * PARTS;
    if token >= tokens {
        return;
    }
    let unit = unit_of(group);
    // Half of the invocations bring a row of weights each, the others x: four tokens each,
    // neighbours their neighbouring columns.
    let row = lane % 128u;
    let base = base_of(4u * unit + row / 32u, row % 32u);
    let quad = row % QUADS;
    let four = row / QUADS;
    let stride = p.groups * 8u;
    let from_ = (p.x_first + min(token + 4u * four, last_row_group(tokens, 4u))) * stride + quad;
    // Rows 2 `own` and 2 `own` + 1 of each tile, and tokens from `own_four` on, in fours.
    let own = lane % 16u;
    let own_four = lane / 16u * PARTS;
    var s0 = Sums();
    var s1 = Sums();
    var s2 = Sums();
    var s3 = Sums();
    var s4 = Sums();
    var s5 = Sums();
    var s6 = Sums();
    var s7 = Sums();
    let groups = row_groups();
    for (var g = 0u; g < groups; g++) {
        for (var first = 0u; first < 8u; first += QUADS) {
            workgroupBarrier();
            if lane < 128u {
                bring_weights(row, load_stored(base, g), first);
            } else {
                bring_tokens(from_ + g * 8u + first, stride, quad, four);
            }
            workgroupBarrier();
            var r0 = begun(s0);
            var r1 = begun(s1);
            var r2 = begun(s2);
            var r3 = begun(s3);
            var r4 = begun(s4);
            var r5 = begun(s5);
            var r6 = begun(s6);
            var r7 = begun(s7);
            // Not counted from 0: as an index of as many elements, compilers would unroll it, into
            // more registers than there are.
            for (var at_quad = first; at_quad < first + QUADS; at_quad++) {
                let k = at_quad % QUADS;
                let at = place(own_four, k);
                let x0 = column(k, 0u, at);
                let x1 = column(k, 1u, at);
                let x2 = column(k, 2u, at);
                let x3 = column(k, 3u, at);
                r0 = products(r0, w_tile[k][0][own][0], x0, x1, x2, x3);
                r1 = products(r1, w_tile[k][0][own][1], x0, x1, x2, x3);
                r2 = products(r2, w_tile[k][1][own][0], x0, x1, x2, x3);
                r3 = products(r3, w_tile[k][1][own][1], x0, x1, x2, x3);
                r4 = products(r4, w_tile[k][2][own][0], x0, x1, x2, x3);
                r5 = products(r5, w_tile[k][2][own][1], x0, x1, x2, x3);
                r6 = products(r6, w_tile[k][3][own][0], x0, x1, x2, x3);
                r7 = products(r7, w_tile[k][3][own][1], x0, x1, x2, x3);
            }
            s0 = ended(s0, r0);
            s1 = ended(s1, r1);
            s2 = ended(s2, r2);
            s3 = ended(s3, r3);
            s4 = ended(s4, r4);
            s5 = ended(s5, r5);
            s6 = ended(s6, r6);
            s7 = ended(s7, r7);
        }
    }
    let to_ = token + 4u * own_four;
    store_tokens(to_, tokens, 2u * unit, 2u * own, s0, s2);
    store_tokens(to_, tokens, 2u * unit, 2u * own + 1u, s1, s3);
    store_tokens(to_, tokens, 2u * unit + 1u, 2u * own, s4, s6);
    store_tokens(to_, tokens, 2u * unit + 1u, 2u * own + 1u, s5, s7);
}

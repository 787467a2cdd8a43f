// One token, for GPUs with dot products of bytes: weights' codes are not made floats. x is brought
// to workgroup memory as whole numbers of 24 bits, as fine as an f32's own, cut into three signed
// bytes; products and their sums are then exact.
//
// A team of LANES times SPLITS invocations goes through rows of a pair of tiles by itself, LANES of
// each, and its invocations share the rows' groups. So loads never stop, but for x. x and y are the
// first token's.
override LANES: u32 = 8;   // rows of a tile that a team has
override SPLITS: u32 = 4;  // invocations that share a row's groups
override TEAM: u32 = LANES * SPLITS;

const INVOCATIONS = 256u;
const PIECE = 128u; // groups of x that are brought together

// A half is 16 floats, which share a scale. Its bytes: the lowest ones, the middle ones, the
// highest ones. In the end, sums.
var<workgroup> digits: array<vec4<u32>, 6u * PIECE>;
// What a half's whole numbers are multiplied by, the sum of its floats, and that of x's squares.
var<workgroup> halves: array<vec3<f32>, 2u * PIECE>;

// Almost the largest whole number with three signed bytes, 8355711: dividing may round upwards.
const MOST = 8355584.0;
const BIAS = vec4<i32>(0x808080);

// Byte `place` of four words as one word's signed bytes.
fn gathered(words: vec4<u32>, place: u32) -> u32 {
    let bytes = ((words >> vec4<u32>(place)) & vec4<u32>(255u)) << vec4<u32>(0u, 8u, 16u, 24u);
    return (bytes.x | bytes.y | bytes.z | bytes.w) ^ 0x80808080u;
}

// Whole numbers plus what makes their bytes count from -128.
fn whole(v: vec4<f32>, inverse: f32) -> vec4<u32> {
    return bitcast<vec4<u32>>(vec4<i32>(round(v * inverse)) + BIAS);
}

// 16 floats of x.
struct Sixteen { a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32> }

fn load_half(i: u32) -> Sixteen {
    let at = 4u * min(i, 2u * groups_in_row() - 1u);
    return Sixteen(x[at], x[at + 1u], x[at + 2u], x[at + 3u]);
}

fn largest_of(v: Sixteen) -> f32 {
    let m = max(max(abs(v.a), abs(v.b)), max(abs(v.c), abs(v.d)));
    return max(max(m.x, m.y), max(m.z, m.w));
}

// Brings half `i` of x, which is `v`, to place `to_`.
fn bring(v: Sixteen, i: u32, to_: u32) {
    var own = v;
    var squares = 0.0;
    if NORMED {
        squares = horizontal(fma(v.a, v.a, v.b * v.b) + fma(v.c, v.c, v.d * v.d));
        let at = 4u * i;
        own = Sixteen(v.a * norm[at], v.b * norm[at + 1u], v.c * norm[at + 2u], v.d * norm[at + 3u]);
    }
    let scale = max(largest_of(own), 1e-30) / MOST;
    let inverse = 1.0 / scale;
    let a = whole(own.a, inverse);
    let b = whole(own.b, inverse);
    let c = whole(own.c, inverse);
    let d = whole(own.d, inverse);
    digits[3u * to_] = vec4<u32>(gathered(a, 0u), gathered(b, 0u), gathered(c, 0u), gathered(d, 0u));
    digits[3u * to_ + 1u] = vec4<u32>(gathered(a, 8u), gathered(b, 8u), gathered(c, 8u), gathered(d, 8u));
    digits[3u * to_ + 2u] = vec4<u32>(gathered(a, 16u), gathered(b, 16u), gathered(c, 16u), gathered(d, 16u));
    halves[to_] = vec3<f32>(scale, horizontal((own.a + own.b) + (own.c + own.d)), squares);
}

fn dot16(q: vec4<u32>, x: vec4<u32>) -> i32 {
    return (dot4I8Packed(q.x, x.x) + dot4I8Packed(q.y, x.y)) + (dot4I8Packed(q.z, x.z) + dot4I8Packed(q.w, x.w));
}

// A half in workgroup memory.
struct Half { low: vec4<u32>, middle: vec4<u32>, high: vec4<u32>, scale: f32, sum: f32, squares: f32 }

fn half_at(i: u32) -> Half {
    let of_ = halves[i];
    return Half(digits[3u * i], digits[3u * i + 1u], digits[3u * i + 2u], of_.x, of_.y, of_.z);
}

// 16 codes times x.
fn dot_half(q: vec4<u32>, x: Half) -> f32 {
    let high = f32(dot16(q, x.high) * 256 + dot16(q, x.middle));
    return fma(high, 256.0, f32(dot16(q, x.low))) * x.scale;
}

fn dot_coded(w: Coded, a: Half, b: Half) -> f32 {
    let codes = vec2<f32>(dot_half(w.q.a, a), dot_half(w.q.b, b));
    return dot(codes, w.scale) + dot(vec2<f32>(a.sum, b.sum), w.shift);
}

// A group of both rows.
struct Both { a: Packed, b: Packed }

fn load_both(base: vec2<u32>, g: u32) -> Both {
    let known = min(g, groups_in_row() - 1u);
    return Both(load_packed(base.x, known), load_packed(base.y, known));
}

// Group g of both rows times that of x, which is at place `at`, and the sum of its squares.
fn dot_both(w: Both, g: u32, at: u32) -> vec3<f32> {
    let a = half_at(2u * at);
    let b = half_at(2u * at + 1u);
    return vec3<f32>(dot_coded(unpack_codes(w.a, g), a, b), dot_coded(unpack_codes(w.b, g), a, b), a.squares + b.squares);
}

@compute @workgroup_size(INVOCATIONS)
fn matmul(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) own: u32) {
    let unit = unit_of(group) * (INVOCATIONS / TEAM) + own / TEAM;
    let pair = unit / (32u / LANES);
    let lane = unit % (32u / LANES) * LANES + own % LANES;
    let base = vec2<u32>(base_of(2u * pair, lane), base_of(2u * pair + 1u, lane));
    var g = own % TEAM / LANES;
    // Two groups are on their way while one is worked on.
    var w0 = load_both(base, g);
    var w1 = load_both(base, g + SPLITS);
    var sum = vec3<f32>();
    var next = load_half(own);
    for (var first = 0u; first < groups_in_row(); first += PIECE) {
        workgroupBarrier();
        let half = 2u * first + own;
        let v = next;
        next = load_half(half + INVOCATIONS);
        if half < 2u * groups_in_row() {
            bring(v, half, own);
        }
        workgroupBarrier();
        let end = min(first + PIECE, groups_in_row());
        for (; g < end; g += SPLITS) {
            let w2 = load_both(base, g + 2u * SPLITS);
            sum += dot_both(w0, g, g - first);
            w0 = w1;
            w1 = w2;
        }
    }

    workgroupBarrier();
    digits[own] = vec4<u32>(bitcast<vec3<u32>>(sum), 0u);
    workgroupBarrier();
    if own % TEAM < LANES {
        for (var i = LANES; i < TEAM; i += LANES) {
            sum += bitcast<vec3<f32>>(digits[own + i].xyz);
        }
        if NORMED {
            sum *= norm_scale(sum.z);
        }
        store_pair(0u, 1u, pair, lane, sum.x, sum.y);
    }
}

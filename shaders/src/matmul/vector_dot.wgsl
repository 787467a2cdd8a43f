// One token, for GPUs with dot products of bytes: as `vector`, but weights' codes are not made floats. x is brought to workgroup
// memory as whole numbers of 24 bits, as fine as an f32's own, and cut into three signed bytes; products and their sums are then exact.
override LANES: u32 = 8;   // rows of a tile in a workgroup
override SPLITS: u32 = 32; // invocations that share a row's groups

// x is brought piece by piece; a half is 16 floats, which share a scale.
const PIECE = 128u; // groups
// The bytes of a half: lowest ones, middle ones, highest ones. In the end, sums.
var<workgroup> digits: array<vec4<u32>, 6u * PIECE>;
// What a half's whole numbers are multiplied by, and the sum of its floats.
var<workgroup> halves: array<vec2<f32>, 2u * PIECE>;
var<workgroup> squares: array<f32, LANES * SPLITS>;

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

fn peak_of(v: vec4<f32>) -> f32 {
    let a = abs(v);
    return max(max(a.x, a.y), max(a.z, a.w));
}

// Brings half `at` of x to place `to_`; the sum of its squares.
fn bring(at: u32, to_: u32) -> f32 {
    let from_ = p.x_first * p.groups * 8u + at * 4u;
    var a = x[from_];
    var b = x[from_ + 1u];
    var c = x[from_ + 2u];
    var d = x[from_ + 3u];
    var sum = 0.0;
    if NORMED {
        sum = horizontal(fma(a, a, b * b) + fma(c, c, d * d));
        a *= norm[at * 4u];
        b *= norm[at * 4u + 1u];
        c *= norm[at * 4u + 2u];
        d *= norm[at * 4u + 3u];
    }
    let scale = max(max(max(peak_of(a), peak_of(b)), max(peak_of(c), peak_of(d))), 1e-30) / MOST;
    let inverse = 1.0 / scale;
    let i = whole(a, inverse);
    let j = whole(b, inverse);
    let k = whole(c, inverse);
    let l = whole(d, inverse);
    digits[3u * to_] = vec4<u32>(gathered(i, 0u), gathered(j, 0u), gathered(k, 0u), gathered(l, 0u));
    digits[3u * to_ + 1u] = vec4<u32>(gathered(i, 8u), gathered(j, 8u), gathered(k, 8u), gathered(l, 8u));
    digits[3u * to_ + 2u] = vec4<u32>(gathered(i, 16u), gathered(j, 16u), gathered(k, 16u), gathered(l, 16u));
    halves[to_] = vec2<f32>(scale, horizontal((a + b) + (c + d)));
    return sum;
}

fn dot16(q: vec4<u32>, x: vec4<u32>) -> i32 {
    return (dot4I8Packed(q.x, x.x) + dot4I8Packed(q.y, x.y)) + (dot4I8Packed(q.z, x.z) + dot4I8Packed(q.w, x.w));
}

// A half of a group of x.
struct Half { low: vec4<u32>, middle: vec4<u32>, high: vec4<u32>, scale: f32, sum: f32 }

fn half_at(i: u32) -> Half {
    let of_ = halves[i];
    return Half(digits[3u * i], digits[3u * i + 1u], digits[3u * i + 2u], of_.x, of_.y);
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

@compute @workgroup_size(LANES, SPLITS, 1)
fn matmul(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) own: u32,
) {
    let unit = group.x + group.y * p.across;
    let four = unit / (32u / LANES);
    let lane = unit % (32u / LANES) * LANES + local.x;
    let b0 = base_of(4u * four, lane);
    let b1 = base_of(4u * four + 1u, lane);
    let b2 = base_of(4u * four + 2u, lane);
    let b3 = base_of(4u * four + 3u, lane);
    // Loads are on their way together, and while the group before them is worked on.
    let last = p.groups - 1u;
    var g = local.y;
    var w0 = load_packed(b0, min(g, last));
    var w1 = load_packed(b1, min(g, last));
    var w2 = load_packed(b2, min(g, last));
    var w3 = load_packed(b3, min(g, last));
    var sum = vec4<f32>();
    var square = 0.0;
    let groups = row_groups();
    for (var first = 0u; first < groups; first += PIECE) {
        workgroupBarrier();
        for (var i = own; i < min(2u * (groups - first), 2u * PIECE); i += LANES * SPLITS) {
            square += bring(2u * first + i, i);
        }
        workgroupBarrier();
        for (; g < min(groups, first + PIECE); g += SPLITS) {
            let next = min(g + SPLITS, last);
            let n0 = load_packed(b0, next);
            let n1 = load_packed(b1, next);
            let n2 = load_packed(b2, next);
            let n3 = load_packed(b3, next);
            let a = half_at(2u * (g - first));
            let b = half_at(2u * (g - first) + 1u);
            sum += vec4<f32>(
                dot_coded(unpack_codes(w0, g), a, b), dot_coded(unpack_codes(w1, g), a, b),
                dot_coded(unpack_codes(w2, g), a, b), dot_coded(unpack_codes(w3, g), a, b),
            );
            w0 = n0;
            w1 = n1;
            w2 = n2;
            w3 = n3;
        }
    }
    workgroupBarrier();
    digits[own] = bitcast<vec4<u32>>(sum);
    squares[own] = square;
    for (var half = SPLITS / 2u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if local.y < half {
            let other = own + half * LANES;
            digits[own] = bitcast<vec4<u32>>(bitcast<vec4<f32>>(digits[own]) + bitcast<vec4<f32>>(digits[other]));
            squares[own] += squares[other];
        }
    }
    workgroupBarrier();
    if local.y == 0u {
        sum = bitcast<vec4<f32>>(digits[own]);
        if NORMED {
            square = 0.0;
            for (var i = 0u; i < LANES; i++) {
                square += squares[i];
            }
            sum *= norm_scale(square);
        }
        put_pair(0u, token_count(), 2u * four, lane, sum.x, sum.y);
        put_pair(0u, token_count(), 2u * four + 1u, lane, sum.z, sum.w);
    }
}

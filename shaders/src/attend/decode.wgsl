// One token, for GPUs. 32 invocations make a team, of which a workgroup has eight: a team looks at 64 positions at a time, two an
// invocation, then sums their values, eight floats an invocation. Teams go by their own largest scores until the end.
//
// The four rows of a workgroup are the members of vectors.
const ROWS = 4u;
const TEAM = 32u;
const TEAMS = 8u;
const LANES = TEAM * TEAMS; // also positions that a team's two are apart

override HEAD_DIM: u32 = 128u;
override EIGHTS: u32 = HEAD_DIM / 8u;  // invocations that hold a value
override VALUES: u32 = TEAM / EIGHTS;  // values that a team holds at a time

var<workgroup> queries: array<vec4<f32>, HEAD_DIM>; // [quad, row]
var<workgroup> parts: array<vec4<f32>, 2u * LANES>;
var<workgroup> peaks: array<vec4<f32>, TEAMS>;
var<workgroup> totals: array<vec4<f32>, TEAMS>;

#ifdef SUBGROUPS
// A team is a subgroup.
fn largest(v: vec4<f32>, lane: u32) -> vec4<f32> {
    return subgroupMax(v);
}

fn total_of(v: vec4<f32>, lane: u32) -> vec4<f32> {
    return subgroupAdd(v);
}

// Tells a team's other invocations.
fn tell(a: vec4<f32>, b: vec4<f32>, lane: u32) {}

fn told(own: vec4<f32>, from_: u32, lane: u32, second: u32) -> vec4<f32> {
    return subgroupShuffle(own, from_);
}
#else
fn largest(v: vec4<f32>, lane: u32) -> vec4<f32> {
    parts[lane] = v;
    for (var half = TEAM / 2u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if lane % TEAM < half {
            parts[lane] = max(parts[lane], parts[lane + half]);
        }
    }
    workgroupBarrier();
    let all = parts[lane / TEAM * TEAM];
    workgroupBarrier();
    return all;
}

fn total_of(v: vec4<f32>, lane: u32) -> vec4<f32> {
    parts[lane] = v;
    for (var half = TEAM / 2u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if lane % TEAM < half {
            parts[lane] += parts[lane + half];
        }
    }
    workgroupBarrier();
    let all = parts[lane / TEAM * TEAM];
    workgroupBarrier();
    return all;
}

// Tells a team's other invocations.
fn tell(a: vec4<f32>, b: vec4<f32>, lane: u32) {
    workgroupBarrier();
    parts[lane] = a;
    parts[LANES + lane] = b;
    workgroupBarrier();
}

fn told(own: vec4<f32>, from_: u32, lane: u32, second: u32) -> vec4<f32> {
    return parts[second * LANES + lane / TEAM * TEAM + from_];
}
#endif

// The products of the rows' quad i with a piece of a key.
fn dots(i: u32, k: vec4<f32>) -> vec4<f32> {
    let at = i * ROWS;
    return vec4<f32>(dot(queries[at], k), dot(queries[at + 1u], k), dot(queries[at + 2u], k), dot(queries[at + 3u], k));
}

struct Two { a: vec4<f32>, b: vec4<f32> }

// Scores of two keys.
fn scores_at(a: u32, b: u32) -> Two {
    var s = Two();
    // A scale is good for 16 floats at least, and so is a head's length a multiple.
    for (var i = 0u; i < HEAD_DIM / 4u; i += 4u) {
        let a0 = k_quad(a, i);
        let a1 = k_quad(a, i + 1u);
        let a2 = k_quad(a, i + 2u);
        let a3 = k_quad(a, i + 3u);
        let b0 = k_quad(b, i);
        let b1 = k_quad(b, i + 1u);
        let b2 = k_quad(b, i + 2u);
        let b3 = k_quad(b, i + 3u);
        s.a += k_scale(a, i) * ((dots(i, a0) + dots(i + 1u, a1)) + (dots(i + 2u, a2) + dots(i + 3u, a3)));
        s.b += k_scale(b, i) * ((dots(i, b0) + dots(i + 1u, b1)) + (dots(i + 2u, b2) + dots(i + 3u, b3)));
    }
    return s;
}

// Weighted sums of eight floats of values.
struct Sums {
    a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>,
    e: vec4<f32>, f: vec4<f32>, g: vec4<f32>, h: vec4<f32>,
}

fn times(s: Sums, v: vec4<f32>) -> Sums {
    return Sums(s.a * v, s.b * v, s.c * v, s.d * v, s.e * v, s.f * v, s.g * v, s.h * v);
}

fn add_value(s: Sums, w: vec4<f32>, v: vec4<f32>, u: vec4<f32>) -> Sums {
    return Sums(
        fma(w, vec4<f32>(v.x), s.a), fma(w, vec4<f32>(v.y), s.b), fma(w, vec4<f32>(v.z), s.c), fma(w, vec4<f32>(v.w), s.d),
        fma(w, vec4<f32>(u.x), s.e), fma(w, vec4<f32>(u.y), s.f), fma(w, vec4<f32>(u.z), s.g), fma(w, vec4<f32>(u.w), s.h),
    );
}

// Adds a team's values from slot `first` on, below `end`; `own` are this invocation's weights.
fn add_values(sum: Sums, own: vec4<f32>, second: u32, first: u32, end: u32, kv_head: u32, lane: u32) -> Sums {
    let eighth = 2u * (lane % TEAM % EIGHTS);
    let turn = lane % TEAM / EIGHTS;
    let last = end - 1u;
    var s = sum;
    // Four values' loads are on their way together.
    for (var j = 0u; j < TEAM; j += 4u * VALUES) {
        let four = vec4<u32>(j + turn) + vec4<u32>(0u, VALUES, 2u * VALUES, 3u * VALUES);
        let at = (min(vec4<u32>(first) + four, vec4<u32>(last)) * p.kv_heads + kv_head) * p.v_words;
        let v0 = v_quad(at.x, eighth);
        let u0 = v_quad(at.x, eighth + 1u);
        let v1 = v_quad(at.y, eighth);
        let u1 = v_quad(at.y, eighth + 1u);
        let v2 = v_quad(at.z, eighth);
        let u2 = v_quad(at.z, eighth + 1u);
        let v3 = v_quad(at.w, eighth);
        let u3 = v_quad(at.w, eighth + 1u);
        // What is beyond the end has no weight; what is beyond the team is another turn's.
        let from_ = min(four, vec4<u32>(TEAM - 1u));
        let counts = four < vec4<u32>(TEAM);
        s = add_value(s, told(own, from_.x, lane, second) * f32(counts.x), v0, u0);
        s = add_value(s, told(own, from_.y, lane, second) * f32(counts.y), v1, u1);
        s = add_value(s, told(own, from_.z, lane, second) * f32(counts.z), v2, u2);
        s = add_value(s, told(own, from_.w, lane, second) * f32(counts.w), v3, u3);
    }
    return s;
}

// Puts two of eight floats of all teams together, to the rows' states from `at` on.
fn put_sums(a: vec4<f32>, b: vec4<f32>, i: u32, lane: u32, at: vec4<u32>, known: vec4<bool>) {
    workgroupBarrier();
    parts[lane] = a;
    parts[LANES + lane] = b;
    workgroupBarrier();
    if lane < 2u * EIGHTS {
        let second = lane / EIGHTS;
        let own = second * LANES + lane % EIGHTS;
        var all = vec4<f32>();
        for (var team = 0u; team < LANES; team += TEAM) {
            for (var turn = 0u; turn < VALUES; turn++) {
                all += parts[own + team + turn * EIGHTS];
            }
        }
        put_rows(at + vec4<u32>(lane % EIGHTS * 8u + i + second), known, all);
    }
}

fn put_rows(at: vec4<u32>, known: vec4<bool>, v: vec4<f32>) {
    if known.x {
        states[at.x] = v.x;
    }
    if known.y {
        states[at.y] = v.y;
    }
    if known.z {
        states[at.z] = v.z;
    }
    if known.w {
        states[at.w] = v.w;
    }
}

fn rows_at(at: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(states[at.x], states[at.y], states[at.z], states[at.w]);
}

@compute @workgroup_size(LANES)
fn attend(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let rows = p.heads / p.kv_heads;
    let row0 = group.x * ROWS;
    let kv_head = group.y;
    let split = group.z;
    if row0 >= rows || split >= splits_in_use(p.splits) {
        return;
    }
    let length = min(seen_by(0u), p.len);
    let share = share_of(length, p.splits);
    let begin = min(split * share, length);
    let end = min(begin + share, length);
    if begin >= end && p.fresh == 0u {
        return;
    }

    let quads = HEAD_DIM / 4u;
    for (var i = lane; i < ROWS * quads; i += LANES) {
        let head = kv_head * rows + min(row0 + i % ROWS, rows - 1u);
        queries[i] = q[head * quads + i / ROWS] * p.scale;
    }

    let four = vec4<u32>(row0) + vec4<u32>(0u, 1u, 2u, 3u);
    let known = four < vec4<u32>(rows);
    let at = ((split * p.kv_heads + kv_head) * rows + min(four, vec4<u32>(rows - 1u))) * (HEAD_DIM + 2u); // the rows' states
    var s = Sums();
    var peak = vec4<f32>(NEVER);
    var total = vec4<f32>(); // this invocation's part of it
    if p.fresh == 0u && lane < EIGHTS {
        let own = at + vec4<u32>(8u * lane);
        s = Sums(
            rows_at(own), rows_at(own + 1u), rows_at(own + 2u), rows_at(own + 3u),
            rows_at(own + 4u), rows_at(own + 5u), rows_at(own + 6u), rows_at(own + 7u),
        );
    }
    if p.fresh == 0u && lane < TEAM {
        peak = rows_at(at + HEAD_DIM);
        total = select(vec4<f32>(), rows_at(at + HEAD_DIM + 1u), lane == 0u);
    }
    workgroupBarrier();

    let last = end - 1u;
    for (var round = begin; round < end; round += 2u * LANES) {
        let slot = round + lane;
        let two = scores_at(key_base(kv_head, min(slot, last)), key_base(kv_head, min(slot + LANES, last)));
        let a = select(vec4<f32>(NEVER), two.a, slot < end);
        let b = select(vec4<f32>(NEVER), two.b, slot + LANES < end);
        let before = peak;
        peak = max(peak, largest(max(a, b), lane));
        let weight_a = select(vec4<f32>(), exp(a - peak), slot < end);
        let weight_b = select(vec4<f32>(), exp(b - peak), slot + LANES < end);
        let rescale = exp(before - peak);
        total = fma(total, rescale, weight_a + weight_b);
        s = times(s, rescale);
        tell(weight_a, weight_b, lane);
        let first = round + lane / TEAM * TEAM;
        s = add_values(s, weight_a, 0u, first, end, kv_head, lane);
        if round + LANES < end {
            s = add_values(s, weight_b, 1u, first + LANES, end, kv_head, lane);
        }
    }

    total = total_of(total, lane);
    if lane % TEAM == 0u {
        peaks[lane / TEAM] = peak;
        totals[lane / TEAM] = total;
    }
    workgroupBarrier();
    var highest = vec4<f32>(NEVER);
    for (var team = 0u; team < TEAMS; team++) {
        highest = max(highest, peaks[team]);
    }
    s = times(s, exp(peak - highest));
    put_sums(s.a, s.b, 0u, lane, at, known);
    put_sums(s.c, s.d, 2u, lane, at, known);
    put_sums(s.e, s.f, 4u, lane, at, known);
    put_sums(s.g, s.h, 6u, lane, at, known);
    if lane == 0u {
        var sum = vec4<f32>();
        for (var team = 0u; team < TEAMS; team++) {
            sum = fma(totals[team], exp(peaks[team] - highest), sum);
        }
        put_rows(at + HEAD_DIM, known, highest);
        put_rows(at + HEAD_DIM + 1u, known, sum);
    }
}

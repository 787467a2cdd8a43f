// One token, for GPUs. 32 invocations make a team, of which a workgroup has eight: each has its own part of the positions, and goes
// by its own largest scores until the end. A team looks at 32 positions at a time: first a quarter of four keys an invocation, so
// that all of them are on their way at once, then eight floats of every so many values.
//
// The four rows of a workgroup are the members of vectors.
const ROWS = 4u;
const TEAM = 32u;
const TEAMS = 8u;
const LANES = TEAM * TEAMS;

override QUADS: u32 = HEAD_DIM / 16u;  // of a quarter of a key
override EIGHTHS: u32 = HEAD_DIM / 8u; // invocations that hold a value
override VALUES: u32 = TEAM / EIGHTHS; // values that a team holds at a time

// The queries, [quad, row], then what teams tell each other; in the end the teams' states. Heads are of 128 floats at most.
var<workgroup> memory_: array<vec4<f32>, 8u * 128u>;

// Scores of two keys.
struct Two { a: vec4<f32>, b: vec4<f32> }

#import attend_team

// The products of the rows' quad i with pieces of two keys.
fn dots(i: u32, a: vec4<f32>, b: vec4<f32>) -> Two {
    let at = i * ROWS;
    let q0 = memory_[at];
    let q1 = memory_[at + 1u];
    let q2 = memory_[at + 2u];
    let q3 = memory_[at + 3u];
    return Two(
        vec4<f32>(dot(q0, a), dot(q1, a), dot(q2, a), dot(q3, a)), vec4<f32>(dot(q0, b), dot(q1, b), dot(q2, b), dot(q3, b)),
    );
}

fn scaled(base: u32, i: u32, k: vec4<f32>) -> vec4<f32> {
    return k * k_scale(base, i);
}

// What quads `first` on, QUADS of them, of two keys add to their scores.
fn scores_at(a: u32, b: u32, first: u32) -> Two {
    var s = Two();
    // All quads of a quarter have one scale where a scale's floats are a multiple of a quarter's.
    let one_scale = scale_group(HEAD_DIM) % (4u * QUADS) == 0u;
    for (var i = 0u; i < QUADS; i += 4u) {
        // Four quads of each key at a time; a quarter may have fewer.
        let four = vec4<u32>(i) + vec4<u32>(0u, 1u, 2u, 3u);
        let j = first + min(four, vec4<u32>(QUADS - 1u));
        var a0 = k_quad(a, j.x);
        var a1 = k_quad(a, j.y);
        var a2 = k_quad(a, j.z);
        var a3 = k_quad(a, j.w);
        var b0 = k_quad(b, j.x);
        var b1 = k_quad(b, j.y);
        var b2 = k_quad(b, j.z);
        var b3 = k_quad(b, j.w);
        if !one_scale {
            a0 = scaled(a, j.x, a0);
            a1 = scaled(a, j.y, a1);
            a2 = scaled(a, j.z, a2);
            a3 = scaled(a, j.w, a3);
            b0 = scaled(b, j.x, b0);
            b1 = scaled(b, j.y, b1);
            b2 = scaled(b, j.z, b2);
            b3 = scaled(b, j.w, b3);
        }
        let d0 = dots(j.x, a0, b0);
        let d1 = dots(j.y, a1, b1);
        let d2 = dots(j.z, a2, b2);
        let d3 = dots(j.w, a3, b3);
        let counts = vec4<f32>(four < vec4<u32>(QUADS));
        s.a += (d0.a * counts.x + d1.a * counts.y) + (d2.a * counts.z + d3.a * counts.w);
        s.b += (d0.b * counts.x + d1.b * counts.y) + (d2.b * counts.z + d3.b * counts.w);
    }
    if one_scale {
        s.a *= k_scale(a, first);
        s.b *= k_scale(b, first);
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

// Adds a team's `count` values from slot `first` on; `own` is this invocation's weight.
fn add_values(sum: Sums, own: vec4<f32>, first: u32, count: u32, kv_head: u32, lane: u32) -> Sums {
    let quad = 2u * (lane % TEAM % EIGHTHS);
    let turn = lane % TEAM / EIGHTHS;
    let last = first + count - 1u;
    var s = sum;
    // Four values' loads are on their way together.
    for (var j = 0u; j < count; j += 4u * VALUES) {
        let four = vec4<u32>(j + turn) + vec4<u32>(0u, VALUES, 2u * VALUES, 3u * VALUES);
        let at = (min(vec4<u32>(first) + four, vec4<u32>(last)) * p.kv_heads + kv_head) * p.v_words;
        let v0 = v_quad(at.x, quad);
        let u0 = v_quad(at.x, quad + 1u);
        let v1 = v_quad(at.y, quad);
        let u1 = v_quad(at.y, quad + 1u);
        let v2 = v_quad(at.z, quad);
        let u2 = v_quad(at.z, quad + 1u);
        let v3 = v_quad(at.w, quad);
        let u3 = v_quad(at.w, quad + 1u);
        // What is beyond the end has no weight; what is beyond the team is another turn's.
        let from_ = min(four, vec4<u32>(TEAM - 1u));
        let counts = vec4<f32>(four < vec4<u32>(TEAM));
        s = add_value(s, told(own, from_.x, lane) * counts.x, v0, u0);
        s = add_value(s, told(own, from_.y, lane) * counts.y, v1, u1);
        s = add_value(s, told(own, from_.z, lane) * counts.z, v2, u2);
        s = add_value(s, told(own, from_.w, lane) * counts.w, v3, u3);
    }
    return s;
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
        memory_[i] = q[head * quads + i / ROWS] * p.scale;
    }

    let four = vec4<u32>(row0) + vec4<u32>(0u, 1u, 2u, 3u);
    let known = four < vec4<u32>(rows);
    let at = ((split * p.kv_heads + kv_head) * rows + min(four, vec4<u32>(rows - 1u))) * (HEAD_DIM + 2u); // the rows' states
    var s = Sums();
    var peak = vec4<f32>(NEVER);
    var total = vec4<f32>(); // this invocation's part of it
    if p.fresh == 0u && lane < EIGHTHS {
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

    // A team's part is whole groups of eight positions.
    let part = (end - begin + 8u * TEAMS - 1u) / (8u * TEAMS) * 8u;
    let own_begin = begin + lane / TEAM * part;
    let own_end = min(own_begin + part, end);
    let quarter = lane % TEAM / 8u * QUADS;
    for (var done = 0u; done < part; done += TEAM) {
        let first = own_begin + done;
        let keys = min(vec4<u32>(first + lane % 8u) + vec4<u32>(0u, 8u, 16u, 24u), vec4<u32>(end - 1u));
        let low = scores_at(key_base(kv_head, keys.x), key_base(kv_head, keys.y), quarter);
        var high = Two();
        if part - done > 16u {
            high = scores_at(key_base(kv_head, keys.z), key_base(kv_head, keys.w), quarter);
        }
        let is_known = first + lane % TEAM < own_end;
        let scores = select(vec4<f32>(NEVER), gathered(low, high, lane), is_known);
        let before = peak;
        peak = max(peak, largest(scores, lane));
        let weight = select(vec4<f32>(), exp(scores - peak), is_known);
        let rescale = exp(before - peak);
        total = fma(total, rescale, weight);
        s = times(s, rescale);
        tell(weight, lane);
        if first < own_end {
            s = add_values(s, weight, first, min(own_end - first, TEAM), kv_head, lane);
        }
    }

    // Of all teams.
    total = total_of(total, lane);
    let team = lane / TEAM;
    workgroupBarrier();
    if lane % TEAM == 0u {
        memory_[team] = peak;
        memory_[TEAMS + team] = total;
    }
    workgroupBarrier();
    var highest = vec4<f32>(NEVER);
    for (var i = 0u; i < TEAMS; i++) {
        highest = max(highest, memory_[i]);
    }
    total = vec4<f32>();
    for (var i = 0u; i < TEAMS; i++) {
        total = fma(memory_[TEAMS + i], exp(memory_[i] - highest), total);
    }
    s = times(s, exp(peak - highest));
    // Floats `i` of all eighths lie together. One turn after the other adds what it has.
    let own = team * HEAD_DIM + lane % TEAM % EIGHTHS;
    for (var turn = 0u; turn < VALUES; turn++) {
        workgroupBarrier();
        if lane % TEAM / EIGHTHS == turn {
            if turn > 0u {
                s = Sums(
                    s.a + memory_[own], s.b + memory_[own + EIGHTHS], s.c + memory_[own + 2u * EIGHTHS], s.d + memory_[own + 3u * EIGHTHS],
                    s.e + memory_[own + 4u * EIGHTHS], s.f + memory_[own + 5u * EIGHTHS], s.g + memory_[own + 6u * EIGHTHS], s.h + memory_[own + 7u * EIGHTHS],
                );
            }
            memory_[own] = s.a;
            memory_[own + EIGHTHS] = s.b;
            memory_[own + 2u * EIGHTHS] = s.c;
            memory_[own + 3u * EIGHTHS] = s.d;
            memory_[own + 4u * EIGHTHS] = s.e;
            memory_[own + 5u * EIGHTHS] = s.f;
            memory_[own + 6u * EIGHTHS] = s.g;
            memory_[own + 7u * EIGHTHS] = s.h;
        }
    }
    workgroupBarrier();
    if lane < HEAD_DIM {
        var all = vec4<f32>();
        for (var i = 0u; i < TEAMS; i++) {
            all += memory_[i * HEAD_DIM + lane];
        }
        put_rows(at + vec4<u32>(lane % EIGHTHS * 8u + lane / EIGHTHS), known, all);
    }
    if lane == 0u {
        put_rows(at + HEAD_DIM, known, highest);
        put_rows(at + HEAD_DIM + 1u, known, total);
    }
}

// Attention of one token, for GPUs: how a workgroup goes through its positions. 32 invocations make
// a team, of which a workgroup has eight: each has its own part of the positions, and goes by its
// own largest scores until the end. A team looks at 32 positions at a time: first a quarter of four
// keys an invocation, then eight floats of every so many values.
//
// Where AHEAD is set, what comes next is always on its way already. That takes up to twice the
// registers: NVIDIA's GPUs, on which it was measured, have them; Intel's have not, and AMD's have
// half as many subgroups at work then.
//
// The four rows of a workgroup are the members of vectors.
const TEAM = 32u;
const TEAMS = 8u;
const LANES = TEAM * TEAMS;

override QUADS: u32 = HEAD_DIM / 16u;  // of a quarter of a key
override EIGHTHS: u32 = HEAD_DIM / 8u; // invocations that hold a value
override VALUES: u32 = TEAM / EIGHTHS; // values that a team holds at a time

// The queries, [quad, row], then what teams tell each other, then OWN; in the end the teams' sums.
// Heads are of 128 floats at most.
var<workgroup> memory_: array<vec4<f32>, 8u * 128u>;
const TOLD = 128u + 4u;
const OWN = TOLD + 2u * LANES;

// Where row 0 of a quad of the queries is; quarters begin in banks of their own.
fn query_at(quad: u32) -> u32 {
    return quad * ROWS + quad / QUADS;
}

fn put_query(row: u32, quad: u32, v: vec4<f32>) {
    memory_[query_at(quad) + row] = v;
}

// 68 vectors that the kernel may keep until `attended`.
fn put_own(i: u32, v: vec4<f32>) {
    memory_[OWN + i] = v;
}

fn own(i: u32) -> vec4<f32> {
    return memory_[OWN + i];
}

// And HEAD_DIM from then on.
fn put_result(i: u32, v: vec4<f32>) {
    memory_[i] = v;
}

fn result_of(i: u32) -> vec4<f32> {
    return memory_[i];
}

// What is known of the four rows: see attention.wgsl. An invocation has eight of the sums, and a
// part of the total.
struct State {
    sums: Sums,
    peak: vec4<f32>,
    total: vec4<f32>,
}

// Weighted sums of eight floats of values.
struct Sums {
    a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>,
    e: vec4<f32>, f: vec4<f32>, g: vec4<f32>, h: vec4<f32>,
}

// The rows' scores of four keys.
struct Scores { a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32> }

#import kernels/attention/decode/subgroup.wgsl

// Positions of a team where a workgroup has slots `begin` to `end`: as many as it looks at
// together, or several times that.
fn team_len(begin: u32, end: u32) -> u32 {
    return (end - begin + TEAM * TEAMS - 1u) / (TEAM * TEAMS) * TEAM;
}

#import kernels/attention/decode/prefetch.wgsl

// The invocation of a team that has the score of its position i.
fn lane_of(i: u32) -> u32 {
    return i % 4u * 8u + i / 4u;
}

// The base of the four keys of an invocation where its team is at slot `first`.
fn own_keys(first: u32, last: u32, kv_head: u32, lane: u32) -> u32 {
    return keys_base(kv_head, min(first + 4u * (lane % 8u), last));
}

// Sends for the first keys and values of slots `begin` to `end`.
fn start(begin: u32, end: u32, kv_head: u32, lane: u32) -> Ahead {
#ifdef PREFETCH
    let first = begin + lane / TEAM * team_len(begin, end);
    let last = max(end, 1u) - 1u;
    return Ahead(
        load_keys(own_keys(first, last, kv_head, lane), lane % TEAM / 8u * QUADS, 0u),
        load_values(values_base(first, last, kv_head, lane), lane),
    );
#else
    return Ahead();
#endif
}

// What an invocation knows where nobody knows anything.
fn nothing() -> State {
    return State(Sums(), vec4<f32>(NEVER), vec4<f32>());
}

// What a team's invocations know after slots `begin` to `end`.
fn seen(begun: State, first_ahead: Ahead, begin: u32, end: u32, kv_head: u32, lane: u32) -> State {
    let len = team_len(begin, end);
    let own_begin = begin + lane / TEAM * len;
    let own_end = min(own_begin + len, end);
    let last = max(end, 1u) - 1u;
    let quarter = lane % TEAM / 8u * QUADS;
    var s = begun.sums;
    var peak = begun.peak;
    var total = begun.total;
    var keys = first_ahead.keys;
    var values = first_ahead.values;
    for (var done = 0u; goes_on(done, len, own_begin, own_end); done += TEAM) {
        let first = own_begin + done;
        let base = own_keys(first, last, kv_head, lane);
        let scale = scales_at(base, quarter);
        var found = Scores();
        for (var n = 0u; n < QUADS; n += K_VALUES) {
#ifdef PREFETCH
            let words = keys;
            let is_last = n + K_VALUES >= QUADS;
            let next = select(base, own_keys(first + TEAM, last, kv_head, lane), is_last);
            keys = load_keys(next, quarter, select(n + K_VALUES, 0u, is_last));
#else
            let words = load_keys(base, quarter, n);
#endif
            found = with_keys(found, base, quarter, n, words);
        }
        found = Scores(found.a * scale.x, found.b * scale.y, found.c * scale.z, found.d * scale.w);

        let is_known = first + lane % 8u * 4u + lane % TEAM / 8u < own_end;
        let scores = select(vec4<f32>(NEVER), gathered(found, lane), is_known);
        let before = peak;
        peak = max(peak, largest(scores, lane));
        let weight = select(vec4<f32>(), exp(scores - peak), is_known);
        let rescale = exp(before - peak);
        total = fma(total, rescale, weight);
        s = times(s, rescale);
        tell(weight, lane);
        // Positions beyond the part's end have no weight, those beyond the team's 32 are the next
        // turn's.
        let turn = lane % TEAM / EIGHTHS;
        let count = min(own_end - min(first, own_end), TEAM);
        for (var j = 0u; j < count; j += 4u * VALUES) {
            let at = values_base(first + j, last, kv_head, lane);
#ifdef PREFETCH
            let v = values;
            values = load_values(values_base(first + min(j + 4u * VALUES, TEAM), last, kv_head, lane), lane);
#else
            let v = load_values(at, lane);
#endif
            let i = vec4<u32>(j + turn) + vec4<u32>(0u, VALUES, 2u * VALUES, 3u * VALUES);
            let from_ = min(i, vec4<u32>(TEAM - 1u));
            let counts = select(vec4<f32>(i < vec4<u32>(TEAM)), vec4<f32>(1.0), TEAM % (4u * VALUES) == 0u);
            s = with_value(s, told(weight, lane_of(from_.x), lane) * counts.x, at.x, lane, v.a, v.scales.x);
            s = with_value(s, told(weight, lane_of(from_.y), lane) * counts.y, at.y, lane, v.b, v.scales.y);
            s = with_value(s, told(weight, lane_of(from_.z), lane) * counts.z, at.z, lane, v.c, v.scales.z);
            s = with_value(s, told(weight, lane_of(from_.w), lane) * counts.w, at.w, lane, v.d, v.scales.w);
        }
    }
    return State(s, peak, total);
}

#import kernels/attention/decode/combine.wgsl

// The rows' state after slots `begin` to `end`, which `ahead` has the first of, on top of `begun`.
// The queries are there.
fn attended(begun: State, ahead: Ahead, begin: u32, end: u32, kv_head: u32, lane: u32) -> Whole {
    return put_together(seen(begun, ahead, begin, end, kv_head, lane), lane);
}

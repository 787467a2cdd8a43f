// Attention of one token, for GPUs: how a workgroup goes through its positions. 32 invocations make a team, of which a workgroup has
// eight: each has its own part of the positions, and goes by its own largest scores until the end. A team looks at 32 positions
// at a time: first a quarter of four keys an invocation, then eight floats of every so many values. What comes next is always on its
// way already.
//
// The four rows of a workgroup are the members of vectors.
const TEAM = 32u;
const TEAMS = 8u;
const LANES = TEAM * TEAMS;

override QUADS: u32 = HEAD_DIM / 16u;  // of a quarter of a key
override EIGHTHS: u32 = HEAD_DIM / 8u; // invocations that hold a value
override VALUES: u32 = TEAM / EIGHTHS; // values that a team holds at a time

// The queries, [quad, row], then what teams tell each other, then OWN; in the end the teams' sums. Heads are of 128 floats at most.
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

// What is known of the four rows: see attend.wgsl. An invocation has eight of the sums, and a part of the total.
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

#import attend_team

// The positions of a team, slots of the segment: as many as it looks at together, of which those below `end` count.
struct Part { begin: u32, end: u32, len: u32 }

fn part_of(begin: u32, end: u32, lane: u32) -> Part {
    let len = (end - begin + TEAM * TEAMS - 1u) / (TEAM * TEAMS) * TEAM;
    let first = begin + lane / TEAM * len;
    return Part(first, min(first + len, end), len);
}

// Up to four words of each of four keys.
struct Keys { a: vec4<u32>, b: vec4<u32>, c: vec4<u32>, d: vec4<u32> }

// Where the words of four keys begin, eight vectors apart.
fn keys_base(kv_head: u32, slot: u32) -> u32 {
    return (slot / 32u * p.kv_heads + kv_head) * p.k_words * 8u + slot % 32u / 4u;
}

// All floats of a quarter have one scale where a scale's floats are a multiple of a quarter's.
fn has_one_scale() -> bool {
    return scale_group(HEAD_DIM) % (4u * QUADS) == 0u;
}

// The word that has the scale of quad i.
fn scale_words(base: u32, i: u32) -> vec4<u32> {
    return k_cache[base + 8u * (HEAD_DIM / K_VALUES + 4u * i / scale_group(HEAD_DIM) / 2u)];
}

// The scales of a quarter of four keys that begins with quad i, where it has one each.
fn scales_at(base: u32, i: u32) -> vec4<f32> {
    if K_VALUES >= 4u && has_one_scale() {
        return scales_of(scale_words(base, i), i);
    }
    return vec4<f32>(1.0);
}

fn scales_of(words: vec4<u32>, i: u32) -> vec4<f32> {
    let group = 4u * i / scale_group(HEAD_DIM);
    return vec4<f32>(half_of(words.x, group), half_of(words.y, group), half_of(words.z, group), half_of(words.w, group));
}

// Word w of those of the quarter that begins with quad `first`.
fn key_words(base: u32, first: u32, w: u32) -> vec4<u32> {
    let most = (4u * QUADS + K_VALUES - 1u) / K_VALUES - 1u;
    return k_cache[base + 8u * (4u * first / K_VALUES + min(w, most))];
}

// The words of the quarter's quads from `n` on, K_VALUES of them.
fn load_keys(base: u32, first: u32, n: u32) -> Keys {
    let w = 4u * n / K_VALUES;
    return Keys(
        key_words(base, first, w), key_words(base, first, w + 1u), key_words(base, first, w + 2u), key_words(base, first, w + 3u),
    );
}

// A quad of each of four keys.
struct Four { a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32> }

fn four_bytes(w: vec4<u32>) -> Four {
    return Four(bytes_of(w.x), bytes_of(w.y), bytes_of(w.z), bytes_of(w.w));
}

fn four_nibbles(w: vec4<u32>, shift: u32) -> Four {
    return Four(nibbles_of(w.x, shift), nibbles_of(w.y, shift), nibbles_of(w.z, shift), nibbles_of(w.w, shift));
}

fn halves_of(a: u32, b: u32) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(a), unpack2x16float(b));
}

fn four_halves(v: vec4<u32>, w: vec4<u32>) -> Four {
    return Four(halves_of(v.x, w.x), halves_of(v.y, w.y), halves_of(v.z, w.z), halves_of(v.w, w.w));
}

fn four_floats(s: vec4<u32>, t: vec4<u32>, u: vec4<u32>, v: vec4<u32>) -> Four {
    return Four(
        bitcast<vec4<f32>>(vec4<u32>(s.x, t.x, u.x, v.x)), bitcast<vec4<f32>>(vec4<u32>(s.y, t.y, u.y, v.y)),
        bitcast<vec4<f32>>(vec4<u32>(s.z, t.z, u.z, v.z)), bitcast<vec4<f32>>(vec4<u32>(s.w, t.w, u.w, v.w)),
    );
}

// `s` and the products of the rows' quads with a key's.
fn with_products(s: vec4<f32>, q0: vec4<f32>, q1: vec4<f32>, q2: vec4<f32>, q3: vec4<f32>, k: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(
        fma(q0.w, k.w, fma(q0.z, k.z, fma(q0.y, k.y, fma(q0.x, k.x, s.x)))),
        fma(q1.w, k.w, fma(q1.z, k.z, fma(q1.y, k.y, fma(q1.x, k.x, s.y)))),
        fma(q2.w, k.w, fma(q2.z, k.z, fma(q2.y, k.y, fma(q2.x, k.x, s.z)))),
        fma(q3.w, k.w, fma(q3.z, k.z, fma(q3.y, k.y, fma(q3.x, k.x, s.w)))),
    );
}

// Adds what quad `n` of a quarter, whose first is `first`, does to the scores of four keys.
fn with_quad(s: Scores, base: u32, first: u32, n: u32, k: Four) -> Scores {
    if n >= QUADS {
        return s;
    }
    let at = first * ROWS + first / QUADS + n * ROWS;
    let q0 = memory_[at];
    let q1 = memory_[at + 1u];
    let q2 = memory_[at + 2u];
    let q3 = memory_[at + 3u];
    var own = k;
    if K_VALUES >= 4u && !has_one_scale() {
        let scale = scales_of(scale_words(base, first + n), first + n);
        own = Four(k.a * scale.x, k.b * scale.y, k.c * scale.z, k.d * scale.w);
    }
    return Scores(
        with_products(s.a, q0, q1, q2, q3, own.a), with_products(s.b, q0, q1, q2, q3, own.b),
        with_products(s.c, q0, q1, q2, q3, own.c), with_products(s.d, q0, q1, q2, q3, own.d),
    );
}

// Adds what quads from `n` on do, whose words these are: two nibbles' quads a word.
fn with_nibbles(s: Scores, base: u32, first: u32, n: u32, w: vec4<u32>) -> Scores {
    // A quarter may begin in the middle of a word.
    let odd = first & 1u;
    if n < odd {
        return with_quad(s, base, first, 0u, four_nibbles(w, 16u));
    }
    let one = with_quad(s, base, first, n - odd, four_nibbles(w, 0u));
    return with_quad(one, base, first, n - odd + 1u, four_nibbles(w, 16u));
}

// The same of all the words, quads `n` and on.
fn with_keys(sum: Scores, base: u32, first: u32, n: u32, k: Keys) -> Scores {
    var s = sum;
    if K_VALUES == 1u {
        return with_quad(s, base, first, n, four_floats(k.a, k.b, k.c, k.d));
    }
    if K_VALUES == 2u {
        s = with_quad(s, base, first, n, four_halves(k.a, k.b));
        return with_quad(s, base, first, n + 1u, four_halves(k.c, k.d));
    }
    if K_VALUES == 4u {
        s = with_quad(s, base, first, n, four_bytes(k.a));
        s = with_quad(s, base, first, n + 1u, four_bytes(k.b));
        s = with_quad(s, base, first, n + 2u, four_bytes(k.c));
        return with_quad(s, base, first, n + 3u, four_bytes(k.d));
    }
    // A quarter has four words at most.
    s = with_nibbles(s, base, first, n, k.a);
    s = with_nibbles(s, base, first, n + 2u, k.b);
    s = with_nibbles(s, base, first, n + 4u, k.c);
    return with_nibbles(s, base, first, n + 6u, k.d);
}

// Four values' words of an invocation's eight floats (of floats the first quad), and of their scales.
struct Values {
    a: vec4<u32>, b: vec4<u32>, c: vec4<u32>, d: vec4<u32>,
    scales: vec4<u32>,
}

fn value_words(base: u32, quad: u32) -> vec4<u32> {
    if V_VALUES < 4u {
        let at = base + 4u * quad / V_VALUES;
        return vec4<u32>(v_cache[at], v_cache[at + 1u], v_cache[at + 2u], v_cache[at + 3u]);
    }
    if V_VALUES == 4u {
        return vec4<u32>(v_cache[base + quad], v_cache[base + quad + 1u], 0u, 0u);
    }
    return vec4<u32>(v_cache[base + quad / 2u], 0u, 0u, 0u);
}

fn value_scale(base: u32, quad: u32) -> u32 {
    if V_VALUES < 4u {
        return 0u;
    }
    return v_cache[base + HEAD_DIM / V_VALUES + 4u * quad / scale_group(HEAD_DIM) / 2u];
}

// The first quad of an invocation's eight floats of a value.
fn value_quad(lane: u32) -> u32 {
    return 2u * (lane % TEAM % EIGHTHS);
}

// Where the words of the invocation's four values from slot `first` on begin; none is beyond `last`.
fn values_base(first: u32, last: u32, kv_head: u32, lane: u32) -> vec4<u32> {
    let slots = vec4<u32>(first + lane % TEAM / EIGHTHS) + vec4<u32>(0u, VALUES, 2u * VALUES, 3u * VALUES);
    return (min(slots, vec4<u32>(last)) * p.kv_heads + kv_head) * p.v_words;
}

fn load_values(at: vec4<u32>, lane: u32) -> Values {
    let quad = value_quad(lane);
    return Values(
        value_words(at.x, quad), value_words(at.y, quad), value_words(at.z, quad), value_words(at.w, quad),
        vec4<u32>(value_scale(at.x, quad), value_scale(at.y, quad), value_scale(at.z, quad), value_scale(at.w, quad)),
    );
}

fn times(s: Sums, v: vec4<f32>) -> Sums {
    return Sums(s.a * v, s.b * v, s.c * v, s.d * v, s.e * v, s.f * v, s.g * v, s.h * v);
}

fn with_floats(s: Sums, w: vec4<f32>, v: vec4<f32>, u: vec4<f32>) -> Sums {
    return Sums(
        fma(w, vec4<f32>(v.x), s.a), fma(w, vec4<f32>(v.y), s.b), fma(w, vec4<f32>(v.z), s.c), fma(w, vec4<f32>(v.w), s.d),
        fma(w, vec4<f32>(u.x), s.e), fma(w, vec4<f32>(u.y), s.f), fma(w, vec4<f32>(u.z), s.g), fma(w, vec4<f32>(u.w), s.h),
    );
}

// Adds a value of this weight, whose words begin at `base`.
fn with_value(s: Sums, weight: vec4<f32>, base: u32, lane: u32, words: vec4<u32>, scale: u32) -> Sums {
    let quad = value_quad(lane);
    if V_VALUES == 1u {
        return with_floats(s, weight, bitcast<vec4<f32>>(words), bitcast<vec4<f32>>(value_words(base, quad + 1u)));
    }
    if V_VALUES == 2u {
        return with_floats(s, weight, halves_of(words.x, words.y), halves_of(words.z, words.w));
    }
    let scaled = weight * half_of(scale, 4u * quad / scale_group(HEAD_DIM));
    if V_VALUES == 4u {
        return with_floats(s, scaled, bytes_of(words.x), bytes_of(words.y));
    }
    return with_floats(s, scaled, nibbles_of(words.x, 0u), nibbles_of(words.x, 16u));
}

// The invocation of a team that has the score of its position i.
fn lane_of(i: u32) -> u32 {
    return i % 4u * 8u + i / 4u;
}

// What is on its way: the next words of keys, and the next values.
struct Ahead { keys: Keys, values: Values }

// The base of the four keys of an invocation where its team is at slot `first`.
fn own_keys(first: u32, last: u32, kv_head: u32, lane: u32) -> u32 {
    return keys_base(kv_head, min(first + 4u * (lane % 8u), last));
}

// Sends for the first keys and values of slots `begin` to `end`.
fn start(begin: u32, end: u32, kv_head: u32, lane: u32) -> Ahead {
    let first = part_of(begin, end, lane).begin;
    let last = max(end, 1u) - 1u;
    return Ahead(
        load_keys(own_keys(first, last, kv_head, lane), lane % TEAM / 8u * QUADS, 0u),
        load_values(values_base(first, last, kv_head, lane), lane),
    );
}

// What a team's invocations know of slots `begin` to `end`.
fn seen(first_ahead: Ahead, begin: u32, end: u32, kv_head: u32, lane: u32) -> State {
    let part = part_of(begin, end, lane);
    let last = max(end, 1u) - 1u;
    let quarter = lane % TEAM / 8u * QUADS;
    var s = Sums();
    var peak = vec4<f32>(NEVER);
    var total = vec4<f32>();
    var keys = first_ahead.keys;
    var values = first_ahead.values;
    for (var done = 0u; goes_on(part, done); done += TEAM) {
        let first = part.begin + done;
        let base = own_keys(first, last, kv_head, lane);
        let scale = scales_at(base, quarter);
        var found = Scores();
        for (var n = 0u; n < QUADS; n += K_VALUES) {
            let words = keys;
            let is_last = n + K_VALUES >= QUADS;
            let next = select(base, own_keys(first + TEAM, last, kv_head, lane), is_last);
            keys = load_keys(next, quarter, select(n + K_VALUES, 0u, is_last));
            found = with_keys(found, base, quarter, n, words);
        }
        found = Scores(found.a * scale.x, found.b * scale.y, found.c * scale.z, found.d * scale.w);

        let is_known = first + lane % 8u * 4u + lane % TEAM / 8u < part.end;
        let scores = select(vec4<f32>(NEVER), gathered(found, lane), is_known);
        let before = peak;
        peak = max(peak, largest(scores, lane));
        let weight = select(vec4<f32>(), exp(scores - peak), is_known);
        let rescale = exp(before - peak);
        total = fma(total, rescale, weight);
        s = times(s, rescale);
        tell(weight, lane);
        // Positions beyond the part's end have no weight, those beyond the team's 32 are the next turn's.
        let turn = lane % TEAM / EIGHTHS;
        let count = min(part.end - min(first, part.end), TEAM);
        for (var j = 0u; j < count; j += 4u * VALUES) {
            let at = values_base(first + j, last, kv_head, lane);
            let v = values;
            values = load_values(values_base(first + min(j + 4u * VALUES, TEAM), last, kv_head, lane), lane);
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

// The float of a head that invocation `lane`, below HEAD_DIM, has in the end.
fn float_of(lane: u32) -> u32 {
    return lane % EIGHTHS * 8u + lane / EIGHTHS;
}

// What all teams know. Loops that step by `one` stay loops: what is executed once is bound by its own coming.
fn put_together(state: State, lane: u32) -> Whole {
    let part = total_of(state.total, lane);
    let team = lane / TEAM;
    workgroupBarrier();
    if lane % TEAM == 0u {
        memory_[team] = state.peak;
        memory_[TEAMS + team] = part;
    }
    workgroupBarrier();
    var peak = vec4<f32>(NEVER);
    for (var i = 0u; i < TEAMS; i += p.one) {
        peak = max(peak, memory_[i]);
    }
    var total = vec4<f32>();
    for (var i = 0u; i < TEAMS; i += p.one) {
        total = fma(memory_[TEAMS + i], exp(memory_[i] - peak), total);
    }
    var s = times(state.sums, exp(state.peak - peak));
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
    var sum = vec4<f32>();
    if lane < HEAD_DIM {
        for (var i = 0u; i < TEAMS; i += p.one) {
            sum += memory_[i * HEAD_DIM + lane];
        }
    }
    return Whole(sum, peak, total);
}

// The rows' state after slots `begin` to `end`, which `ahead` has the first of. The queries are there.
fn attended(ahead: Ahead, begin: u32, end: u32, kv_head: u32, lane: u32) -> Whole {
    return put_together(seen(ahead, begin, end, kv_head, lane), lane);
}

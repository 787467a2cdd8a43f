// Attention of one token, for GPUs: how a workgroup goes through its positions. 32 invocations make a team, of which a workgroup has
// eight: each has its own part of the positions, and goes by its own largest scores until the end. A team looks at 32 positions
// at a time: first a quarter of four keys an invocation, then eight floats of every so many values. What comes next is always on its
// way already.
//
// Loops that step by `one` stay loops: code that is executed once comes slower than what it works on (docs/PERFORMANCE.md).
//
// The four rows of a workgroup are the members of vectors.
const ROWS = 4u;
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

// Words of a turn: a quad's, or one, which may have two quads.
fn turn_words() -> u32 {
    return max(4u / K_VALUES, 1u);
}

// Words of a quarter, or as many as are on their way.
fn quarter_words() -> u32 {
    return max((4u * QUADS + K_VALUES - 1u) / K_VALUES, 4u);
}

// The next words of each of four keys.
struct Keys { a: vec4<u32>, b: vec4<u32>, c: vec4<u32>, d: vec4<u32> }

// Word w of those of the quarter that begins with quad `first`.
fn key_words(base: u32, first: u32, w: u32) -> vec4<u32> {
    let most = (4u * QUADS + K_VALUES - 1u) / K_VALUES - 1u;
    return k_cache[base + 8u * (4u * first / K_VALUES + min(w, most))];
}

// The words of a quarter from w on.
fn load_keys(base: u32, first: u32, w: u32) -> Keys {
    return Keys(
        key_words(base, first, w), key_words(base, first, w + 1u), key_words(base, first, w + 2u), key_words(base, first, w + 3u),
    );
}

// What comes after a turn with `k`, where words from w on are to be loaded.
fn after_turn(k: Keys, base: u32, first: u32, w: u32) -> Keys {
    if K_VALUES == 1u {
        return load_keys(base, first, w);
    }
    if K_VALUES == 2u {
        return Keys(k.c, k.d, key_words(base, first, w), key_words(base, first, w + 1u));
    }
    return Keys(k.b, k.c, k.d, key_words(base, first, w));
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

// The same of a turn's words.
fn with_keys(s: Scores, base: u32, first: u32, turn: u32, k: Keys) -> Scores {
    if K_VALUES == 1u {
        return with_quad(s, base, first, turn, four_floats(k.a, k.b, k.c, k.d));
    }
    if K_VALUES == 2u {
        return with_quad(s, base, first, turn, four_halves(k.a, k.b));
    }
    if K_VALUES == 4u {
        return with_quad(s, base, first, turn, four_bytes(k.a));
    }
    // Two quads, but where a quarter begins in the middle of a word.
    let n = 2u * turn - min(first & 1u, 2u * turn);
    if (first & 1u) > 2u * turn {
        return with_quad(s, base, first, 0u, four_nibbles(k.a, 16u));
    }
    return with_quad(with_quad(s, base, first, n, four_nibbles(k.a, 0u)), base, first, n + 1u, four_nibbles(k.a, 16u));
}

// A value's words of an invocation's eight floats (of floats the first quad), that of its scale, and where they are.
struct Value { words: vec4<u32>, scale: u32, base: u32 }

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

// Turns in which a team goes through its values.
fn value_turns() -> u32 {
    return (TEAM + VALUES - 1u) / VALUES;
}

// The value of turn `turn`, or of one after the team's next 32 slots, where the team is at slot `first`; none is beyond `last`.
fn load_value(first: u32, turn: u32, last: u32, kv_head: u32, lane: u32) -> Value {
    let turns = value_turns();
    let of_team = select(turn * VALUES, TEAM + (turn - turns) * VALUES, turn >= turns);
    let base = (min(first + of_team + lane % TEAM / EIGHTHS, last) * p.kv_heads + kv_head) * p.v_words;
    let quad = value_quad(lane);
    return Value(value_words(base, quad), value_scale(base, quad), base);
}

// The next values.
struct Values { a: Value, b: Value, c: Value, d: Value }

fn load_values(first: u32, last: u32, kv_head: u32, lane: u32) -> Values {
    return Values(
        load_value(first, 0u, last, kv_head, lane), load_value(first, 1u, last, kv_head, lane),
        load_value(first, 2u, last, kv_head, lane), load_value(first, 3u, last, kv_head, lane),
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

// Adds a value of this weight.
fn with_value(s: Sums, weight: vec4<f32>, v: Value, lane: u32) -> Sums {
    let quad = value_quad(lane);
    let words = v.words;
    if V_VALUES == 1u {
        return with_floats(s, weight, bitcast<vec4<f32>>(words), bitcast<vec4<f32>>(value_words(v.base, quad + 1u)));
    }
    if V_VALUES == 2u {
        return with_floats(s, weight, halves_of(words.x, words.y), halves_of(words.z, words.w));
    }
    let scaled = weight * half_of(v.scale, 4u * quad / scale_group(HEAD_DIM));
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
        load_values(first, last, kv_head, lane),
    );
}

// What is known with slots `begin` to `end`, which `first_ahead` has the first of. The queries are in memory_.
fn seen(known: State, first_ahead: Ahead, begin: u32, end: u32, kv_head: u32, lane: u32) -> State {
    let part = part_of(begin, end, lane);
    let last = max(end, 1u) - 1u;
    let quarter = lane % TEAM / 8u * QUADS;
    var s = known.sums;
    var peak = known.peak;
    var total = known.total;
    var keys = first_ahead.keys;
    var values = first_ahead.values;
    for (var done = 0u; goes_on(part, done); done += TEAM) {
        let first = part.begin + done;
        let base = own_keys(first, last, kv_head, lane);
        let next_base = own_keys(first + TEAM, last, kv_head, lane);
        let scale = scales_at(base, quarter);
        var found = Scores();
        for (var w = 0u; w < quarter_words(); w += turn_words() * p.one) {
            let words = keys;
            let is_next = w + 4u >= quarter_words();
            keys = after_turn(keys, select(base, next_base, is_next), quarter, w + 4u - select(0u, quarter_words(), is_next));
            found = with_keys(found, base, quarter, w / turn_words(), words);
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
        // Positions beyond the part's end have no weight, those beyond the team's 32 are the next ones.
        let count = min(part.end - min(first, part.end), TEAM);
        for (var turn = 0u; turn * VALUES < count; turn += p.one) {
            let value = values.a;
            values = Values(values.b, values.c, values.d, load_value(first, turn + 4u, last, kv_head, lane));
            let i = turn * VALUES + lane % TEAM / EIGHTHS;
            let own = told(weight, lane_of(min(i, TEAM - 1u)), lane);
            s = with_value(s, select(vec4<f32>(), own, i < TEAM), value, lane);
        }
    }
    return State(s, peak, total);
}

// What all teams know, put together: of invocation `lane`, below HEAD_DIM, float `float_of(lane)` of the rows' sums.
struct Whole { sum: vec4<f32>, peak: vec4<f32>, total: vec4<f32> }

fn float_of(lane: u32) -> u32 {
    return lane % EIGHTHS * 8u + lane / EIGHTHS;
}

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

// Where the states of the four rows from `row0` on are, of `rows` that a KV head has.
fn states_at(split: u32, kv_head: u32, rows: u32, row0: u32) -> vec4<u32> {
    let four = vec4<u32>(row0) + vec4<u32>(0u, 1u, 2u, 3u);
    return ((split * p.kv_heads + kv_head) * rows + min(four, vec4<u32>(rows - 1u))) * (HEAD_DIM + 2u);
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

// Stores the rows' states.
fn put_states(at: vec4<u32>, known: vec4<bool>, whole: Whole, lane: u32) {
    if lane < HEAD_DIM {
        put_rows(at + float_of(lane), known, whole.sum);
    }
    if lane == 0u {
        put_rows(at + HEAD_DIM, known, whole.peak);
        put_rows(at + HEAD_DIM + 1u, known, whole.total);
    }
}

// What `stream.wgsl` has on its way: words of four keys and of four values, and what is computed
// from them.

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

fn four_halves(v: vec4<u32>, w: vec4<u32>) -> Four {
    return Four(halves_of(v.x, w.x), halves_of(v.y, w.y), halves_of(v.z, w.z), halves_of(v.w, w.w));
}

fn four_floats(s: vec4<u32>, t: vec4<u32>, u: vec4<u32>, v: vec4<u32>) -> Four {
    return Four(
        bitcast<vec4<f32>>(vec4<u32>(s.x, t.x, u.x, v.x)), bitcast<vec4<f32>>(vec4<u32>(s.y, t.y, u.y, v.y)),
        bitcast<vec4<f32>>(vec4<u32>(s.z, t.z, u.z, v.z)), bitcast<vec4<f32>>(vec4<u32>(s.w, t.w, u.w, v.w)),
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

// Four values' words of an invocation's eight floats (of floats the first quad), and of their
// scales.
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

// Where the words of the invocation's four values from slot `first` on begin; none is beyond
// `last`.
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

// What is on its way: the next words of keys, and the next values.
struct Ahead { keys: Keys, values: Values }

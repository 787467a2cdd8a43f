// A group: 32 consecutive weights of one row, dequantised. Members, not an array: no compiler spills them.
struct Group {
    a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>,
    e: vec4<f32>, f: vec4<f32>, g: vec4<f32>, h: vec4<f32>,
}

// The four bytes of a word, lowest first.
fn bytes4(word: u32) -> vec4<f32> {
    return vec4<f32>((vec4<u32>(word) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u));
}

// The same, as signed bytes.
fn signed4(word: u32) -> vec4<f32> {
    return vec4<f32>((vec4<i32>(i32(word)) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u));
}

// Word `w` of the row that begins at `base`. Four words of each of 32 rows lie together.
fn word(base: u32, w: u32) -> u32 {
    return weights[base + w / 4u * 128u + w % 4u];
}

// The four words from `w` on, a multiple of four.
fn quad(base: u32, w: u32) -> vec4<u32> {
    return quads[(base + w * 32u) / 4u];
}

// Where row `row` of a shard begins.
fn row_base(row: u32, row_words: u32) -> u32 {
    return row / 32u * row_words * 32u + row % 32u * 4u;
}

// The half that has this index in `word`.
fn half_of(word: u32, index: u32) -> f32 {
    let halves = unpack2x16float(word);
    return select(halves.x, halves.y, (index & 1u) == 1u);
}

// 32 codes of four bits.
fn nibbles(words: vec4<u32>) -> Group {
    let low = words & vec4<u32>(0x0f0f0f0fu);
    let high = (words >> vec4<u32>(4u)) & vec4<u32>(0x0f0f0f0fu);
    return Group(
        bytes4(low.x), bytes4(low.y), bytes4(low.z), bytes4(low.w),
        bytes4(high.x), bytes4(high.y), bytes4(high.z), bytes4(high.w),
    );
}

// 32 codes of two bits.
fn pairs(words: vec2<u32>) -> Group {
    let a = words & vec2<u32>(0x03030303u);
    let b = (words >> vec2<u32>(2u)) & vec2<u32>(0x03030303u);
    let c = (words >> vec2<u32>(4u)) & vec2<u32>(0x03030303u);
    let d = (words >> vec2<u32>(6u)) & vec2<u32>(0x03030303u);
    return Group(
        bytes4(a.x), bytes4(b.x), bytes4(c.x), bytes4(d.x), bytes4(a.y), bytes4(b.y), bytes4(c.y), bytes4(d.y),
    );
}

fn bits4(bits: u32, first: u32, worth: f32) -> vec4<f32> {
    return worth * vec4<f32>((vec4<u32>(bits >> first) >> vec4<u32>(0u, 1u, 2u, 3u)) & vec4<u32>(1u));
}

// Adds `worth` to the codes whose bit is set.
fn with_bits(q: Group, bits: u32, worth: f32) -> Group {
    return Group(
        q.a + bits4(bits, 0u, worth), q.b + bits4(bits, 4u, worth),
        q.c + bits4(bits, 8u, worth), q.d + bits4(bits, 12u, worth),
        q.e + bits4(bits, 16u, worth), q.f + bits4(bits, 20u, worth),
        q.g + bits4(bits, 24u, worth), q.h + bits4(bits, 28u, worth),
    );
}

// A group as it is stored: a weight is scale * code + shift, one scale and shift for each half of the group.
struct Stored {
    q: Group,
    scale: vec2<f32>,
    shift: vec2<f32>,
}

fn stored2(q: Group, scale: f32, shift: f32, scale2: f32, shift2: f32) -> Stored {
    return Stored(q, vec2<f32>(scale, scale2), vec2<f32>(shift, shift2));
}

fn stored(q: Group, scale: f32, shift: f32) -> Stored {
    return stored2(q, scale, shift, scale, shift);
}

// A format says what `Packed` is, its `load_packed` loads group `g` of a row, and its `unpack` takes that apart.
fn load_stored(base: u32, g: u32) -> Stored {
    return unpack(load_packed(base, g), g);
}

// The group's weights.
fn weights_of(s: Stored) -> Group {
    let a = vec4<f32>(s.scale.x);
    let b = vec4<f32>(s.shift.x);
    let c = vec4<f32>(s.scale.y);
    let d = vec4<f32>(s.shift.y);
    return Group(
        fma(s.q.a, a, b), fma(s.q.b, a, b), fma(s.q.c, a, b), fma(s.q.d, a, b),
        fma(s.q.e, c, d), fma(s.q.f, c, d), fma(s.q.g, c, d), fma(s.q.h, c, d),
    );
}

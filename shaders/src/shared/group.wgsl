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

// Word `w` of the row whose first word is at `base`: the words of 32 rows are interleaved.
fn word(base: u32, w: u32) -> u32 {
    return weights[base + w * 32u];
}

// Half `i` of a plane of halves that begins at word `plane`.
fn half_at(base: u32, plane: u32, i: u32) -> f32 {
    return unpack2x16float(word(base, plane + i / 2u))[i & 1u];
}

// 32 codes of four bits in 4 words.
fn nibbles(base: u32, w: u32) -> Group {
    let i = word(base, w);
    let j = word(base, w + 1u);
    let k = word(base, w + 2u);
    let l = word(base, w + 3u);
    let mask = 0x0f0f0f0fu;
    return Group(
        bytes4(i & mask), bytes4(j & mask), bytes4(k & mask), bytes4(l & mask),
        bytes4((i >> 4u) & mask), bytes4((j >> 4u) & mask), bytes4((k >> 4u) & mask), bytes4((l >> 4u) & mask),
    );
}

// 32 codes of two bits in 2 words.
fn pairs(base: u32, w: u32) -> Group {
    let i = word(base, w);
    let j = word(base, w + 1u);
    let mask = 0x03030303u;
    return Group(
        bytes4(i & mask), bytes4((i >> 2u) & mask), bytes4((i >> 4u) & mask), bytes4((i >> 6u) & mask),
        bytes4(j & mask), bytes4((j >> 2u) & mask), bytes4((j >> 4u) & mask), bytes4((j >> 6u) & mask),
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

// The group's weights. A kernel's format says `load_stored`.
fn load_group(base: u32, g: u32) -> Group {
    let s = load_stored(base, g);
    let a = vec4<f32>(s.scale.x);
    let b = vec4<f32>(s.shift.x);
    let c = vec4<f32>(s.scale.y);
    let d = vec4<f32>(s.shift.y);
    return Group(
        fma(s.q.a, a, b), fma(s.q.b, a, b), fma(s.q.c, a, b), fma(s.q.d, a, b),
        fma(s.q.e, c, d), fma(s.q.f, c, d), fma(s.q.g, c, d), fma(s.q.h, c, d),
    );
}

// Four numbers of a group. What computes in halves has weights as halves, two a register, in the
// order 0, 2, 1, 3: that is how the bytes of a word become halves.
#ifdef F16
alias Four = vec4<f16>;
#else
alias Four = vec4<f32>;
#endif

fn in_order(v: vec4<f32>) -> vec4<f32> {
#ifdef F16
    return v.xzyw;
#else
    return v;
#endif
}

fn four(v: vec4<f32>) -> Four {
    return Four(in_order(v));
}

// A group: 32 consecutive weights of one row, dequantised. Members, not an array: no compiler
// spills them.
struct Group {
    a: Four, b: Four, c: Four, d: Four,
    e: Four, f: Four, g: Four, h: Four,
}

// Integers become floats where they lie: below 2^23 they are the last bits of 2^23 + n. That takes
// no conversion, which GPUs have few units for, and CPUs as many as for anything. `unit` is what
// the last bit of such a number is worth.
fn placed(bits: vec4<u32>, unit: vec4<f32>, less: vec4<f32>) -> vec4<f32> {
#ifdef INT64
    return vec4<f32>(bitcast<vec4<i32>>(bits)) * unit - less;
#else
    return fma(bitcast<vec4<f32>>(bits | vec4<u32>(0x4b000000u)), unit, fma(unit, vec4<f32>(-8388608.0), -less));
#endif
}

#ifdef F16
// The four bytes of a word, from 0 on or signed: the last bits of the halves 2^10 + n.
fn bytes4(word: u32) -> Four {
#ifdef SIGNED
    let positive = word ^ 0x80808080u;
    let less = vec4<f16>(1152.0h);
#else
    let positive = word;
    let less = vec4<f16>(1024.0h);
#endif
    let bits = (vec2<u32>(positive, positive >> 8u) & vec2<u32>(0x00ff00ffu)) | vec2<u32>(0x64006400u);
    // No other way from bits to halves is in naga. Compilers see that it is none.
    return vec4<f16>(vec4<f32>(unpack2x16float(bits.x), unpack2x16float(bits.y))) - less;
}
#else
// Every second byte of a word's halves is 256 times what it should be.
const BYTES = vec4<f32>(1.0, 0.00390625, 1.0, 0.00390625);

// The four bytes of a word, lowest first: from 0 on, or signed.
fn bytes4(word: u32) -> Four {
#ifdef SIGNED
    let positive = word ^ 0x80808080u;
    let less = 128.0;
#else
    let positive = word;
    let less = 0.0;
#endif
    let halves = vec4<u32>(positive, positive, positive >> 16u, positive >> 16u);
    return placed(halves & vec4<u32>(0xffu, 0xff00u, 0xffu, 0xff00u), BYTES, vec4<f32>(less));
}
#endif

// Word `w` of the row that begins at quad `base`. Four words of each of 32 rows lie together.
fn word(base: u32, w: u32) -> u32 {
    return weights[4u * base + 32u * (w & ~3u) + (w & 3u)];
}

#ifdef INT64
// Four words. Drivers on CPUs take as long for a load of 64 bits as for one of 32.
fn halves_of(pairs: vec2<u64>) -> vec4<u32> {
    return vec4<u32>(u32(pairs.x), u32(pairs.x >> 32u), u32(pairs.y), u32(pairs.y >> 32u));
}
#endif

// The four words from `w` on, a multiple of four.
fn quad(base: u32, w: u32) -> vec4<u32> {
#ifdef INT64
    return halves_of(quads[base + 8u * w]);
#else
    return quads[base + 8u * w];
#endif
}

// The quad that row `row` of a shard begins with.
fn row_base(row: u32, row_words: u32) -> u32 {
    return row / 32u * row_words * 8u + row % 32u;
}

// The half that has this index in `word`.
fn half_of(word: u32, index: u32) -> f32 {
    let halves = unpack2x16float(word);
    return select(halves.x, halves.y, (index & 1u) == 1u);
}

// 32 integer codes of a byte each, four to a word: 16 and 16.
struct Codes { a: vec4<u32>, b: vec4<u32> }

// 32 codes of four bits.
fn nibbles(words: vec4<u32>) -> Codes {
    return Codes(words & vec4<u32>(0x0f0f0f0fu), (words >> vec4<u32>(4u)) & vec4<u32>(0x0f0f0f0fu));
}

// 32 codes of two bits.
fn pairs(words: vec2<u32>) -> Codes {
    let shifts = vec4<u32>(0u, 2u, 4u, 6u);
    let mask = vec4<u32>(0x03030303u);
    return Codes((vec4<u32>(words.x) >> shifts) & mask, (vec4<u32>(words.y) >> shifts) & mask);
}

// Sixteen bits as the lowest of 16 bytes.
fn spread_bits(bits: u32) -> vec4<u32> {
    let four = (vec4<u32>(bits) >> vec4<u32>(0u, 4u, 8u, 12u)) & vec4<u32>(15u);
    // A copy for each byte, where the bit that is wanted comes to lie.
    return (four * vec4<u32>(0x00204081u)) & vec4<u32>(0x01010101u);
}

// The codes with a bit more each, `place` bits from the right.
fn with_bits(q: Codes, bits: u32, place: u32) -> Codes {
    return Codes(q.a | (spread_bits(bits) << vec4<u32>(place)), q.b | (spread_bits(bits >> 16u) << vec4<u32>(place)));
}

// A group as it is stored: a weight is scale * code + shift, one scale and shift for each half of
// the group.
struct Coded {
    q: Codes,
    scale: vec2<f32>,
    shift: vec2<f32>,
}

fn coded2(q: Codes, scale: f32, shift: f32, scale2: f32, shift2: f32) -> Coded {
    return Coded(q, vec2<f32>(scale, scale2), vec2<f32>(shift, shift2));
}

fn coded1(q: Codes, scale: f32, shift: f32) -> Coded {
    return coded2(q, scale, shift, scale, shift);
}

// The same with codes as floats.
struct Stored {
    q: Group,
    scale: vec2<f32>,
    shift: vec2<f32>,
}

#ifdef CODES
fn unpack(own: Packed, g: u32) -> Stored {
    let c = unpack_codes(own, g);
    let a = c.q.a;
    let b = c.q.b;
    let q = Group(
        bytes4(a.x), bytes4(a.y), bytes4(a.z), bytes4(a.w), bytes4(b.x), bytes4(b.y), bytes4(b.z), bytes4(b.w),
    );
    return Stored(q, c.scale, c.shift);
}
#endif

// A format says what `Packed` is, and its `load_packed` loads group `g` of a row. Its
// `unpack_codes` takes that apart, or, where weights are floats, its `unpack`.
fn load_stored(base: u32, g: u32) -> Stored {
    return unpack(load_packed(base, g), g);
}

// The group's weights.
fn weights_of(s: Stored) -> Group {
    let a = Four(vec4<f32>(s.scale.x));
    let b = Four(vec4<f32>(s.shift.x));
    let c = Four(vec4<f32>(s.scale.y));
    let d = Four(vec4<f32>(s.shift.y));
    return Group(
        fma(s.q.a, a, b), fma(s.q.b, a, b), fma(s.q.c, a, b), fma(s.q.d, a, b),
        fma(s.q.e, c, d), fma(s.q.f, c, d), fma(s.q.g, c, d), fma(s.q.h, c, d),
    );
}

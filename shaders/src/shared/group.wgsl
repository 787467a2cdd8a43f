// Four numbers of a group. What computes in halves takes weights apart as halves, two a register: codes are exact, and come in the
// order 0, 2, 1, 3, for that is how the bytes of a word become halves.
#ifdef HALVES
alias Four = vec4<f16>;
#else
alias Four = vec4<f32>;
#endif

fn in_order(v: vec4<f32>) -> vec4<f32> {
#ifdef HALVES
    return v.xzyw;
#else
    return v;
#endif
}

fn four(v: vec4<f32>) -> Four {
    return Four(in_order(v));
}

// A group: 32 consecutive weights of one row, dequantised. Members, not an array: no compiler spills them.
struct Group {
    a: Four, b: Four, c: Four, d: Four,
    e: Four, f: Four, g: Four, h: Four,
}

// Integers become floats where they lie: below 2^23 they are the last bits of 2^23 + n. That takes no conversion, which GPUs have
// few units for, and CPUs as many as for anything. `unit` is what the last bit of such a number is worth.
fn placed(bits: vec4<u32>, unit: vec4<f32>, less: vec4<f32>) -> vec4<f32> {
#ifdef INT64
    return vec4<f32>(bitcast<vec4<i32>>(bits)) * unit - less;
#else
    return fma(bitcast<vec4<f32>>(bits | vec4<u32>(0x4b000000u)), unit, fma(unit, vec4<f32>(-8388608.0), -less));
#endif
}

#ifdef HALVES
// The same of two words, where two integers below 2^10 each are the last bits of the halves 2^10 + n.
fn placed_halves(words: vec2<u32>, unit: vec4<f16>, less: f16) -> Four {
    let bits = words | vec2<u32>(0x64006400u);
    // No other way from bits to halves is in naga. Compilers see that it is none.
    let halves = vec4<f16>(vec4<f32>(unpack2x16float(bits.x), unpack2x16float(bits.y)));
    return fma(halves, unit, fma(unit, vec4<f16>(-1024.0h), vec4<f16>(-less)));
}

// Bytes 0 and 2 of a word, and bytes 1 and 3.
fn byte_pairs(word: u32, mask: u32) -> vec2<u32> {
    return vec2<u32>(word, word >> 8u) & vec2<u32>(mask * 0x10001u);
}
#endif

// Every second byte of a word's halves is 256 times what it should be.
const BYTES = vec4<f32>(1.0, 0.00390625, 1.0, 0.00390625);

// The bits of `mask` in each byte of a word, lowest byte first; `unit` is what the mask's lowest bit is worth less than 1.
fn masked4(word: u32, mask: u32, unit: f32) -> Four {
#ifdef HALVES
    return placed_halves(byte_pairs(word, mask), vec4<f16>(f16(unit)), 0.0h);
#else
    let halves = vec4<u32>(word, word, word >> 16u, word >> 16u);
    return placed(halves & vec4<u32>(mask, mask << 8u, mask, mask << 8u), BYTES * unit, vec4<f32>());
#endif
}

// The four signed bytes of a word, lowest first.
fn signed_bytes(word: u32) -> vec4<f32> {
    let positive = word ^ 0x80808080u;
    let halves = vec4<u32>(positive, positive, positive >> 16u, positive >> 16u);
    return placed(halves & vec4<u32>(0xffu, 0xff00u, 0xffu, 0xff00u), BYTES, vec4<f32>(128.0));
}

fn signed4(word: u32) -> Four {
#ifdef HALVES
    return placed_halves(byte_pairs(word ^ 0x80808080u, 0xffu), vec4<f16>(1.0h), 128.0h);
#else
    return signed_bytes(word);
#endif
}

// Word `w` of the row that begins at `base`. Four words of each of 32 rows lie together.
fn word(base: u32, w: u32) -> u32 {
    return weights[base + w / 4u * 128u + w % 4u];
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
    return halves_of(quads[(base + w * 32u) / 4u]);
#else
    return quads[(base + w * 32u) / 4u];
#endif
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
    return Group(
        masked4(words.x, 0x0fu, 1.0), masked4(words.y, 0x0fu, 1.0),
        masked4(words.z, 0x0fu, 1.0), masked4(words.w, 0x0fu, 1.0),
        masked4(words.x, 0xf0u, 0.0625), masked4(words.y, 0xf0u, 0.0625),
        masked4(words.z, 0xf0u, 0.0625), masked4(words.w, 0xf0u, 0.0625),
    );
}

// 32 codes of two bits.
fn pairs(words: vec2<u32>) -> Group {
    return Group(
        masked4(words.x, 0x03u, 1.0), masked4(words.x, 0x0cu, 0.25),
        masked4(words.x, 0x30u, 0.0625), masked4(words.x, 0xc0u, 0.015625),
        masked4(words.y, 0x03u, 1.0), masked4(words.y, 0x0cu, 0.25),
        masked4(words.y, 0x30u, 0.0625), masked4(words.y, 0xc0u, 0.015625),
    );
}

// Bits `first` to `first` + 3, each worth as much.
fn bits4(bits: u32, first: u32, worth: f32) -> Four {
#ifdef HALVES
    let pair = (bits >> first) & 15u;
    let units = vec4<f16>(1.0h, 1.0h, 0.5h, 0.5h) * f16(worth);
    return placed_halves(vec2<u32>(pair | (pair << 14u)) & vec2<u32>(0x10001u, 0x20002u), units, 0.0h);
#else
    let units = vec4<f32>(1.0, 0.5, 0.25, 0.125) * worth;
    return placed(vec4<u32>(bits >> first) & vec4<u32>(1u, 2u, 4u, 8u), units, vec4<f32>());
#endif
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
    let a = Four(vec4<f32>(s.scale.x));
    let b = Four(vec4<f32>(s.shift.x));
    let c = Four(vec4<f32>(s.scale.y));
    let d = Four(vec4<f32>(s.shift.y));
    return Group(
        fma(s.q.a, a, b), fma(s.q.b, a, b), fma(s.q.c, a, b), fma(s.q.d, a, b),
        fma(s.q.e, c, d), fma(s.q.f, c, d), fma(s.q.g, c, d), fma(s.q.h, c, d),
    );
}

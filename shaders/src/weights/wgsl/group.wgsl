// A group: 32 consecutive weights of one row, or the activations that they multiply.
//
// A weight format defines `PackedGroup`, the words of a group as they are stored, and
// `load_packed(base, g)`, which loads group `g` of the row that begins at `base`. A format of
// integer codes also defines `unpack_codes(packed, g) -> CodedGroup`, a format of floats
// `unpack(packed, g) -> ScaledGroup`.

// Four numbers of a group. Variants that compute in f16 hold them in the order 0, 2, 1, 3: this is
// how the bytes of a word become pairs of f16.
#ifdef F16
alias Float4 = vec4<f16>;
#else
alias Float4 = vec4<f32>;
#endif

// Swaps the middle elements for f16, there and back.
fn in_f16_order(v: vec4<f32>) -> vec4<f32> {
#ifdef F16
    return v.xzyw;
#else
    return v;
#endif
}

fn to_float4(v: vec4<f32>) -> Float4 {
    return Float4(in_f16_order(v));
}

// The numbers of a group: field `v<i>` has those from 4 i on. Fields instead of an array, because
// some compilers move arrays from registers to memory.
struct Group {
    v0: Float4, v1: Float4, v2: Float4, v3: Float4,
    v4: Float4, v5: Float4, v6: Float4, v7: Float4,
}

// Converts integers below 2^23, times `unit`, minus `offset`. On GPUs the integer is put into the
// mantissa of 2^23 + n: that takes no conversion, for which GPUs have few units. `unit` undoes a
// shift of the integer.
fn mantissa_to_float(bits: vec4<u32>, unit: vec4<f32>, offset: vec4<f32>) -> vec4<f32> {
#ifdef INT64
    return vec4<f32>(bitcast<vec4<i32>>(bits)) * unit - offset;
#else
    return fma(
        bitcast<vec4<f32>>(bits | vec4<u32>(0x4b000000u)), unit,
        fma(unit, vec4<f32>(-8388608.0), -offset),
    );
#endif
}

#ifdef F16
// The four bytes of a word, unsigned or signed, by way of the mantissa of 2^10 + n in f16.
fn unpack_bytes(word: u32) -> Float4 {
#ifdef SIGNED
    let unsigned = word ^ 0x80808080u;
    let offset = vec4<f16>(1152.0h);
#else
    let unsigned = word;
    let offset = vec4<f16>(1024.0h);
#endif
    let bytes = vec2<u32>(unsigned, unsigned >> 8u) & vec2<u32>(0x00ff00ffu);
    let bits = bytes | vec2<u32>(0x64006400u);
    // naga has no bitcast to f16. Compilers remove this detour by f32.
    return vec4<f16>(vec4<f32>(unpack2x16float(bits.x), unpack2x16float(bits.y))) - offset;
}
#else
// In a 16-bit half of a word, the second byte counts 256 times as much.
const BYTE_UNITS = vec4<f32>(1.0, 0.00390625, 1.0, 0.00390625);

// The four bytes of a word, lowest first, unsigned or signed.
fn unpack_bytes(word: u32) -> Float4 {
#ifdef SIGNED
    let unsigned = word ^ 0x80808080u;
    let offset = 128.0;
#else
    let unsigned = word;
    let offset = 0.0;
#endif
    let pairs = vec4<u32>(unsigned, unsigned, unsigned >> 16u, unsigned >> 16u);
    let bytes = pairs & vec4<u32>(0xffu, 0xff00u, 0xffu, 0xff00u);
    return mantissa_to_float(bytes, BYTE_UNITS, vec4<f32>(offset));
}
#endif

// Word `w` of the row that begins at vector `base`. Four words of each of 32 rows lie together.
fn load_word(base: u32, w: u32) -> u32 {
    return weights[4u * base + 32u * (w & ~3u) + (w & 3u)];
}

#ifdef INT64
// Drivers for CPUs take as long for a load of 64 bits as for one of 32.
fn u64_pair_to_words(pair: vec2<u64>) -> vec4<u32> {
    return vec4<u32>(u32(pair.x), u32(pair.x >> 32u), u32(pair.y), u32(pair.y >> 32u));
}
#endif

// The four words from `w` on, a multiple of four.
fn load_vec4(base: u32, w: u32) -> vec4<u32> {
#ifdef INT64
    return u64_pair_to_words(weights_vec4[base + 8u * w]);
#else
    return weights_vec4[base + 8u * w];
#endif
}

// Index of the vector that row `row` of a shard begins with.
fn row_base(row: u32, row_words: u32) -> u32 {
    return row / 32u * row_words * 8u + row % 32u;
}

// The f16 at an even (low half of the word) or odd (high half) index.
fn f16_at(word: u32, index: u32) -> f32 {
    let both = unpack2x16float(word);
    return select(both.x, both.y, (index & 1u) == 1u);
}

// 32 integer codes, one a byte: 16 codes in each half.
struct Codes { first: vec4<u32>, second: vec4<u32> }

// 32 codes of four bits.
fn unpack_4bit(words: vec4<u32>) -> Codes {
    return Codes(words & vec4<u32>(0x0f0f0f0fu), (words >> vec4<u32>(4u)) & vec4<u32>(0x0f0f0f0fu));
}

// 32 codes of two bits.
fn unpack_2bit(words: vec2<u32>) -> Codes {
    let shifts = vec4<u32>(0u, 2u, 4u, 6u);
    let mask = vec4<u32>(0x03030303u);
    return Codes((vec4<u32>(words.x) >> shifts) & mask, (vec4<u32>(words.y) >> shifts) & mask);
}

// Expands 16 bits to the lowest bits of 16 bytes.
fn expand_bits(bits: u32) -> vec4<u32> {
    let nibbles = (vec4<u32>(bits) >> vec4<u32>(0u, 4u, 8u, 12u)) & vec4<u32>(15u);
    // The factor makes four shifted copies, so that each byte's lowest bit is the one for it.
    return (nibbles * vec4<u32>(0x00204081u)) & vec4<u32>(0x01010101u);
}

// The codes with one more bit each, at bit `place`.
fn add_high_bits(codes: Codes, bits: u32, place: u32) -> Codes {
    return Codes(
        codes.first | (expand_bits(bits) << vec4<u32>(place)),
        codes.second | (expand_bits(bits >> 16u) << vec4<u32>(place)),
    );
}

// A group of integer codes. A weight is scale * code + shift; each half has a scale and a shift.
struct CodedGroup {
    codes: Codes,
    scale: vec2<f32>,
    shift: vec2<f32>,
}

fn with_two_scales(codes: Codes, scale: f32, shift: f32, scale2: f32, shift2: f32) -> CodedGroup {
    return CodedGroup(codes, vec2<f32>(scale, scale2), vec2<f32>(shift, shift2));
}

fn with_one_scale(codes: Codes, scale: f32, shift: f32) -> CodedGroup {
    return with_two_scales(codes, scale, shift, scale, shift);
}

// A group of codes as floats, not yet scaled.
struct ScaledGroup {
    codes: Group,
    scale: vec2<f32>,
    shift: vec2<f32>,
}

#ifdef CODES
fn unpack(packed: PackedGroup, g: u32) -> ScaledGroup {
    let coded = unpack_codes(packed, g);
    let first = coded.codes.first;
    let second = coded.codes.second;
    let codes = Group(
        unpack_bytes(first.x), unpack_bytes(first.y), unpack_bytes(first.z), unpack_bytes(first.w),
        unpack_bytes(second.x), unpack_bytes(second.y),
        unpack_bytes(second.z), unpack_bytes(second.w),
    );
    return ScaledGroup(codes, coded.scale, coded.shift);
}
#endif

fn load_group(base: u32, g: u32) -> ScaledGroup {
    return unpack(load_packed(base, g), g);
}

// The weights of a group.
fn dequantize(group: ScaledGroup) -> Group {
    let scale0 = Float4(vec4<f32>(group.scale.x));
    let shift0 = Float4(vec4<f32>(group.shift.x));
    let scale1 = Float4(vec4<f32>(group.scale.y));
    let shift1 = Float4(vec4<f32>(group.shift.y));
    return Group(
        fma(group.codes.v0, scale0, shift0), fma(group.codes.v1, scale0, shift0),
        fma(group.codes.v2, scale0, shift0), fma(group.codes.v3, scale0, shift0),
        fma(group.codes.v4, scale1, shift1), fma(group.codes.v5, scale1, shift1),
        fma(group.codes.v6, scale1, shift1), fma(group.codes.v7, scale1, shift1),
    );
}

// Scale and minimum of group i of a block, six bits each, in three words.
fn scale_min(low: u32, middle: u32, high: u32, i: u32) -> vec2<f32> {
    let shift = 8u * (i & 3u);
    let l = low >> shift;
    let m = middle >> shift;
    let h = high >> shift;
    if i < 4u {
        return vec2<f32>(f32(l & 63u), f32(m & 63u));
    }
    return vec2<f32>(f32((h & 15u) | ((l >> 2u) & 48u)), f32(((h >> 4u) & 15u) | ((m >> 2u) & 48u)));
}

// Q8_0: d * q. Codes 8 words a group, then scales, two to a word.
fn load_group(base: u32, g: u32) -> Group {
    let d = half_at(base, p.groups * 8u, g);
    let w = g * 8u;
    return Group(
        d * signed4(word(base, w)), d * signed4(word(base, w + 1u)),
        d * signed4(word(base, w + 2u)), d * signed4(word(base, w + 3u)),
        d * signed4(word(base, w + 4u)), d * signed4(word(base, w + 5u)),
        d * signed4(word(base, w + 6u)), d * signed4(word(base, w + 7u)),
    );
}

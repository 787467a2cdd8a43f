// Q8_0: d * q. Codes 8 words a group, then scales, two to a word.
fn load_stored(base: u32, g: u32) -> Stored {
    let w = g * 8u;
    let q = Group(
        signed4(word(base, w)), signed4(word(base, w + 1u)), signed4(word(base, w + 2u)), signed4(word(base, w + 3u)),
        signed4(word(base, w + 4u)), signed4(word(base, w + 5u)), signed4(word(base, w + 6u)), signed4(word(base, w + 7u)),
    );
    return stored(q, half_at(base, p.groups * 8u, g), 0.0);
}

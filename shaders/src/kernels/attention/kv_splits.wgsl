// How the positions of a row are divided into KV splits (flash-decoding, Dao et al. 2023).

// The size of a split is a multiple of this many positions. Rust: `splits::SPLIT_GRANULE`.
const SPLIT_GRANULE = 256u;

// Splits that have positions. The others write no partials, and none of theirs are read.
fn splits_in_use(splits: u32) -> u32 {
    return clamp((step_.position + step_.count + SPLIT_GRANULE - 1u) / SPLIT_GRANULE, 1u, splits);
}

// Positions of each of `splits` splits of `length` positions.
fn split_size(length: u32, splits: u32) -> u32 {
    let even = (length + splits - 1u) / splits;
    return (even + SPLIT_GRANULE - 1u) / SPLIT_GRANULE * SPLIT_GRANULE;
}

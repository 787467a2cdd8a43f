// A split takes a multiple of so many positions. Rust: attention::SHARE.
const SHARE = 256u;

// Splits that have something to do. The others write no state, and none is read.
fn splits_in_use(splits: u32) -> u32 {
    return clamp((step_.position + step_.count + SHARE - 1u) / SHARE, 1u, splits);
}

// Positions of a split where `splits` share `length`.
fn share_of(length: u32, splits: u32) -> u32 {
    return ((length + splits - 1u) / splits + SHARE - 1u) / SHARE * SHARE;
}

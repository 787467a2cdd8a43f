// Splits that have something to do: each takes at least a tile of 64 positions. The others write no state, and none is read.
fn splits_in_use(splits: u32) -> u32 {
    return clamp((step_.position + step_.count + 63u) / 64u, 1u, splits);
}

// Which slots a subgroup of decode goes through, of those of its workgroup.
// A subgroup has 32 slots every SLOT_STRIDE, from `subgroup_begin` on, below `subgroup_end`.
// `subgroup_len` is the slots from the first to the end of the last tile of any subgroup. It is not
// in one struct with `begin`, because loops with barriers depend on it: it must be uniform.
#ifdef PAGED
// Subgroups take turns, so that a row's sums are the same however many slots the other rows have.
const SLOT_STRIDE = SUBGROUP_SIZE * SUBGROUP_COUNT;

fn subgroup_len(slots: Slots) -> u32 {
    return (slots.end - slots.begin + SLOT_STRIDE - 1u) / SLOT_STRIDE * SLOT_STRIDE;
}

fn subgroup_begin(slots: Slots, local_index: u32) -> u32 {
    return slots.begin + local_index / SUBGROUP_SIZE * SUBGROUP_SIZE;
}

fn subgroup_end(slots: Slots, local_index: u32) -> u32 {
    return slots.end;
}

// The last slot that is loaded with the tile of `first`.
fn last_of_tile(first: u32, last: u32) -> u32 {
    return min(first | (SUBGROUP_SIZE - 1u), last);
}
#else
// Subgroups take contiguous parts, each a multiple of 32 slots.
const SLOT_STRIDE = SUBGROUP_SIZE;

fn subgroup_len(slots: Slots) -> u32 {
    return (slots.end - slots.begin + SUBGROUP_SIZE * SUBGROUP_COUNT - 1u)
        / (SUBGROUP_SIZE * SUBGROUP_COUNT) * SUBGROUP_SIZE;
}

fn subgroup_begin(slots: Slots, local_index: u32) -> u32 {
    return slots.begin + local_index / SUBGROUP_SIZE * subgroup_len(slots);
}

fn subgroup_end(slots: Slots, local_index: u32) -> u32 {
    return min(subgroup_begin(slots, local_index) + subgroup_len(slots), slots.end);
}

// The last slot that is loaded with the tile of `first`.
fn last_of_tile(first: u32, last: u32) -> u32 {
    return last;
}
#endif

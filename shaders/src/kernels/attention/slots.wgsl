// The slots that a workgroup attends to. Rust: `kv::Segment`, `kv::paged`.

// Slots from `begin` on, below `end`. Over a paged cache these are positions of a sequence, and
// `slot_offset` leads to the slots of the segment.
struct Slots {
    begin: u32,
    end: u32,
#ifdef PAGED
    first_page: u32,      // index, in the list of pages, of the page that holds `begin`
    row_ends: vec4<u32>,  // decode: the end of each of four rows
#endif
}

// What leads from the slots of the tile of 32 that `slot` is in to their indices in the segment:
// index = slot + offset. One lookup is enough for a tile, because a page has two whole tiles.
fn slot_offset(slots: Slots, slot: u32) -> u32 {
#ifdef PAGED
    let entry = slots.first_page + (slot - slots.begin) / PAGE;
    let page = pages[min(entry, p.page_entries - 1u)];
    let first = min(page * PAGE - p.segment_start, p.segment_len - PAGE);
    return first - slot / PAGE * PAGE;
#else
    return 0u;
#endif
}

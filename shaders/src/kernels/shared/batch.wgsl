// A batch: rows of several sequences over a paged KV cache. Rust: `kv::paged`.

const PAGE = 64u; // positions of a page

struct BatchRow {
    position: u32,       // in its sequence
    slot: u32,           // of its key and value, counted over all segments
    first_partial: u32,  // index of its first token partial
    partials: u32,       // number of its token partials
    partial_stride: u32, // from one of its token partials to the next
    reserved0: u32, reserved1: u32, reserved2: u32,
}

struct WorkItem {
    first_row: u32,  // batch row of the first token
    tokens: u32,     // consecutive tokens of a sequence
    position: u32,   // of the first token
    begin: u32,      // first position that is attended to; a multiple of PAGE
    end: u32,        // the position after the last one
    first_page: u32, // index, in the list of pages, of the page that holds `begin`
    partial: u32,    // the first token's token partial
    segment: u32,    // the segment that the pages lie in
}

//! A KV cache that several sequences share: pages, the rows of a batch, and attention's work items.
//!
//! A page is [`PAGE`] consecutive slots of the cache. A sequence's positions lie in pages anywhere
//! in the cache, which its page table lists: position `s` is at slot
//! `table[s / PAGE] * PAGE + s % PAGE`, counted over all segments.

/// Positions of a page.
pub const PAGE: u32 = 64;

/// A row of a batch: one token of one sequence, in the layout of the WGSL struct of the same name.
///
/// Attention writes a row's partials as *token partials*: token partial `i` has
/// `[heads, head_dim + 2]` floats, from float `i * heads * (head_dim + 2)` on.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct BatchRow {
    /// Position in its sequence.
    pub position: u32,
    /// The slot of its key and value, counted over all segments.
    pub slot: u32,
    /// Index of its first token partial.
    pub first_partial: u32,
    /// Number of its token partials.
    pub partials: u32,
    /// From one of its token partials to the next.
    pub partial_stride: u32,
    /// Padding.
    pub reserved: [u32; 3],
}

/// Consecutive tokens of a sequence, and the positions that they attend to, all of them in pages of
/// one segment. In the layout of the WGSL struct of the same name.
///
/// Token `t` of an item writes token partial `partial + t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct WorkItem {
    /// The batch row of the first token.
    pub first_row: u32,
    /// Number of tokens.
    pub tokens: u32,
    /// Position of the first token.
    pub position: u32,
    /// First position that is attended to; a multiple of [`PAGE`].
    pub begin: u32,
    /// The position after the last that is attended to; a token still sees none after its own.
    pub end: u32,
    /// Index, in the list of pages, of the page that holds `begin`. Those after it follow.
    pub first_page: u32,
    /// The first token's token partial.
    pub partial: u32,
    /// The segment that the pages lie in.
    pub segment: u32,
}

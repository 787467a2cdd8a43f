//! A sequence: its tokens, and the pages that hold their keys and values.

use std::collections::VecDeque;

use godwit_shaders::PAGE;

use super::request::RequestId;
use crate::kv_cache::pages::{PageId, PrefixHash};
use crate::setters::setters;

/// A sequence of a [`Scheduler`](super::Scheduler). Ids are not given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SequenceId(pub(super) u64);

/// What is said of a sequence when it is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SequenceOptions {
    /// Requests of sequences with a higher priority go first. Where memory runs out, those with the
    /// lowest are interrupted first.
    pub priority: i32,
    /// Sequences share cached prefixes only with those of the same salt. Give each user one, where
    /// users must not learn from the time of an answer what others asked.
    pub salt: Vec<u8>,
}

setters! { SequenceOptions {
    priority: i32,
    salt: Vec<u8>,
} }

/// A page that is on the host. Ids are not given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct HostPage(pub u64);

/// Where a page's keys and values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Gpu(PageId),
    Host(HostPage),
}

#[derive(Clone, Debug)]
pub(super) struct Sequence {
    pub priority: i32,
    /// Tokens whose keys and values are in the pages, or will be when all that was submitted is
    /// done.
    pub tokens: Vec<u32>,
    /// The tokens after them, which are still to be computed.
    pub pending: Vec<u32>,
    /// Positions after `tokens` that a step in flight computes before the host knows their tokens.
    pub ahead: usize,
    /// The pages of `tokens` and of `ahead`. A page that is not full belongs to this sequence
    /// alone.
    pub table: Vec<Place>,
    /// The prefix before any token, then after each full page.
    pub prefixes: Vec<PrefixHash>,
    /// Tokens from this one on were computed by decode steps, whose last bits may differ from those
    /// of a prompt's passes.
    pub decoded_from: usize,
    /// Requests in order; the first one may be running.
    pub queue: VecDeque<RequestId>,
    /// When it was last used: idle sequences leave the GPU in this order.
    pub last_used: u64,
}

impl Sequence {
    pub fn new(options: &SequenceOptions) -> Self {
        Self {
            priority: options.priority,
            tokens: Vec::new(),
            pending: Vec::new(),
            ahead: 0,
            table: Vec::new(),
            prefixes: vec![PrefixHash::root(&options.salt)],
            decoded_from: usize::MAX,
            queue: VecDeque::new(),
            last_used: 0,
        }
    }

    /// Positions in the pages, of tokens that the host knows or does not know yet.
    pub fn computed(&self) -> usize {
        self.tokens.len() + self.ahead
    }

    /// All tokens that the host knows, computed or not.
    pub fn len(&self) -> usize {
        self.tokens.len() + self.pending.len()
    }

    /// Whether all of its pages are on the GPU.
    pub fn is_on_gpu(&self) -> bool {
        self.table
            .iter()
            .all(|place| matches!(place, Place::Gpu(_)))
    }

    /// The pages on the GPU.
    pub fn gpu_pages(&self) -> impl Iterator<Item = PageId> + '_ {
        self.table.iter().filter_map(|place| match place {
            Place::Gpu(page) => Some(*page),
            Place::Host(_) => None,
        })
    }

    /// Pages on the host.
    #[cfg(any(test, debug_assertions))]
    pub fn host_pages(&self) -> usize {
        self.table.len() - self.gpu_pages().count()
    }

    /// Pages that are missing on the GPU for so many tokens.
    pub fn missing_pages(&self, tokens: usize) -> usize {
        tokens
            .div_ceil(PAGE as usize)
            .saturating_sub(self.gpu_pages().count())
    }

    /// The prefix after the full pages so far and one more, of these tokens.
    pub fn prefix_after(&self, page: &[u32]) -> Option<PrefixHash> {
        Some(self.prefixes.last()?.after(page))
    }
}

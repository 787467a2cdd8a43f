//! The pages of a KV cache that sequences share: which are in use, by how many, and what those hold
//! that nobody uses any more.
//!
//! A page that is full may be *remembered* by its [prefix](PrefixHash). A later sequence that
//! begins with the same tokens then shares it, also after its last user let go of it: free pages
//! stay findable until they are needed for something else, the least recently used first.

mod prefix;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};

pub(crate) use prefix::PrefixHash;

/// The number of a page. Its slots begin at `number * PAGE`.
pub(crate) type PageId = u32;

/// All pages of a cache.
#[derive(Debug)]
pub(crate) struct Pages {
    /// The pages that there is memory for, in the order of their numbers.
    pages: Vec<Page>,
    /// Free pages that hold nothing of use.
    blank: Vec<PageId>,
    /// Free pages that are remembered, the least recently used first.
    remembered: BTreeSet<(u64, PageId)>,
    /// The pages that are remembered, in use or not.
    by_prefix: HashMap<PrefixHash, PageId>,
    /// Counts the pages that were let go of.
    clock: u64,
}

#[derive(Clone, Debug, Default)]
struct Page {
    /// Page tables that list the page.
    references: u32,
    prefix: Option<PrefixHash>,
    /// [`Pages::clock`] when its last user let go of it.
    last_used: u64,
}

impl Pages {
    /// No pages.
    pub fn new() -> Self {
        Self {
            pages: Vec::new(),
            blank: Vec::new(),
            remembered: BTreeSet::new(),
            by_prefix: HashMap::new(),
            clock: 0,
        }
    }

    /// There is memory for `len` pages now; never fewer than before.
    pub fn grow_to(&mut self, len: u32) {
        let first = self.len();
        self.pages
            .resize((len as usize).max(self.pages.len()), Page::default());
        // The lowest number is taken first.
        self.blank.splice(0..0, (first..len.max(first)).rev());
    }

    /// Pages that there is memory for.
    pub fn len(&self) -> u32 {
        self.pages.len() as u32
    }

    /// Pages that [`Pages::take`] can give.
    pub fn free(&self) -> u32 {
        (self.blank.len() + self.remembered.len()) as u32
    }

    /// Pages in use.
    pub fn in_use(&self) -> u32 {
        self.len() - self.free()
    }

    /// A page for one page table to write to; none where all are in use. It may be one that was
    /// remembered, and is forgotten with that.
    pub fn take(&mut self) -> Option<PageId> {
        let page = self.blank.pop().or_else(|| {
            let (_, oldest) = self.remembered.pop_first()?;
            Some(oldest)
        })?;
        self.forget(page);
        self.pages[page as usize].references = 1;
        Some(page)
    }

    /// One more page table lists the page.
    pub fn share(&mut self, page: PageId) {
        let state = &mut self.pages[page as usize];
        if state.references == 0 {
            self.remembered.remove(&(state.last_used, page));
        }
        state.references += 1;
    }

    /// A page table no longer lists the page.
    pub fn release(&mut self, page: PageId) {
        let state = &mut self.pages[page as usize];
        debug_assert!(
            state.references > 0,
            "page {page} is released once too often"
        );
        state.references = state.references.saturating_sub(1);
        if state.references > 0 {
            return;
        }
        match state.prefix {
            Some(_) => {
                self.clock += 1;
                state.last_used = self.clock;
                self.remembered.insert((self.clock, page));
            }
            None => self.blank.push(page),
        }
    }

    /// Whether a page table that lists the page may write to it: no other lists it, and nobody can
    /// find it.
    pub fn is_private(&self, page: PageId) -> bool {
        let state = &self.pages[page as usize];
        state.references == 1 && state.prefix.is_none()
    }

    /// Whether the page holds nothing that anybody may read.
    pub fn is_blank(&self, page: PageId) -> bool {
        let state = &self.pages[page as usize];
        state.references == 0 && state.prefix.is_none()
    }

    /// Whether any page table lists the page.
    pub fn is_in_use(&self, page: PageId) -> bool {
        self.pages[page as usize].references > 0
    }

    /// Whether more than one page table lists the page.
    pub fn is_shared(&self, page: PageId) -> bool {
        self.pages[page as usize].references > 1
    }

    /// Makes a full page findable by what it holds, unless another page holds the same.
    pub fn remember(&mut self, page: PageId, prefix: PrefixHash) {
        let state = &mut self.pages[page as usize];
        if state.prefix.is_none() && !self.by_prefix.contains_key(&prefix) {
            state.prefix = Some(prefix);
            self.by_prefix.insert(prefix, page);
        }
    }

    /// The page is about to be written to: nobody may find it any more.
    pub fn forget(&mut self, page: PageId) {
        if let Some(prefix) = self.pages[page as usize].prefix.take() {
            self.by_prefix.remove(&prefix);
        }
    }

    /// No page can be found any more.
    pub fn forget_all(&mut self) {
        self.by_prefix.clear();
        self.blank.extend(
            std::mem::take(&mut self.remembered)
                .into_iter()
                .map(|(_, page)| page),
        );
        for page in &mut self.pages {
            page.prefix = None;
        }
    }

    /// The page that holds this prefix's last tokens.
    pub fn find(&self, prefix: &PrefixHash) -> Option<PageId> {
        self.by_prefix.get(prefix).copied()
    }

    /// Checks every page against the page tables that there are.
    ///
    /// # Errors
    /// Says which page is in use and free at once, lost, or counted wrongly.
    #[cfg(any(test, debug_assertions))]
    pub fn check<'a>(&self, tables: impl Iterator<Item = &'a [PageId]>) -> Result<(), String> {
        let mut references = vec![0_u32; self.pages.len()];
        for &page in tables.flatten() {
            references[page as usize] += 1;
        }
        let blank: std::collections::HashSet<_> = self.blank.iter().copied().collect();
        if blank.len() != self.blank.len() {
            return Err("a blank page is listed twice".into());
        }
        for (page, (state, counted)) in (0..).zip(self.pages.iter().zip(references)) {
            let is_remembered = self.remembered.contains(&(state.last_used, page));
            let places = u32::from(blank.contains(&page)) + u32::from(is_remembered);
            if state.references != counted {
                let references = state.references;
                return Err(format!(
                    "page {page} counts {references} tables, but {counted} list it"
                ));
            }
            if places != u32::from(counted == 0) {
                return Err(format!(
                    "page {page} of {counted} tables is on {places} free lists"
                ));
            }
            let found = state.prefix.map(|prefix| self.find(&prefix));
            if found.is_some_and(|found| found != Some(page)) {
                return Err(format!("page {page} has a prefix that finds {found:?}"));
            }
        }
        match self.by_prefix.len()
            == self
                .pages
                .iter()
                .filter(|page| page.prefix.is_some())
                .count()
        {
            true => Ok(()),
            false => Err("a prefix finds a page that does not have it".into()),
        }
    }
}

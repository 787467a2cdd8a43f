//! Forgetting the last tokens of a sequence.

use godwit_shaders::PAGE;

use super::Scheduler;
use super::core::{Core, MemoryOp};
use super::sequence::{Place, SequenceId};
use crate::error::Error;
use crate::kv_cache::pages::PageId;

impl Scheduler {
    /// Forgets the tokens of a sequence from `len` on, and ends its requests, as
    /// [`Scheduler::cancel`] does. What is left needs no computing again. Nothing happens where the
    /// sequence has no more tokens than that.
    ///
    /// # Errors
    /// There is no such sequence.
    pub fn truncate(&mut self, sequence: SequenceId, len: usize) -> Result<(), Error> {
        self.may_submit = true;
        self.core.truncate(sequence, len)?;
        self.drop_ended_passes();
        self.release_draft();
        Ok(())
    }

    /// Ends a sequence's requests, and forgets its tokens from `len` on and those that are not
    /// computed.
    ///
    /// # Errors
    /// There is no such sequence.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn keep_computed(&mut self, sequence: SequenceId, len: usize) -> Result<(), Error> {
        self.core.cancel_all(sequence)?;
        loop {
            let computed = self.computed_tokens(sequence)?.len();
            self.truncate(sequence, len.min(computed))?;
            // A last page that found no memory is to be computed again: it goes, too.
            if self.core.sequence(sequence)?.pending.is_empty() {
                return Ok(());
            }
        }
    }
}

impl Core {
    /// Forgets the tokens of a sequence from `len` on, and ends its requests. Pages that become
    /// free stay findable by the tokens that they hold.
    pub fn truncate(&mut self, id: SequenceId, len: usize) -> Result<(), Error> {
        let sequence = self.sequence(id)?;
        if len >= sequence.len() {
            return Ok(());
        }
        self.cancel_all(id)?;
        let Some(sequence) = self.sequences.get_mut(&id) else {
            return Ok(());
        };
        if let Some(pending) = len.checked_sub(sequence.tokens.len()) {
            sequence.pending.truncate(pending);
            return Ok(());
        }
        let page = PAGE as usize;
        sequence.pending.clear();
        sequence.tokens.truncate(len);
        sequence.prefixes.truncate(len / page + 1);
        if sequence.decoded_from >= len {
            sequence.decoded_from = usize::MAX;
        }
        let dropped = sequence.table.split_off(len.div_ceil(page));
        let last = sequence.table.last().copied();
        // From the end: a prefix is of use longer than what follows it.
        for &place in dropped.iter().rev() {
            self.release(place);
        }
        if let Some(Place::Gpu(last)) = last.filter(|_| !len.is_multiple_of(page)) {
            self.make_last_page_private(id, last);
        }
        Ok(())
    }

    /// Sees to it that only this sequence has its last page, which is no longer full and will be
    /// written to: one that others share is copied. Where no page is free, its tokens are computed
    /// again.
    fn make_last_page_private(&mut self, id: SequenceId, last: PageId) {
        if !self.pages.is_shared(last) {
            self.pages.forget(last);
            return;
        }
        let Some(sequence) = self.sequences.get_mut(&id) else {
            return;
        };
        sequence.table.pop();
        match self.pages.take() {
            Some(to) => {
                sequence.table.push(Place::Gpu(to));
                self.memory_ops.push(MemoryOp::Copy { from: last, to });
            }
            None => {
                let whole = sequence.table.len() * PAGE as usize;
                sequence.pending = sequence.tokens.split_off(whole);
            }
        }
        self.pages.release(last);
    }
}

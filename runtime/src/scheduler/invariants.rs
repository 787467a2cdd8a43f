//! What is always true of a scheduler's books.

use godwit_shaders::PAGE;

use super::core::Core;
use super::request::State;
use super::sequence::Sequence;
use crate::kv_cache::pages::PageId;

impl Core {
    /// Checks that no page is lost, none used twice, and that requests and sequences agree.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn check(&self) -> Result<(), String> {
        let tables: Vec<Vec<PageId>> = self
            .sequences
            .values()
            .map(|sequence| sequence.gpu_pages().collect())
            .collect();
        let all = tables.iter().chain(std::iter::once(&self.loading));
        self.pages.check(all.map(Vec::as_slice))?;
        let on_host: usize = self.sequences.values().map(Sequence::host_pages).sum();
        if on_host != self.on_host {
            return Err(format!(
                "{on_host} pages are on the host, not {}",
                self.on_host
            ));
        }
        for (id, sequence) in &self.sequences {
            let pages = sequence.computed().div_ceil(PAGE as usize);
            if sequence.table.len() != pages {
                let (len, computed) = (sequence.table.len(), sequence.computed());
                return Err(format!("{id:?} has {len} pages for {computed} tokens"));
            }
            let first = sequence.queue.front().and_then(|id| self.requests.get(id));
            let in_flight = match first.map(|one| one.state) {
                Some(State::Running { in_flight }) => in_flight,
                _ => 0,
            };
            if in_flight > self.limits.steps_in_flight
                || sequence.ahead != in_flight.saturating_sub(1)
                || (in_flight > 0 && !sequence.pending.is_empty())
            {
                return Err(format!(
                    "{id:?} has {in_flight} tokens in flight, {} positions ahead, {} pending",
                    sequence.ahead,
                    sequence.pending.len()
                ));
            }
            if sequence.prefixes.len() != sequence.tokens.len() / PAGE as usize + 1 {
                return Err(format!("{id:?} has {} prefixes", sequence.prefixes.len()));
            }
            if sequence
                .queue
                .iter()
                .any(|request| !self.requests.contains_key(request))
            {
                return Err(format!("{id:?} has a request that ended"));
            }
        }
        match self
            .requests
            .values()
            .all(|one| self.sequences.contains_key(&one.sequence))
        {
            true => Ok(()),
            false => Err("a request has no sequence".into()),
        }
    }
}

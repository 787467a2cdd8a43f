//! Sequences whose beginnings are read from disk and written to it.

use std::ops::Range;

use crate::engine::Engine;
use crate::error::Error;
use crate::io::{Input, Output};
use crate::progress::{OnProgress, unwatched};
use crate::scheduler::{Scheduler, SequenceId};
use crate::session::Session;

/// A sequence: a session's, or one of a scheduler.
pub(super) trait Holder {
    fn engine(&self) -> &Engine;

    /// Its computed tokens.
    fn tokens(&self) -> &[u32];

    /// How many of the tokens that follow its own need not be read: they are in memory.
    fn findable(&self, tokens: &[u32]) -> usize;

    /// Writes a snapshot of these positions.
    async fn save(&mut self, out: &mut Output<'_>, range: Range<usize>) -> Result<(), Error>;

    /// Goes on from a snapshot of the last of `tokens`. Returns whether there is room for it.
    async fn resume(
        &mut self,
        input: &mut Input<'_>,
        tokens: &[u32],
        progress: &mut OnProgress<'_>,
    ) -> Result<bool, Error>;
}

impl Holder for Session {
    fn engine(&self) -> &Engine {
        self.engine()
    }

    fn tokens(&self) -> &[u32] {
        self.tokens()
    }

    fn findable(&self, _: &[u32]) -> usize {
        0
    }

    async fn save(&mut self, out: &mut Output<'_>, range: Range<usize>) -> Result<(), Error> {
        let note = serde_json::Value::Null;
        Session::save(self, out, range, note, &mut unwatched).await
    }

    async fn resume(
        &mut self,
        input: &mut Input<'_>,
        tokens: &[u32],
        progress: &mut OnProgress<'_>,
    ) -> Result<bool, Error> {
        Session::resume(self, input, Some(tokens), progress).await?;
        Ok(true)
    }
}

/// A sequence of a scheduler.
pub(super) struct OfScheduler<'a> {
    pub scheduler: &'a mut Scheduler,
    pub sequence: SequenceId,
}

impl Holder for OfScheduler<'_> {
    fn engine(&self) -> &Engine {
        self.scheduler.engine()
    }

    fn tokens(&self) -> &[u32] {
        self.scheduler
            .computed_tokens(self.sequence)
            .unwrap_or_default()
    }

    fn findable(&self, tokens: &[u32]) -> usize {
        self.scheduler.findable(self.sequence, tokens)
    }

    async fn save(&mut self, out: &mut Output<'_>, range: Range<usize>) -> Result<(), Error> {
        let note = serde_json::Value::Null;
        let sequence = self.sequence;
        self.scheduler
            .save(sequence, out, range, note, &mut unwatched)
            .await
    }

    async fn resume(
        &mut self,
        input: &mut Input<'_>,
        tokens: &[u32],
        progress: &mut OnProgress<'_>,
    ) -> Result<bool, Error> {
        let sequence = self.sequence;
        let resumed = self
            .scheduler
            .resume(sequence, input, Some(tokens), progress);
        match resumed.await {
            Ok(_) => Ok(true),
            // Running replies have the pages: the scheduler waits for them.
            Err(Error::ContextFull { .. }) => Ok(false),
            Err(error) if error.is_out_of_memory() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

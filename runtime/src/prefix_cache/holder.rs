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

    /// Writes a snapshot of these positions.
    async fn save(&mut self, out: &mut Output<'_>, range: Range<usize>) -> Result<(), Error>;

    /// Goes on from a snapshot of the last of `tokens`.
    async fn resume(
        &mut self,
        input: &mut Input<'_>,
        tokens: &[u32],
        progress: &mut OnProgress<'_>,
    ) -> Result<(), Error>;
}

impl Holder for Session {
    fn engine(&self) -> &Engine {
        self.engine()
    }

    fn tokens(&self) -> &[u32] {
        self.tokens()
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
    ) -> Result<(), Error> {
        Session::resume(self, input, Some(tokens), progress).await?;
        Ok(())
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
    ) -> Result<(), Error> {
        let sequence = self.sequence;
        self.scheduler
            .resume(sequence, input, Some(tokens), progress)
            .await?;
        Ok(())
    }
}

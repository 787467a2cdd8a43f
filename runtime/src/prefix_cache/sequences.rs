//! Beginnings of prompts on disk, for the sequences of a scheduler.

use std::fs;

use super::holder::OfScheduler;
use super::{BLOCK, PrefixCache};
use crate::error::Error;
use crate::progress::OnProgress;
use crate::scheduler::{Scheduler, SequenceId};
use crate::session::Reuse;

impl PrefixCache {
    /// Brings a sequence of a scheduler to hold as much of the beginning of a prompt as it has
    /// computed already or is on disk, and no other tokens; submit the rest of the prompt then. Its
    /// requests end, and idle sequences leave the GPU where there is no room. What other sequences
    /// have in memory is not read: the scheduler shares it. Returns how many tokens the sequence
    /// has, kept and loaded.
    ///
    /// # Errors
    /// There is no such sequence, the GPU fails, or `progress` says stop. What is wrong with a
    /// block costs time, and is logged.
    pub async fn load(
        &self,
        scheduler: &mut Scheduler,
        sequence: SequenceId,
        prompt: &[u32],
        progress: &mut OnProgress<'_>,
    ) -> Result<Reuse, Error> {
        let held = scheduler.computed_tokens(sequence)?;
        let same = held.iter().zip(prompt).take_while(|(a, b)| a == b).count();
        // One token at least is left to compute.
        let same = same.min(prompt.len().saturating_sub(1));
        scheduler.keep_computed(sequence, same)?;
        let mut loaded = 0;
        let engine = scheduler.engine().clone();
        if prompt.len() > BLOCK && self.is_usable(&engine, same, prompt.len(), progress)? {
            let holder = &mut OfScheduler {
                scheduler,
                sequence,
            };
            let (reuse, replaced) = self.read_blocks(holder, prompt, progress).await?;
            loaded = reuse.loaded;
            if let Some(path) = replaced.filter(|path| path.exists()) {
                // `store` writes it anew.
                fs::remove_file(&path)
                    .unwrap_or_else(|error| tracing::warn!("{}: {error}", path.display()));
            }
        }
        scheduler.keep_computed(sequence, usize::MAX)?;
        let held = scheduler.computed_tokens(sequence)?.len();
        let loaded = loaded.min(held);
        Ok(Reuse {
            kept: held - loaded,
            loaded,
            computed: 0,
        })
    }

    /// Writes the blocks of a scheduler's sequence that are not on disk yet: call it when a long
    /// prompt was computed.
    ///
    /// # Errors
    /// There is no such sequence, the GPU is lost, or `progress` says stop. What is wrong with the
    /// folder is logged.
    pub async fn store(
        &self,
        scheduler: &mut Scheduler,
        sequence: SequenceId,
        progress: &mut OnProgress<'_>,
    ) -> Result<(), Error> {
        let tokens = scheduler.computed_tokens(sequence)?.to_vec();
        let engine = scheduler.engine().clone();
        if tokens.len() < BLOCK || !self.is_usable(&engine, 0, tokens.len(), progress)? {
            return Ok(());
        }
        let mut holder = OfScheduler {
            scheduler,
            sequence,
        };
        for end in (BLOCK..=tokens.len()).step_by(BLOCK) {
            if !self.keep(&mut holder, &tokens[..end], None).await? {
                break;
            }
        }
        self.trim();
        Ok(())
    }
}

//! Changes of a sequence that compute nothing: its priority, and tokens at its end.

use super::Scheduler;
use super::core::Core;
use super::sequence::SequenceId;
use crate::error::Error;

impl Scheduler {
    /// Sets a sequence's [priority](super::SequenceOptions::priority), from the next step on.
    ///
    /// # Errors
    /// There is no such sequence.
    pub fn set_priority(&mut self, sequence: SequenceId, priority: i32) -> Result<(), Error> {
        self.core.set_priority(sequence, priority)
    }

    /// Appends tokens to a sequence that has no requests, without a reply. The next request
    /// computes them: the last ones of a sequence whose beginning was
    /// [resumed](Scheduler::resume).
    ///
    /// # Errors
    /// There is no such sequence, it has requests, a token does not exist, or the tokens do not fit
    /// the context. Then nothing has changed.
    pub fn append(&mut self, sequence: SequenceId, tokens: &[u32]) -> Result<(), Error> {
        self.core.append(sequence, tokens)
    }
}

impl Core {
    /// Sets the priority of a sequence.
    pub fn set_priority(&mut self, id: SequenceId, priority: i32) -> Result<(), Error> {
        let sequence = self.sequences.get_mut(&id).ok_or(Error::NoSuchSequence)?;
        sequence.priority = priority;
        Ok(())
    }

    /// Appends tokens to a sequence without requests. The next request computes them.
    pub fn append(&mut self, id: SequenceId, tokens: &[u32]) -> Result<(), Error> {
        let (vocab, context) = (self.model.config().vocab, self.limits.context);
        if let Some(&id) = tokens.iter().find(|&&id| id >= vocab) {
            return Err(Error::NoSuchToken { id, vocab });
        }
        let sequence = self.sequences.get_mut(&id).ok_or(Error::NoSuchSequence)?;
        let used = sequence.len();
        if !sequence.queue.is_empty() {
            let waiting = sequence.queue.len();
            return Err(Error::Busy { waiting });
        }
        if used + tokens.len() > context {
            return Err(Error::ContextFull {
                tokens: tokens.len(),
                used,
                context: context as u32,
            });
        }
        sequence.pending.extend(tokens);
        Ok(())
    }
}

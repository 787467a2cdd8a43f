//! How often a request is tried, and how long is waited in between.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

use super::{FIRST_PAUSE, Failure, LONGEST_PAUSE, MOST_TRIES};
use crate::error::HubError;

/// Counts attempts, and pauses between them: twice as long each time, and not in step with others.
#[derive(Default)]
pub struct Patience(u32);

impl Patience {
    /// There was progress: the next failure is the first again.
    pub fn renew(&mut self) {
        self.0 = 0;
    }

    /// Waits for the next attempt.
    ///
    /// # Errors
    /// The failure is final, or one too many, or the server wants too long a pause, or it was
    /// stopped.
    pub fn wait(
        &mut self,
        failure: Failure,
        what: &str,
        stopped: &dyn Fn() -> bool,
    ) -> Result<(), HubError> {
        let (cause, pause) = match failure {
            Failure::Final(error) => return Err(error),
            Failure::Passing { cause, pause } => (cause, pause),
        };
        self.0 += 1;
        let give_up = |cause| HubError::Network {
            what: what.into(),
            cause,
            tries: self.0,
        };
        if self.0 >= MOST_TRIES {
            return Err(give_up(cause));
        }
        if let Some(long) = pause.filter(|pause| *pause > LONGEST_PAUSE) {
            return Err(give_up(format!(
                "{cause}, and to come back in {} s",
                long.as_secs()
            )));
        }
        let longest = FIRST_PAUSE * (1 << (self.0 - 1));
        let random = RandomState::new().hash_one(self.0) as u32;
        let jitter = longest.mul_f64(0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX));
        let pause = pause.unwrap_or(jitter);
        tracing::warn!(
            "{what}: {cause}; trying again in {:.1} s (attempt {} of {MOST_TRIES})",
            pause.as_secs_f64(),
            self.0 + 1
        );
        let end = Instant::now() + pause;
        while Instant::now() < end {
            if stopped() {
                return Err(HubError::Stopped);
            }
            std::thread::sleep(
                Duration::from_millis(50).min(end.saturating_duration_since(Instant::now())),
            );
        }
        Ok(())
    }
}

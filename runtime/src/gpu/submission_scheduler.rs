//! How much goes into one submission: no more than a budget of time, so that no driver's watchdog
//! fires and a desktop that shares the GPU stays smooth.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use godwit_shaders::{Capabilities, Cost, Step};
use web_time::Instant;

/// The default time budget of a submission.
pub const SUBMIT_BUDGET: Duration = Duration::from_millis(100);

/// What the decode steps in flight may take together by default. A browser takes as long to hear of
/// a token.
pub const IN_FLIGHT_BUDGET: Duration = Duration::from_millis(100);

/// Tokens that a pass is never shortened below.
const FEWEST: u32 = 32;

/// Estimates of what work takes, corrected whenever the host has waited for it.
pub(super) struct SubmissionScheduler {
    budget: f64,
    /// What is assumed of the device before anything has run: bytes and operations a second, and
    /// seconds of a dispatch.
    nominal: (f64, f64, f64),
    /// Whether passes are shortened where a single dispatch is over the budget. No watchdog looks
    /// after a CPU.
    shortens: bool,
    state: Mutex<State>,
}

/// Estimated seconds, by kind of step: one token and many meet different limits of the device.
pub(super) type Seconds = [f64; 2];

struct State {
    /// Seconds of a nominal second.
    scale: Seconds,
    submitted: Seconds,
    completed: Seconds,
    /// When the device began what is not completed.
    since: Instant,
}

impl SubmissionScheduler {
    /// Nothing is known of the device but what it is.
    pub fn new(budget: Duration, caps: &Capabilities) -> Self {
        // Low, so that the first submissions are too short rather than too long.
        let nominal = if caps.cpu {
            (2e9, 1e10, 4e-5)
        } else {
            (5e10, 5e11, 5e-6)
        };
        let state = State {
            scale: [1.0; 2],
            submitted: [0.0; 2],
            completed: [0.0; 2],
            since: Instant::now(),
        };
        Self {
            budget: budget.as_secs_f64().max(1e-3),
            nominal,
            shortens: !caps.cpu,
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nominal seconds of a dispatch.
    pub fn nominal(&self, cost: Cost) -> f64 {
        let (bytes, flops, overhead) = self.nominal;
        overhead + (cost.bytes as f64 / bytes).max(cost.flops as f64 / flops)
    }

    /// Where to cut dispatches into submissions: the end of each. They take about the same time,
    /// and none more than the budget unless it is a single dispatch.
    pub fn cut(&self, cost: impl Iterator<Item = Cost>, step: Step) -> Vec<usize> {
        let (kind, mut state) = (kind(step), self.state());
        let scale = state.scale[kind];
        let seconds: Vec<f64> = cost.map(|cost| scale * self.nominal(cost)).collect();
        let total: f64 = seconds.iter().sum();
        if state.submitted == state.completed {
            state.since = Instant::now();
        }
        state.submitted[kind] += total;
        cut_evenly(&seconds, total, self.budget)
    }

    /// The expected time of dispatches.
    pub fn seconds(&self, cost: impl Iterator<Item = Cost>, step: Step) -> f64 {
        cost.map(|cost| self.nominal(cost)).sum::<f64>() * self.state().scale[kind(step)]
    }

    /// How many of `most` tokens from `position` on a pass may have so that none of its dispatches
    /// is over the budget.
    pub fn tokens(&self, cost: impl Fn(Step) -> Vec<Cost>, position: u32, most: u32) -> u32 {
        let mut count = most;
        while self.shortens && count > FEWEST {
            let step = Step::new(position, count);
            let longest = cost(step)
                .into_iter()
                .map(|cost| self.nominal(cost))
                .fold(0.0, f64::max);
            if longest * self.state().scale[kind(step)] <= self.budget {
                break;
            }
            count = (count / 2).max(FEWEST);
        }
        count
    }

    /// What was submitted so far: to be given to [`SubmissionScheduler::done`] once the host knows
    /// that it is completed.
    pub fn submitted(&self) -> Seconds {
        self.state().submitted
    }

    /// The expected time of what was submitted, and is not completed as far as the host knows.
    pub fn seconds_in_flight(&self) -> f64 {
        let state = self.state();
        let submitted: f64 = state.submitted.iter().sum();
        (submitted - state.completed.iter().sum::<f64>()).max(0.0)
    }

    /// The device has completed what was `submitted`.
    pub fn done(&self, submitted: Seconds) {
        let mut state = self.state();
        let newly = [0, 1].map(|kind| (submitted[kind] - state.completed[kind]).max(0.0));
        let expected = newly[0] + newly[1];
        // Shorter times say more of the wait than of the work.
        if expected < 1e-4 {
            return;
        }
        // The host may have been slow to notice: an estimate grows slowly, and shrinks as fast as
        // it likes.
        let factor = (state.since.elapsed().as_secs_f64() / expected).clamp(0.02, 1.5);
        for (scale, newly) in state.scale.iter_mut().zip(newly) {
            *scale *= 1.0 + newly / expected * (factor - 1.0);
        }
        state.completed = submitted;
        state.since = Instant::now();
    }
}

fn kind(step: Step) -> usize {
    usize::from(step.count > 1)
}

/// The ends of runs of about the same time, each at most `budget` where a run has more than one
/// dispatch.
fn cut_evenly(seconds: &[f64], total: f64, budget: f64) -> Vec<usize> {
    let part = total / (total / budget).ceil().max(1.0);
    let (mut ends, mut sum) = (Vec::new(), 0.0);
    for (i, &one) in seconds.iter().enumerate() {
        // A little over an even part is better than one submission more.
        if sum > 0.0 && sum + one > (1.01 * part).min(budget).max(part) {
            ends.push(i);
            sum = 0.0;
        }
        sum += one;
    }
    ends.push(seconds.len());
    ends
}

#[cfg(test)]
mod tests {
    use godwit_shaders::capabilities::WEBGPU;

    use super::*;

    #[test]
    fn what_fits_is_one_submission() {
        assert_eq!(cut_evenly(&[0.03, 0.03, 0.03], 0.09, 0.1), [3]);
        assert_eq!(cut_evenly(&[], 0.0, 0.1), [0]);
    }

    #[test]
    fn more_is_cut_and_none_is_over() {
        let seconds = [0.02; 50];
        let ends = cut_evenly(&seconds, 1.0, 0.1);
        let starts = [0].into_iter().chain(ends.iter().copied());
        assert!(
            starts
                .zip(&ends)
                .all(|(start, end)| end - start <= 5 && end > &start),
            "{ends:?}"
        );
        assert_eq!(ends.last(), Some(&50));
        // A dispatch over the budget stands alone.
        assert_eq!(cut_evenly(&[0.01, 0.5, 0.01], 0.52, 0.1), [1, 2, 3]);
    }

    #[test]
    fn estimates_follow_what_was_measured() {
        let scheduler = SubmissionScheduler::new(Duration::from_millis(10), &WEBGPU);
        let cost = || {
            (0..100).map(|_| Cost {
                bytes: 100_000_000,
                ..Cost::default()
            })
        };
        let first = scheduler.cut(cost(), Step::new(0, 1)).len();
        // Done at once: the device is much faster than assumed.
        scheduler.done(scheduler.submitted());
        assert_eq!(
            (first, scheduler.cut(cost(), Step::new(0, 1)).len()),
            (25, 1)
        );
        // Other kinds of steps are not touched by that.
        assert_eq!(scheduler.cut(cost(), Step::new(0, 2)).len(), 25);
    }

    #[test]
    fn only_what_is_done_counts() {
        let scheduler = SubmissionScheduler::new(Duration::from_millis(10), &WEBGPU);
        let cost = || {
            (0..100).map(|_| Cost {
                bytes: 100_000_000,
                ..Cost::default()
            })
        };
        let before = scheduler.submitted();
        scheduler.cut(cost(), Step::new(0, 1));
        scheduler.done(before);
        assert_eq!(scheduler.cut(cost(), Step::new(0, 1)).len(), 25);
    }

    #[test]
    fn passes_are_shortened_where_a_dispatch_is_too_long() {
        let cost = |step: Step| {
            vec![
                Cost {
                    flops: u64::from(step.count) * 50_000_000,
                    ..Cost::default()
                };
                3
            ]
        };
        let tokens = |caps: &Capabilities, most| {
            SubmissionScheduler::new(Duration::from_millis(10), caps).tokens(cost, 0, most)
        };
        // A nominal second has 5e11 operations: 100 tokens take 10 ms.
        assert_eq!(
            (
                tokens(&WEBGPU, 512),
                tokens(&WEBGPU, 99),
                tokens(&WEBGPU, 1)
            ),
            (64, 99, 1)
        );
        assert_eq!(
            tokens(
                &Capabilities {
                    cpu: true,
                    ..WEBGPU
                },
                512
            ),
            512
        );
    }
}

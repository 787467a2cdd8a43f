//! What a model on the renderer's device does to frames, by a clock of its own, without a window.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use godwit::scheduler::{Mode, SliceTime};
use godwit::wgpu;

use crate::characters::Characters;
use crate::host::Host;
use crate::landscape::Landscape;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// The landscape alone.
    Off,
    /// A slice of the model in each frame.
    On,
    /// Whole steps of the model, as soon as the one before is done.
    Free,
}

/// Time of frames, and the model's share of it.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    pub period: Duration,
    pub budget: Duration,
}

/// Frames of a part, in milliseconds.
pub struct Report {
    name: &'static str,
    /// From one frame's end of submission to the next one's, in ascending order.
    intervals: Vec<f64>,
    /// From a frame's begin to when the GPU was known to be done with it, in ascending order.
    completions: Vec<f64>,
    /// Share of frames that took more than one and a half periods.
    missed: f64,
    tokens_per_s: f64,
    /// Share of the budget that each slice took, in ascending order.
    slices: Vec<f64>,
}

/// The frames of a part so far.
struct Frames<'a> {
    host: &'a Host,
    landscape: &'a mut Landscape,
    rhythm: Rhythm,
    begin: Instant,
    deadline: Instant,
    last: Option<Instant>,
    intervals: Vec<Duration>,
    completions: Arc<Mutex<Vec<Duration>>>,
}

impl<'a> Frames<'a> {
    fn new(host: &'a Host, landscape: &'a mut Landscape, rhythm: Rhythm) -> Self {
        let begin = Instant::now();
        Self {
            host,
            landscape,
            rhythm,
            begin,
            deadline: begin,
            last: None,
            intervals: Vec::new(),
            completions: Arc::default(),
        }
    }

    /// Waits for the clock, and draws a frame.
    fn draw(&mut self) {
        let early = self.deadline.saturating_duration_since(Instant::now());
        std::thread::sleep(early);
        let begin = Instant::now();
        let seconds = begin.duration_since(self.begin).as_secs_f32();
        let Host { device, queue, .. } = self.host;
        self.landscape.draw(device, queue, seconds);
        let completions = Arc::clone(&self.completions);
        queue.on_submitted_work_done(move || {
            let mut all = completions.lock().unwrap_or_else(PoisonError::into_inner);
            all.push(begin.elapsed());
        });
        let presented = Instant::now();
        let since = self.last.map(|last| presented.duration_since(last));
        self.intervals.extend(since);
        self.last = Some(presented);
        // A frame that was missed is not made up for.
        self.deadline += self.rhythm.period;
        if self.deadline < presented {
            self.deadline = presented;
        }
        // An error is the next frame's.
        let _ = device.poll(wgpu::PollType::Poll);
    }

    fn report(self, name: &'static str, tokens: u64, slices: &[SliceTime]) -> Report {
        let milliseconds = |all: &[Duration]| {
            let mut all: Vec<f64> = all.iter().map(|one| one.as_secs_f64() * 1e3).collect();
            all.sort_by(f64::total_cmp);
            all
        };
        let intervals = milliseconds(&self.intervals);
        let most = 1.5e3 * self.rhythm.period.as_secs_f64();
        let missed = intervals.iter().filter(|&&one| one > most).count();
        let completions = self.completions.lock();
        let completions = completions.unwrap_or_else(PoisonError::into_inner);
        let mut slices: Vec<f64> = slices
            .iter()
            .map(|slice| slice.gpu.as_secs_f64() / slice.budget.as_secs_f64())
            .collect();
        slices.sort_by(f64::total_cmp);
        Report {
            name,
            missed: missed as f64 / intervals.len().max(1) as f64,
            intervals,
            completions: milliseconds(&completions),
            tokens_per_s: tokens as f64 / self.begin.elapsed().as_secs_f64(),
            slices,
        }
    }
}

/// Draws until something is over, which happens on another thread.
pub fn until(
    host: &Host,
    landscape: &mut Landscape,
    rhythm: Rhythm,
    is_over: impl Fn() -> bool,
) -> Report {
    let mut frames = Frames::new(host, landscape, rhythm);
    while !is_over() {
        frames.draw();
    }
    frames.report("loading", 0, &[])
}

/// Draws for some time, with the model as the part says.
pub fn part(
    host: &Host,
    landscape: &mut Landscape,
    rhythm: Rhythm,
    characters: &mut Characters,
    part: Part,
    time: Duration,
) -> anyhow::Result<Report> {
    let (name, mode) = match part {
        Part::Off => ("off", Mode::Paused),
        Part::On => ("on", Mode::Frames { gpu: rhythm.budget }),
        Part::Free => ("free", Mode::Free),
    };
    characters.set_mode(mode);
    // What the part before has submitted is not this one's.
    let mut settling = Frames::new(host, landscape, rhythm);
    while settling.begin.elapsed() < Duration::from_millis(500) {
        settling.draw();
        characters.frame()?;
    }
    let (before, mut slices) = (characters.tokens(), Vec::new());
    let mut frames = Frames::new(host, landscape, rhythm);
    while frames.begin.elapsed() < time {
        frames.draw();
        slices.extend(characters.frame()?.slice);
    }
    Ok(frames.report(name, characters.tokens() - before, &slices))
}

/// The value that a share of all values, in ascending order, is at most.
fn percentile(ascending: &[f64], share: f64) -> f64 {
    let last = ascending.len().saturating_sub(1);
    let at = (last as f64 * share).round() as usize;
    ascending.get(at).copied().unwrap_or(f64::NAN)
}

impl Report {
    /// The head of the table whose lines [`Report`] prints.
    pub const HEAD: &str = "part     frames  interval p50   p95   p99 ms  missed  done p50   \
                            p99 ms  tokens/s  slices p50   p99  most";

    pub fn to_json(&self) -> serde_json::Value {
        let of = |all: &[f64]| {
            let [p50, p95, p99, most] = [0.5, 0.95, 0.99, 1.0].map(|share| percentile(all, share));
            serde_json::json!({ "p50": p50, "p95": p95, "p99": p99, "most": most })
        };
        serde_json::json!({
            "part": self.name,
            "frames": self.intervals.len(),
            "interval_ms": of(&self.intervals),
            "completion_ms": of(&self.completions),
            "missed": self.missed,
            "tokens_per_s": self.tokens_per_s,
            "slices": self.slices.len(),
            "slice_share_of_budget": of(&self.slices),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|share| percentile(&self.intervals, share));
        let [done, done99] = [0.5, 0.99].map(|share| percentile(&self.completions, share));
        let [slice, slice99, most] = [0.5, 0.99, 1.0].map(|share| percentile(&self.slices, share));
        write!(
            f,
            "{:<8} {:>6} {p50:>13.2} {p95:>5.2} {p99:>8.2} {:>6.2}% {done:>9.2} {done99:>8.2} \
             {:>9.2} {slice:>11.2} {slice99:>5.2} {most:>5.2}",
            self.name,
            self.intervals.len(),
            100.0 * self.missed,
            self.tokens_per_s,
        )
    }
}

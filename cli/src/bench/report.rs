//! The report of a benchmark: as JSON, which `--compare` reads again, and as text.

use std::collections::HashMap;
use std::fmt::Write as _;

use godwit::Engine;
use godwit::low_level::{Cost, DispatchTime, Rates};
use serde::{Deserialize, Serialize};

use crate::output::shown;

/// A whole benchmark. A second is one of wall time, a byte or operation what the forward pass can't
/// do without.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    /// Godwit's.
    pub version: String,
    pub model: String,
    pub adapter: String,
    pub driver: String,
    pub backend: String,
    pub load_s: f64,
    /// Bytes of the model's tensors that were loaded in a second.
    pub load_gb_per_s: f64,
    pub rates: Measured,
    /// Bytes of weights that a pass reads which ends with logits, as decode's do.
    weight_bytes: u64,
    /// The same for a pass that only appends to the KV cache.
    #[serde(default)]
    append_weight_bytes: u64,
    /// Bytes of KV cache that a position takes.
    #[serde(default)]
    kv_bytes_per_token: u64,
    pub results: Vec<Row>,
    /// Of the session at the end.
    #[serde(default)]
    pub memory: Option<Memory>,
}

/// The GPU's peak rates in this process.
#[derive(Debug, Serialize, Deserialize)]
pub struct Measured {
    pub gb_per_s: f64,
    pub gflops_per_s: f64,
}

/// One test at one depth.
#[derive(Debug, Serialize, Deserialize)]
pub struct Row {
    pub test: String,
    pub depth: u32,
    pub tokens_per_s: f64,
    /// Standard deviation of the runs.
    pub deviation: f64,
    pub best: f64,
    pub repetitions: u32,
    pub gb_per_s: f64,
    pub gflops_per_s: f64,
    /// Tokens a second if each dispatch took only what its bytes or its arithmetic take at the
    /// measured rates.
    pub limit_tokens_per_s: f64,
    /// Share of the time in which the host encoded and submitted.
    pub host_share: f64,
    pub dispatches_per_token: f64,
    pub bytes_per_token: f64,
    /// The weights that a pass can't do without, once a pass, and the KV cache up to its end.
    pub least_bytes_per_token: f64,
    pub kernels: Vec<KernelRow>,
}

/// All dispatches of a kernel in one shape.
#[derive(Debug, Serialize, Deserialize)]
pub struct KernelRow {
    pub kernel: String,
    pub shape: String,
    pub count: u32,
    /// Of all of them; null without `--profile`, and where the GPU has no timestamps.
    pub seconds: Option<f64>,
    /// Of all kernels' time.
    pub share: Option<f64>,
    pub gb_per_s: Option<f64>,
    pub gflops_per_s: Option<f64>,
    /// How near it is to what the GPU can do.
    pub of_limit: Option<f64>,
}

/// The planned GPU memory, and the process's peak where the device is a CPU.
#[derive(Debug, Serialize, Deserialize)]
pub struct Memory {
    pub planned_bytes: u64,
    pub process_peak_bytes: Option<u64>,
}

/// Tokens a second of several runs.
pub struct Speed {
    mean: f64,
    deviation: f64,
    best: f64,
    runs: u32,
}

impl Speed {
    pub fn of(rates: &[f64]) -> Self {
        let mean = rates.iter().sum::<f64>() / rates.len() as f64;
        let variance = rates.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / rates.len() as f64;
        let best = rates.iter().copied().fold(0.0, f64::max);
        Self {
            mean,
            deviation: variance.sqrt(),
            best,
            runs: rates.len() as u32,
        }
    }
}

impl Report {
    /// A report without results.
    pub fn new(engine: &Engine, load_s: f64, rates: Rates, kv_bytes_per_token: u64) -> Self {
        let (summary, model) = (engine.gpu().summary(), engine.model());
        let loaded: u64 = model
            .checkpoint()
            .tensors()
            .iter()
            .map(|tensor| tensor.bytes)
            .sum();
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            model: model.name(),
            adapter: summary.name.clone(),
            driver: summary.driver.clone(),
            backend: summary.backend.to_string(),
            load_s,
            load_gb_per_s: loaded as f64 / load_s / 1e9,
            rates: Measured {
                gb_per_s: rates.bytes_per_s / 1e9,
                gflops_per_s: rates.flops_per_s / 1e9,
            },
            weight_bytes: model.weight_bytes_per_pass(true),
            append_weight_bytes: model.weight_bytes_per_pass(false),
            kv_bytes_per_token,
            results: Vec::new(),
            memory: None,
        }
    }

    /// The lines before the results.
    pub fn head(&self) -> String {
        let Measured {
            gb_per_s,
            gflops_per_s,
        } = self.rates;
        format!(
            "{} on {} ({}), loaded in {:.2} s ({:.2} GB/s)\nreads {gb_per_s:.1} GB/s, computes \
             {gflops_per_s:.1} GFLOP/s\n{:>8} {:>8} {:>20} {:>8} {:>9} {:>6} {:>6}\n",
            shown(&self.model),
            self.adapter,
            self.backend,
            self.load_s,
            self.load_gb_per_s,
            "test",
            "depth",
            "tokens/s",
            "GB/s",
            "GFLOP/s",
            "limit",
            "host",
        )
    }
}

impl Report {
    /// Bytes that the passes among these dispatches must read. Each pass of decode ends with
    /// logits, of prefill the last.
    fn least_bytes(&self, dispatched: &[DispatchTime], is_decode: bool) -> f64 {
        // A pass begins with the embedding of its tokens.
        let passes = dispatched
            .iter()
            .filter(|one| one.is_first && one.kernel.starts_with("embed"));
        let ends: Vec<u64> = passes
            .map(|one| u64::from(one.step.position + one.step.count))
            .collect();
        let count = ends.len() as u64;
        let with_logits = if is_decode { count } else { count.min(1) };
        let weights =
            with_logits * self.weight_bytes + (count - with_logits) * self.append_weight_bytes;
        (weights + ends.iter().sum::<u64>() * self.kv_bytes_per_token) as f64
    }
}

impl Measured {
    fn rates(&self) -> Rates {
        Rates {
            bytes_per_s: self.gb_per_s * 1e9,
            flops_per_s: self.gflops_per_s * 1e9,
        }
    }
}

/// The runs of one test.
pub struct TestRuns<'a> {
    /// The test's name, such as `pp512`.
    pub test: String,
    pub is_decode: bool,
    /// Tokens in the context before the test.
    pub depth: u32,
    pub speed: Speed,
    /// Share of the time that the host took.
    pub host_share: f64,
    /// The dispatches of one run.
    pub dispatched: &'a [DispatchTime],
    /// Tokens of that run.
    pub tokens: u32,
}

impl Row {
    /// The result of a test.
    pub fn new(measured: TestRuns<'_>, report: &Report) -> Self {
        let TestRuns {
            test,
            is_decode,
            depth,
            speed,
            host_share,
            dispatched,
            tokens,
        } = measured;
        let rates = report.rates.rates();
        let each = |sum: f64| sum / f64::from(tokens);
        let bytes = each(dispatched.iter().map(|l| l.cost.bytes as f64).sum());
        let flops = each(dispatched.iter().map(|l| l.cost.flops as f64).sum());
        let least = each(dispatched.iter().map(|l| rates.least_seconds(l.cost)).sum());
        Self {
            test,
            depth,
            tokens_per_s: speed.mean,
            deviation: speed.deviation,
            best: speed.best,
            repetitions: speed.runs,
            gb_per_s: bytes * speed.mean / 1e9,
            gflops_per_s: flops * speed.mean / 1e9,
            limit_tokens_per_s: 1.0 / least,
            host_share,
            dispatches_per_token: each(dispatched.len() as f64),
            bytes_per_token: bytes,
            least_bytes_per_token: each(report.least_bytes(dispatched, is_decode)),
            kernels: kernels(dispatched, rates),
        }
    }

    /// The result as lines.
    pub fn text(&self, profile: bool) -> String {
        let speed = match self.repetitions {
            // One run has no deviation.
            1 => format!("{:.2}", self.tokens_per_s),
            _ => format!("{:.2} ± {:.2}", self.tokens_per_s, self.deviation),
        };
        let limit = 100.0 * self.tokens_per_s / self.limit_tokens_per_s;
        let mut text = format!(
            "{:>8} {:>8} {speed:>20} {:>8.2} {:>9.2} {limit:>5.0}% {:>5.1}%\n",
            self.test,
            self.depth,
            self.gb_per_s,
            self.gflops_per_s,
            100.0 * self.host_share
        );
        // Writing to a String doesn't fail.
        let _ = writeln!(
            text,
            "         a token: {:.1} dispatches, {:.2} MB of {:.2} MB that must be read",
            self.dispatches_per_token,
            self.bytes_per_token / 1e6,
            self.least_bytes_per_token / 1e6
        );
        if profile {
            self.table(&mut text);
        }
        text
    }

    fn table(&self, text: &mut String) {
        let total: Option<f64> = self.kernels.iter().map(|row| row.seconds).sum();
        let _ = writeln!(
            text,
            "    {:>6} {:>10} {:>9} {:>6} {:>9} {:>9} {:>6}  kernel and shape",
            "count", "total ms", "us", "share", "GB/s", "GFLOP/s", "limit"
        );
        for row in &self.kernels {
            let number = |value: Option<f64>, factor: f64, digits: usize| {
                value.map_or("-".into(), |value| format!("{:.digits$}", value * factor))
            };
            let _ = writeln!(
                text,
                "    {:>6} {:>10} {:>9} {:>5}% {:>9} {:>9} {:>5}%  {} {}",
                row.count,
                number(row.seconds, 1e3, 3),
                number(row.seconds, 1e6 / f64::from(row.count), 1),
                number(row.share, 1e2, 1),
                number(row.gb_per_s, 1.0, 1),
                number(row.gflops_per_s, 1.0, 1),
                number(row.of_limit, 1e2, 0),
                row.kernel,
                row.shape
            );
        }
        if let Some(total) = total {
            let _ = writeln!(text, "           {:>10.3} in kernels", total * 1e3);
        }
    }
}

/// Dispatches by kernel and shape, those that take longest first.
fn kernels(dispatched: &[DispatchTime], rates: Rates) -> Vec<KernelRow> {
    let mut groups: HashMap<(&str, [u32; 3]), Vec<&DispatchTime>> = HashMap::new();
    for one in dispatched {
        groups
            .entry((&one.kernel, one.cost.shape))
            .or_default()
            .push(one);
    }
    let all: Option<f64> = dispatched.iter().map(|one| one.seconds).sum();
    let row = |((kernel, shape), group): ((&str, [u32; 3]), Vec<&DispatchTime>)| {
        let sum = |of: fn(&Cost) -> u64| group.iter().map(|one| of(&one.cost) as f64).sum::<f64>();
        let seconds: Option<f64> = group.iter().map(|one| one.seconds).sum();
        let least: f64 = group.iter().map(|one| rates.least_seconds(one.cost)).sum();
        let shape: Vec<String> = shape
            .iter()
            .take_while(|&&n| n > 0)
            .map(u32::to_string)
            .collect();
        KernelRow {
            kernel: kernel.into(),
            shape: shape.join("x"),
            count: group.len() as u32,
            seconds,
            share: seconds.zip(all).map(|(seconds, all)| seconds / all),
            gb_per_s: seconds.map(|seconds| sum(|work| work.bytes) / seconds / 1e9),
            gflops_per_s: seconds.map(|seconds| sum(|work| work.flops) / seconds / 1e9),
            of_limit: seconds.map(|seconds| least / seconds),
        }
    };
    let mut rows: Vec<KernelRow> = groups.into_iter().map(row).collect();
    rows.sort_by(|a, b| {
        b.seconds
            .unwrap_or(0.0)
            .total_cmp(&a.seconds.unwrap_or(0.0))
            .then_with(|| (b.count, &a.kernel, &a.shape).cmp(&(a.count, &b.kernel, &b.shape)))
    });
    rows
}

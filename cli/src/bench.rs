//! `godwit bench`: prefill and decode speed.

use std::time::Instant;

use godwit::{Sampling, Session, peak_process_memory};
use serde::Serialize;

use crate::args::BenchArgs;
use crate::context::stopped;
use crate::exit::{Interrupted, Usage};
use crate::load::{self, Loaded};
use crate::output::{Output, bytes};
use crate::stop::Stop;

#[derive(Debug, Serialize)]
struct Row {
    test: String,
    depth: u32,
    tokens_per_s: f64,
    deviation: f64,
    /// Bytes of weights and KV cache read a second; every pass reads them all.
    gb_per_s: f64,
    repetitions: u32,
}

/// Depth up to which the context is computed; deeper ones are noise, or the wait would be for nothing.
const MOST_COMPUTED: u32 = 4096;

/// What a test measures.
#[derive(Clone, Copy)]
enum Test {
    Prefill(u32),
    Decode(u32),
}

pub fn run(args: &BenchArgs) -> anyhow::Result<()> {
    pollster::block_on(bench(args))
}

async fn bench(args: &BenchArgs) -> anyhow::Result<()> {
    let stop = Stop::listen()?;
    let Loaded { model, engine, load_s } = load::load(&args.model, &args.common, &stop).await?;
    let mut out = Output::new();
    let summary = engine.gpu().summary();
    if !args.common.json {
        out.line(&format!("{} on {summary}, loaded in {load_s:.2} s", crate::output::printable(&model.name())))?;
        out.line(&format!("{:>8} {:>8} {:>18} {:>8}", "test", "depth", "tokens/s", "GB/s"))?;
    }
    let tests: Vec<Test> =
        args.prompt.iter().map(|&n| Test::Prefill(n)).chain(args.tokens.iter().map(|&n| Test::Decode(n))).collect();
    let mut session = engine.session().await?;
    let mut rows = Vec::new();
    for &depth in &args.depth {
        for &test in &tests {
            let (Test::Prefill(count) | Test::Decode(count)) = test;
            if count == 0 {
                continue;
            }
            let needs = u64::from(depth) + u64::from(count);
            if needs > u64::from(session.context()) {
                let context = session.context();
                return Err(Usage(format!("{needs} tokens do not fit the context of {context}")).into());
            }
            // One run more than is counted: the first compiles kernels and touches memory.
            let mut rates = Vec::new();
            for run in 0..=args.repetitions {
                let seconds = once(&mut session, args, depth, test, &stop).await?;
                if run > 0 {
                    rates.push(f64::from(count) / seconds);
                }
            }
            let row = row(&session, depth, test, &rates);
            if !args.common.json {
                let speed = format!("{:.2} ± {:.2}", row.tokens_per_s, row.deviation);
                out.line(&format!("{:>8} {:>8} {speed:>18} {:>8.2}", row.test, row.depth, row.gb_per_s))?;
            }
            rows.push(row);
        }
    }
    let (planned, peak) = (session.memory(), peak_process_memory().filter(|_| summary.is_cpu()));
    if !args.common.json {
        let took = peak.map(|peak| format!("; the process took {} at most, its driver's share with it", bytes(peak)));
        out.line(&format!("memory: {} planned{}", bytes(planned.total()), took.unwrap_or_default()))?;
    }
    if args.common.json {
        out.json(&serde_json::json!({
            "model": model.name(), "adapter": summary.name, "backend": summary.backend.to_string(), "load_s": load_s,
            "results": rows, "planned_bytes": planned.total(), "process_peak_bytes": peak,
        }))?;
    }
    Ok(())
}

/// Seconds that one run took.
async fn once(session: &mut Session, args: &BenchArgs, depth: u32, test: Test, stop: &Stop) -> anyhow::Result<f64> {
    let vocab = session.engine().model().config().vocab;
    let text = |count: u32| -> Vec<u32> { (0..count).map(|i| (i.wrapping_mul(7919) + 13) % vocab).collect() };
    let mut go = |_, _| stop.flow();
    session.truncate(depth as usize);
    if !args.real_depth && depth > MOST_COMPUTED {
        session.fill_with_noise(depth as usize).await?;
    }
    let missing = depth - session.tokens().len() as u32;
    session.prefill(&text(missing), &mut go).await.map_err(stopped)?;
    let begin = Instant::now();
    match test {
        Test::Prefill(count) => session.prefill(&text(count), &mut go).await.map_err(stopped)?,
        Test::Decode(count) => {
            if session.tokens().is_empty() {
                session.prefill(&text(1), &mut go).await.map_err(stopped)?;
            }
            let sampling = Sampling::greedy();
            for _ in 0..count {
                if stop.pressed() {
                    return Err(Interrupted.into());
                }
                session.next(&sampling).await?;
            }
            session.engine().gpu().finish().await?;
        }
    }
    Ok(begin.elapsed().as_secs_f64())
}

fn row(session: &Session, depth: u32, test: Test, rates: &[f64]) -> Row {
    let mean = rates.iter().sum::<f64>() / rates.len() as f64;
    let variance = rates.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / rates.len() as f64;
    let (name, count, passes_per_token) = match test {
        Test::Prefill(n) => (format!("pp{n}"), n, 1.0 / f64::from(n.min(session.pass_tokens()))),
        Test::Decode(n) => (format!("tg{n}"), n, 1.0),
    };
    let kv = session.kv_bytes_per_token() * u64::from(depth + count / 2);
    let bytes = (session.memory().weights + kv) as f64;
    Row {
        test: name,
        depth,
        tokens_per_s: mean,
        deviation: variance.sqrt(),
        gb_per_s: mean * passes_per_token * bytes / 1e9,
        repetitions: rates.len() as u32,
    }
}

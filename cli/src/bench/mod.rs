//! `godwit bench`: prefill and decode speed, against what the GPU can do at most.

mod compare;
mod report;
mod rows;

use std::time::Instant;

use godwit::low_level::{DispatchTime, peak_process_memory};
use godwit::{Engine, Sampling, Session};

use crate::args::BenchArgs;
use crate::exit::{Interrupted, Usage, stopped};
use crate::load::{self, Loaded};
use crate::output::{Output, bytes};
use crate::stop::Stop;
use report::{Memory, Report, Row, Speed, TestRuns};

/// Depth up to which the context is computed; deeper ones are noise, or the wait would be for
/// nothing.
const MOST_COMPUTED: u32 = 4096;
/// Tokens decoded while a profile is taken, at most.
const PROFILED: u32 = 16;

/// The measurement of a test.
#[derive(Clone, Copy)]
enum Test {
    Prefill(u32),
    Decode(u32),
}

/// One run of a test.
struct Run {
    seconds: f64,
    /// Seconds in which the host encoded and submitted.
    host: f64,
    /// Tokens that were computed.
    tokens: u32,
    /// The same with those that are ahead of what is known.
    steps: u32,
}

pub fn run(args: &BenchArgs) -> anyhow::Result<()> {
    match args.compare.as_deref() {
        Some([before, after]) => compare::run(before, after, args.common.json),
        _ => pollster::block_on(bench(args)),
    }
}

async fn bench(args: &BenchArgs) -> anyhow::Result<()> {
    let stop = Stop::listen()?;
    let Loaded { engine, load_s, .. } = load::load(&args.model, &args.common, false, &stop).await?;
    let gpu = engine.gpu();
    if args.profile && !gpu.has_timestamps() {
        tracing::warn!(
            "{} has no timestamps: kernels are counted, but not timed",
            gpu.summary()
        );
    }
    let mut report = Report::new(
        &engine,
        load_s,
        gpu.measure_rates().await?,
        engine.kv_bytes_per_token(),
    );
    let (mut out, json) = (Output::new(), args.common.json);
    if !json {
        out.report(&report.head())?;
    }
    if !args.rows.is_empty() {
        return bench_rows(&engine, args, report, out, &stop).await;
    }
    let mut session = engine.session().await?;
    let tests: Vec<Test> = args
        .prompt
        .iter()
        .map(|&n| Test::Prefill(n))
        .chain(args.tokens.iter().map(|&n| Test::Decode(n)))
        .collect();
    for &depth in &args.depth {
        for &test in &tests {
            let (Test::Prefill(count) | Test::Decode(count)) = test;
            if count == 0 {
                continue;
            }
            let needs =
                u64::from(depth) + u64::from(count) + u64::from(matches!(test, Test::Decode(_)));
            if needs > u64::from(session.context()) {
                let context = session.context();
                return Err(Usage(format!(
                    "{needs} tokens do not fit the context of {context}"
                ))
                .into());
            }
            let row = measure(&mut session, args, depth, test, &report, &stop).await?;
            if !json {
                out.report(&row.text(args.profile))?;
            }
            report.results.push(row);
        }
    }
    let (planned, peak) = (
        session.memory().total(),
        peak_process_memory().filter(|_| gpu.summary().is_cpu()),
    );
    report.memory = Some(Memory {
        planned_bytes: planned,
        process_peak_bytes: peak,
    });
    if json {
        return out.json(&report);
    }
    let took = peak.map(|peak| {
        format!(
            "; the process took {} at most, its driver's share with it",
            bytes(peak)
        )
    });
    out.line(&format!(
        "memory: {} planned{}",
        bytes(planned),
        took.unwrap_or_default()
    ))
}

/// Decodes several sequences at once, as many as `--rows` says.
async fn bench_rows(
    engine: &Engine,
    args: &BenchArgs,
    mut report: Report,
    mut out: Output,
    stop: &Stop,
) -> anyhow::Result<()> {
    for &depth in &args.depth {
        let first = report.results.len();
        for (&rows, &tokens) in args
            .rows
            .iter()
            .flat_map(|n| args.tokens.iter().map(move |t| (n, t)))
        {
            let test = rows::Test {
                rows,
                depth,
                tokens,
            };
            let row = rows::measure(engine, args, test, &report, stop).await?;
            report.results.push(row);
            if let ([first, ..], Some(row), false) = (
                &report.results[first..],
                report.results.last(),
                args.common.json,
            ) {
                out.report(&row.text(args.profile))?;
                out.report(&rows::text(test, row, first))?;
            }
        }
    }
    match args.common.json {
        true => out.json(&report),
        false => Ok(()),
    }
}

/// All runs of a test: one that compiles kernels and touches memory, those that count, and one that
/// is profiled.
async fn measure(
    session: &mut Session,
    args: &BenchArgs,
    depth: u32,
    test: Test,
    report: &Report,
    stop: &Stop,
) -> anyhow::Result<Row> {
    let (mut rates, mut host) = (Vec::new(), 0.0);
    let mut dispatched = Vec::new();
    let mut tokens = 0;
    for run in 0..=args.repetitions {
        // Without --profile the first run's dispatches are counted; with it they are timed in a run
        // of their own.
        let count_dispatches = run == 0 && !args.profile;
        let (found, mut dispatches) =
            once(session, args, depth, test, count_dispatches, stop).await?;
        // The first run warms up: its times say nothing of a kernel.
        dispatches.iter_mut().for_each(|one| one.seconds = None);
        match run {
            0 => (dispatched, tokens) = (dispatches, found.steps),
            _ => {
                rates.push(f64::from(found.tokens) / found.seconds);
                host += found.host / found.seconds / f64::from(args.repetitions);
            }
        }
    }
    if args.profile {
        let test = match test {
            Test::Decode(count) => Test::Decode(count.min(PROFILED)),
            prefill => prefill,
        };
        let (found, dispatches) = once(session, args, depth, test, true, stop).await?;
        (dispatched, tokens) = (dispatches, found.steps);
    }
    let name = match test {
        Test::Prefill(n) => format!("pp{n}"),
        Test::Decode(n) => format!("tg{n}"),
    };
    let is_decode = matches!(test, Test::Decode(_));
    let runs = TestRuns {
        test: name,
        is_decode,
        depth,
        speed: Speed::of(&rates),
        host_share: host,
        dispatched: &dispatched,
        tokens,
    };
    Ok(Row::new(runs, report))
}

/// One run, and the dispatches in it where they are asked for.
async fn once(
    session: &mut Session,
    args: &BenchArgs,
    depth: u32,
    test: Test,
    profile: bool,
    stop: &Stop,
) -> anyhow::Result<(Run, Vec<DispatchTime>)> {
    let vocab = session.engine().model().config().vocab;
    let text = |count: u32| -> Vec<u32> {
        (0..count)
            .map(|i| (i.wrapping_mul(7919) + 13) % vocab)
            .collect()
    };
    let mut go = |_| stop.flow();
    session.truncate(depth as usize);
    if !args.real_depth && depth > MOST_COMPUTED {
        session.fill_with_noise(depth as usize).await?;
    }
    let missing = depth - session.tokens().len() as u32;
    session
        .prefill(&text(missing), &mut go)
        .await
        .map_err(stopped)?;
    if let Test::Decode(_) = test {
        if session.tokens().is_empty() {
            session.prefill(&text(1), &mut go).await.map_err(stopped)?;
        }
        // Decode begins with logits to choose by.
        session.logits().await?;
    }
    let gpu = session.engine().gpu().clone();
    if profile {
        gpu.start_profile();
    }
    let (host, begin) = (gpu.host_work(), Instant::now());
    let tokens = match test {
        Test::Prefill(count) => {
            session
                .prefill(&text(count), &mut go)
                .await
                .map_err(stopped)?;
            count
        }
        Test::Decode(count) => {
            // Another token is known once `count` have been through the model.
            let sampling = Sampling::greedy();
            for _ in 0..=count {
                if stop.requested() {
                    return Err(Interrupted.into());
                }
                session.next(&sampling).await?;
            }
            count
        }
    };
    let seconds = begin.elapsed().as_secs_f64();
    let host = (gpu.host_work().time - host.time).as_secs_f64();
    // Each token that is known has been through the model, or is on its way; and so are those
    // nobody has asked for.
    let steps = match test {
        Test::Prefill(_) => tokens,
        Test::Decode(_) => tokens + 1 + session.tokens_in_flight(),
    };
    gpu.finish().await?;
    let dispatched = if profile {
        gpu.finish_profile().await?
    } else {
        Vec::new()
    };
    Ok((
        Run {
            seconds,
            host,
            tokens,
            steps,
        },
        dispatched,
    ))
}

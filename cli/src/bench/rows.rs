//! `godwit bench --rows`: decode of several sequences at once.

use std::time::Instant;

use godwit::Sampling;
use godwit::low_level::DispatchTime;
use godwit::scheduler::{Budget, Event, Request, Scheduler, SchedulerOptions, SequenceOptions};
use godwit::{Engine, KvFormat};

use super::report::{Report, Row, Speed, TestRuns};
use crate::args::BenchArgs;
use crate::exit::{Interrupted, Usage};
use crate::stop::Stop;

/// Steps before the clock starts: they compile kernels.
const WARM_UP: u32 = 2;
/// Steps in which dispatches are counted, or timed.
const PROFILED: u32 = 4;

/// One measurement.
#[derive(Clone, Copy)]
pub struct Test {
    pub rows: u32,
    pub depth: u32,
    /// Tokens of each sequence.
    pub tokens: u32,
}

/// Decodes `test.rows` sequences together, each with `test.depth` tokens of its own before.
pub async fn measure(
    engine: &Engine,
    args: &BenchArgs,
    test: Test,
    report: &Report,
    stop: &Stop,
) -> anyhow::Result<Row> {
    let steps = WARM_UP + PROFILED + test.tokens * args.repetitions;
    let len = u64::from(test.depth) + u64::from(steps) + 1;
    if len > u64::from(engine.context()) {
        let context = engine.context();
        return Err(Usage(format!("{len} tokens do not fit the context of {context}")).into());
    }
    let kv: KvFormat = engine.kv_format();
    if kv.has_f16_tail() {
        return Err(
            Usage("--rows needs a KV cache that sequences share: --kv f16 or q8_0".into()).into(),
        );
    }
    let pages = u64::from(test.rows) * (len.div_ceil(64) + 1);
    let options = SchedulerOptions::default()
        .kv_memory(Some(pages * 64 * engine.kv_bytes_per_token()))
        .max_running(test.rows);
    let mut scheduler = Scheduler::new(engine, &options).await?;
    // No reply ends before the measurement does.
    let ends = engine.model().tokenizer().ends().iter();
    let sampling =
        Sampling::greedy().logit_bias(ends.map(|&end| (end, f32::NEG_INFINITY)).collect());
    for row in 0..test.rows {
        let sequence = scheduler.open(&SequenceOptions::default().salt(row.to_le_bytes().to_vec()));
        scheduler
            .fill_with_noise(sequence, test.depth as usize)
            .await?;
        let prompt = vec![(row * 7919 + 13) % engine.model().config().vocab];
        let forever = Request::new(prompt).sampling(sampling.clone());
        scheduler.submit(sequence, forever)?;
    }
    let gpu = engine.gpu();
    let mut step = async |count: u32| -> anyhow::Result<u32> {
        let mut tokens = 0;
        for _ in 0..count {
            if stop.requested() {
                return Err(Interrupted.into());
            }
            scheduler.step(Budget::default()).await?;
            scheduler.wait().await?;
            while let Some(event) = scheduler.next_event() {
                match event {
                    Event::Piece { .. } => tokens += 1,
                    Event::Failed { error, .. } => return Err(error.into()),
                    Event::Finished { reason, .. } => {
                        anyhow::bail!("a reply ended before the measurement: {reason:?}")
                    }
                    _ => {}
                }
            }
        }
        Ok(tokens)
    };
    step(WARM_UP).await?;
    let (mut rates, mut host) = (Vec::new(), 0.0);
    for _ in 0..args.repetitions {
        let (host_before, begin) = (gpu.host_work(), Instant::now());
        let tokens = step(test.tokens).await?;
        let seconds = begin.elapsed().as_secs_f64();
        let in_host = (gpu.host_work().time - host_before.time).as_secs_f64();
        rates.push(f64::from(tokens) / seconds);
        host += in_host / seconds / f64::from(args.repetitions);
    }
    gpu.start_profile();
    let tokens = step(PROFILED).await?;
    let mut dispatched: Vec<DispatchTime> = gpu.finish_profile().await?;
    if !args.profile {
        dispatched.iter_mut().for_each(|one| one.seconds = None);
    }
    let runs = TestRuns {
        test: format!("rows{}", test.rows),
        is_decode: true,
        depth: test.depth,
        speed: Speed::of(&rates),
        host_share: host,
        dispatched: &dispatched,
        tokens,
    };
    Ok(Row::new(runs, report))
}

/// What a user of one of the sequences sees, beside the first measurement at the same depth.
pub fn text(test: Test, row: &Row, first: &Row) -> String {
    format!(
        "         each of {} sequences: {:.2} tokens/s; all together {:.2} times {}\n",
        test.rows,
        row.tokens_per_s / f64::from(test.rows),
        row.tokens_per_s / first.tokens_per_s,
        first.test,
    )
}

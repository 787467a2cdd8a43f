//! Needles in a haystack of any length: `cargo run --release -p godwit-tests --example retrieval --
//! 1m q8_0`.
//!
//! What is read is kept in `target/retrieval`: an interrupted run goes on where it stopped.

use std::ops::ControlFlow;
use std::time::Instant;

use godwit::{ContextSize, EngineOptions, PrefixCache, Progress};
use godwit_tests::model::{engine, session};
use godwit_tests::retrieval::{KEYS, ask, haystack, model, value_of};
use pollster::block_on;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let len = arguments
        .next()
        .and_then(|text| godwit::low_level::tokens(&text))
        .unwrap_or(1 << 16);
    let kv = arguments
        .next()
        .map_or(Ok(Default::default()), |text| text.parse())
        .expect("a KV type");
    // Room for the question and its answer, at the window's very end.
    let hay = haystack(len - 2);
    let model = model(len);
    let options = EngineOptions::default()
        .context(ContextSize::Tokens(len))
        .kv(kv);
    let engine = engine(&model, &options, false);
    let mut session = session(&engine);
    let begin = Instant::now();
    let mut shown = 0;
    let mut progress = |Progress { done, total, .. }: Progress| {
        if done * 32 / total > shown {
            shown = done * 32 / total;
            eprintln!(
                "{done} of {total} tokens after {:.0} s",
                begin.elapsed().as_secs_f64()
            );
        }
        ControlFlow::Continue(())
    };
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/retrieval");
    let cache = PrefixCache::new(folder, 16 << 30);
    let reuse =
        block_on(cache.prefill(&mut session, &hay, &mut progress)).expect("the haystack is read");
    let read = begin.elapsed();
    let asked = Instant::now();
    let recalled = (0..KEYS)
        .filter(|&key| ask(&mut session, hay.len(), key) == value_of(key))
        .count();
    println!(
        "{recalled} of {KEYS} needles recalled at {len} tokens, {kv} KV cache, on {}: {} read in \
         {:.0} s, asked in {:.1} s",
        engine.gpu().summary(),
        reuse.computed,
        read.as_secs_f64(),
        asked.elapsed().as_secs_f64()
    );
    assert_eq!(recalled, KEYS as usize);
}

//! Full disks, and the sequences of a scheduler.

use pollster::block_on;

use super::*;
use crate::errors::SpillError;
use crate::low_level::Synthetic;
use crate::scheduler::{
    Budget, Event, Request, Scheduler, SchedulerOptions, SequenceId, SequenceOptions,
};
use crate::{Engine, EngineOptions, Gpu, GpuOptions, Sampling, Spilling, unwatched};

/// A session of a tiny model; its GPU has room for as many bytes of a KV cache, or for all.
fn session(kv: Option<u64>) -> Session {
    let model = "tiny:q8_0,vocab=512,context=16k"
        .parse::<Synthetic>()
        .expect("a shape")
        .model()
        .expect("a model");
    let open = |memory| {
        let adapter = std::env::var("GODWIT_ADAPTER").ok();
        let options = GpuOptions {
            adapter,
            memory,
            ..GpuOptions::default()
        };
        let gpu = block_on(Gpu::open(&options))
            .expect("a GPU, or the software driver that tests/fetch.sh installs");
        let options = EngineOptions {
            spill: Spilling::Host { memory: 0 },
            ..EngineOptions::default()
        };
        let engine =
            block_on(Engine::load(gpu, &model, &options, &mut crate::unwatched)).expect("it loads");
        block_on(engine.session()).expect("a session")
    };
    let roomy = open(None);
    let Some(kv) = kv else { return roomy };
    let memory = roomy.memory();
    open(Some(memory.weights + memory.scratch + kv))
}

#[test]
fn a_full_disk_for_the_kv_cache_leaves_good_blocks() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = PrefixCache::new(folder.path(), 1 << 30);
    let prompt: Vec<u32> = (0..8300_u32).map(|i| i.wrapping_mul(i) % 509).collect();
    let blocks = || fs::read_dir(folder.path()).expect("a folder").count();
    block_on(cache.prefill(&mut session(None), &prompt, &mut unwatched)).expect("room");
    assert_eq!(blocks(), 2);

    let mut small = session(Some(3 << 20));
    small.executor.kv.spill_to_full_disk();
    let error = block_on(cache.prefill(&mut small, &prompt, &mut unwatched)).expect_err("no room");
    assert!(
        matches!(error, Error::Spill(SpillError::File { .. })),
        "{error}"
    );
    assert!(error.to_string().contains("No space left"), "{error}");
    assert_eq!(blocks(), 2);

    // With room on the host they are read.
    let reuse = block_on(cache.prefill(&mut session(Some(3 << 20)), &prompt, &mut unwatched))
        .expect("room");
    assert_eq!((reuse.loaded, reuse.computed), (8192, 108));
}

/// A greedy reply of 20 tokens to the last of `prompt`, which the sequence lacks.
fn reply(scheduler: &mut Scheduler, sequence: SequenceId, prompt: &[u32]) -> Vec<u32> {
    let held = scheduler.tokens(sequence).expect("open").len();
    let request = Request::new(prompt[held..].to_vec())
        .sampling(Sampling::greedy())
        .max_tokens(20);
    scheduler.submit(sequence, request).expect("room");
    let mut reply = Vec::new();
    while scheduler.has_work() {
        block_on(scheduler.step(Budget::default())).expect("a step");
        block_on(scheduler.wait()).expect("a device");
        while let Some(event) = scheduler.next_event() {
            if let Event::Piece { piece, .. } = event {
                reply.extend(piece.token);
            }
        }
    }
    reply
}

#[test]
fn sessions_and_schedulers_read_each_others_blocks() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = PrefixCache::new(folder.path(), 1 << 30);
    let prompt: Vec<u32> = (0..8300_u32).map(|i| i.wrapping_mul(i) % 509).collect();
    let session = session(None);
    let engine = session.engine().clone();
    let scheduler = || {
        let scheduler = block_on(Scheduler::new(&engine, &SchedulerOptions::default()));
        let mut scheduler = scheduler.expect("room");
        let sequence = scheduler.open(&SequenceOptions::default());
        (scheduler, sequence)
    };
    let (mut first, of_first) = scheduler();
    let nothing = block_on(cache.load(&mut first, of_first, &prompt, &mut unwatched));
    assert_eq!(nothing.expect("room").loaded, 0);
    let expected = reply(&mut first, of_first, &prompt);
    block_on(cache.store(&mut first, of_first, &mut unwatched)).expect("a disk");
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 2);
    // The sequence goes on as it was.
    assert_eq!(first.tokens(of_first).expect("open")[8300..], expected);

    let (mut second, of_second) = scheduler();
    let reuse = block_on(cache.load(&mut second, of_second, &prompt, &mut unwatched));
    assert_eq!(reuse.expect("room").loaded, 8192);
    assert_eq!(reply(&mut second, of_second, &prompt), expected);
    let mut session = session;
    let reuse = block_on(cache.prefill(&mut session, &prompt, &mut unwatched)).expect("room");
    assert_eq!((reuse.loaded, reuse.computed), (8192, 108));
    // A block that is damaged is computed, and replaced.
    let block = fs::read_dir(folder.path()).expect("a folder").next();
    let block = block.expect("two blocks").expect("a file").path();
    fs::write(&block, b"GODWITKV").expect("a disk");
    let (mut third, of_third) = scheduler();
    let reuse = block_on(cache.load(&mut third, of_third, &prompt, &mut unwatched));
    assert!(reuse.expect("room").loaded < 8192);
    assert_eq!(reply(&mut third, of_third, &prompt), expected);
    block_on(cache.store(&mut third, of_third, &mut unwatched)).expect("a disk");
    assert!(fs::metadata(&block).expect("it is back").len() > 8);
}

/// What `load` returns is what the sequence has: nothing is lost, and nothing is there twice.
#[test]
fn a_next_turn_and_a_damaged_block_lose_no_token() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = PrefixCache::new(folder.path(), 1 << 30);
    let prompt: Vec<u32> = (0..8300_u32).map(|i| i.wrapping_mul(i) % 509).collect();
    let engine = session(None).engine().clone();
    let open = || {
        let scheduler = block_on(Scheduler::new(&engine, &SchedulerOptions::default()));
        let mut scheduler = scheduler.expect("room");
        let sequence = scheduler.open(&SequenceOptions::default());
        (scheduler, sequence)
    };
    let (mut first, sequence) = open();
    let said = reply(&mut first, sequence, &prompt);
    block_on(cache.store(&mut first, sequence, &mut unwatched)).expect("a disk");
    // The last token of the reply was not computed: it is in the next prompt again.
    let next = [&prompt[..], &said, &[7, 8]].concat();
    let reuse = block_on(cache.load(&mut first, sequence, &next, &mut unwatched)).expect("room");
    let held = first.tokens(sequence).expect("open");
    assert_eq!((reuse.kept, reuse.loaded), (held.len(), 0));
    assert_eq!(held, next[..held.len()]);
    // A request that waits ends.
    let request = Request::new(vec![5]).max_tokens(5);
    first.submit(sequence, request).expect("room");
    block_on(cache.load(&mut first, sequence, &next, &mut unwatched)).expect("room");
    assert!(!first.has_work());
    // The second block has another byte in its keys, which is found behind them.
    let mut blocks: Vec<_> = fs::read_dir(folder.path()).expect("a folder").collect();
    assert_eq!(blocks.len(), 2);
    let mut bytes = Vec::new();
    for block in blocks.drain(..) {
        let path = block.expect("a file").path();
        bytes = fs::read(&path).expect("a block");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, &bytes).expect("a disk");
    }
    let (mut second, sequence) = open();
    reply(&mut second, sequence, &prompt[..5000]);
    let reuse = block_on(cache.load(&mut second, sequence, &prompt, &mut unwatched));
    let reuse = reuse.expect("room");
    let held = second.tokens(sequence).expect("open");
    assert_eq!(reuse.kept + reuse.loaded, held.len());
    assert_eq!(held, prompt[..held.len()]);
    assert_eq!(reply(&mut second, sequence, &prompt), said);
    assert!(!bytes.is_empty());
}

#[test]
fn what_others_have_in_memory_is_not_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = PrefixCache::new(folder.path(), 1 << 30);
    let prompt: Vec<u32> = (0..4200_u32).map(|i| i.wrapping_mul(i) % 509).collect();
    let engine = session(None).engine().clone();
    let options =
        SchedulerOptions::default().kv_memory(Some(80 * 64 * engine.kv_bytes_per_token()));
    let mut scheduler = block_on(Scheduler::new(&engine, &options)).expect("room");
    let first = scheduler.open(&SequenceOptions::default());
    let expected = reply(&mut scheduler, first, &prompt);
    block_on(cache.store(&mut scheduler, first, &mut unwatched)).expect("a disk");
    let second = scheduler.open(&SequenceOptions::default());
    let reuse = block_on(cache.load(&mut scheduler, second, &prompt, &mut unwatched));
    assert_eq!(reuse.expect("room").loaded, 0);
    assert_eq!(reply(&mut scheduler, second, &prompt), expected);
    // Of another salt they are not shared. There is no room while the first one runs: it is not an
    // error.
    let third = scheduler.open(&SequenceOptions::default().salt(vec![1]));
    let request = Request::new(vec![9]).max_tokens(50);
    scheduler.submit(first, request).expect("room");
    block_on(scheduler.step(Budget::default())).expect("a step");
    let reuse = block_on(cache.load(&mut scheduler, third, &prompt, &mut unwatched));
    assert_eq!(reuse.expect("it waits").loaded, 0);
}

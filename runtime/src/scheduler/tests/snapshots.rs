//! Sequences as files, and back.

use pollster::block_on;

use super::super::{Budget, SchedulerOptions, SequenceId};
use super::replies::{Tested, deterministic, engine, sampled, text};
use crate::gpu::GpuError;
use crate::{EngineOptions, Error, FinishReason, Session, unwatched};

/// A file of a sequence's tokens up to `end`, with the keys and values from `start` on.
fn save(tested: &mut Tested, sequence: SequenceId, start: usize, end: usize) -> Vec<u8> {
    let (mut file, note) = (Vec::new(), serde_json::Value::Null);
    block_on(async {
        let scheduler = &mut tested.scheduler;
        scheduler
            .save(sequence, &mut file, start..end, note, &mut unwatched)
            .await
    })
    .expect("it is saved");
    file
}

fn resume(tested: &mut Tested, sequence: SequenceId, file: &[u8]) -> Result<(), Error> {
    block_on(async {
        let scheduler = &mut tested.scheduler;
        scheduler
            .resume(sequence, &mut &file[..], None, &mut unwatched)
            .await
    })
    .map(drop)
}

/// The reply to one more token.
fn reply(tested: &mut Tested, sequence: SequenceId) -> Vec<u32> {
    let id = tested.submit(sequence, sampled(vec![3], 25));
    tested.finish();
    tested.replies.remove(&id).expect("it was asked")
}

#[test]
fn a_sequence_that_was_saved_goes_on_in_another_scheduler_and_in_a_session() {
    let engine = engine(EngineOptions::default());
    let mut first = Tested::new(&engine, deterministic());
    let sequence = first.open();
    first.submit(sequence, sampled(text(1, 300), 20));
    first.finish();
    // Of the reply, the last token is not computed yet.
    let all = 300 + 19;
    let whole = save(&mut first, sequence, 0, all);
    let parts = [
        save(&mut first, sequence, 0, 96),
        save(&mut first, sequence, 96, all),
    ];
    let fork = first.scheduler.fork(sequence, all).expect("it has them");
    let expected = reply(&mut first, fork);

    let mut second = Tested::new(&engine, deterministic());
    let resumed = second.open();
    resume(&mut second, resumed, &whole).expect("it fits");
    assert_eq!(second.scheduler.tokens(resumed).expect("open").len(), all);
    assert_eq!(reply(&mut second, resumed), expected);
    // In two parts, the second of which begins in the middle of a page that another sequence has
    // too.
    let other = second.open();
    resume(&mut second, other, &parts[0]).expect("it fits");
    let fork = second.scheduler.fork(other, 96).expect("it has them");
    resume(&mut second, other, &parts[1]).expect("it fits");
    assert_eq!(reply(&mut second, other), expected);
    assert_eq!(second.scheduler.tokens(fork).expect("open"), text(1, 96));

    let mut session = block_on(engine.session()).expect("a session");
    block_on(session.resume(&mut &whole[..], None, &mut unwatched)).expect("it fits");
    let mut again = Vec::new();
    let note = serde_json::Value::Null;
    block_on(session.save(&mut again, 0..all, note, &mut unwatched)).expect("it is saved");
    assert_eq!(again, whole);
}

#[test]
fn a_session_that_was_saved_goes_on_in_a_scheduler() {
    let engine = engine(EngineOptions::default());
    let mut session: Session = block_on(engine.session()).expect("a session");
    block_on(session.prefill(&text(2, 500), &mut unwatched)).expect("room");
    let (mut file, note) = (Vec::new(), serde_json::Value::Null);
    block_on(session.save(&mut file, 0..500, note, &mut unwatched)).expect("it is saved");
    let mut tested = Tested::new(&engine, SchedulerOptions::default());
    let sequence = tested.open();
    resume(&mut tested, sequence, &file).expect("it fits");
    assert_eq!(save(&mut tested, sequence, 0, 500), file);
    // What it holds is found by others.
    let id = tested.ask(sampled(text(2, 490), 3));
    tested.finish();
    assert_eq!(tested.usage[&id].cached_tokens, 448);
}

/// A pool of ten pages, and a sequence of 301 computed tokens in it.
fn ten_pages() -> (Tested, SequenceId) {
    let engine = engine(EngineOptions::default());
    let page = u64::from(godwit_shaders::PAGE)
        * crate::engine::kv_bytes(engine.model().config(), engine.kv_format());
    let mut tested = Tested::new(&engine, deterministic().kv_memory(Some(10 * page)));
    let first = tested.open();
    tested.submit(first, sampled(text(1, 300), 2));
    tested.finish();
    (tested, first)
}

/// Pages leave the GPU for another sequence.
fn leave_for_another(tested: &mut Tested) {
    let second = tested.open();
    tested.submit(second, sampled(text(2, 400), 2));
    tested.finish();
    assert!(tested.scheduler.load().host_pages > 0);
}

#[test]
fn what_has_left_the_gpu_is_saved_as_it_was() {
    let (mut tested, first) = ten_pages();
    let file = save(&mut tested, first, 0, 301);
    leave_for_another(&mut tested);
    assert_eq!(save(&mut tested, first, 0, 301), file);
    // Where there is no page, what is idle leaves the GPU for it.
    let third = tested.open();
    resume(&mut tested, third, &file).expect("the others make room");
    assert_eq!(save(&mut tested, third, 0, 301), file);
    let long = tested.open();
    assert!(matches!(
        block_on(tested.scheduler.save(
            long,
            &mut Vec::new(),
            0..1,
            serde_json::Value::Null,
            &mut unwatched
        )),
        Err(Error::Empty)
    ));
}

#[test]
fn a_file_that_is_damaged_or_given_up_leaves_no_page_behind() {
    let engine = engine(EngineOptions::default());
    let mut tested = Tested::new(&engine, deterministic());
    let sequence = tested.open();
    tested.submit(sequence, sampled(text(1, 300), 2));
    tested.finish();
    let mut file = save(&mut tested, sequence, 0, 301);
    let in_use = tested.scheduler.load().pages[0];
    let other = tested.open();
    // Given up in its middle, by its future and by its caller.
    let mut progress = |_| std::ops::ControlFlow::Break(());
    let stopped = block_on(
        tested
            .scheduler
            .resume(other, &mut &file[..], None, &mut progress),
    );
    assert!(matches!(stopped, Err(Error::Stopped)), "{stopped:?}");
    assert_eq!(tested.scheduler.load().pages[0], in_use);
    let last = file.len() - 40;
    file[last] ^= 1;
    let damaged = resume(&mut tested, other, &file);
    assert!(matches!(damaged, Err(Error::Snapshot(_))), "{damaged:?}");
    assert_eq!(tested.scheduler.load().pages[0], in_use);
    assert!(tested.scheduler.tokens(other).expect("open").is_empty());
    file[last] ^= 1;
    resume(&mut tested, other, &file).expect("it is good again");
    tested.scheduler.core.check().expect("the books agree");
    // One of other tokens is refused before anything changes.
    resume(&mut tested, sequence, &file).expect("the same tokens");
    let foreign = save(&mut tested, other, 64, 301);
    let empty = tested.open();
    let refused = resume(&mut tested, empty, &foreign);
    assert!(matches!(refused, Err(Error::Snapshot(_))), "{refused:?}");
}

/// A request whose next token is computed ahead ends where its sequence is resumed over.
#[test]
fn a_running_request_ends_where_its_sequence_is_resumed() {
    let engine = engine(EngineOptions::default());
    let mut source = Tested::new(&engine, deterministic());
    let sequence = source.open();
    source.submit(sequence, sampled(text(1, 128), 2));
    source.finish();
    let file = save(&mut source, sequence, 64, 128);
    let expected = {
        let fork = source.scheduler.fork(sequence, 128).expect("it has them");
        reply(&mut source, fork)
    };
    let options = deterministic().steps_in_flight(Some(2));
    let mut tested = Tested::new(&engine, options);
    let sequence = tested.open();
    let id = tested.submit(sequence, sampled(text(1, 64), 50));
    for _ in 0..2 {
        block_on(tested.scheduler.step(Budget::default())).expect("a step");
    }
    resume(&mut tested, sequence, &file).expect("it fits");
    tested.take_events();
    assert_eq!(tested.ends.get(&id), Some(&FinishReason::Cancelled));
    assert_eq!(
        tested.scheduler.tokens(sequence).expect("open"),
        text(1, 128)
    );
    assert_eq!(reply(&mut tested, sequence), expected);
}

#[test]
fn a_sequence_on_the_host_is_resumed_over() {
    let (mut tested, first) = ten_pages();
    let file = save(&mut tested, first, 128, 300);
    leave_for_another(&mut tested);
    resume(&mut tested, first, &file).expect("the other one makes room");
    assert_eq!(tested.scheduler.tokens(first).expect("open"), text(1, 300));
    assert_eq!(save(&mut tested, first, 128, 300), file);
}

/// That the pool could not grow once is no failure of the device: running replies go on.
#[test]
fn a_file_without_room_ends_no_other_request() {
    let (mut tested, first) = ten_pages();
    let file = save(&mut tested, first, 0, 300);
    tested.scheduler.close(first).expect("open");
    let running = tested.ask(sampled(text(2, 500), 20));
    while tested.replies[&running].is_empty() {
        tested.step();
    }
    tested.scheduler.core.refused = Some(GpuError::OutOfMemory {
        what: "a segment".into(),
        bytes: 1,
    });
    let other = tested.open();
    let refused = resume(&mut tested, other, &file);
    assert!(matches!(refused, Err(Error::Gpu(_))), "{refused:?}");
    tested.finish();
    assert_eq!(tested.ends.get(&running), Some(&FinishReason::Length));
}

//! Callers that err: wrong handles, pointers, lengths, sizes and values. Each call is an error, and
//! nothing crashes.

use std::ffi::c_char;
use std::ptr::{null, null_mut};

use godwit_capi::godwit_status::*;
use godwit_capi::*;

use crate::calls::*;

/// Calls of all threads together.
const CALLS: u32 = 1_000_000;
const THREADS: u32 = 4;

/// Random numbers (Marsaglia's xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[(self.next() % list.len() as u64) as usize]
    }
}

/// Handles that are valid, of each kind, and some that were.
struct Handles {
    model: u64,
    engine: u64,
    scheduler: u64,
    sequence: u64,
    closed: [u64; 2],
}

impl Handles {
    fn new() -> Self {
        let scheduler = scheduler(engine(), 0);
        let closed = sequence(scheduler);
        ok(godwit_sequence_close(closed));
        let ended = say(sequence(scheduler), "Hello", 1);
        end(scheduler, ended);
        Self {
            model: model(),
            engine: engine(),
            scheduler,
            sequence: sequence(scheduler),
            closed: [closed, ended],
        }
    }

    /// A handle that is none of this kind.
    fn wrong(&self, kind: u64, random: &mut Random) -> u64 {
        let all = [self.model, self.engine, self.scheduler, self.sequence];
        match random.next() % 6 {
            0 => 0,
            1 => random.pick(&self.closed),
            // No test makes so many handles, or uses a place so often.
            2 => random.next() | 1 << 28,
            3 => random.next() | 1 << 60,
            4 => kind ^ (1 << (32 + random.next() % 32)),
            _ => loop {
                let other = random.pick(&all);
                if other != kind {
                    return other;
                }
            },
        }
    }
}

/// Lengths that no memory has.
const LENGTHS: [usize; 3] = [usize::MAX, isize::MAX as usize + 1, usize::MAX / 2 + 9];

/// Sizes that no struct has.
const SIZES: [usize; 5] = [0, 1, 7, 4097, usize::MAX];

/// Structs with a wrong size, and with a field of a later version.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Bytes([u8; 4096]);

impl Bytes {
    fn of_size(size: usize) -> Self {
        let mut bytes = Self([0; 4096]);
        bytes.0[..8].copy_from_slice(&size.to_ne_bytes());
        bytes
    }

    fn newer() -> Self {
        let mut bytes = Self::of_size(4096);
        bytes.0[4000] = 1;
        bytes
    }

    fn wrong(random: &mut Random) -> Self {
        match random.next() % 3 {
            0 => Self::newer(),
            _ => Self::of_size(random.pick(&SIZES)),
        }
    }

    fn pointer<T>(&self) -> *const T {
        self.0.as_ptr().cast()
    }
}

/// A call with a wrong handle.
///
/// # Safety
/// None: what is not a handle is valid.
unsafe fn wrong_handle(handles: &Handles, random: &mut Random) -> godwit_status {
    let mut place = [0_u64; 512];
    place[0] = size_of_val(&place) as u64;
    let (at, size_at) = (place.as_mut_ptr(), 64);
    let model = handles.wrong(handles.model, random);
    let engine = handles.wrong(handles.engine, random);
    let scheduler = handles.wrong(handles.scheduler, random);
    let sequence = handles.wrong(handles.sequence, random);
    let (text, length) = parts("text");
    // SAFETY: All pointers are to places that are large enough, or null where that is permitted.
    unsafe {
        match random.next() % 27 {
            0 => godwit_model_close(model),
            1 => godwit_model_describe(model, at.cast()),
            2 => godwit_model_progress(model, at, at.add(1)),
            3 => godwit_model_estimate(model, null(), at.cast()),
            4 => godwit_tokenize(
                model,
                text,
                length,
                0,
                at.cast(),
                64,
                at.add(size_at).cast(),
            ),
            5 => godwit_detokenize(model, at.cast(), 1, at.cast(), 64, at.add(size_at).cast()),
            6 => godwit_encode_chat(model, null(), 0, at.cast(), 64, at.add(size_at).cast()),
            7 => godwit_engine_load(model, null(), at),
            8 => godwit_engine_close(engine),
            9 => godwit_engine_describe(engine, at.cast()),
            10 => godwit_scheduler_open(engine, null(), at),
            11 => godwit_scheduler_close(scheduler),
            12 => godwit_scheduler_set_mode(scheduler, 0, 0),
            13 => godwit_scheduler_warm_up(scheduler),
            14 => godwit_scheduler_load(scheduler, at.cast()),
            15 => godwit_step(scheduler, 0, null_mut()),
            16 => godwit_wait(scheduler),
            17 => godwit_next_event(scheduler, at.cast(), null_mut(), 0),
            18 => godwit_sequence_open(scheduler, null(), at),
            19 => godwit_sequence_fork(sequence, 0, at),
            20 => godwit_sequence_set_priority(sequence, 1),
            21 => godwit_sequence_truncate(sequence, 0),
            22 => godwit_sequence_close(sequence),
            23 => godwit_sequence_tokens(sequence, null_mut(), 0, at.cast()),
            24 => godwit_reply(sequence, at.cast(), 1, null(), at),
            25 => godwit_say(sequence, null(), 0, null(), at),
            _ => match random.next() % 3 {
                0 => godwit_sequence_save(sequence, text, length),
                1 => godwit_sequence_restore(sequence, text, length),
                // Sequences and engines can't be cancelled.
                _ => godwit_cancel(random.pick(&[
                    0,
                    handles.closed[0],
                    handles.closed[1],
                    handles.engine,
                    handles.sequence,
                ])),
            },
        }
    }
}

/// A call with a handle that is right, and something else that is wrong.
///
/// # Safety
/// None: what is wrong can be seen from the arguments.
unsafe fn wrong_argument(handles: &Handles, random: &mut Random) -> godwit_status {
    let mut place = [0_u64; 8];
    let at = place.as_mut_ptr();
    let odd: *mut u64 = at.cast::<u8>().wrapping_add(1).cast();
    // A place that can't be written to: null, or not aligned.
    let nowhere = random.pick(&[null_mut(), odd]);
    let wrong = Bytes::wrong(random);
    let too_small = Bytes::of_size(random.pick(&SIZES));
    let length = random.pick(&LENGTHS);
    let bad_text: *const c_char = b"\xff\xfe".as_ptr().cast();
    let Handles {
        model,
        engine,
        scheduler,
        sequence,
        ..
    } = *handles;
    let mut reply = sized!(godwit_reply_options);
    match random.next() % 8 {
        7 => reply.reserved = 1,
        0 => reply.temperature = f32::NAN,
        1 => reply.temperature = -1.0,
        2 => reply.top_p = 1.5,
        3 => reply.flags = 4 << (random.next() % 30),
        4 => (reply.flags, reply.presence_penalty) = (GODWIT_GREEDY, 3.0),
        5 => reply.stop_count = 1,
        _ => reply.stop_count = length,
    }
    let far = 49_152 + (random.next() as u32 >> 1);
    // SAFETY: Each call has an argument that is refused before any pointer is used, or its pointers
    // are valid.
    unsafe {
        match random.next() % 30 {
            0 => godwit_model_open(null(), 5, at),
            1 => godwit_model_open(bad_text, 2, at),
            2 => godwit_model_open(bad_text, length, at),
            3 => godwit_model_open(c"no-such-file".as_ptr(), 12, nowhere),
            4 => godwit_model_open_memory(null(), 100, at),
            5 => godwit_model_open_memory(bad_text.cast(), length, at),
            6 => godwit_model_open_memory(bad_text.cast(), 2, at),
            7 => godwit_model_open_reader(wrong.pointer(), at),
            8 => godwit_model_open_reader(null(), at),
            9 => godwit_model_describe(model, too_small.pointer::<godwit_model_info>().cast_mut()),
            10 => godwit_model_describe(model, nowhere.cast()),
            11 => godwit_tokenize(model, bad_text, 2, 0, null_mut(), 0, at.cast()),
            12 => godwit_tokenize(model, c"a".as_ptr(), 1, 8, null_mut(), 0, at.cast()),
            13 => godwit_tokenize(model, c"a".as_ptr(), 1, 0, null_mut(), 0, at.cast()),
            14 => godwit_tokenize(model, c"a".as_ptr(), 1, 0, nowhere.cast(), 9, odd.cast()),
            15 => godwit_detokenize(model, at.cast(), length, null_mut(), 0, at.cast()),
            16 => godwit_encode_chat(model, wrong.pointer(), 2, null_mut(), 0, at.cast()),
            17 => godwit_encode_chat(model, null(), length, null_mut(), 0, at.cast()),
            18 => godwit_engine_load(model, wrong.pointer(), at),
            19 => godwit_engine_load(model, null(), nowhere),
            20 => godwit_scheduler_open(engine, wrong.pointer(), at),
            21 => godwit_scheduler_set_mode(scheduler, 3 + far, 1),
            22 => godwit_scheduler_set_mode(scheduler, GODWIT_MODE_FRAMES, 0),
            23 => godwit_next_event(scheduler, nowhere.cast(), null_mut(), 0),
            24 => godwit_sequence_fork(sequence, 1, at),
            25 => godwit_reply(sequence, &raw const far, 1, null(), at),
            26 => godwit_reply(sequence, [1, 2].as_ptr(), 2, &raw const reply, at),
            27 => godwit_reply(sequence, null(), 0, null(), at),
            28 => godwit_reply(sequence, at.cast(), length, wrong.pointer(), at),
            _ => godwit_sequence_save(sequence, c"/no/such/folder".as_ptr(), 15),
        }
    }
}

#[test]
fn a_million_wrong_calls_are_errors() {
    let handles: Vec<Handles> = (0..THREADS).map(|_| Handles::new()).collect();
    std::thread::scope(|scope| {
        for (thread, handles) in handles.iter().enumerate() {
            scope.spawn(move || {
                let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ thread as u64);
                for call in 0..CALLS / THREADS {
                    let before = random.0;
                    // SAFETY: The two need nothing.
                    let status = unsafe {
                        match random.next() % 2 {
                            0 => wrong_handle(handles, &mut random),
                            _ => wrong_argument(handles, &mut random),
                        }
                    };
                    assert!(
                        !matches!(status, GODWIT_OK | GODWIT_PANIC | GODWIT_BUSY),
                        "call {call} of {before:#x}: {status:?} {}",
                        last_error()
                    );
                    assert!(call % 1000 != 0 || !last_error().is_empty());
                }
            });
        }
    });
    // Nothing that was valid is closed or changed.
    for handles in handles {
        assert!(tokens(handles.sequence).is_empty());
        let found = end(handles.scheduler, say(handles.sequence, "Hello", 3));
        assert_eq!(found.ids.len(), 3);
        ok(godwit_scheduler_close(handles.scheduler));
    }
}

#[test]
fn errors_say_what_is_wrong() {
    let text = |status: godwit_status, expected: godwit_status, parts: &[&str]| {
        assert_eq!(status, expected);
        let message = last_error();
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    };
    let mut handle = 0;
    let model_at = &raw mut handle;
    // Of this test alone: what is being loaded is busy.
    let path = file();
    let (path, length) = parts(path.to_str().expect("UTF-8"));
    // SAFETY: The path is valid.
    let model = opened(|model| unsafe { godwit_model_open(path, length, model) });
    // SAFETY: The pointers are valid, or null.
    unsafe {
        let (path, length) = parts("no/such/model.gguf");
        let missing = godwit_model_open(path, length, model_at);
        text(
            missing,
            GODWIT_BAD_MODEL,
            &["no/such/model.gguf", "no such file"],
        );
        text(
            godwit_model_open(path, length, null_mut()),
            GODWIT_BAD_ARGUMENT,
            &["model is null"],
        );
        let (bytes, length) = (b"a\xff".as_ptr().cast(), 2);
        let status = godwit_model_open(bytes, length, model_at);
        text(status, GODWIT_BAD_ARGUMENT, &["path", "UTF-8", "byte 1"]);
        let mut options = sized!(godwit_engine_options);
        (options.backend, options.backend_length) = parts("cuda");
        let status = godwit_engine_load(model, &raw const options, model_at);
        text(status, GODWIT_BAD_ARGUMENT, &["cuda", "vulkan"]);
        options = sized!(godwit_engine_options);
        (options.adapter, options.adapter_length) = parts("no such GPU");
        let status = godwit_engine_load(model, &raw const options, model_at);
        text(status, GODWIT_GPU, &["no such GPU"]);
        let newer = Bytes::newer();
        let status = godwit_engine_load(model, newer.pointer(), model_at);
        text(
            status,
            GODWIT_BAD_ARGUMENT,
            &["godwit_engine_options", "newer library"],
        );
    }
    text(godwit_wait(0), GODWIT_BAD_HANDLE, &["scheduler", "0"]);
    text(godwit_wait(model), GODWIT_BAD_HANDLE, &["is no scheduler"]);
    // An error leaves the message of the one before only until the next.
    let mut small = [1_u8; 8];
    let mut length = 0;
    // SAFETY: The buffer is as long as is said.
    let status = unsafe { godwit_last_error(small.as_mut_ptr().cast(), 8, &raw mut length) };
    assert_eq!(status, GODWIT_BUFFER_TOO_SMALL);
    assert_eq!(small[7], 0);
    assert!(last_error().as_bytes().starts_with(&small[..7]) && length == last_error().len());
}

#[test]
fn texts_and_ids_come_out_whole_or_not_at_all() {
    let model = model();
    let text = "Wie heißt das Meer? 海";
    let (at, length) = parts(text);
    let mut count = 0;
    let mut ids = [u32::MAX; 64];
    let tokenize = |ids: *mut u32, capacity: usize, count: *mut usize| {
        // SAFETY: The pointers are valid for what is said.
        unsafe { godwit_tokenize(model, at, length, 0, ids, capacity, count) }
    };
    assert_eq!(
        tokenize(null_mut(), 0, &raw mut count),
        GODWIT_BUFFER_TOO_SMALL
    );
    let needed = count;
    assert_eq!(
        tokenize(ids.as_mut_ptr(), needed - 1, &raw mut count),
        GODWIT_BUFFER_TOO_SMALL
    );
    assert!(count == needed && ids == [u32::MAX; 64]);
    ok(tokenize(ids.as_mut_ptr(), needed, &raw mut count));
    assert_eq!(ids[needed], u32::MAX);
    let mut found = [b'#'; 64];
    let mut detokenize = |capacity: usize| {
        let mut length = 0;
        let (ids, found) = (ids.as_ptr(), found.as_mut_ptr().cast());
        // SAFETY: The pointers are valid for what is said.
        let status =
            unsafe { godwit_detokenize(model, ids, needed, found, capacity, &raw mut length) };
        (status, length)
    };
    assert_eq!(detokenize(text.len() + 1), (GODWIT_OK, text.len()));
    assert_eq!(&found[..=text.len()], format!("{text}\0").as_bytes());
    // Half a character is not written.
    let mut found = [b'#'; 64];
    let (ids, found_at, mut length) = (ids.as_ptr(), found.as_mut_ptr().cast(), 0);
    // SAFETY: The pointers are valid for what is said.
    let status =
        unsafe { godwit_detokenize(model, ids, needed, found_at, text.len(), &raw mut length) };
    assert_eq!((status, length), (GODWIT_BUFFER_TOO_SMALL, text.len()));
    assert_eq!(
        &found[..text.len() - 2],
        format!("{}\0", &text[..text.len() - 3]).as_bytes()
    );
}

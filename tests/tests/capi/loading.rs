//! Models load from a region of a file, from memory and from a reader: the ids are those that the
//! file gives.

use std::ffi::c_void;
use std::fs::File;
use std::io::{Cursor, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use godwit::{Bytes, Model, Reader, Region, Source, SourceCause};
use godwit_capi::godwit_status::*;
use godwit_capi::*;
use godwit_tests::model::smollm2;

use crate::calls::*;

const QUESTION: &str = "What is the capital of France?";

/// What stands before the model.
const BEFORE: &[u8] = b"an archive of this game, version 3\n\n\0";

/// What stands after it.
const AFTER: &[u8] = b"\xff\xfe and the sounds";

/// The model inside an archive.
fn archive() -> Vec<u8> {
    assert_eq!(OFFSET % 2, 1, "an odd offset is what is tested");
    let model = std::fs::read(file()).expect("the model");
    [BEFORE, &model, AFTER].concat()
}

/// Where the model begins in the archive.
const OFFSET: u64 = BEFORE.len() as u64;

fn model_bytes() -> u64 {
    std::fs::metadata(file()).expect("the model").len()
}

/// Checks the reply of a model, and closes it before its engine.
fn replies_as_the_file(model: godwit_model) {
    let engine = load(model);
    ok(godwit_model_close(model));
    let found = reply(engine, QUESTION, 12);
    ok(godwit_engine_close(engine));
    assert_eq!(found.ids, [504, 3575, 282, 4649, 314, 7042, 30, 2]);
    assert_eq!(found.text, "The capital of France is Paris.");
    assert_eq!(found.reason, GODWIT_FINISH_END_OF_TURN);
}

#[test]
fn a_region_of_a_file_replies_as_the_file() {
    let mut archive_file = tempfile::NamedTempFile::new().expect("a file");
    archive_file.write_all(&archive()).expect("room");
    let path = archive_file.path().to_str().expect("UTF-8");
    let (path_at, length) = parts(path);
    let open = |offset, bytes, model| {
        // SAFETY: The path is valid.
        unsafe { godwit_model_open_region(path_at, length, offset, bytes, model) }
    };
    replies_as_the_file(opened(|model| open(OFFSET, model_bytes(), model)));

    // A region elsewhere is no model, or none that is whole.
    for (offset, bytes, expected) in [
        (OFFSET + 1, model_bytes(), "not"),
        (OFFSET, model_bytes() / 2, "byte"),
        (OFFSET, 0, "empty"),
        (OFFSET, u64::MAX, "bytes"),
        (u64::MAX, 1, "bytes"),
        (u64::MAX, u64::MAX, "bytes"),
    ] {
        let mut model = 7;
        assert_eq!(open(offset, bytes, &raw mut model), GODWIT_BAD_MODEL);
        assert_eq!(model, 0);
        let error = last_error();
        assert!(error.contains(expected) && error.contains(path), "{error}");
    }
}

#[test]
fn memory_at_an_odd_address_replies_as_the_file() {
    let archive = archive();
    // Bytes of memory that were allocated together have an even address.
    let bytes = &archive[OFFSET as usize..][..model_bytes() as usize];
    assert_eq!(bytes.as_ptr().addr() % 2, 1);
    replies_as_the_file(opened(|model| {
        // SAFETY: The bytes stay until the engine is closed.
        unsafe { godwit_model_open_memory(bytes.as_ptr().cast(), bytes.len(), model) }
    }));
}

/// A reader of the host's, over an archive.
struct Archive {
    bytes: Vec<u8>,
    reads: AtomicUsize,
    readers: AtomicUsize,
    releases: AtomicUsize,
    /// The read that fails; none where it is 0.
    fails_at: usize,
}

impl Archive {
    fn new(fails_at: usize) -> Self {
        Self {
            bytes: archive(),
            reads: AtomicUsize::new(0),
            readers: AtomicUsize::new(0),
            releases: AtomicUsize::new(0),
            fails_at,
        }
    }

    fn reader(&self) -> godwit_reader {
        let mut reader = sized!(godwit_reader);
        (reader.name, reader.name_length) = parts("data.pak");
        reader.length = model_bytes();
        reader.user = std::ptr::from_ref(self).cast_mut().cast();
        reader.read = Some(read);
        reader.release = Some(release);
        reader
    }
}

unsafe extern "C" fn read(user: *mut c_void, offset: u64, into: *mut c_void, len: usize) -> i32 {
    // SAFETY: The archive outlives its model.
    let archive = unsafe { &*user.cast::<Archive>() };
    assert_eq!(
        archive.readers.fetch_add(1, Ordering::SeqCst),
        0,
        "one at a time"
    );
    assert_eq!(archive.releases.load(Ordering::SeqCst), 0);
    let reads = archive.reads.fetch_add(1, Ordering::SeqCst) + 1;
    let from = &archive.bytes[(OFFSET + offset) as usize..][..len];
    // SAFETY: The library gives `len` bytes.
    unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), into.cast(), len) };
    archive.readers.fetch_sub(1, Ordering::SeqCst);
    if reads == archive.fails_at { 5 } else { 0 }
}

unsafe extern "C" fn release(user: *mut c_void) {
    // SAFETY: The archive outlives its model.
    let archive = unsafe { &*user.cast::<Archive>() };
    archive.releases.fetch_add(1, Ordering::SeqCst);
}

#[test]
fn a_reader_at_an_odd_offset_replies_as_the_file() {
    let archive = Archive::new(0);
    let reader = archive.reader();
    replies_as_the_file(opened(|model| {
        // SAFETY: The archive outlives the model and its engine.
        unsafe { godwit_model_open_reader(&raw const reader, model) }
    }));
    assert!(archive.reads.load(Ordering::SeqCst) > 10);
    assert_eq!(archive.releases.load(Ordering::SeqCst), 1);
}

#[test]
fn a_reader_that_fails_is_an_error_and_is_released() {
    // In the metadata, then among the weights.
    for fails_at in [1, 100] {
        let archive = Archive::new(fails_at);
        let reader = archive.reader();
        let mut model = 0;
        // SAFETY: The archive outlives the model.
        let status = unsafe { godwit_model_open_reader(&raw const reader, &raw mut model) };
        let failed = match status {
            GODWIT_OK => {
                let mut engine = 7;
                // SAFETY: No options are given.
                let status =
                    unsafe { godwit_engine_load(model, std::ptr::null(), &raw mut engine) };
                assert_eq!(engine, 0);
                let error = last_error();
                ok(godwit_model_close(model));
                (status, error)
            }
            status => (status, last_error()),
        };
        assert_eq!(failed.0, GODWIT_BAD_MODEL);
        assert!(
            failed.1.contains("data.pak") && failed.1.contains("returned 5"),
            "{}",
            failed.1
        );
        assert_eq!(archive.releases.load(Ordering::SeqCst), 1);
    }
}

/// The same, with the Rust interface alone: a reader of a region, and a region of a reader.
#[test]
fn sources_may_be_of_one_another() {
    let expected = smollm2();
    let archive = archive();
    let reader = Reader::new("data.pak", Cursor::new(archive.clone())).expect("it seeks");
    let region = Region::new(Box::new(reader), OFFSET, model_bytes()).expect("it lies inside");
    let memory = Box::new(Bytes {
        name: "data.pak".into(),
        data: archive,
    });
    let mapped = Region::new(memory, OFFSET, model_bytes()).expect("it lies inside");
    let file = Reader::new("model", File::open(file()).expect("the model")).expect("it seeks");
    let sources: [Box<dyn Source>; 3] = [Box::new(region), Box::new(mapped), Box::new(file)];
    for source in sources {
        let name = source.name().to_owned();
        let model = Model::from_sources(vec![source]).expect("a model");
        assert_eq!(model.config(), expected.config());
        for tensor in expected.checkpoint().tensors().iter().step_by(31) {
            let data = |model: &Model| {
                let checkpoint = model.checkpoint();
                let tensor = checkpoint.tensor(&tensor.name).expect("the tensor");
                let data = checkpoint.data(tensor, 0..tensor.bytes);
                data.expect("its bytes").into_owned()
            };
            assert!(data(&model) == data(&expected), "{name}: {}", tensor.name);
        }
    }
}

#[test]
fn a_region_ends_where_it_says() {
    let bytes = |data: &[u8]| {
        Box::new(Bytes {
            name: "data.pak".into(),
            data: data.to_vec(),
        })
    };
    let region = Region::new(bytes(b"0123456789"), 3, 4).expect("it lies inside");
    let mut two = [0; 2];
    region.read(2, &mut two).expect("its last bytes");
    assert_eq!(
        (&two, region.mapped(), region.len()),
        (b"56", Some(&b"3456"[..]), 4)
    );
    for (offset, remaining) in [(3, 1), (4, 0), (5, 0), (u64::MAX, 0)] {
        let error = region.read(offset, &mut two).expect_err("beyond the end");
        let cause = SourceCause::Truncated {
            needed: 2,
            remaining,
        };
        assert_eq!((error.cause, error.offset), (cause, Some(offset)));
    }
    for (offset, len) in [
        (3, 8),
        (10, 1),
        (11, 1),
        (u64::MAX, 2),
        (2, u64::MAX),
        (0, 0),
    ] {
        assert!(
            Region::new(bytes(b"0123456789"), offset, len).is_err(),
            "{offset} {len}"
        );
    }
    assert!(Reader::new("empty", Cursor::new(Vec::new())).is_err());
    assert!(Model::open_region(Path::new("no-such-file"), 0, 1).is_err());
}

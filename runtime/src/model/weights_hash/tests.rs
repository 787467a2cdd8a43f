//! Tests of hashes of weights: how long they are kept, and how hashing stops.

use std::fs::{self, File, FileTimes};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::low_level::Synthetic;
use crate::quantize::{Mix, write_gguf};
use crate::{Error, Model};

/// A tiny model's file; a byte of its weights may be changed.
fn write(path: &Path, change: u8) {
    let shape: Synthetic = "tiny:q8_0,vocab=300,layers=1".parse().expect("a shape");
    let mut file = Vec::new();
    let (model, mut go) = (shape.model().expect("a model"), |_| {
        ControlFlow::Continue(())
    });
    write_gguf(model.checkpoint(), Mix::Q8_0, &mut file, &mut go).expect("it is written");
    let at = file.len() - 100_000;
    file[at] ^= change;
    fs::write(path, file).expect("a file");
}

/// The model as a later start finds it: its times are old enough to tell.
fn opened(path: &Path, folder: &Path) -> Model {
    let model = Model::open(path).expect("it opens");
    model.keep_hash_in(folder);
    let begin = SystemTime::now();
    while model.checkpoint().identity().is_none() {
        assert!(
            begin
                .elapsed()
                .is_ok_and(|waited| waited < Duration::from_secs(10)),
            "it never settles"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    model
}

#[test]
fn hashes_are_kept_until_a_file_changes() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, hashes) = (
        folder.path().join("model.gguf"),
        folder.path().join("hashes"),
    );
    write(&path, 0);
    let first = opened(&path, &hashes);
    assert_eq!(first.weights_hash().look_up(), None);
    let hash = first.weights_hash().get().expect("a hash");
    assert_eq!(opened(&path, &hashes).weights_hash().look_up(), Some(hash));
    let kept = fs::read_dir(&hashes)
        .expect("a folder")
        .next()
        .expect("a file")
        .expect("an entry")
        .path();

    // The same bytes, written at another time; another file in its place; a longer one.
    let times =
        FileTimes::new().set_modified(SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 1));
    let changes: [&dyn Fn(); 3] = [
        &|| {
            File::options()
                .write(true)
                .open(&path)
                .and_then(|file| file.set_times(times))
                .expect("other times")
        },
        &|| {
            let (copy, modified) = (
                folder.path().join("copy"),
                fs::metadata(&path).and_then(|m| m.modified()),
            );
            fs::copy(&path, &copy).expect("a copy");
            let times = FileTimes::new().set_modified(modified.expect("a time"));
            File::options()
                .write(true)
                .open(&copy)
                .and_then(|file| file.set_times(times))
                .expect("the same times");
            fs::rename(&copy, &path).expect("another file");
        },
        &|| {
            fs::write(
                &path,
                [fs::read(&path).expect("readable"), vec![0; 32]].concat(),
            )
            .expect("a longer file")
        },
    ];
    for (at, change) in changes.iter().enumerate() {
        change();
        let model = opened(&path, &hashes);
        assert_eq!(model.weights_hash().look_up(), None, "change {at}");
        assert_eq!(model.weights_hash().get(), Ok(hash), "change {at}");
        assert_eq!(
            opened(&path, &hashes).weights_hash().look_up(),
            Some(hash),
            "change {at}"
        );
    }
    write(&path, 1);
    let changed = opened(&path, &hashes).weights_hash().get().expect("a hash");
    assert_ne!(changed, hash);
    assert_eq!(fs::read_dir(&hashes).expect("a folder").count(), 1);

    // A hash is believed only as it was written.
    let text = fs::read_to_string(&kept).expect("readable");
    let lie = text.replace(&changed.to_hex().to_string(), &hash.to_hex());
    assert_ne!(text, lie);
    for damaged in [lie.as_str(), "", "{}", "noise"] {
        fs::write(&kept, damaged).expect("a damaged file");
        assert_eq!(
            opened(&path, &hashes).weights_hash().look_up(),
            None,
            "{damaged}"
        );
    }
    assert_eq!(opened(&path, &hashes).weights_hash().get(), Ok(changed));
    assert_eq!(
        opened(&path, &hashes).weights_hash().look_up(),
        Some(changed)
    );
}

#[test]
fn a_file_that_was_just_written_is_not_trusted() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, hashes) = (
        folder.path().join("model.gguf"),
        folder.path().join("hashes"),
    );
    write(&path, 0);
    // A time that is just to come tells nothing either: another computer's clock is ahead.
    let set_ahead = |seconds| {
        let times = FileTimes::new().set_modified(SystemTime::now() + Duration::from_secs(seconds));
        File::options()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_times(times))
            .expect("other times");
    };
    set_ahead(5);
    let model = Model::open(&path).expect("it opens");
    model.keep_hash_in(&hashes);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(model.checkpoint().identity(), None);
    model.weights_hash().get().expect("a hash");
    assert!(!hashes.exists());
}

/// The clock was set back by a year after the file was written: its hash is kept all the same,
/// until the file changes.
#[test]
fn a_file_of_the_future_is_hashed_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, hashes) = (
        folder.path().join("model.gguf"),
        folder.path().join("hashes"),
    );
    let future = SystemTime::now() + Duration::from_secs(365 * 24 * 3600);
    let write = |change| {
        write(&path, change);
        let times = FileTimes::new().set_modified(future);
        File::options()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_times(times))
            .expect("other times");
    };
    write(0);
    let hash = opened(&path, &hashes).weights_hash().get().expect("a hash");
    assert_eq!(opened(&path, &hashes).weights_hash().look_up(), Some(hash));
    // Other weights of the same length and time: the time of the change tells.
    write(1);
    assert_eq!(opened(&path, &hashes).weights_hash().look_up(), None);
}

#[test]
fn hashing_reports_and_stops() {
    let model = "smollm2-135m:q8_0,layers=12"
        .parse::<Synthetic>()
        .expect("a shape")
        .model()
        .expect("a model");
    // It stops at the first report, which comes before all is hashed.
    let mut reports = Vec::new();
    let stopped = model.hash_weights(&mut |progress| {
        reports.push(progress);
        ControlFlow::Break(())
    });
    assert_eq!(stopped, Err(Error::Stopped));
    assert!(
        reports.iter().all(|report| report.done < report.total),
        "{reports:?}"
    );
    assert_eq!(model.weights_hash().look_up(), None);

    let (mut last, mut reports) = (0, 0);
    model
        .hash_weights(&mut |progress| {
            assert!(progress.done >= last && progress.done <= progress.total);
            (last, reports) = (progress.done, reports + 1);
            ControlFlow::Continue(())
        })
        .expect("it is hashed");
    assert!(reports > 0 && model.weights_hash().look_up().is_some());
    // A known hash costs nothing.
    model
        .hash_weights(&mut |_| unreachable!("it is known"))
        .expect("it is known");
}

//! Tuning, from start to end, on whatever GPU there is: it is done once, and what is kept of it never breaks a run.

use std::fs;
use std::path::Path;

use godwit::{Gpu, GpuOptions};
use pollster::block_on;

/// Opens the GPU and tunes it. How many candidates were timed, and the tuning.
fn tuned(cache: &Path) -> (usize, String) {
    let options = GpuOptions { adapter: std::env::var("GODWIT_ADAPTER").ok(), ..GpuOptions::default() };
    let mut gpu = block_on(Gpu::open(&options)).expect("a GPU");
    let mut timed = 0;
    block_on(gpu.tune(cache, &mut |done, total| {
        assert!(done <= total);
        timed = total;
    }))
    .expect("it works");
    (timed, format!("{:?}", gpu.caps().tuning))
}

#[test]
fn a_gpu_is_measured_once_and_what_is_kept_never_breaks_a_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = folder.path().join("made by whoever tunes");
    let (timed, tuning) = tuned(&cache);
    assert!(timed > 0, "nothing was kept, and nothing measured");
    assert_eq!(tuned(&cache), (0, tuning), "what was kept is not what was found");

    let files: Vec<_> = fs::read_dir(&cache).expect("a folder").map(|entry| entry.expect("a file").path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let file = &files[0];
    let kept = fs::read_to_string(file).expect("text");
    let other = kept.replace("\"adapter\": \"", "\"adapter\": \"another ");
    assert_ne!(kept, other);
    for damaged in [&kept[..kept.len() / 2], "\u{0}", &other] {
        fs::write(file, damaged).expect("a file");
        assert!(tuned(&cache).0 > 0, "{damaged} was believed");
        assert_eq!(tuned(&cache).0, 0, "{damaged} was not replaced");
    }

    // Where nothing can be kept, it is measured each time.
    let nowhere = file.join("below a file");
    assert!(tuned(&nowhere).0 > 0);
}

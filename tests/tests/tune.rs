//! Tuning: what suits the adapter is measured once, kept, and survives what happens to its file.

use std::ops::ControlFlow;
use std::path::Path;

use godwit::Gpu;
use godwit_shaders::capabilities::Tuning;
use godwit_tests::model::gpu;
use pollster::block_on;

/// Tunes the adapter. Whether anything was measured, and what came of it.
fn tuned(cache: &Path) -> (bool, Tuning) {
    let (mut gpu, mut timed) = (gpu(false), 0);
    block_on(gpu.tune(cache, &mut |now| {
        timed = now.done;
        ControlFlow::Continue(())
    }))
    .expect("it is tuned");
    (timed > 0, gpu.caps().tuning)
}

#[test]
fn what_suits_the_adapter_is_measured_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = folder.path().join("gpus");
    let (measured, tuning) = tuned(&cache);
    assert!(
        measured && tuning.gemv.is_some() && tuning.gemm.is_some(),
        "{tuning:?}"
    );
    assert_eq!(tuned(&cache), (false, tuning));

    let file = std::fs::read_dir(&cache)
        .expect("a folder")
        .next()
        .expect("a file")
        .expect("a file")
        .path();
    let kept = std::fs::read_to_string(&file).expect("a readable file");
    let of_another = kept.replace("\"adapter\": \"", "\"adapter\": \"another ");
    assert_ne!(kept, of_another);
    for damaged in [&kept[..kept.len() / 2], "\0", &of_another] {
        std::fs::write(&file, damaged).expect("a written file");
        assert!(tuned(&cache).0, "{damaged} was believed");
        assert!(!tuned(&cache).0, "{damaged} was not replaced");
    }

    // Where nothing can be kept, it is measured each time.
    assert!(tuned(&file.join("below a file")).0);
}

#[test]
fn who_shares_a_gpu_keeps_it_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("file"), b"").expect("a file");
    let mut own = gpu(false);
    let other: Gpu = own.clone();
    let before = other.caps().tuning;
    // The folder can't be made either: that is no error.
    block_on(own.tune(&folder.path().join("file/gpus"), &mut godwit::unwatched))
        .expect("it goes on");
    assert_eq!(other.caps().tuning, before);
}

//! Tuning: what suits the adapter is measured once, kept, and survives what happens to its file.

use godwit::Gpu;
use godwit_tests::model::gpu;
use pollster::block_on;

#[test]
fn what_suits_the_adapter_is_measured_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = folder.path().join("gpus");
    // Whether anything was measured, and what came of it.
    let tuned = || {
        let (mut gpu, mut timed) = (gpu(false), 0);
        block_on(gpu.tune(&cache, &mut |done, _| timed = done)).expect("it is tuned");
        (timed > 0, gpu.caps().tuning)
    };
    let (measured, tuning) = tuned();
    assert!(measured && tuning.one.is_some() && tuning.many.is_some(), "{tuning:?}");
    assert_eq!(tuned(), (false, tuning));

    let file = std::fs::read_dir(&cache).expect("a folder").next().expect("a file").expect("a file").path();
    let kept = std::fs::read(&file).expect("a readable file");
    std::fs::write(&file, &kept[..kept.len() / 2]).expect("a written file");
    assert!(tuned().0);
    assert!(!tuned().0);
}

#[test]
fn who_shares_a_gpu_keeps_it_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("file"), b"").expect("a file");
    let mut own = gpu(false);
    let other: Gpu = own.clone();
    let before = other.caps().tuning;
    // The folder can't be made either: that is no fault.
    block_on(own.tune(&folder.path().join("file/gpus"), &mut |_, _| ())).expect("it goes on");
    assert_eq!(other.caps().tuning, before);
}

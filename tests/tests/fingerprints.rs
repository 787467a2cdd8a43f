//! What belongs to one model is never given to another, wherever the two differ; and only files
//! that are proven to be damaged are deleted.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use godwit::Bytes;
use godwit::errors::SnapshotError;
use godwit::quantize::Mix;
use godwit::{Engine, EngineOptions, Error, Model, PrefixCache, Progress, Session};
use godwit_tests::gguf::{self, Builder};
use godwit_tests::model::{engine, gpu, session};
use godwit_tests::repository::Files;
use pollster::block_on;

/// A tiny model of zeros, but for one byte of a tensor.
fn model(tensor: &str, at: usize) -> Model {
    let file = Builder::llama()
        .with("llama.context_length", gguf::u32(16_384))
        .change(|builder| {
            let row = builder
                .rows
                .iter()
                .find(|row| row.name == tensor)
                .expect("a tensor");
            // Another exponent: a small number.
            builder.data[row.offset as usize + at] = 0x38;
        });
    Model::from_sources(vec![Box::new(Bytes {
        name: "made.gguf".into(),
        data: file.build(),
    })])
    .expect("a model")
}

/// Two models whose weights differ in one byte of 16,384, neither at the beginning, nor in the
/// middle, nor at the end.
fn twins() -> [Model; 2] {
    [3003, 3007].map(|at| model("blk.0.attn_v.weight", at))
}

fn prompt(count: u32) -> Vec<u32> {
    (0..count).map(|i| i.wrapping_mul(i) % 31).collect()
}

fn fingerprint(model: &Model, hash_weights: bool) -> String {
    let engine = engine(
        model,
        &EngineOptions::default().hash_weights(hash_weights),
        false,
    );
    session(&engine)
        .fingerprint()
        .expect("a fingerprint")
        .to_owned()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
}

fn prefilled(cache: &PrefixCache, model: &Model, prompt: &[u32]) -> (Session, usize) {
    let mut session = session(&engine(model, &EngineOptions::default(), false));
    let reuse =
        block_on(cache.prefill(&mut session, prompt, &mut godwit::unwatched)).expect("room");
    assert_eq!(reuse.loaded + reuse.computed, prompt.len());
    (session, reuse.loaded)
}

#[test]
fn a_byte_deep_inside_a_tensor_makes_another_model() {
    let [one, other] = twins();
    assert_ne!(fingerprint(&one, false), fingerprint(&other, false));

    // Hashed while they are loaded, or afterwards: tensors that load as they lie, and those whose
    // rows are put in order.
    let makers: [fn() -> Model; 3] = [
        || twins()[1].clone(),
        || Files::tiny().open().expect("a repository"),
        || Files::sharded().open().expect("a repository"),
    ];
    for make in makers {
        assert_eq!(fingerprint(&make(), true), fingerprint(&make(), false));
    }

    // Weights that are quantised as they are read are known by what they are made of.
    let [one, other] = twins().map(|model| model.as_quantized(&Mix::Q8_0.into()));
    assert_ne!(fingerprint(&one, true), fingerprint(&other, true));
    assert_ne!(fingerprint(&one, true), fingerprint(&twins()[0], true));
    assert_ne!(
        fingerprint(&one, true),
        fingerprint(&twins()[0].as_quantized(&Mix::Q5_0.into()), true)
    );
}

#[test]
fn twins_share_no_saved_context() {
    let [one, other] = twins();
    let mut saved = session(&engine(&one, &EngineOptions::default(), false));
    block_on(saved.prefill(&prompt(40), &mut godwit::unwatched)).expect("room");
    let mut file = Vec::new();
    block_on(saved.save(
        &mut file,
        0..40,
        serde_json::Value::Null,
        &mut godwit::unwatched,
    ))
    .expect("it is saved");
    let resume = |model: &Model| {
        let mut session = session(&engine(model, &EngineOptions::default(), false));
        block_on(session.resume(&mut &file[..], None, &mut godwit::unwatched)).map(drop)
    };
    assert_eq!(resume(&one), Ok(()));
    let error = resume(&other).expect_err("another model's");
    assert!(
        matches!(error, Error::Snapshot(SnapshotError::Foreign { .. })),
        "{error}"
    );
    assert!(
        !SnapshotError::Foreign {
            model: String::new(),
            kv: String::new(),
            why: ""
        }
        .proves_damage()
    );
}

#[test]
fn twins_share_no_block_of_a_prompt() {
    let [one, other] = twins();
    let folder = tempfile::tempdir().expect("a folder");
    let (cache, prompt) = (PrefixCache::new(folder.path(), 1 << 30), prompt(4200));
    assert_eq!(prefilled(&cache, &one, &prompt).1, 0);
    let [of_one] = &files(folder.path())[..] else {
        unreachable!("one block")
    };
    let block = fs::read(of_one).expect("a block");
    assert_eq!(prefilled(&cache, &other, &prompt).1, 0);
    assert_eq!(prefilled(&cache, &one, &prompt).1, 4096);
    let of_other = files(folder.path())
        .into_iter()
        .find(|path| path != of_one)
        .expect("another block");
    let good = fs::read(&of_other).expect("a block");

    // The other's block under this one's name: not damaged, and not used. It is replaced when the
    // right one is there.
    fs::write(&of_other, &block).expect("a foreign block");
    let mut stopped = session(&engine(&other, &EngineOptions::default(), false));
    let stop = block_on(cache.prefill(&mut stopped, &prompt, &mut |_| ControlFlow::Break(())));
    assert_eq!(stop, Err(Error::Stopped));
    assert_eq!(fs::read(&of_other).expect("it stays"), block);
    assert_eq!(prefilled(&cache, &other, &prompt).1, 0);
    assert_eq!(fs::read(&of_other).expect("a block"), good);

    // A block that can't be read is no damaged block.
    fs::remove_file(&of_other).expect("removed");
    fs::create_dir(&of_other).expect("a folder");
    assert_eq!(prefilled(&cache, &other, &prompt).1, 0);
    assert!(of_other.is_dir());
    fs::remove_dir(&of_other).expect("removed");
    // Nor is what is no file, nor what a link leads to; nobody waits for a pipe.
    #[cfg(unix)]
    {
        let elsewhere = tempfile::tempdir().expect("a folder");
        let copy = elsewhere.path().join("block");
        fs::write(&copy, &good).expect("a copy");
        let make_pipe = || {
            std::process::Command::new("mkfifo")
                .arg(&of_other)
                .status()
                .is_ok_and(|made| made.success())
        };
        let make_link = || std::os::unix::fs::symlink(&copy, &of_other).is_ok();
        let ways: [&dyn Fn() -> bool; 2] = [&make_pipe, &make_link];
        for make in ways {
            assert!(make());
            assert_eq!(prefilled(&cache, &other, &prompt).1, 0);
            assert!(!of_other.symlink_metadata().expect("it stays").is_file());
            fs::remove_file(&of_other).expect("removed");
        }
        assert!(fs::read(&copy).expect("the copy") == good);
    }

    // A damaged one goes, and comes again.
    for damage in [
        &good[..good.len() / 2],
        &[&good[..], b"more"].concat(),
        b"noise",
        b"",
    ] {
        fs::write(&of_other, damage).expect("a damaged block");
        assert_eq!(prefilled(&cache, &other, &prompt).1, 0);
        assert!(fs::read(&of_other).expect("a block") == good);
    }
}

#[test]
fn what_a_person_put_into_the_cache_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let own = folder.path().join("book.godwit-kv");
    fs::write(&own, vec![7; 1 << 16]).expect("a file");
    let [one, other] = twins();
    let (session, _) = prefilled(
        &PrefixCache::new(folder.path(), 1 << 30),
        &one,
        &prompt(4200),
    );
    let block = session.kv_bytes_per_token() * 4096;
    prefilled(
        &PrefixCache::new(folder.path(), block + block / 2),
        &other,
        &prompt(4200),
    );
    assert_eq!(
        files(folder.path()).len(),
        2,
        "one block, and {}",
        own.display()
    );
    assert_eq!(fs::read(&own).expect("the file").len(), 1 << 16);
}

/// The model as quantised weights in the folder, and whether they had to be made.
fn quantized(model: &Model, folder: &Path) -> (Model, bool) {
    let mut made = false;
    let mut count = |_: Progress| {
        made = true;
        ControlFlow::Continue(())
    };
    let model =
        block_on(model.quantized(&Mix::Q8_0.into(), folder, &mut count)).expect("it is quantised");
    (model, made)
}

fn data(model: &Model) -> Vec<Vec<u8>> {
    let checkpoint = model.checkpoint();
    let data = |tensor| {
        checkpoint
            .data(tensor, 0..tensor.bytes)
            .expect("its data")
            .into_owned()
    };
    checkpoint.tensors().iter().map(data).collect()
}

#[test]
fn twins_share_no_quantised_weights() {
    let folder = tempfile::tempdir().expect("a folder");
    let [one, other] = twins();
    assert!(quantized(&one, folder.path()).1 && quantized(&other, folder.path()).1);
    assert_eq!(files(folder.path()).len(), 2);
    assert!(data(&quantized(&one, folder.path()).0) != data(&quantized(&other, folder.path()).0));
    // By the hash that they were loaded with, they are found again.
    let loaded = block_on(Engine::load(
        gpu(false),
        &one,
        &EngineOptions::default().hash_weights(true),
        &mut godwit::unwatched,
    ));
    assert!(!quantized(loaded.expect("it loads").model(), folder.path()).1);
}

#[test]
fn noise_in_quantised_weights_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let [model, _] = twins();
    let (kept, made) = quantized(&model, folder.path());
    let right = data(&kept);
    let [path] = &files(folder.path())[..] else {
        unreachable!("one file")
    };
    assert!(made && !quantized(&model, folder.path()).1);
    let good = fs::read(path).expect("a file");
    let noise = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x40;
        bytes
    };
    // In the weights, in the header, in the hash; cut short, longer, empty, and as earlier versions
    // wrote it.
    for bad in [
        noise(good.len() / 2),
        noise(9),
        noise(good.len() - 20),
        good[..good.len() / 3].to_vec(),
        [&good[..], b"x"].concat(),
        Vec::new(),
        good[..good.len() - 40].to_vec(),
    ] {
        fs::write(path, bad).expect("a damaged file");
        let (again, made) = quantized(&model, folder.path());
        assert!(made && data(&again) == right);
        assert!(fs::read(path).expect("a file") == good);
    }

    // An unreadable file stays, and the weights load all the same; so they do where nothing can be
    // written.
    fs::remove_file(path).expect("removed");
    fs::create_dir(path).expect("a folder");
    let (again, made) = quantized(&model, folder.path());
    assert!(!made && data(&again) == right && path.is_dir());
    let nowhere = quantized(&model, Path::new("/dev/null/weights")).0;
    assert!(data(&nowhere) == right);
    assert_eq!(fingerprint(&nowhere, true), fingerprint(&kept, false));
}

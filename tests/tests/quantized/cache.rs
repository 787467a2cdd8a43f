//! Quantised weights that are kept on disk.

use super::*;

#[test]
fn what_was_quantised_once_is_read_the_next_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = repository("untied");
    let recipe = Mix::Q4_K_M.into();
    let quantised = |recipe: &Recipe| {
        let mut steps = 0;
        let mut count = |progress: Progress| {
            steps += 1;
            go(progress)
        };
        let model =
            block_on(model.quantized(recipe, folder.path(), &mut count)).expect("it is quantised");
        (model, steps)
    };
    let files = || {
        std::fs::read_dir(folder.path())
            .expect("a folder")
            .map(|e| e.expect("an entry").path())
            .collect::<Vec<_>>()
    };
    let (first, steps) = quantised(&recipe);
    assert!(steps > 0);
    let [kept] = &files()[..] else {
        unreachable!("one file")
    };
    let (second, steps) = quantised(&recipe);
    assert_eq!(steps, 0);
    let view = model.as_quantized(&recipe);
    for tensor in view.checkpoint().tensors() {
        let data = |model: &Model| {
            let own = model.checkpoint().tensor(&tensor.name).expect("a tensor");
            model
                .checkpoint()
                .data(own, 0..own.bytes)
                .expect("its data")
                .into_owned()
        };
        assert!(
            data(&view) == data(&first) && data(&view) == data(&second),
            "{}",
            tensor.name
        );
    }
    assert_eq!(second.config(), model.config());
    assert_eq!(logits(&second), logits(&view));

    // A damaged file is made again, and another recipe is another file.
    let bytes = std::fs::read(kept).expect("a readable file");
    std::fs::write(kept, &bytes[..bytes.len() / 2]).expect("a written file");
    assert!(quantised(&recipe).1 > 0);
    assert_eq!(std::fs::read(kept).expect("a readable file"), bytes);
    assert!(quantised(&Mix::Q8_0.into()).1 > 0);
    assert_eq!(files().len(), 2);

    // A stopped run leaves nothing.
    let stopped = block_on(model.quantized(&Mix::Q6_K.into(), folder.path(), &mut |_| {
        ControlFlow::Break(())
    }));
    assert_eq!(stopped.err(), Some(Error::Stopped));
    assert_eq!(files().len(), 2);
}

#[test]
fn the_cache_of_weights_keeps_what_was_used_last() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = repository("untied");
    let names = || {
        let entries = std::fs::read_dir(folder.path()).expect("a folder");
        let mut names: Vec<_> = entries
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        names
    };
    let quantised = |mix: Mix, most_bytes: u64| {
        // Times of files are as coarse as the system's clock.
        std::thread::sleep(std::time::Duration::from_millis(20));
        let mut is_made = false;
        let mut count = |progress: Progress| {
            is_made = true;
            go(progress)
        };
        let cache = WeightsCache::new(folder.path(), most_bytes);
        let made =
            block_on(model.quantized(&mix.into(), cache, &mut count)).expect("it is quantised");
        assert_eq!(
            made.checkpoint().tensors().len(),
            model.checkpoint().tensors().len()
        );
        is_made
    };
    // The hash is computed here, and reported too.
    quantised(Mix::Q4_0, 1 << 30);
    let kept = |mix: &str| {
        names()
            .iter()
            .any(|name| name.ends_with(&format!("-{mix}.gguf")))
    };
    let size = |mix: &str| {
        let name = names()
            .into_iter()
            .find(|name| name.ends_with(&format!("-{mix}.gguf")))
            .expect("it is kept");
        std::fs::metadata(folder.path().join(name))
            .expect("its size")
            .len()
    };
    assert!(quantised(Mix::Q5_0, 1 << 30) && kept("Q4_0") && kept("Q5_0"));
    // A person's own file, which counts for nothing.
    std::fs::write(folder.path().join("own.gguf"), vec![0; 1 << 20]).expect("a file");
    // Used again, so the other one goes.
    assert!(!quantised(Mix::Q4_0, 1 << 30));
    let most = size("Q4_0") + size("Q5_0");
    assert!(quantised(Mix::Q4_1, most));
    assert_eq!(
        (kept("Q4_0"), kept("Q5_0"), kept("Q4_1"), kept("own")),
        (true, false, true, false)
    );
    assert!(names().contains(&"own.gguf".to_owned()));
    // Weights larger than the cache are made each time. The cache has become smaller: it is cut.
    for _ in 0..2 {
        assert!(!quantised(Mix::F32, 1000));
        assert_eq!(names(), ["own.gguf"]);
    }
    // Another process deletes weights that are mapped.
    let cache = WeightsCache::new(folder.path(), 1 << 30);
    let mapped = block_on(model.quantized(&Mix::Q4_0.into(), cache, &mut godwit::unwatched))
        .expect("they are kept");
    for name in names() {
        std::fs::remove_file(folder.path().join(name)).expect("removed");
    }
    assert_eq!(
        logits(&mapped),
        logits(&model.as_quantized(&Mix::Q4_0.into()))
    );
    assert!(quantised(Mix::Q4_0, 1 << 30));
}

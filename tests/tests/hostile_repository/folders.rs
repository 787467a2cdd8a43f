//! Folders: with links, without weights, and of other kinds.

use godwit::Model;
use godwit_tests::repository::Files;

use super::{INDEX, WEIGHTS};

fn in_folder(files: &Files) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content) in &files.files {
        std::fs::write(folder.path().join(name), content).expect("a written file");
    }
    folder
}

#[test]
fn folders_open_by_any_of_their_files() {
    let folder = in_folder(&Files::sharded());
    for name in ["", "config.json", INDEX, "a.safetensors"] {
        Model::open(&folder.path().join(name)).expect("it opens");
    }
    let empty = tempfile::tempdir().expect("a folder");
    let said = Model::open(empty.path()).expect_err("no model").to_string();
    assert!(said.contains("without config.json"), "{said}");
}

#[cfg(unix)]
#[test]
fn links_are_followed() {
    use std::os::unix::fs::symlink;
    // Weights on another disk, and a folder that is a link itself.
    let outside = in_folder(&Files::tiny());
    let folder = in_folder(&Files::tiny().without(WEIGHTS));
    symlink(outside.path().join(WEIGHTS), folder.path().join(WEIGHTS)).expect("a link");
    Model::open(folder.path()).expect("linked weights open");
    let link = outside.path().join("link");
    symlink(folder.path(), &link).expect("a link");
    Model::open(&link).expect("a linked folder opens");

    // An index names files of the folder, though they may be links.
    let shards = in_folder(&Files::sharded().without("b.safetensors"));
    let elsewhere = in_folder(&Files::sharded());
    symlink(
        elsewhere.path().join("b.safetensors"),
        shards.path().join("b.safetensors"),
    )
    .expect("a link");
    Model::open(shards.path()).expect("a linked shard opens");

    // Links to themselves and to nowhere.
    for target in [WEIGHTS, "nowhere"] {
        let bad = in_folder(&Files::tiny().without(WEIGHTS));
        symlink(target, bad.path().join(WEIGHTS)).expect("a link");
        let said = Model::open(bad.path()).expect_err("no weights").to_string();
        assert!(
            said.contains("it leads nowhere") && said.contains(target),
            "{said}"
        );
    }

    // The hub's cache: a snapshot's files are links to blobs beside it.
    let cache = tempfile::tempdir().expect("a folder");
    let (blobs, snapshot) = (
        cache.path().join("blobs"),
        cache.path().join("snapshots/abc"),
    );
    std::fs::create_dir_all(&blobs)
        .and_then(|()| std::fs::create_dir_all(&snapshot))
        .expect("folders");
    for (number, (name, content)) in Files::tiny().files.iter().enumerate() {
        std::fs::write(blobs.join(number.to_string()), content).expect("a blob");
        symlink(format!("../../blobs/{number}"), snapshot.join(name)).expect("a link");
    }
    Model::open(&snapshot).expect("a snapshot opens");
}

/// Folders that are no model are called what they are, with what to give instead.
#[test]
fn folders_are_called_what_they_are() {
    let folder = |files: &[(&str, &str)]| {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content).expect("a written file");
        }
        folder
    };
    let says = |path: &std::path::Path, words: &str| {
        let said = Model::open(path).expect_err(words).to_string();
        assert!(said.contains(words), "{said}");
    };
    let peft = folder(&[
        (
            "adapter_config.json",
            r#"{"base_model_name_or_path": "some/Llama"}"#,
        ),
        ("adapter_model.safetensors", "x"),
    ]);
    says(peft.path(), "its base model some/Llama");
    says(
        &peft.path().join("adapter_model.safetensors"),
        "an adapter of PEFT",
    );
    says(
        &peft.path().join("adapter_config.json"),
        "an adapter of PEFT",
    );
    says(
        folder(&[("params.json", "{}"), ("consolidated.00.pth", "x")]).path(),
        "its maker's own format",
    );
    says(
        folder(&[("m.Q4_0.gguf", "x")]).path(),
        "give one of its files: m.Q4_0.gguf",
    );
    let with = |name: &str| {
        let folder = in_folder(&Files::tiny().without(WEIGHTS));
        std::fs::write(folder.path().join(name), "x").expect("a written file");
        folder
    };
    says(
        with("pytorch_model.bin").path(),
        "weights of PyTorch (pytorch_model.bin)",
    );
    says(
        with("m.Q4_0.gguf").path(),
        "give one of its files: m.Q4_0.gguf",
    );
    says(
        with("consolidated.safetensors").path(),
        "Mistral's own layout",
    );
    says(
        &folder(&[("m.gguf.part1of2", "x")])
            .path()
            .join("m.gguf.part1of2"),
        "join all pieces",
    );
}

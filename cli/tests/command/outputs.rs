//! Files that are written, and what they may replace.

use super::*;

/// A model of one layer, 4 KB a matrix.
pub(super) fn tiny() -> Vec<u8> {
    godwit_tests::gguf::Builder::llama().build()
}

/// Files of other kinds are left as they are.
#[test]
fn outputs_replace_only_what_is_theirs() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let put = |name: &str, content: &[u8]| {
        std::fs::write(folder.path().join(name), content).expect("a file");
        path(name)
    };
    let (model, text) = (
        put("model.gguf", &tiny()),
        put("text.txt", "abcd".repeat(40).as_bytes()),
    );
    let save = |to: &str, more: &[&str]| {
        godwit(
            &[
                &[
                    "run",
                    &model,
                    "--raw",
                    "-p",
                    "a",
                    "-n",
                    "1",
                    "--save",
                    to,
                    "--no-cache",
                ],
                more,
            ]
            .concat(),
        )
    };
    let quantize = |from: &str, to: &str, more: &[&str]| {
        godwit(&[&["quantize", from, to, "--type", "q8_0"], more].concat())
    };
    let imatrix = |to: &str, more: &[&str]| {
        godwit(
            &[
                &["imatrix", &model, "-f", &text, "--context", "16", "-o", to],
                more,
            ]
            .concat(),
        )
    };
    let outputs: [(&str, Write<'_>); 3] = [
        ("--save", &save),
        ("quantize", &|to, more| quantize(&model, to, more)),
        ("imatrix", &imatrix),
    ];

    for (what, write) in outputs {
        // The model itself, by its name and by another; what somebody wrote; a link's target; no
        // file at all.
        let hard = path("hard.gguf");
        let _ = std::fs::remove_file(&hard);
        std::fs::hard_link(&model, &hard).expect("a link");
        for own in [&model, &hard] {
            fails(&write(own, &[]), 1, "a GGUF model");
            fails(&write(own, &["--force"]), 1, "the same file");
        }
        let notes = put("notes.txt", b"notes\n");
        fails(&write(&notes, &[]), 1, "notes.txt");
        fails(&write(&notes, &[]), 1, "--force replaces it");
        fails(
            &write(&folder.path().display().to_string(), &["--force"]),
            1,
            "folder",
        );
        #[cfg(unix)]
        {
            let (link, pipe) = (path("link"), path("pipe"));
            let _ = (std::fs::remove_file(&link), std::fs::remove_file(&pipe));
            std::os::unix::fs::symlink("notes.txt", &link).expect("a link");
            assert!(
                Command::new("mkfifo")
                    .arg(&pipe)
                    .status()
                    .expect("mkfifo")
                    .success()
            );
            for (other, says) in [
                (&*link, "a link to notes.txt"),
                (&pipe, "a pipe"),
                ("/dev/null", "a device"),
            ] {
                fails(&write(other, &[]), 1, says);
                fails(&write(other, &["--force"]), 1, says);
            }
            assert!(std::fs::read_link(&link).is_ok_and(|target| target.ends_with("notes.txt")));
        }
        assert_eq!(std::fs::read(&notes).expect("notes"), b"notes\n", "{what}");
        assert_eq!(std::fs::read(&model).expect("the model"), tiny(), "{what}");

        // Any regular file, for those who insist; and what is new or empty.
        for to in [notes, put("empty", b""), path(&format!("new {what}"))] {
            let more: &[&str] = if to.ends_with("notes.txt") {
                &["--force"]
            } else {
                &[]
            };
            let output = write(&to, more);
            assert!(
                output.status.success(),
                "{what} {to}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            assert!(
                std::fs::read(&to).is_ok_and(|file| file.starts_with(b"G")),
                "{what} {to}"
            );
        }
    }
    // An earlier context is replaced, as the help says; a model or an importance matrix only by
    // --force.
    let (context, matrix, other) = (
        path("new --save"),
        path("new imatrix"),
        path("new quantize"),
    );
    assert!(save(&context, &[]).status.success());
    fails(&save(&other, &[]), 1, "a GGUF model");
    fails(&quantize(&model, &other, &[]), 1, "a GGUF model");
    fails(&quantize(&model, &matrix, &[]), 1, "an importance matrix");
    fails(&imatrix(&matrix, &[]), 1, "an importance matrix");
    fails(&imatrix(&context, &[]), 1, "a snapshot");
    fails(
        &quantize(&model, &matrix, &["--force", "--imatrix", &matrix]),
        1,
        "the same file",
    );
    fails(&imatrix(&text, &["--force"]), 1, "the same file");
    fails(&godwit(&["run", &model, "-p", "a", "--force"]), 2, "--save");

    // No part of a model in several files either: its weights, its configuration, its tokenizer.
    let files = godwit_tests::repository::Files::sharded();
    let repository = folder.path().join("repository");
    std::fs::create_dir(&repository).expect("a folder");
    for (name, content) in &files.files {
        std::fs::write(repository.join(name), content).expect("a file");
    }
    for (name, content) in &files.files {
        let (from, to) = (
            repository.display().to_string(),
            repository.join(name).display().to_string(),
        );
        fails(&quantize(&from, &to, &["--force"]), 1, "the same file");
        assert_eq!(&std::fs::read(&to).expect("a file"), content, "{name}");
    }
}

#[test]
fn conversations_replace_only_conversations() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let model = model();
    std::fs::write(path("notes.json"), r#"{"messages": 3}"#).expect("a file");
    let names = ["chat.json", "notes.json"].map(path);
    let [chat, notes] = &names;
    let input = format!(
        "/save {chat}\n/save {chat}\n/save {notes}\n/save {model}\n/save {}/x\n/exit\n",
        path("none")
    );
    let output = with_input(&["chat", &model, "--system", "Be brief."], input.as_bytes());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    assert_eq!(stderr.matches("Saved 1 messages").count(), 2, "{stderr}");
    for says in ["notes.json: it exists already", "a GGUF model", "none/x"] {
        assert!(stderr.contains(says), "{stderr:?} does not say {says:?}");
    }
    assert_eq!(
        std::fs::read_to_string(notes).expect("a file"),
        r#"{"messages": 3}"#
    );
    assert!(std::fs::read_to_string(chat).is_ok_and(|chat| chat.contains("Be brief.")));
}

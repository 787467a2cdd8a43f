//! The cache: what is listed and removed, and whose links it follows.

use super::*;

#[test]
fn list_and_show_say_what_there_is() {
    let hub = Hub::start(REPO, &two_quants());
    let person = Person::at(&hub);
    let empty = person.godwit(&["list"]);
    assert!(empty.status.success() && String::from_utf8_lossy(&empty.stderr).contains("--known"));
    person.pulls(REPO);
    person.pulls(&format!("{REPO}:q8_0@v1"));
    let list = person.json(&["list"]);
    let rows: Vec<_> = list["models"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|m| (&m["name"], &m["bytes"]))
        .collect();
    let old = Value::from(format!("{REPO}:Q8_0@v1"));
    assert_eq!(
        rows,
        [
            (&Value::from(format!("{REPO}:Q4_K_M")), &300_000.into()),
            (&old, &500_000.into())
        ]
    );
    let text = person.says(&["list"]);
    assert!(
        text.contains("293.0 KiB")
            && text.contains("GGUF")
            && (text.contains("second ago") || text.contains("seconds ago")),
        "{text}"
    );

    let show = person.json(&["show", &format!("{REPO}:q8_0")]);
    let rows: Vec<_> = show["models"].as_array().expect("rows").iter().collect();
    assert_eq!(
        (&show["from"], &show["commit"]),
        (&"hub".into(), &MAIN.into())
    );
    assert_eq!(
        (
            &rows[0]["quant"],
            &rows[0]["downloaded"],
            &rows[0]["chosen"]
        ),
        (&"Q4_K_M".into(), &true.into(), &false.into())
    );
    assert_eq!(
        (
            &rows[1]["quant"],
            &rows[1]["downloaded"],
            &rows[1]["chosen"]
        ),
        (&"Q8_0".into(), &false.into(), &true.into())
    );
    let text = person.says(&["show", REPO]);
    assert!(
        text.contains("* Q4_K_M") && text.contains("downloaded") && text.contains("  Q8_0"),
        "{text}"
    );
    let known = person.json(&["list", "--known"]);
    let names = known["known"]
        .as_array()
        .expect("rows")
        .iter()
        .filter_map(|row| row["name"].as_str());
    assert!(names.clone().any(|name| name.contains("1048k")) && names.count() >= 8);
}

#[test]
fn rm_removes_what_is_named_and_nothing_else() {
    let hub = Hub::start(REPO, &two_quants());
    let person = Person::at(&hub);
    for name in ["", ":q8_0", ":q8_0@v1"] {
        person.pulls(&format!("{REPO}{name}"));
    }
    person.fails(&["rm", "godwit/other"], 3, &["not downloaded"]);
    person.fails(
        &["rm", &format!("{REPO}:q5_0")],
        3,
        &["has no q5_0", "Q4_K_M"],
    );
    person.fails(&["rm", &format!("{REPO}:tiny")], 3, &["more than one"]);
    assert_eq!(person.blobs().len(), 2);

    // Another commit still has the blob.
    assert_eq!(
        person.json(&["rm", &format!("{REPO}:q8_0@v1")])["freed_bytes"]
            .as_u64()
            .map(|n| n < 1000),
        Some(true)
    );
    assert_eq!(person.blobs().len(), 2);
    let freed = person.says(&["rm", &format!("{REPO}:Q8_0")]);
    assert!(freed.contains("488.3 KiB freed"), "{freed}");
    assert_eq!(person.blobs(), [sha256(&noise(300_000, 1))]);
    person.json(&["rm", REPO]);
    assert!(!person.repo().exists() && person.cache().exists());
}

/// `rm` finds what a process left that was killed, where nobody pulled after it.
#[cfg(unix)]
#[test]
fn rm_removes_links_that_a_killed_pull_left() {
    let hub = Hub::start(REPO, &two_quants());
    let person = Person::at(&hub);
    let kept = person.pulls(&format!("{REPO}:q8_0"));
    person.pulls(&format!("{REPO}:q4_k_m"));
    let hash = sha256(&noise(300_000, 1));
    let left = person
        .repo()
        .join("snapshots")
        .join(MAIN)
        .join(format!(".godwit-link-{hash}"));
    std::os::unix::fs::symlink(format!("../../blobs/{hash}"), &left).expect("a link");
    person.json(&["rm", &format!("{REPO}:q4_k_m")]);
    assert!(!left.is_symlink() && kept.exists());
    assert_eq!(person.blobs(), [sha256(&noise(500_000, 2))]);
}

/// A path that is a link to nothing is not looked for on the hub.
#[cfg(unix)]
#[test]
fn a_link_that_leads_nowhere_is_no_name() {
    let hub = Hub::start(REPO, &two_quants());
    let person = Person::at(&hub);
    std::fs::create_dir(person.home.path().join("own")).expect("a folder");
    std::os::unix::fs::symlink("gone.gguf", person.home.path().join("own/dang")).expect("a link");
    for args in [
        &["inspect", "own/dang"][..],
        &["show", "own/dang"],
        &["run", "own/dang", "-p", "a"],
    ] {
        person.fails(
            args,
            3,
            &["own/dang", "the link", "leads nowhere", "gone.gguf"],
        );
    }
    assert!(hub.requests().is_empty());
}

/// A relative path in a variable of the XDG specification is ignored, with a word.
#[cfg(target_os = "linux")]
#[test]
fn relative_cache_folders_are_ignored() {
    let hub = Hub::start(REPO, &two_quants());
    let home = |person: &Person| person.home.path().join("home");
    let mut person = Person::at(&hub).with("XDG_CACHE_HOME", "cache");
    person
        .variables
        .retain(|(variable, _)| *variable != "HF_HOME");
    let user = home(&person).display().to_string();
    let person = person.with("HOME", &user);
    let mut command = person.command(&["pull", REPO]);
    let output = command.env_remove("HF_HOME").output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    for part in ["XDG_CACHE_HOME", "`cache`", "absolute"] {
        assert!(said.contains(part), "{said}");
    }
    let path = PathBuf::from(String::from_utf8(output.stdout).expect("UTF-8").trim_end());
    assert!(
        path.starts_with(home(&person).join(".cache/huggingface")),
        "{}",
        path.display()
    );
    assert!(!person.home.path().join("cache").exists());
}

/// A model that is in use stays.
#[test]
fn rm_leaves_a_model_that_runs() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../models/SmolLM2-135M-Instruct.Q4_1.gguf"
    );
    let model = std::fs::read(path).expect("the model; tests/fetch.sh --tests brings it");
    let hub = Hub::start(REPO, &[("SmolLM2-135M-Instruct.Q4_1.gguf", model)]);
    let person = Person::at(&hub);
    person.pulls(REPO);
    let mut chat = person
        .command(&["chat", REPO, "-n", "2"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("it starts");
    chat.stdin
        .as_mut()
        .expect("a pipe")
        .write_all(b"Hi\n")
        .expect("it reads");
    // The model is in use when it says something.
    chat.stdout
        .as_mut()
        .expect("a pipe")
        .read_exact(&mut [0])
        .expect("an answer");
    person.fails(&["rm", REPO], 1, &["in use", REPO]);
    person.fails(&["rm", &format!("{REPO}:q4_1")], 1, &["in use"]);
    drop(chat.stdin.take());
    assert!(chat.wait_with_output().expect("it ends").status.success());
    person.json(&["rm", REPO]);
    assert!(!person.repo().exists());
}

#[cfg(unix)]
#[test]
fn links_in_the_cache_are_not_written_through() {
    let hub = Hub::start(REPO, &two_quants());
    let person = Person::at(&hub);
    let notes = person.home.path().join("notes");
    std::fs::write(&notes, noise(400_000, 9)).expect("a file");
    let hash = sha256(&noise(300_000, 1));
    std::fs::create_dir_all(person.repo().join("blobs")).expect("a folder");
    std::fs::create_dir_all(person.repo().join("refs")).expect("a folder");
    let part = person
        .repo()
        .join("blobs")
        .join(format!("{hash}.incomplete"));
    std::os::unix::fs::symlink(&notes, &part).expect("a link");
    std::os::unix::fs::symlink(&notes, person.repo().join("refs/main")).expect("a link");
    person.fails(&["pull", REPO], 1, &["is a link", "remove it", &hash]);
    std::fs::remove_file(&part).expect("removed");
    person.pulls(REPO);
    assert_eq!(std::fs::read(&notes).expect("the file"), noise(400_000, 9));
    assert_eq!(
        std::fs::read_to_string(person.repo().join("refs/main")).expect("the reference"),
        MAIN
    );
    // A cache that godwit makes is its owner's alone.
    let other = Person::at(&hub);
    other.pulls(REPO);
    let mode = std::os::unix::fs::MetadataExt::mode(&other.cache().metadata().expect("a folder"));
    assert_eq!(mode & 0o777, 0o700);
}

/// The first file of a split model that was never completed takes room, and is said to.
#[test]
fn files_of_incomplete_models_are_listed_and_removed() {
    let names = [
        "tiny-Q4_0-00001-of-00002.gguf",
        "tiny-Q4_0-00002-of-00002.gguf",
    ];
    let files = [(names[0], noise(300_000, 1)), (names[1], noise(200_000, 2))];
    let hub = Hub::start(REPO, &files);
    let person = Person::at(&hub);
    let first = person.pulls(REPO);
    let list = person.json(&["list"]);
    assert_eq!(list["interrupted"], Value::Array(Vec::new()));
    let second = first.with_file_name(names[1]);
    let blob = std::fs::canonicalize(&second).expect("a blob");
    std::fs::remove_file(&second).expect("removed");
    std::fs::remove_file(blob).expect("removed");
    let list = person.json(&["list"]);
    assert_eq!(list["models"], Value::Array(Vec::new()));
    assert_eq!(list["interrupted"][0]["bytes"], 300_000, "{list}");
    let said = person.godwit(&["list"]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(
        said.contains("293.0 KiB of an interrupted download"),
        "{said}"
    );
    person.fails(
        &["rm", &format!("{REPO}:q4_0")],
        3,
        &["293.0 KiB of an interrupted download"],
    );
    person.json(&["rm", REPO]);
    assert!(!person.repo().exists());
}

/// What a person waits for is said, without -v.
#[test]
fn retries_and_their_pauses_are_seen() {
    let hub = Hub::with(REPO, &two_quants(), |request, answer| {
        match (request.cdn, request.earlier) {
            (true, 0) => answer.cut(100_000),
            _ => answer,
        }
    });
    let output = Person::at(&hub).godwit(&["pull", REPO]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(
        stderr.contains("; trying again in ") && stderr.contains(" s (attempt 2 of 6)"),
        "{stderr}"
    );
}

/// The shell asks for the models that are there.
#[test]
fn completion_knows_downloaded_models() {
    let hub = Hub::start(REPO, &two_quants());
    let person = Person::at(&hub);
    person.pulls(REPO);
    let complete = |words: &[&str]| {
        let mut command = person.command(&["--", "godwit"]);
        command
            .args(words)
            .env("_GODWIT_COMPLETE", "bash")
            .env("_CLAP_COMPLETE_INDEX", words.len().to_string())
            .env("_CLAP_IFS", "\n");
        let output = command.output().expect("it starts");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let name = format!("{REPO}:Q4_K_M");
    for words in [&["rm", ""][..], &["run", "godwit/T"], &["chat", "godwit/"]] {
        let found = complete(words);
        assert!(found.contains(&name), "{words:?}: {found:?}");
    }
    assert!(complete(&["run", "x", "--kv", "q"]).contains("q8_0"));
    assert!(complete(&["quantize", "x", "y", "--type", "q4_k_"]).contains("q4_k_m"));
    assert!(complete(&["pull", "llama3.2-"]).contains("llama3.2-1b"));
    assert!(complete(&["cache", "--clear", "w"]).contains("weights"));
}

//! Downloads: whole, interrupted, from servers of any kind, and two at once.

use super::*;

#[test]
fn pull_fills_the_cache_as_all_tools_do() {
    let hub = Hub::start(REPO, &two_quants());
    let person = Person::at(&hub);
    let path = person.pulls(REPO);
    let hash = sha256(&noise(300_000, 1));
    assert_eq!(
        path,
        person
            .repo()
            .join("snapshots")
            .join(MAIN)
            .join("tiny-Q4_K_M.gguf")
    );
    assert_eq!(std::fs::read(&path).expect("the file"), noise(300_000, 1));
    #[cfg(unix)]
    assert_eq!(
        std::fs::read_link(&path).expect("a link"),
        Path::new("../../blobs").join(&hash)
    );
    assert_eq!(person.blobs(), [hash]);
    assert_eq!(
        std::fs::read_to_string(person.repo().join("refs/main")).expect("the reference"),
        MAIN
    );

    // The token is for the hub, and for no other server.
    let requests = hub.requests();
    assert!(requests.iter().any(|request| request.cdn), "{requests:?}");
    for request in &requests {
        assert_eq!(
            request.authorization.as_deref(),
            (!request.cdn).then_some("Bearer secret"),
            "{request:?}"
        );
    }

    // A downloaded file is not asked for again, and a name alone sends no request.
    assert_eq!(person.pulls(REPO), path);
    assert_eq!(hub.ranges(), []);
    person.fails(&["inspect", REPO], 3, &["not a GGUF file"]);
    assert!(hub.requests().is_empty());
}

#[test]
fn models_in_parts_come_whole() {
    let parts = [
        "q/m-Q8_0-00001-of-00003.gguf",
        "q/m-Q8_0-00002-of-00003.gguf",
        "q/m-Q8_0-00003-of-00003.gguf",
    ];
    let files: Vec<_> = parts
        .iter()
        .zip(1..)
        .map(|(path, seed)| (*path, noise(50_000, seed)))
        .collect();
    let hub = Hub::start(REPO, &files);
    let person = Person::at(&hub);
    let path = person.pulls(REPO);
    assert!(path.ends_with(parts[0]), "{}", path.display());
    for (part, content) in &files {
        let file = person.repo().join("snapshots").join(MAIN).join(part);
        assert_eq!(&std::fs::read(&file).expect("the part"), content);
    }
}

#[test]
fn safetensors_repositories_come_whole_and_open() {
    let repository = repository::Files::sharded()
        .with("README.md", "x")
        .with("training_args.bin", "x");
    let files: Vec<_> = repository
        .files
        .iter()
        .map(|(path, bytes)| (path.as_str(), bytes.clone()))
        .collect();
    let hub = Hub::start(REPO, &files);
    let person = Person::at(&hub);
    let report = person.json(&["inspect", REPO]);
    assert_eq!(
        (&report["kind"], &report["config"]["layers"]),
        (&"safetensors".into(), &1.into())
    );
    let asked: Vec<String> = hub
        .requests()
        .into_iter()
        .map(|request| request.path)
        .collect();
    assert!(
        !asked
            .iter()
            .any(|path| path.contains("README") || path.contains("training")),
        "{asked:?}"
    );
    let folder = person.pulls(REPO);
    assert_eq!(folder, person.repo().join("snapshots").join(MAIN));
    hub.requests();

    // A shard that is gone makes it incomplete, and a name fetches what is missing.
    std::fs::remove_file(folder.join("b.safetensors")).expect("a shard");
    assert_eq!(person.json(&["list"])["models"], Value::Array(Vec::new()));
    std::fs::remove_file(
        person
            .repo()
            .join("blobs")
            .join(sha256(&repository.files["b.safetensors"])),
    )
    .expect("a blob");
    person.json(&["inspect", REPO]);
    assert_eq!(hub.ranges(), [None]);
    let list = person.json(&["list"]);
    assert_eq!(
        (&list["models"][0]["name"], &list["models"][0]["kind"]),
        (&REPO.into(), &"safetensors".into())
    );
}

#[test]
fn cut_connections_go_on_where_they_ended() {
    let hub = Hub::with(REPO, &two_quants(), |request, answer| {
        match (request.cdn, request.earlier) {
            (true, 0) => answer.cut(100_000),
            (true, 1) => answer.cut(50_000),
            _ => answer,
        }
    });
    let person = Person::at(&hub);
    let path = person.pulls(REPO);
    assert_eq!(std::fs::read(path).expect("the file"), noise(300_000, 1));
    assert_eq!(hub.ranges(), [None, Some(100_000), Some(150_000)]);
}

#[cfg(unix)]
#[test]
fn an_interrupted_pull_goes_on_later() {
    let hub = Hub::with(REPO, &two_quants(), |request, answer| {
        match request.earlier {
            0 if request.cdn => Answer {
                stall: Duration::from_secs(60),
                ..answer.cut(120_000)
            },
            _ => answer,
        }
    });
    let person = Person::at(&hub);
    let part = person
        .repo()
        .join("blobs")
        .join(format!("{}.incomplete", sha256(&noise(300_000, 1))));
    let child = person.command(&["pull", REPO]).spawn().expect("it starts");
    let begin = Instant::now();
    while !std::fs::metadata(&part).is_ok_and(|part| part.len() == 120_000) {
        assert!(
            begin.elapsed() < Duration::from_secs(30),
            "the part never came"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let interrupt = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .expect("kill");
    let (stopped, output) = (Instant::now(), child.wait_with_output().expect("it ends"));
    assert!(
        interrupt.success() && stopped.elapsed() < Duration::from_secs(10),
        "a silent server is not waited for"
    );
    assert_eq!(
        output.status.code(),
        Some(130),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        output.stdout.is_empty() && person.json(&["list"])["models"] == Value::Array(Vec::new())
    );

    let path = person.pulls(REPO);
    assert_eq!(std::fs::read(path).expect("the file"), noise(300_000, 1));
    assert_eq!(hub.ranges(), [None, Some(120_000)]);
    assert!(!part.exists());
}

#[test]
fn servers_without_ranges_start_over() {
    let hub = Hub::with(REPO, &two_quants(), |request, answer| {
        match (request.cdn, request.earlier) {
            (true, 0) => answer.cut(100_000),
            // It does not know ranges, then it mistakes one, then it finds there is nothing more.
            (true, 1) => Answer::status(200).body(noise(300_000, 1)).cut(200_000),
            (true, 2) => answer.with("Content-Range", "bytes 7-299999/300000"),
            (true, 3) => answer.cut(60_000),
            (true, 4) => Answer::status(416),
            _ => answer,
        }
    });
    let person = Person::at(&hub);
    let path = person.pulls(REPO);
    assert_eq!(std::fs::read(path).expect("the file"), noise(300_000, 1));
    assert_eq!(
        hub.ranges(),
        [None, Some(100_000), Some(200_000), None, Some(60_000), None]
    );
}

#[test]
fn two_pulls_at_once_download_once() {
    let hub = Hub::with(REPO, &two_quants(), |request, answer| {
        if request.cdn {
            std::thread::sleep(Duration::from_millis(500));
        }
        answer
    });
    let person = Person::at(&hub);
    let pulls: Vec<_> = (0..3)
        .map(|_| person.command(&["pull", REPO]).spawn().expect("it starts"))
        .collect();
    for pull in pulls {
        let output = pull.wait_with_output().expect("it ends");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert_eq!(hub.ranges(), [None]);
}

/// Waits until a condition holds.
pub(super) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_a_killed_pull_leaves_is_listed_resumed_and_removed() {
    let hub = Hub::with(REPO, &two_quants(), |request, answer| {
        match request.earlier {
            0 if request.cdn => Answer {
                stall: Duration::from_secs(60),
                ..answer.cut(120_000)
            },
            _ => answer,
        }
    });
    let person = Person::at(&hub);
    let hash = sha256(&noise(300_000, 1));
    let part = person
        .repo()
        .join("blobs")
        .join(format!("{hash}.incomplete"));
    let mut child = person.command(&["pull", REPO]).spawn().expect("it starts");
    until("the part never came", || {
        std::fs::metadata(&part).is_ok_and(|part| part.len() == 120_000)
    });
    // While it is downloaded, nobody removes it.
    person.fails(&["rm", REPO], 1, &["in use"]);
    assert!(part.exists());
    child
        .kill()
        .and_then(|()| child.wait())
        .expect("it is killed");

    let list = person.json(&["list"]);
    assert_eq!(list["models"], Value::Array(Vec::new()));
    let interrupted = &list["interrupted"][0];
    assert_eq!(
        (&interrupted["name"], &interrupted["bytes"]),
        (&REPO.into(), &120_000.into())
    );
    let text = person.godwit(&["list"]);
    assert!(
        String::from_utf8_lossy(&text.stderr).contains("interrupted download"),
        "{text:?}"
    );
    person.fails(
        &["rm", &format!("{REPO}:q4_k_m")],
        3,
        &["interrupted download", "godwit rm godwit/Tiny-GGUF"],
    );

    // It goes on where it was.
    let path = person.pulls(REPO);
    assert_eq!(std::fs::read(path).expect("the file"), noise(300_000, 1));
    assert_eq!(hub.ranges(), [None, Some(120_000)]);
    assert_eq!(person.blobs(), [hash]);
    std::fs::write(&part, "more").expect("a part");
    person.json(&["rm", REPO]);
    assert!(
        !person.repo().exists()
            && !person
                .cache()
                .join(".locks/models--godwit--Tiny-GGUF")
                .exists()
    );
}

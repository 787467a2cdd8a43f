//! Models by name, against a hub on this machine: what is pulled and how, what is refused, what is
//! listed and removed.

#[cfg(unix)]
mod consent;
mod refused;

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use godwit_tests::{gguf, repository};
use serde_json::Value;

use godwit_tests::hub_server::{Answer, Hub, MAIN, V1, sha256};

const REPO: &str = "godwit/Tiny-GGUF";

/// A folder for the cache, and what else a person has.
struct Person {
    home: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Person {
    fn at(hub: &Hub) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let variables = vec![
            ("HF_HOME", home.path().join("hf").display().to_string()),
            ("HF_ENDPOINT", hub.endpoint()),
            ("HF_TOKEN", "secret".into()),
        ];
        Self { home, variables }
    }

    fn with(mut self, variable: &'static str, value: &str) -> Self {
        self.variables.push((variable, value.into()));
        self
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_godwit"));
        command.args(args).current_dir(self.home.path());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let others = [
            "HF_HUB_CACHE",
            "HF_TOKEN_PATH",
            "HF_HUB_OFFLINE",
            "TRANSFORMERS_OFFLINE",
        ];
        let proxies = [
            "http_proxy",
            "https_proxy",
            "all_proxy",
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "ALL_PROXY",
        ];
        for variable in others.iter().chain(&proxies) {
            command.env_remove(variable);
        }
        command.envs(
            self.variables
                .iter()
                .map(|(variable, value)| (*variable, value)),
        );
        command
    }

    fn godwit(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the command starts")
    }

    /// The output of a command that succeeds.
    #[track_caller]
    fn says(&self, args: &[&str]) -> String {
        let output = self.godwit(args);
        assert!(
            output.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(
            output.stderr.is_empty(),
            "nothing is said beside: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.says(&[args, &["--json"]].concat())).expect("one JSON object")
    }

    #[track_caller]
    fn pulls(&self, name: &str) -> PathBuf {
        PathBuf::from(self.says(&["pull", name]).trim_end())
    }

    #[track_caller]
    fn fails(&self, args: &[&str], code: i32, parts: &[&str]) {
        let output = self.godwit(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        for part in parts {
            assert!(stderr.contains(part), "{stderr:?} does not say {part:?}");
        }
        assert!(
            output.stdout.is_empty() && !stderr.contains("panicked"),
            "{stderr}"
        );
    }

    fn cache(&self) -> PathBuf {
        self.home.path().join("hf/hub")
    }

    fn repo(&self) -> PathBuf {
        self.cache().join("models--godwit--Tiny-GGUF")
    }

    /// The names of the blobs and parts that are there.
    fn blobs(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.repo().join("blobs"))
            .map(|entries| {
                entries
                    .flatten()
                    .filter_map(|entry| entry.file_name().into_string().ok())
                    .collect()
            })
            .unwrap_or_default();
        names.sort();
        names
    }
}

/// Bytes that are nothing, but differ everywhere.
fn noise(length: usize, seed: u32) -> Vec<u8> {
    let step = |state: &mut u32| {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some((*state >> 24) as u8)
    };
    std::iter::repeat_n((), length)
        .scan(seed, |state, ()| step(state))
        .collect()
}

fn two_quants() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("README.md", b"hello".into()),
        ("tiny-Q4_K_M.gguf", noise(300_000, 1)),
        ("tiny-Q8_0.gguf", noise(500_000, 2)),
    ]
}

/// A GGUF file that opens.
fn tiny() -> Vec<u8> {
    gguf::Builder::llama().build()
}

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
fn quant_revision_and_address_choose() {
    let hub = Hub::start(REPO, &two_quants());
    let person = Person::at(&hub);
    let file = |path: &Path| {
        path.strip_prefix(person.repo().join("snapshots"))
            .expect("inside")
            .display()
            .to_string()
    };
    assert_eq!(
        file(&person.pulls(&format!("{REPO}:q8-0"))),
        format!("{MAIN}/tiny-Q8_0.gguf")
    );
    assert_eq!(
        file(&person.pulls(&format!("{REPO}@v1"))),
        format!("{V1}/tiny-Q4_K_M.gguf")
    );
    assert_eq!(
        file(&person.pulls(&format!("{REPO}:Q8_0@refs/pr/1"))),
        format!("{V1}/tiny-Q8_0.gguf")
    );
    let url = format!("{}/{REPO}/blob/v1/tiny-Q8_0.gguf", hub.endpoint());
    assert_eq!(file(&person.pulls(&url)), format!("{V1}/tiny-Q8_0.gguf"));
    // Two commits, two blobs.
    assert_eq!(person.blobs().len(), 2);

    person.fails(
        &["pull", &format!("{REPO}:q5_k_m")],
        3,
        &["has no q5_k_m", "Q4_K_M", "tiny-Q8_0.gguf"],
    );
    person.fails(
        &["pull", &format!("{REPO}:tiny")],
        3,
        &["more than one", "tiny-Q4_K_M.gguf", "tiny-Q8_0.gguf"],
    );
    person.fails(&["pull", "nonsense"], 3, &["known"]);
    person.fails(&["pull", "a/b/c"], 2, &["OWNER/REPO"]);
    person.fails(
        &["pull", "https://elsewhere.example/x.gguf"],
        2,
        &["OWNER/REPO"],
    );
}

#[test]
fn a_path_that_exists_is_never_a_name() {
    let hub = Hub::start(REPO, &two_quants());
    let person = Person::at(&hub);
    let folder = person.home.path().join("godwit");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("Tiny-GGUF"), tiny()).expect("a file");
    assert!(person.says(&["inspect", REPO]).contains("Metadata"));
    assert!(person.says(&["show", REPO]).contains("Metadata"));
    person.fails(&["inspect", "godwit/missing.gguf"], 3, &["missing.gguf"]);
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

#[test]
fn offline_asks_nobody() {
    let hub = Hub::start(REPO, &[("tiny-Q8_0.gguf", tiny())]);
    let person = Person::at(&hub);
    person.pulls(REPO);
    hub.requests();
    let person = person.with("HF_HUB_OFFLINE", "1");
    assert!(person.says(&["inspect", REPO]).contains("Metadata"));
    let show = person.json(&["show", REPO]);
    assert_eq!(
        (&show["from"], &show["models"][0]["downloaded"]),
        (&"cache".into(), &true.into())
    );
    person.fails(
        &["inspect", &format!("{REPO}:Q4_0")],
        3,
        &["not downloaded", "HF_HUB_OFFLINE"],
    );
    person.fails(&["pull", "godwit/other"], 3, &["not downloaded"]);
    person.fails(&["show", "godwit/other"], 3, &["not downloaded"]);
    assert!(hub.requests().is_empty());
}

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
        text.contains("293.0 KiB") && text.contains("GGUF") && text.contains("seconds ago"),
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

/// The real thing: a model that answers, by its name.
#[test]
fn a_name_stands_where_a_model_does() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../models/SmolLM2-135M-Instruct.Q4_1.gguf"
    );
    let model = std::fs::read(path).expect("the model; tests/fetch.sh --tests brings it");
    let hub = Hub::start(REPO, &[("SmolLM2-135M-Instruct.Q4_1.gguf", model)]);
    let person = Person::at(&hub);
    let prompt = [
        "-p",
        "What is the capital of France?",
        "--temp",
        "0",
        "-n",
        "20",
    ];
    assert_eq!(
        person.says(&[&["run", REPO][..], &prompt].concat()),
        "The capital of France is Paris.\n"
    );
    assert_eq!(hub.ranges(), [None]);
    let name = format!("{REPO}:q4_1");
    assert_eq!(person.json(&["inspect", &name])["config"]["layers"], 30);
    let tokens = person.godwit(&["tokenize", &name, "-p", "Hello", "--json"]);
    assert!(tokens.status.success());
    assert!(hub.requests().is_empty());
}

/// Waits until a condition holds.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
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

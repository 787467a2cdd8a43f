//! Models by name, against a hub on this machine: what is pulled and how, what is refused, what is
//! listed and removed.

mod cache;
#[cfg(unix)]
mod consent;
mod pull;
mod refused;

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use godwit_tests::hub_server::{Answer, Hub, MAIN, V1, sha256};
use godwit_tests::{gguf, repository};
use serde_json::Value;

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
            .env("GODWIT_CONFIG", "")
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
        let stderr = String::from_utf8_lossy(&output.stderr);
        let said: Vec<&str> = stderr
            .lines()
            .filter(|line| !line.contains("; trying again in "))
            .collect();
        assert!(said.is_empty(), "nothing is said beside: {said:?}");
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

//! Names that come from elsewhere: arguments, the cache, a server.

use super::*;

#[test]
fn arguments_may_be_hostile() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = write(folder.path(), "model.gguf", gguf::Builder::llama().build());
    let commands = [
        "run",
        "chat",
        "inspect",
        "tokenize",
        "doctor",
        "bench",
        "perplexity",
        "imatrix",
        "quantize",
        "pull",
        "list",
        "show",
        "rm",
        "completions",
        "man",
        "help",
    ];
    for name in commands {
        for args in [
            &[name, EVIL, "-p", "a"][..],
            &[name, EVIL, &format!("--{EVIL}")],
            &[name, &format!("--{EVIL}")],
        ] {
            assert_ne!(is_harmless(folder.path(), args), 0, "{args:?}");
        }
    }
    let m = model.as_str();
    for args in [
        &[EVIL][..],
        &["run", m, "-p", "a", "--temp", EVIL],
        &["run", m, "-f", EVIL],
        &["run", EVIL, "-p", "a"],
        &["run", &format!("a/b:{EVIL}"), "-p", "a"],
        &["run", &format!("https://huggingface.co/{EVIL}"), "-p", "a"],
        &["run", m, "-p", "a", "--adapter", EVIL],
        &["run", m, "-p", "a", "--backend", EVIL],
        &["run", m, "-p", "a", "--resume", EVIL],
        &["run", m, "-p", "a", "--save", &format!("{EVIL}/{EVIL}")],
        &["run", m, "-p", "a", "--logit-bias", EVIL],
        &["run", m, "-p", "a", "--context", EVIL],
        &["run", m, "-p", "a", "--kv", EVIL],
        &["run", m, "-p", "a", "--rope-scaling", EVIL],
        &["run", "--synthetic", EVIL, "-p", "a"],
        &["run", m, "-p", "a", "--quant", EVIL],
        &["run", m, "-p", EVIL, "--no-cache"],
        &["quantize", m, "out.gguf", "--type", EVIL],
        &[
            "quantize", m, "out.gguf", "--type", "q8_0", "--tensor", EVIL,
        ],
        &[
            "quantize",
            m,
            "out.gguf",
            "--type",
            "q8_0",
            "--tensor",
            &format!("[{EVIL}=q8_0"),
        ],
        &["perplexity", m, "-f", EVIL],
        &["bench", "--compare", EVIL, EVIL],
        &["tokenize", m, "-f", EVIL],
    ] {
        assert_ne!(is_harmless(folder.path(), args), 0, "{args:?}");
    }
    for variable in [
        "HF_ENDPOINT",
        "HF_TOKEN",
        "HF_HOME",
        "HF_HUB_CACHE",
        "RUST_LOG",
        "XDG_CACHE_HOME",
    ] {
        for args in [&["pull", "a/b"][..], &["list"], &["inspect", "a/b"]] {
            let mut command = command(folder.path(), args);
            command.env(variable, EVIL);
            harmless_in_terminal(&in_terminal(command, &[]).0, Allowed::Lines, variable);
        }
    }
}

#[test]
fn a_cache_and_a_server_may_be_hostile() {
    const REPO: &str = "godwit/Tiny-GGUF";
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let commit = "c".repeat(40);
    let repo = "hf/hub/models--godwit--Tiny-GGUF";
    write(at, &format!("{repo}/refs/{EVIL}"), &commit);
    write(
        at,
        &format!("{repo}/snapshots/{commit}/{EVIL}.gguf"),
        model().build(),
    );
    write(
        at,
        &format!("{repo}/snapshots/{commit}/{EVIL}/x-Q8_0.gguf"),
        model().build(),
    );
    write(at, &format!("hf/hub/models--{EVIL}--x/refs/main"), &commit);
    write(at, "hf/token", EVIL);
    for args in [
        &["list"][..],
        &["list", "--json"],
        &["show", &format!("{REPO}@{commit}")],
        &["show", &format!("{REPO}@{commit}"), "--json"],
        &["inspect", &format!("{REPO}@{commit}")],
        &["rm", &format!("{REPO}:x@{commit}")],
        &["rm", EVIL],
    ] {
        is_harmless(at, args);
    }
    let bad = EVIL.replace(['\r', '\0'], "");
    let answers: [(u16, &'static str, &str); 7] = [
        (200, "X-Nothing", "x"),
        (302, "Location", "ftp://"),
        (401, "X-Error-Code", ""),
        (404, "X-Error-Code", ""),
        (429, "Retry-After", "9999999"),
        (418, "X-Nothing", ""),
        (500, "Retry-After", "3600"),
    ];
    let blob = "a".repeat(40);
    let one = |file: Value| json!({"sha": commit, "siblings": [file]});
    let listings = [
        json!({"sha": EVIL, "siblings": []}),
        one(json!({"rfilename": format!("{EVIL}.gguf"), "size": 1, "blobId": blob})),
        one(json!({"rfilename": "x\u{202e}.gguf", "size": 1, "blobId": blob})),
        one(json!({"rfilename": "x\u{202e}.gguf", "size": 1, "blobId": EVIL})),
        one(json!({"rfilename": "x.gguf", "size": 1, "lfs": {"sha256": EVIL}})),
        json!({"sha": commit, "siblings": EVIL}),
        json!(EVIL),
    ];
    // A header that is none, which is tried again a few times.
    let hub = Hub::with(REPO, &[], |_, answer| answer.with("X-Nothing", EVIL));
    let mut wrong = command(at, &["show", REPO, "-v"]);
    wrong
        .env("HF_ENDPOINT", hub.endpoint())
        .env_remove("HF_HUB_OFFLINE");
    harmless_in_terminal(&in_terminal(wrong, &[]).0, Allowed::Lines, "a header");
    for (status, header, value) in answers {
        for body in listings
            .iter()
            .map(Value::to_string)
            .chain([EVIL.to_owned()])
        {
            let value = if header == "Location" {
                format!("{value}{bad}")
            } else {
                value.to_owned()
            };
            let hub = Hub::with(REPO, &[], move |_, _| {
                Answer::status(status)
                    .with(header, &value)
                    .body(body.clone())
            });
            for args in [
                &["pull", REPO][..],
                &["show", REPO],
                &["inspect", REPO, "--yes"],
            ] {
                let mut command = command(at, args);
                command
                    .env("HF_ENDPOINT", hub.endpoint())
                    .env("HF_TOKEN", "x")
                    .env_remove("HF_HUB_OFFLINE");
                // Its own cache, where nothing is.
                command.env("HF_HOME", at.join("empty"));
                let (bytes, _) = in_terminal(command, &[]);
                harmless_in_terminal(
                    &bytes,
                    Allowed::Lines,
                    &format!("{} after {status}", args[0]),
                );
            }
            if status != 200 {
                break;
            }
        }
    }
}

//! Models, files, servers and arguments that are hostile in every string, through every command:
//! nothing that a terminal obeys comes through.
#![cfg(unix)]

mod terminal;

use std::path::Path;
use std::process::Stdio;

use godwit_tests::gguf::{self, Builder, string, strings, u32};
use godwit_tests::hub_server::{Answer, Hub};
use godwit_tests::repository;
use serde_json::{Value, json};

use terminal::{Allowed, EVIL, command, harmless, harmless_in_terminal, in_terminal, is_harmless};

const TEMPLATE: &str = "{% for m in messages %}{{ m.content }}{% endfor %}";

/// The last tokens of the model, in the alphabet of byte-level tokenizers: escape sequences in one
/// piece and split, even within a character, and what turns text.
const PIECES: [&str; 8] = ["ě", "]0;titleć", "Â", "Ľ2J", "č", "Ċ", "âĢ®", "č\u{10a}ĈĀ"];

/// A model whose tokens are hostile, and whose weights are zero: all its tokens are as likely.
fn model() -> Builder {
    let letters = (0..24_u8).map(|i| char::from(b'a' + i).to_string());
    let tokens: Vec<String> = letters.chain(PIECES.map(str::to_owned)).collect();
    Builder::llama()
        .with("tokenizer.ggml.tokens", strings(&tokens))
        .with("tokenizer.chat_template", string(TEMPLATE))
        .with("general.name", string(EVIL))
        .with(&format!("general.{EVIL}"), string(EVIL))
        .with(&format!("llama.{EVIL}"), strings(&[EVIL, EVIL]))
}

/// Options that choose among the hostile tokens.
fn hostile_tokens() -> Vec<String> {
    let letters = (0..24).map(|id| format!("--logit-bias={id}=-inf"));
    letters
        .chain(["-n=48", "--temp=1", "--seed=5", "--no-cache"].map(str::to_owned))
        .collect()
}

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(&path, content).expect("a file");
    path.to_str().expect("a path").to_owned()
}

/// As it comes from the terminal: what is printed, with its line ends.
fn printed(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace("\r\n", "\n")
}

#[test]
fn generated_text_is_shown_in_a_terminal_and_unchanged_in_a_pipe() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = write(folder.path(), "model.gguf", model().build());
    let options = hostile_tokens();
    let mut args = vec!["run", &model, "-p", "abc"];
    args.extend(options.iter().map(String::as_str));
    let piped = command(folder.path(), &args)
        .stdin(Stdio::null())
        .output()
        .expect("the command starts");
    harmless(&piped.stderr, Allowed::Lines, "stderr");
    let raw = String::from_utf8(piped.stdout).expect("UTF-8");
    for evil in [
        "\u{1b}", "\u{7}", "\u{9b}", "\r", "\r\n", "\u{8}", "\0", "\u{202e}",
    ] {
        assert!(
            raw.contains(evil),
            "{evil:?} is in what the model says: {raw:?}"
        );
    }
    let (bytes, code) = in_terminal(command(folder.path(), &args), &[]);
    assert_eq!(code, 0);
    harmless_in_terminal(&bytes, Allowed::Bidi, "run");
    // The output equals the reply, character by character.
    let each = |c: char| match c {
        '\n' | '\t' => c.to_string(),
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    };
    let shown: String = raw.replace("\r\n", "\n").chars().map(each).collect();
    assert!(
        printed(&bytes).contains(shown.trim_end()),
        "{shown:?}: {:?}",
        printed(&bytes)
    );
    // As JSON, with the same text.
    args.push("--json");
    let json = command(folder.path(), &args)
        .stdin(Stdio::null())
        .output()
        .expect("the command starts");
    harmless(&json.stdout, Allowed::Lines, "--json");
    let json: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(json["text"].as_str(), raw.strip_suffix('\n'));
    assert_eq!(is_harmless(folder.path(), &args), 0);
}

#[test]
fn a_chat_shows_what_is_said_typed_pasted_and_remembered() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = write(folder.path(), "model.gguf", model().build());
    write(
        folder.path(),
        "godwit/chat_history",
        format!("#V2\n{}\n", EVIL.replace('\r', "")),
    );
    let options = hostile_tokens();
    let mut args = vec!["chat", &model];
    args.extend(options.iter().map(String::as_str));
    let pasted = format!("\u{1b}[200~{EVIL}\u{1b}[201~");
    let up = "\u{1b}[A";
    let system = format!("/system {pasted}\r");
    let save = format!("/save \u{1b}[200~{}\u{1b}[201~\r", EVIL.replace('\r', ""));
    let unknown = format!("/{pasted}\r");
    let keys = [
        ("> ", up),
        // What is not drawn is named behind the line.
        (r"(not shown: \u{7} \u{8} \u{1b} ", "\u{3}"),
        ("> ", "abc\r"),
        ("stopped after 48", ""),
        ("> ", &system),
        ("goes on", ""),
        ("> ", "/system\r"),
        ("FORGED", ""),
        ("> ", &save),
        ("Saved 3 messages to ", ""),
        ("> ", &unknown),
        ("no command", ""),
        ("> ", "\u{12}end"),
        ("end", "\u{7}"),
        ("> ", "\u{3}"),
        ("> ", "/stats\r"),
        ("memory", ""),
        ("> ", "\u{4}"),
    ];
    let (bytes, code) = in_terminal(command(folder.path(), &args), &keys);
    assert_eq!(code, 0, "{:?}", printed(&bytes));
    harmless_in_terminal(&bytes, Allowed::Bidi, "chat");
    // Messages that come by a pipe.
    let mut script = command(folder.path(), &args);
    let file = std::fs::File::open(write(
        folder.path(),
        "script",
        format!("/{EVIL}\n/system {EVIL}\n/system\n/system -\nabc\n"),
    ));
    let output = script
        .stdin(file.expect("the script"))
        .output()
        .expect("the command starts");
    harmless(&output.stderr, Allowed::Lines, "chat, piped");
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains('\u{1b}'));
}

/// Every command that reads a model, on one that runs.
#[test]
fn every_command_shows_a_hostile_model() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let name = format!("{EVIL}.gguf");
    write(at, &name, model().build());
    write(at, EVIL, "abcdefgh".repeat(40));
    let model = name.as_str();
    let text = ["-f", EVIL, "--context", "16", "--chunks", "2"];
    let all: [&[&str]; 15] = [
        &["inspect", model],
        &["inspect", model, "--json"],
        &["show", model],
        &["show", model, "--json"],
        &["tokenize", model, "-p", "abc"],
        &["tokenize", model, "-p", "abc", "--json"],
        &["doctor", model, "-vv"],
        &["doctor", model, "--json"],
        &[
            "perplexity",
            model,
            text[0],
            text[1],
            text[2],
            text[3],
            text[4],
            text[5],
        ],
        &[
            "imatrix",
            model,
            "-o",
            "imatrix\u{1b}]0;x\u{7}.gguf",
            text[0],
            text[1],
            text[2],
            text[3],
        ],
        &[
            "imatrix",
            model,
            "-o",
            "imatrix\u{1b}]0;x\u{7}.gguf",
            text[0],
            text[1],
            text[2],
            text[3],
            "--force",
            "--json",
        ],
        &[
            "quantize",
            model,
            "out\u{1b}]0;x\u{7}.gguf",
            "--type",
            "q8_0",
            "--force",
        ],
        &[
            "quantize",
            model,
            "out\u{9b}2J.gguf",
            "--type",
            "q8_0",
            "--force",
            "--json",
        ],
        &["bench", model, "-p", "8", "-n", "2", "-r", "1"],
        &["bench", model, "-p", "8", "-n", "2", "-r", "1", "--json"],
    ];
    for args in all {
        assert_eq!(is_harmless(at, args), 0, "{args:?}");
    }
}

/// Each string of the file in turn, which ends most commands with an error.
#[test]
fn every_string_of_a_file_may_be_hostile() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = Builder::llama().with("tokenizer.chat_template", string(TEMPLATE));
    let mut files: Vec<Builder> = Vec::new();
    for (key, _) in &whole.metadata {
        files.push(whole.clone().with(key, string(EVIL)));
        files.push(whole.clone().with(key, strings(&[EVIL, EVIL])));
        let value = whole
            .metadata
            .iter()
            .find(|(known, _)| known == key)
            .expect("the key")
            .1
            .clone();
        files.push(
            whole
                .clone()
                .without(key)
                .with(&format!("{key}{EVIL}"), value),
        );
    }
    for at in 0..whole.rows.len() {
        files.push(
            whole
                .clone()
                .change(|file| file.rows[at].name = EVIL.into()),
        );
        files.push(
            whole
                .clone()
                .change(|file| file.rows[at].name.push_str(EVIL)),
        );
        files.push(
            whole
                .clone()
                .change(|file| file.rows[at].kind = 99)
                .change(|file| file.rows[at].name += EVIL),
        );
    }
    for key in [
        "general.type",
        "general.file_type",
        "general.quantization_version",
        "tokenizer.ggml.pre",
        "tokenizer.ggml.token_type",
        "tokenizer.ggml.scores",
        "tokenizer.ggml.bos_token_id",
        "tokenizer.ggml.add_bos_token",
        "tokenizer.huggingface.json",
        "llama.rope.scaling.type",
        "llama.rope.scaling.factor",
        "llama.expert_count",
        "llama.vocab_size",
        "general.sampling.temp",
        "split.count",
        "general.alignment",
        EVIL,
    ] {
        files.push(whole.clone().with(key, string(EVIL)));
    }
    for template in [
        format!("{{{{ raise_exception('{}') }}}}", EVIL.replace('\r', "")),
        format!("{{{{ {EVIL} }}}}"),
        format!("{{{{ x['{EVIL}'].y }}}}"),
        format!("{{% include '{EVIL}' %}}"),
        format!("{{{{ 'a'|{EVIL} }}}}"),
        format!("{{{{ [1]['{EVIL}']() }}}}"),
    ] {
        files.push(
            whole
                .clone()
                .with("tokenizer.chat_template", string(&template)),
        );
    }
    files.push(whole.clone().with("tokenizer.ggml.model", string("llama")));
    files.push(
        whole
            .clone()
            .with("tokenizer.ggml.model", string("bert"))
            .with("general.name", string(EVIL)),
    );
    files.push(
        whole
            .clone()
            .with("llama.context_length", u32(0))
            .with("general.name", string(EVIL)),
    );
    assert!(files.len() > 90);
    let mut failed = 0;
    for (number, file) in files.iter().enumerate() {
        let path = write(folder.path(), &format!("{number}.gguf"), file.build());
        is_harmless(folder.path(), &["inspect", &path]);
        is_harmless(folder.path(), &["tokenize", &path, "-p", "abc"]);
        // Where it opens, its template is what may fail.
        failed += is_harmless(
            folder.path(),
            &[
                "run",
                &path,
                "-p",
                "abc",
                "-n",
                "1",
                "--temp",
                "0",
                "--no-cache",
            ],
        );
    }
    assert!(failed > 60 * 3, "{failed}");
}

#[test]
fn every_string_of_a_repository_may_be_hostile() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = repository::Files::sharded()
        .set("architectures", json!(["LlamaForCausalLM"]))
        .set("torch_dtype", json!("float32"))
        .set(
            "rope_scaling",
            json!({"rope_type": "linear", "factor": 2.0}),
        )
        .set(
            "quantization_config",
            json!({"quant_method": "awq", "bits": 4, "version": "gemm"}),
        )
        .with(
            "generation_config.json",
            json!({"temperature": 1.0, "note": "x"}).to_string(),
        )
        .with(
            "tokenizer_config.json",
            json!({"chat_template": TEMPLATE, "bos_token": "t1"}).to_string(),
        );
    let mut variants: Vec<(String, Vec<u8>)> = Vec::new();
    for (name, content) in &whole.files {
        if let Ok(value) = serde_json::from_slice::<Value>(content) {
            let mut all = Vec::new();
            hostile(&value, &mut all);
            // All tokens are alike.
            let few = all.len().min(40);
            variants.extend(
                all[all.len() - few..]
                    .iter()
                    .map(|v| (name.clone(), v.to_string().into_bytes())),
            );
            variants.push((name.clone(), format!("{{ \"{EVIL}\" ").into_bytes()));
        }
        variants.push((format!("{name}{EVIL}"), content.clone()));
    }
    for table in [
        json!({EVIL: {"dtype": EVIL}}),
        json!({EVIL: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}),
    ] {
        let file = [repository::with_header(&table.to_string()), vec![0; 4]].concat();
        variants.push(("a.safetensors".into(), file));
    }
    variants.push((
        "chat_template.jinja".into(),
        format!("{{{{ raise_exception('{EVIL}') }}}}").into_bytes(),
    ));
    for (number, (name, content)) in variants.into_iter().enumerate() {
        let at = folder.path().join(format!("{number}{EVIL}"));
        std::fs::create_dir(&at).expect("a folder");
        for (name, content) in whole.clone().with(&name, content).files {
            std::fs::write(at.join(name), content).expect("a file");
        }
        let path = at.to_str().expect("a path");
        is_harmless(folder.path(), &["inspect", path]);
        is_harmless(folder.path(), &["tokenize", path, "-p", "abc"]);
        std::fs::remove_dir_all(&at).expect("it goes");
    }
}

/// The value with each string and each key in turn made hostile.
fn hostile(value: &Value, all: &mut Vec<Value>) {
    fn places(value: &Value, at: String, all: &mut Vec<String>) {
        match value {
            Value::Object(map) => map
                .iter()
                .for_each(|(key, v)| places(v, format!("{at}/{key}"), all)),
            Value::Array(list) => list
                .iter()
                .enumerate()
                .for_each(|(i, v)| places(v, format!("{at}/{i}"), all)),
            _ => all.push(at),
        }
    }
    let mut found = Vec::new();
    places(value, String::new(), &mut found);
    for place in found {
        for new in [json!(EVIL), json!({EVIL: EVIL})] {
            let mut changed = value.clone();
            *changed.pointer_mut(&place).expect("the place") = new;
            all.push(changed);
        }
    }
}

#[test]
fn saved_files_may_be_hostile() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let (first, second) = (
        model(),
        model()
            .with("general.name", string("other"))
            .change(|file| file.data[5] = 1),
    );
    let (first, second) = (
        write(at, "first.gguf", first.build()),
        write(at, "second.gguf", second.build()),
    );
    let saved = format!("{EVIL}.kv");
    let run = |model: &str, rest: &[&str]| {
        is_harmless(
            at,
            &[
                &[
                    "run",
                    model,
                    "-p",
                    "abc",
                    "-n",
                    "1",
                    "--temp",
                    "0",
                    "--no-cache",
                ],
                rest,
            ]
            .concat(),
        )
    };
    assert_eq!(run(&first, &["--save", &saved, "--logit-bias=24=-inf"]), 0);
    assert_eq!(run(&second, &["--resume", &saved]), 3);
    // The header's own fields, which come before its hash.
    let bytes = std::fs::read(at.join(&saved)).expect("the context");
    let length = u32_at(&bytes, 12) as usize;
    let header: Value = serde_json::from_slice(&bytes[16..16 + length]).expect("a header");
    let mut headers = Vec::new();
    hostile(&header, &mut headers);
    headers.retain(|changed| *changed != header);
    for (number, header) in headers
        .iter()
        .map(Value::to_string)
        .chain([format!("{{\"{EVIL}")])
        .enumerate()
    {
        let length = (header.len() as u32).to_le_bytes();
        let file = [
            &bytes[..12],
            &length,
            header.as_bytes(),
            &bytes[16 + u32_at(&bytes, 12) as usize..],
        ]
        .concat();
        let path = write(at, &format!("{number}.kv"), file);
        assert_eq!(run(&first, &["--resume", &path]), 3);
    }
    // Files in the place of outputs.
    write(at, EVIL, EVIL);
    assert_eq!(run(&first, &["--save", EVIL]), 1);
    assert_eq!(
        is_harmless(at, &["quantize", &first, EVIL, "--type", "q8_0"]),
        1
    );
    assert_eq!(
        is_harmless(
            at,
            &[
                "quantize",
                &first,
                "x.gguf",
                "--type",
                "q8_0",
                "--imatrix",
                EVIL
            ]
        ),
        3
    );
    std::os::unix::fs::symlink(EVIL, at.join(format!("link{EVIL}"))).expect("a link");
    assert_eq!(run(&first, &["--save", &format!("link{EVIL}")]), 1);
    // Reports of `bench`.
    let report = command(
        at,
        &["bench", &first, "-p", "8", "-n", "0", "-r", "1", "--json"],
    )
    .output();
    let report: Value =
        serde_json::from_slice(&report.expect("the command starts").stdout).expect("JSON");
    let mut reports = Vec::new();
    hostile(&report, &mut reports);
    write(at, "good.json", report.to_string());
    // Each field of the report, and of some of the many kernels.
    let (fields, kernels) = reports.split_at(32.min(reports.len()));
    for (number, report) in fields
        .iter()
        .chain(kernels.iter().step_by(16).take(16))
        .enumerate()
    {
        let path = write(at, &format!("{number}.json"), report.to_string());
        is_harmless(at, &["bench", "--compare", &path, "good.json"]);
        is_harmless(at, &["bench", "--compare", &path, &path]);
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

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

//! Every string of a file or of a repository.

use super::*;

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
pub(super) fn hostile(value: &Value, all: &mut Vec<Value>) {
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

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

//! Messages that people meet first, word for word, and exit codes that go with them.

use super::*;

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn put(folder: &tempfile::TempDir, name: &str, content: &[u8]) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, content).expect("a file");
    path.display().to_string()
}

#[test]
fn help_begins_with_what_it_is() {
    for (args, first) in [
        (
            &["-h"][..],
            "Run Llama-family language models on your GPU\n",
        ),
        (
            &["--help"],
            "Run Llama-family language models on your GPU\n",
        ),
        (&["run", "-h"], "Answer one prompt and exit\n"),
        (&["chat", "-h"], "Chat with a model in the terminal\n"),
    ] {
        let text = stdout(&godwit(args));
        assert!(text.starts_with(first), "{args:?}: {text}");
        assert!(!text.contains('\u{1b}'), "no colours in a pipe");
    }
    let text = stdout(&godwit(&["run", "-h"]));
    assert!(text.contains("Maximum tokens to generate"), "{text}");
}

#[test]
fn errors_say_it_in_one_sentence() {
    let model = model();
    let run =
        |more: &[&str]| godwit(&[&["run", &model, "-p", "one two three four"], more].concat());
    let output = run(&["--adapter", "seven of nine"]);
    fails(
        &output,
        4,
        "error: No GPU matches \"seven of nine\". Available: [0] ",
    );
    let output = run(&["--context", "4"]);
    fails(
        &output,
        5,
        "tokens; the context holds 4. Raise --context.\n",
    );
    assert!(stderr(&output).starts_with("error: The prompt has "));
    // At the model's window, there is nothing to raise.
    let long = "word ".repeat(9000);
    let output = with_input(&["run", &model], long.as_bytes());
    fails(
        &output,
        5,
        "the context holds 8192. Shorten the prompt: 8192 tokens are the model's window.\n",
    );
}

#[test]
fn chats_say_it_in_one_sentence() {
    let output = with_input(&["chat", &model()], b"/clear\n/foo\n/exit\n");
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert_eq!(
        said,
        "Conversation cleared.\nUnknown command /foo. Type /help.\n"
    );
}

/// The title in the metadata of this model is that of a training run.
#[test]
fn a_model_is_called_by_its_file() {
    let name = "SmolLM2-135M-Instruct.Q4_1.gguf";
    let text = stdout(&godwit(&["inspect", &model()]));
    assert!(text.starts_with(name), "{}", &text[..200]);
    let report = stdout(&godwit(&["inspect", &model(), "--json"]));
    let report: Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!(report["name"], name);
    // In the hub's cache, a folder is a repository.
    let folder = tempfile::tempdir().expect("a folder");
    let snapshot = folder.path().join("models--owner--tiny/snapshots/0123");
    std::fs::create_dir_all(&snapshot).expect("a folder");
    for (name, content) in &godwit_tests::repository::Files::tiny().files {
        std::fs::write(snapshot.join(name), content).expect("a file");
    }
    let text = stdout(&godwit(&["inspect", &snapshot.display().to_string()]));
    assert!(text.starts_with("owner/tiny ("), "{text}");
}

#[test]
fn doctor_says_whether_a_model_fits() {
    let doctor = |more: &[&str]| {
        let args = ["doctor", "--synthetic", "llama3-8b:q4_k", "--context", "8k"];
        godwit(&[&args[..], more].concat())
    };
    let output = doctor(&["--gpu-memory", "4G"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(4), "{text}");
    assert!(
        text.contains("does not fit: needs 5.2 GiB, 4.0 are there"),
        "{text}"
    );
    assert!(stderr(&output).contains("it needs 5.2 GiB, 4.0 are there"));
    for internal in ["matmul", "binding", "features"] {
        assert!(!text.contains(internal), "{internal} is for -v: {text}");
    }
    let output = doctor(&["--gpu-memory", "4G", "--json"]);
    assert_eq!(output.status.code(), Some(4));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["fits"], false);
    let text = stdout(&doctor(&["--gpu-memory", "8G", "-v"]));
    assert!(text.contains("; fits\n"), "{text}");
    for internal in ["matmul", "binding", "features"] {
        assert!(text.contains(internal), "{internal}: {text}");
    }
    let output = godwit(&["doctor", "--synthetic", "tiny:q4_0", "--context", "9m"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

/// A model of another architecture, with weights in a type without code.
#[test]
fn inspect_reads_every_architecture() {
    let folder = tempfile::tempdir().expect("a folder");
    let builder = Builder::llama();
    let other = builder
        .clone()
        .with("general.architecture", gguf::string("qwen3"));
    let other = put(&folder, "other.gguf", &other.build());
    let text = stdout(&godwit(&["inspect", &other]));
    for part in [
        "Can't be run",
        "the architecture is `qwen3`, which Godwit does not run. It runs `llama`: Llama 2",
        "general.architecture = ",
        "token_embd.weight",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let runs = [
        &["run", &other, "-p", "a"][..],
        &["chat", &other],
        &["bench", &other],
        &["quantize", &other, "new.gguf", "--type", "q8_0"],
    ];
    for args in runs {
        fails(&godwit(args), 3, "It runs `llama`: Llama 2");
    }
    let mut foreign = builder;
    let row = foreign.rows.last_mut().expect("a tensor");
    // MXFP4.
    row.kind = 39;
    let name = row.name.clone();
    let foreign = put(&folder, "foreign.gguf", &foreign.build());
    let text = stdout(&godwit(&["inspect", &foreign]));
    let listed = text
        .lines()
        .any(|line| line.contains(&name) && line.contains("MXFP4") && line.starts_with("  "));
    assert!(
        listed && text.contains("which is not supported; supported: "),
        "{text}"
    );
    assert!(!text.contains("has no tensor"), "{text}");
    let report = stdout(&godwit(&["inspect", &foreign, "--json"]));
    let report: Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!(report["foreign_tensors"][0]["format"], "MXFP4");
    assert_eq!(report["runs"], false);
    fails(&godwit(&["run", &foreign, "-p", "a"]), 3, "MXFP4");

    // The same of a repository.
    let files = godwit_tests::repository::Files::tiny().set("model_type", "gemma2".into());
    let repository = folder.path().join("gemma");
    std::fs::create_dir(&repository).expect("a folder");
    for (name, content) in &files.files {
        std::fs::write(repository.join(name), content).expect("a file");
    }
    let text = stdout(&godwit(&["inspect", &repository.display().to_string()]));
    assert!(
        text.contains("`gemma2`, which Godwit does not run"),
        "{text}"
    );
}

#[test]
fn quantising_twice_and_substitutions_are_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let to = folder.path().join("new.gguf").display().to_string();
    let output = godwit(&["quantize", &model(), &to, "--type", "q4_k_m"]);
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("warning: the model is quantised already ("),
        "{said}"
    );
    assert!(said.contains("tensors in Q4_1"), "{said}");
    // Rows of 576 weights are no whole blocks of 256.
    assert!(
        said.contains("tensors are Q5_0 instead of Q4_K: "),
        "{said}"
    );
    // The original is not.
    let model = put(&folder, "tiny.gguf", &tiny());
    let output = godwit(&["quantize", &model, &to, "--type", "q8_0", "--force"]);
    assert!(!stderr(&output).contains("already"), "{}", stderr(&output));
}

/// Files that a person named may be read by those whom the umask lets.
#[cfg(unix)]
#[test]
fn modes_follow_the_umask() {
    use std::os::unix::fs::MetadataExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    let model = put(&folder, "tiny.gguf", &tiny());
    let text = put(&folder, "text.txt", "abcd".repeat(40).as_bytes());
    let prompts = put(&folder, "prompts.jsonl", b"{\"prompt\": \"a\"}\n");
    let godwit = env!("CARGO_BIN_EXE_godwit");
    let raw = "--raw -n 1 --temp 0";
    for (umask, mode) in [("022", 0o644), ("027", 0o640), ("077", 0o600)] {
        let at = folder.path().join(umask);
        std::fs::create_dir(&at).expect("a folder");
        let script = format!(
            "cd {at} && umask {umask} && {godwit} quantize {model} q.gguf --type q8_0 && \
             {godwit} imatrix {model} -f {text} --context 16 -o i.gguf && \
             {godwit} run {model} {raw} -p a --save s.kv </dev/null && \
             {godwit} run {model} {raw} --parallel {prompts} -o a.jsonl && {godwit} man --dir .",
            at = at.display()
        );
        let output = Command::new("sh").args(["-c", &script]).output();
        let output = output.expect("a shell");
        assert!(output.status.success(), "{}", stderr(&output));
        for file in ["q.gguf", "i.gguf", "s.kv", "a.jsonl", "godwit.1"] {
            let found = at.join(file).metadata().expect("a file").mode() & 0o777;
            assert_eq!(found, mode, "{file} at umask {umask}");
        }
    }
}

#[test]
fn verbose_is_for_people_and_more_for_those_who_debug() {
    let run = |more: &[&str], log: Option<&str>| {
        let args = [
            "run",
            "--synthetic",
            "tiny:q4_0",
            "--raw",
            "-p",
            "a",
            "-n",
            "1",
        ];
        let mut command = command(&[&args[..], more].concat());
        command.env_remove("RUST_LOG");
        if let Some(log) = log {
            command.env("RUST_LOG", log);
        }
        stderr(&command.output().expect("it starts"))
    };
    let (quiet, people, debug) = (run(&[], None), run(&["-v"], None), run(&["-vv"], None));
    assert!(
        !quiet.contains("info: ") && !quiet.contains("debug: "),
        "{quiet}"
    );
    assert!(people.contains("info: computing on "), "{people}");
    assert!(people.contains("(prompt: 1 tokens in "), "{people}");
    for internal in ["debug: ", "Capabilities", "tuning", "{"] {
        assert!(!people.contains(internal), "{internal}: {people}");
    }
    assert!(debug.contains("debug: "), "{debug}");
    for all in [&quiet, &people, &debug] {
        let is_of_others = all.contains("wgpu") || all.contains("naga");
        assert!(!is_of_others && !all.contains('\u{1b}'), "{all}");
    }
    let theirs = run(&[], Some("wgpu_core=debug,wgpu_hal=debug,naga=debug"));
    assert!(theirs.lines().count() > quiet.lines().count(), "{theirs}");
}

#[test]
fn the_cache_is_listed_and_cleared() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = put(&folder, "tiny.gguf", &tiny());
    let with_cache = |args: &[&str]| {
        let mut command = command(args);
        command.env("XDG_CACHE_HOME", folder.path());
        command.output().expect("it starts")
    };
    let quantised = [
        "run", &model, "--raw", "-p", "a", "-n", "1", "--quant", "q8_0",
    ];
    assert!(with_cache(&quantised).status.success());
    let own = folder.path().join("godwit/weights/notes.gguf");
    std::fs::write(&own, "a person's").expect("a file");
    let parts = || -> Vec<(String, u64)> {
        let text = stdout(&with_cache(&["cache", "--json"]));
        let report: Value = serde_json::from_str(&text).expect("JSON");
        let parts = report["parts"].as_array().expect("parts").iter();
        parts
            .map(|part| {
                let name = part["part"].as_str().expect("a name").to_owned();
                (name, part["bytes"].as_u64().expect("bytes"))
            })
            .collect()
    };
    let before = parts();
    let names: Vec<&str> = before.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["prompts", "weights", "gpus", "hashes"]);
    assert!(before[1].1 > 1000, "{before:?}");
    let said = stdout(&with_cache(&["cache", "--clear", "weights"]));
    assert!(said.starts_with("weights are cleared: "), "{said}");
    let after = parts();
    assert_eq!((after[1].1, after[3].1), (0, before[3].1));
    stdout(&with_cache(&["cache", "--clear", "all"]));
    assert!(parts().iter().all(|(_, bytes)| *bytes == 0));
    assert!(own.exists(), "only files with Godwit's names are deleted");
    fails(&with_cache(&["cache", "--clear", "models"]), 2, "weights");
}

/// The mechanism itself is tested for every flag beside its code.
#[test]
fn settings_come_from_the_environment_and_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = put(
        &folder,
        "config.toml",
        b"# mine\nraw = true\ntokens = 2\n[run]\ntemp = 0\n",
    );
    let run = |variables: &[(&str, &str)], more: &[&str]| {
        let args = ["run", "--synthetic", "tiny:q4_0", "-p", "a", "--json"];
        let mut command = command(&[&args[..], more].concat());
        command.envs(variables.iter().copied());
        let output = command.output().expect("it starts");
        let report: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
        report["generated_tokens"].as_u64()
    };
    assert_eq!(run(&[("GODWIT_CONFIG", &file)], &[]), Some(2));
    assert_eq!(run(&[], &["--config", &file]), Some(2));
    let both = [("GODWIT_CONFIG", &*file), ("GODWIT_TOKENS", "3")];
    assert_eq!(run(&both, &[]), Some(3));
    assert_eq!(run(&both, &["-n", "1"]), Some(1));
    let wrong = put(&folder, "wrong.toml", b"kv = 'f16'\ntokens = 'many'\n");
    let output = godwit(&["list", "--config", &wrong]);
    fails(
        &output,
        2,
        "wrong.toml, line 2: invalid value 'many' for '--tokens",
    );
}

#[test]
fn variables_that_no_flag_reads_are_named() {
    let said = |variable: &str, args: &[&str]| {
        let output = command(args).env(variable, "1").output();
        stderr(&output.expect("the command starts"))
    };
    let (quiet, verbose) = (["list", "--known"], ["list", "--known", "-v"]);
    assert_eq!(
        said("GODWIT_CONTXT", &quiet),
        "warning: no flag reads the variable GODWIT_CONTXT; did you mean GODWIT_CONTEXT?\n"
    );
    let foreign = "info: no flag reads the variable GODWIT_ZZYZX\n";
    assert_eq!(said("GODWIT_ZZYZX", &quiet), "");
    assert!(said("GODWIT_ZZYZX", &verbose).contains(foreign));
    // Flags of other commands.
    assert_eq!(said("GODWIT_CONTEXT", &quiet), "");
}

//! The examples in C, C++ and Python, against what `install.sh` installs: their ids are those that
//! Rust gives.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use godwit_tests::model::{fixture, smollm2};
use godwit_tests::turns::turns;

use crate::calls::file;
use crate::header::{built, folder, run};

const C: [&str; 5] = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror"];
const CPP: [&str; 5] = ["-std=c++17", "-pedantic", "-Wall", "-Wextra", "-Werror"];

/// Where the library is installed, once.
fn prefix() -> &'static Path {
    static PREFIX: OnceLock<PathBuf> = OnceLock::new();
    PREFIX.get_or_init(|| {
        // In a folder whose name a shell would take apart.
        let prefix = built().join("capi prefix");
        let mut install = Command::new(folder().join("install.sh"));
        run(install.arg(&prefix).arg("--from").arg(built()));
        prefix
    })
}

/// What pkg-config says of the installed library.
fn pkg_config(arguments: &[&str]) -> Vec<String> {
    let mut command = Command::new("pkg-config");
    command.env("PKG_CONFIG_PATH", prefix().join("lib/pkgconfig"));
    let flags = run(command.args(arguments).arg("godwit")).0;
    // A space in a path is escaped.
    let escaped = flags.trim().replace("\\ ", "\0");
    let flags = escaped.split(' ').map(|flag| flag.replace('\0', " "));
    flags.collect()
}

/// An example that is compiled and linked.
fn compile(
    compiler: &str,
    flags: &[&str],
    example: &str,
    name: &str,
    linked: &[String],
) -> PathBuf {
    let program = built().join(name);
    let mut command = Command::new(compiler);
    command.args(flags);
    command.args(pkg_config(&["--cflags"]));
    command.arg(folder().join("examples").join(example));
    command.arg("-o").arg(&program).args(linked);
    run(&mut command);
    program
}

/// Flags that link the shared library, and have it found.
fn shared() -> Vec<String> {
    let mut flags = pkg_config(&["--libs"]);
    flags.push(format!("-Wl,-rpath,{}", prefix().join("lib").display()));
    flags
}

/// Runs a program with lines on stdin.
fn talk(command: &mut Command, lines: &str) -> (String, String) {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(lines.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{out}\n{error}",
        output.status
    );
    (out, error)
}

/// The lines of ids among others.
fn ids(text: &str) -> Vec<Vec<u32>> {
    let line = |line: &str| -> Option<Vec<u32>> {
        line.split_whitespace().map(|id| id.parse().ok()).collect()
    };
    let lines = text.lines().filter_map(line);
    lines.filter(|ids| !ids.is_empty()).collect()
}

/// Runs the chat in C, and checks what it says.
fn chats(program: &Path) {
    let turns = turns();
    let questions: Vec<&str> = turns.iter().map(|turn| &*turn.user).collect();
    let mut command = Command::new(program);
    command.arg(file()).args(["--greedy", "--ids"]);
    // Drivers keep what they allocate.
    command.env("ASAN_OPTIONS", "detect_leaks=0");
    let (out, error) = talk(&mut command, &questions.join("\n"));
    let expected: Vec<&str> = turns.iter().map(|turn| &*turn.text).collect();
    assert_eq!(out.lines().collect::<Vec<_>>(), expected, "{error}");
    let expected: Vec<Vec<u32>> = turns.iter().map(|turn| turn.ids.clone()).collect();
    assert_eq!(ids(&error), expected, "{error}");
}

#[test]
fn a_chat_in_c_with_the_shared_library() {
    chats(&compile("cc", &C, "chat.c", "capi-chat", &shared()));
}

#[test]
fn a_chat_in_c_with_the_static_library() {
    let archive = prefix().join("lib/libgodwit.a").display().to_string();
    let private = pkg_config(&["--libs", "--static"]);
    let private = private.into_iter().filter(|flag| flag != "-lgodwit");
    let linked: Vec<String> = [archive].into_iter().chain(private).collect();
    let program = compile("cc", &C, "chat.c", "capi-chat-static", &linked);
    let needed = run(Command::new("readelf").arg("-d").arg(&program)).0;
    assert!(!needed.contains("libgodwit"), "{needed}");
    chats(&program);
}

#[test]
fn a_chat_in_c_with_sanitizers() {
    let sanitizers = [
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
        "-g",
    ];
    let flags = [&C[..], &sanitizers].concat();
    chats(&compile(
        "cc",
        &flags,
        "chat.c",
        "capi-chat-sanitized",
        &shared(),
    ));
}

#[test]
fn a_question_in_python() {
    let turn = &turns()[0];
    let mut python = Command::new(fixture(".venv/bin/python"));
    python.arg(folder().join("examples/chat.py"));
    python.arg(prefix().join("lib/libgodwit.so")).arg(file());
    let (out, error) = run(python.arg(&turn.user).arg("--ids"));
    assert_eq!(out, format!("{}\n", turn.text));
    assert_eq!(ids(&error), std::slice::from_ref(&turn.ids));
}

/// The ids of the two characters of `characters.cpp`, in Rust.
fn characters() -> Vec<Vec<u32>> {
    use godwit::scheduler::{Budget, Event, Request, Scheduler, SchedulerOptions, SequenceOptions};
    use godwit::{ContextSize, EngineOptions, Message, Sampling};
    use std::collections::BTreeMap;
    use std::time::Duration;
    let model = smollm2();
    let options = EngineOptions::default().context(ContextSize::Tokens(1024));
    let engine = godwit_tests::model::engine(&model, &options, false);
    let chat = model.chat().expect("a template");
    let world = "You live in a village by the sea. Answer in one sentence.";
    let encode = |question: Option<&str>| {
        let mut messages = vec![Message::system(world)];
        messages.extend(question.map(Message::user));
        chat.encode(model.tokenizer(), &messages, true)
            .expect("ids")
    };
    pollster::block_on(async {
        let options = SchedulerOptions::default().max_running(2);
        let options = options.frame_budget(Some(Duration::from_millis(4)));
        let mut scheduler = Scheduler::new(&engine, &options).await.expect("room");
        scheduler.warm_up().await.expect("room");
        let mut replies = BTreeMap::<_, Vec<u32>>::new();
        let mut hear = async |scheduler: &mut Scheduler| {
            while scheduler.has_work() {
                scheduler.step(Budget::default()).await.expect("a step");
                while let Some(event) = scheduler.next_event() {
                    if let Event::Piece { request, piece, .. } = event {
                        replies.entry(request).or_default().extend(piece.token);
                    }
                }
            }
        };
        let common = scheduler.open(&SequenceOptions::default());
        let prompt = encode(None);
        let request = Request::new(prompt.clone()).max_tokens(0);
        scheduler.submit(common, request).expect("it is taken");
        hear(&mut scheduler).await;
        for question in ["Smith, what do you make?", "Sailor, where do you go?"] {
            let fork = scheduler.fork(common, prompt.len()).expect("a fork");
            let ids = encode(Some(question));
            let kept = prompt.iter().zip(&ids).take_while(|(a, b)| a == b).count();
            scheduler.truncate(fork, kept).expect("the fork");
            let request = Request::new(ids[kept..].to_vec());
            let request = request.sampling(Sampling::greedy()).max_tokens(24);
            scheduler.submit(fork, request).expect("it is taken");
        }
        hear(&mut scheduler).await;
        replies.into_values().collect()
    })
}

#[test]
fn two_characters_in_cpp() {
    let sanitizers = [
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
        "-g",
    ];
    let flags = [&CPP[..], &sanitizers].concat();
    let program = compile(
        "c++",
        &flags,
        "characters.cpp",
        "capi-characters",
        &shared(),
    );
    let mut command = Command::new(program);
    command
        .arg(file())
        .arg("--ids")
        .env("ASAN_OPTIONS", "detect_leaks=0");
    let (out, error) = run(&mut command);
    assert_eq!(out.lines().count(), 2, "{out}");
    assert_eq!(ids(&error), characters(), "{out}");
}

#[test]
fn cmake_finds_both_libraries() {
    let place = tempfile::tempdir().expect("a folder");
    let text = format!(
        "cmake_minimum_required(VERSION 3.16)\nproject(chat C)\n\
         find_package(godwit {} REQUIRED)\n\
         add_executable(shared {source:?})\ntarget_link_libraries(shared godwit::godwit)\n\
         add_executable(archive {source:?})\ntarget_link_libraries(archive godwit::static)\n",
        env!("CARGO_PKG_VERSION"),
        source = folder().join("examples/chat.c"),
    );
    std::fs::write(place.path().join("CMakeLists.txt"), text).expect("room");
    let cmake = || Command::new(fixture(".venv/bin/cmake"));
    let build = place.path().join("build");
    let found = format!("-DCMAKE_PREFIX_PATH={}", prefix().display());
    run(cmake()
        .arg("-S")
        .arg(place.path())
        .arg("-B")
        .arg(&build)
        .arg(found));
    run(cmake().arg("--build").arg(&build));
    for program in ["shared", "archive"] {
        chats(&build.join(program));
    }
}

//! A name that may be a mistyped path: a person is asked before anything is downloaded.

use std::process::Command;

use rexpect::session::{PtySession, spawn_command};

use super::{Person, REPO, noise, tiny, two_quants};
use godwit_tests::hub_server::{Answer, Hub};

const PATIENCE: u64 = 60_000;

/// A command in a terminal, whose exit code follows what it prints.
fn in_terminal(person: &Person, args: &str) -> PtySession {
    let mut command = Command::new("sh");
    // Ctrl-C goes to the whole terminal; the shell lives on to tell the end.
    command.args([
        "-c",
        &format!(
            "trap : INT; {} {args}; echo code $?",
            env!("CARGO_BIN_EXE_godwit")
        ),
    ]);
    command.current_dir(person.home.path()).env("TERM", "xterm");
    command.envs(
        person
            .variables
            .iter()
            .map(|(variable, value)| (*variable, value)),
    );
    spawn_command(command, Some(PATIENCE)).expect("a terminal")
}

fn downloads(hub: &Hub) -> usize {
    hub.ranges().len()
}

fn one_model() -> Vec<(&'static str, Vec<u8>)> {
    vec![("tiny-Q4_K_M.gguf", tiny())]
}

#[test]
fn a_person_is_asked_before_a_download() {
    let hub = Hub::start(REPO, &one_model());
    let person = Person::at(&hub);
    let size = format!("{:.1} KiB", tiny().len() as f64 / 1024.0);
    let question =
        format!("There is no file {REPO}. Download {REPO} ({size}) from the hub? [y/N] ");
    for answer in ["n", "", "maybe"] {
        let mut terminal = in_terminal(&person, &format!("inspect {REPO}"));
        terminal.exp_string(&question).expect("the question");
        terminal.send_line(answer).expect("an answer");
        terminal
            .exp_string("nothing was downloaded")
            .expect("the end");
        terminal.exp_string("code 3").expect("the exit code");
    }
    assert_eq!((downloads(&hub), person.blobs().len()), (0, 0));
    let mut terminal = in_terminal(&person, &format!("inspect {REPO}"));
    terminal.exp_string(&question).expect("the question");
    terminal.send_line("Yes").expect("an answer");
    terminal.exp_string("Metadata").expect("the model");
    terminal.exp_string("code 0").expect("the exit code");
    assert_eq!(downloads(&hub), 1);
    // It is here now.
    let mut terminal = in_terminal(&person, &format!("inspect {REPO}"));
    assert!(
        !terminal
            .exp_string("code 0")
            .expect("the exit code")
            .contains("[y/N]")
    );
}

#[test]
fn what_is_no_path_is_not_asked_about() {
    let hub = Hub::start(REPO, &one_model());
    for name in [
        format!("{REPO} --yes"),
        format!("-y {REPO}"),
        format!("{REPO}:q4_k_m"),
        format!("{REPO}@main"),
    ] {
        let person = Person::at(&hub);
        let mut terminal = in_terminal(&person, &format!("inspect {name}"));
        let said = terminal.exp_string("code 0").expect("the exit code");
        assert!(
            said.contains("Metadata") && !said.contains("[y/N]"),
            "{said}"
        );
    }
    let person = Person::at(&hub);
    let mut terminal = in_terminal(&person, &format!("pull {REPO}"));
    assert!(
        !terminal
            .exp_string("code 0")
            .expect("the exit code")
            .contains("[y/N]")
    );
    // Nothing to download, nothing to ask.
    let mut terminal = in_terminal(&person, "inspect godwit/none");
    let said = terminal.exp_string("code 3").expect("the exit code");
    assert!(
        said.contains("there is no file godwit/none") && !said.contains("[y/N]"),
        "{said}"
    );
}

#[test]
fn ctrl_c_at_the_question_is_a_no() {
    let hub = Hub::start(REPO, &one_model());
    let person = Person::at(&hub);
    for command in ["run -p x", "inspect"] {
        let mut terminal = in_terminal(&person, &format!("{command} {REPO}"));
        terminal.exp_string("[y/N] ").expect("the question");
        terminal.send_control('c').expect("a key");
        terminal.exp_string("code 130").expect("the exit code");
    }
    assert_eq!(downloads(&hub), 0);
}

#[test]
fn a_script_gets_what_it_names_unless_it_looks_like_a_path() {
    let hub = Hub::start(REPO, &one_model());
    let person = Person::at(&hub);
    std::fs::create_dir(person.home.path().join("godwit")).expect("a folder");
    person.fails(
        &["inspect", REPO],
        3,
        &[
            "there is no file",
            "a folder godwit",
            "--yes",
            "godwit pull",
        ],
    );
    assert!(hub.requests().is_empty());
    assert!(
        person
            .says(&["inspect", REPO, "--yes"])
            .contains("Metadata")
    );
    // An existing file takes precedence.
    assert!(person.says(&["inspect", REPO]).contains("Metadata"));
    assert!(
        Person::at(&hub)
            .says(&["inspect", REPO])
            .contains("Metadata")
    );
}

#[test]
fn the_token_is_never_sent_unencrypted_over_a_network() {
    let hub = Hub::start(REPO, &two_quants());
    // A hub elsewhere, by way of a proxy that is this test.
    let person = Person::at(&hub)
        .with("HF_ENDPOINT", "http://hub.example")
        .with("HTTP_PROXY", &hub.endpoint());
    let output = person.godwit(&["show", REPO]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("token is not sent to http://hub.example"),
        "{said}"
    );
    let requests = hub.requests();
    assert!(
        !requests.is_empty()
            && requests
                .iter()
                .all(|request| request.authorization.is_none()),
        "{requests:?}"
    );
    // A request to this computer bypasses the proxy, which would read it.
    let proxy = Hub::start(REPO, &two_quants());
    let person = Person::at(&hub)
        .with("HTTP_PROXY", &proxy.endpoint())
        .with("ALL_PROXY", &proxy.endpoint());
    person.pulls(REPO);
    assert!(proxy.requests().is_empty());
    assert!(
        hub.requests()
            .iter()
            .any(|request| request.authorization.as_deref() == Some("Bearer secret"))
    );
    // A closed model says why the token did not help.
    let closed = Hub::with(REPO, &two_quants(), |_, _| {
        Answer::status(401).with("X-Error-Code", "GatedRepo")
    });
    let person = Person::at(&closed)
        .with("HF_ENDPOINT", "http://hub.example")
        .with("HTTP_PROXY", &closed.endpoint());
    person.fails(&["pull", REPO], 3, &["HF_ENDPOINT", "https://", "not sent"]);
}

#[test]
fn a_redirect_to_another_host_goes_without_the_token() {
    let other = Hub::start(REPO, &[("tiny-Q4_K_M.gguf", noise(1000, 1))]);
    let to = other.endpoint();
    let hub = Hub::with(
        REPO,
        &[("tiny-Q4_K_M.gguf", noise(1000, 1))],
        move |request, answer| match request.path.contains("/resolve/") {
            true => Answer::status(302).with("Location", format!("{to}{}", request.path)),
            false => answer,
        },
    );
    Person::at(&hub).pulls(REPO);
    let requests = other.requests();
    assert!(
        !requests.is_empty()
            && requests
                .iter()
                .all(|request| request.authorization.is_none()),
        "{requests:?}"
    );
}

//! The examples of the crate `godwit` run.

use std::path::PathBuf;
use std::process::Command;

use godwit_tests::model::fixture;

/// A built example. `cargo test` builds all of them, `cargo test --test examples` does not.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this program");
    let folder = test
        .parent()
        .and_then(|deps| deps.parent())
        .expect("a target folder");
    let path = folder.join("examples").join(name);
    assert!(
        path.exists(),
        "{}: run `cargo build --workspace --examples`",
        path.display()
    );
    path
}

#[test]
fn hello_says_where_paris_is() {
    let model = fixture("models/SmolLM2-135M-Instruct.Q4_1.gguf");
    let output = Command::new(example("hello"))
        .arg(model)
        .output()
        .expect("it starts");
    let (text, error) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{error}");
    assert!(text.contains("Paris"), "{text}");
}

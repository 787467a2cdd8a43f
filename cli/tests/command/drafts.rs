//! `run --parallel` with a draft model.

use super::parallel::{Place, answers, letters, whole_but_cache};
use super::*;

#[test]
fn a_draft_model_changes_no_answer() {
    let place = Place::new();
    let model = place.path("tiny.gguf");
    let file = place.put("prompts.jsonl", letters(12, 30));
    let with = |more: &[&str]| {
        let output = godwit(&place.args(&model, &file, more));
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        (answers(&stdout(&output)), stderr)
    };
    let (without, stderr) = with(&["--speculate", "off"]);
    assert!(!stderr.contains("guesses"), "{stderr}");
    for more in [
        &["--draft", &model, "--speculate", "4"][..],
        &["--draft", &model],
    ] {
        let (found, stderr) = with(more);
        assert_eq!(whole_but_cache(&found, &without), without, "{stderr}");
    }
    // A model guesses what it would say itself.
    let (_, stderr) = with(&["--draft", &model, "--speculate", "4"]);
    let tail = stderr.split_once("reused; ").expect("guesses").1;
    let numbers: Vec<f64> = tail
        .split(' ')
        .filter_map(|word| word.parse().ok())
        .collect();
    let [right, all] = numbers[..] else {
        unreachable!("{stderr}");
    };
    assert!(right > 100.0 && right > 0.8 * all, "{stderr}");
    let none = place.path("none.gguf");
    fails(
        &godwit(&place.args(&model, &file, &["--draft", &none])),
        3,
        "none.gguf",
    );
}

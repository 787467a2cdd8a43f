//! What a model file says, and what is said of it.

use super::*;

/// A small file, written for one test.
pub(super) fn written(builder: &Builder) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m.gguf");
    std::fs::write(&path, builder.build()).expect("a written file");
    let path = path.display().to_string();
    (folder, path)
}

#[test]
fn what_is_not_used_is_said() {
    let builder = Builder::llama()
        .with("llama.foo", gguf::u32(7))
        .with("llama.logit_scale", gguf::f32(0.5))
        .with("general.sampling.top_p", gguf::f32(7.0))
        .change(|b| b.tensor("blk.0.attn_q_norm.weight", &[64]))
        .change(|b| b.tensor("blk.0.attn_rot_embd.weight", &[32]));
    let (_folder, path) = written(&builder);
    let found: Value =
        serde_json::from_str(&stdout(&godwit(&["inspect", &path, "--json"]))).expect("JSON");
    assert_eq!(found["runs"], false);
    assert_eq!(
        found["unsupported_tensors"],
        serde_json::json!(["blk.0.attn_q_norm.weight"])
    );
    assert_eq!(
        found["unused_tensors"],
        serde_json::json!(["blk.0.attn_rot_embd.weight"])
    );
    assert_eq!(found["unused_keys"], serde_json::json!(["llama.foo"]));
    assert_eq!(found["config"]["width"], 64);
    let said = |list: &str| {
        found[list]
            .as_array()
            .expect("a list")
            .iter()
            .map(|text| format!("{text}\n"))
            .collect::<String>()
    };
    assert!(
        said("unused_values").contains("`general.sampling.top_p`: it is 7"),
        "{}",
        said("unused_values")
    );
    assert!(
        said("obstacles").contains("`llama.logit_scale` is 0.5, which is not supported"),
        "{}",
        said("obstacles")
    );
    let text = stdout(&godwit(&["inspect", &path]));
    for line in [
        "Can't be run",
        "    blk.0.attn_q_norm.weight",
        "Not used",
        "  key llama.foo",
        "  tensor blk.0.attn_rot_embd",
    ] {
        assert!(text.contains(line), "{text} lacks {line:?}");
    }
    // Once in the list, once among the metadata.
    assert_eq!(text.matches("llama.foo").count(), 2, "{text}");
    fails(
        &godwit(&["run", &path, "-p", "a"]),
        3,
        "`llama.logit_scale` is 0.5",
    );
    let whole: Value =
        serde_json::from_str(&stdout(&godwit(&["inspect", &model(), "--json"]))).expect("JSON");
    assert_eq!(
        (&whole["runs"], &whole["unused_keys"]),
        (&true.into(), &serde_json::json!([]))
    );
}

#[test]
fn recommended_values_are_checked_where_they_are_used() {
    let builder = Builder::llama().with("general.sampling.top_p", gguf::f32(7.0));
    let (_folder, path) = written(&builder);
    let run = |options: &[&str]| {
        let output = godwit(
            &[
                &["run", &path, "--raw", "-p", "a", "-n", "1", "--no-cache"][..],
                options,
            ]
            .concat(),
        );
        stdout(&output);
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    let said = run(&[]);
    assert!(
        said.contains("`general.sampling.top_p`: it is 7") && said.contains("--top-p sets it"),
        "{said}"
    );
    for options in [["--top-p", "0.5"], ["--temp", "0"]] {
        assert!(!run(&options).contains("top_p"), "{options:?}");
    }
}

#[test]
fn a_vocabulary_alone_is_enough_to_tokenize() {
    let builder = Builder::llama().change(|b| (b.rows, b.data) = (Vec::new(), Vec::new()));
    let (_folder, path) = written(&builder);
    let found: Value =
        serde_json::from_str(&stdout(&godwit(&["tokenize", &path, "-p", "ab", "--json"])))
            .expect("JSON");
    assert_eq!(found["count"], 2);
    fails(
        &godwit(&["run", &path, "-p", "a"]),
        3,
        "a vocabulary without weights",
    );
}

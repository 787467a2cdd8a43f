//! The rules of the house that no compiler checks: line and file lengths, and the field's terms.

use std::fs;
use std::path::{Path, PathBuf};

/// Characters in a line, in every language.
const COLUMNS: usize = 100;
/// Lines of a file, by its ending. A longer file gives its reason near its top, as
/// `Longer than N lines:`.
const LINES: [(&str, usize); 3] = [("rs", 400), ("wgsl", 200), ("ts", 400)];
/// Lines from the top in which the reason stands.
const HEAD: usize = 12;
/// Folders without text of ours, by their paths from the root.
const SKIPPED: [&str; 4] = ["target", "models", "web/dist", "web/node_modules"];

/// Words that were once private terms here, and what to write. Matched as whole words, in any case.
const OLD_WORDS: [(&str, &str); 32] = [
    ("launch", "dispatch"),
    ("launches", "dispatches"),
    ("launched", "dispatched"),
    ("fault", "cause"),
    ("faults", "causes"),
    ("told", "broadcast"),
    ("united", "combined"),
    ("unite", "compact"),
    ("quads", "vec4 groups"),
    ("pass_tokens", "prefill_chunk"),
    ("rows_spread", "cpu_gemv_subgroup"),
    ("tile_half", "gemm_f16"),
    ("vector_dot", "gemv_dp4a"),
    ("block_spread", "cpu_gemm_subgroup"),
    ("attend_merge", "attention_combine"),
    ("attend_recent", "attention_tail"),
    ("rope_attend", "rope_attention"),
    ("decode32", "decode_subgroup32"),
    ("matrices32", "cooperative_matrix32"),
    ("put_pair", "store_pair"),
    ("put_state4", "store_partial4"),
    ("keeps_recent", "has_f16_tail"),
    ("recent_len", "f16_tail_len"),
    ("state_bytes", "partials_bytes"),
    ("savedheader", "SnapshotHeader"),
    ("savederror", "SnapshotError"),
    ("observe", "calibrate"),
    ("observed", "calibrated"),
    ("scene", "fixture"),
    ("team", "subgroup"),
    ("teams", "subgroups"),
    ("quad", "vec4 group"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All text files of the repository with one of these endings, by their paths from its root.
fn files(endings: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder").flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            let relative = path.strip_prefix(root()).expect("inside");
            let is_skipped = SKIPPED.iter().any(|folder| relative == Path::new(folder));
            let is_folder = entry.file_type().expect("a type").is_dir();
            if is_folder && !name.starts_with('.') && !is_skipped {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|found| endings.iter().any(|e| found == *e))
            {
                let text = fs::read_to_string(&path).expect("UTF-8");
                found.push((relative.display().to_string(), text));
            }
        }
    }
    assert!(
        found.len() > 10,
        "only {} files of {endings:?}",
        found.len()
    );
    found.sort();
    found
}

#[test]
fn lines_end_at_100_columns() {
    let mut long = Vec::new();
    for (path, text) in files(&["rs", "wgsl", "ts", "mjs"]) {
        for (number, line) in (1..).zip(text.lines()) {
            let count = line.chars().count();
            if count > COLUMNS {
                long.push(format!("{path}:{number}: {count} columns"));
            }
        }
    }
    assert!(
        long.is_empty(),
        "{} lines:\n{}",
        long.len(),
        long.join("\n")
    );
}

#[test]
fn long_files_say_why() {
    let mut long = Vec::new();
    for (ending, most) in LINES {
        let reason = format!("Longer than {most} lines:");
        for (path, text) in files(&[ending]) {
            let count = text.lines().count();
            let is_explained = text.lines().take(HEAD).any(|line| line.contains(&reason));
            if count > most && !is_explained {
                long.push(format!("{path}: {count} lines"));
            }
        }
    }
    assert!(
        long.is_empty(),
        "{} files:\n{}",
        long.len(),
        long.join("\n")
    );
}

#[test]
fn the_words_are_the_fields() {
    let mut old = Vec::new();
    for (path, text) in files(&["rs", "wgsl", "ts", "mjs", "md"]) {
        if path.ends_with("house.rs") || path.contains("docs/notes/") || path == "CHANGELOG.md" {
            continue;
        }
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.to_lowercase();
            for word in line.split(|c: char| !c.is_alphanumeric() && c != '_') {
                if let Some((_, new)) = OLD_WORDS.iter().find(|(old, _)| *old == word) {
                    old.push(format!("{path}:{number}: `{word}`; write {new}"));
                }
            }
        }
    }
    assert!(old.is_empty(), "{} words:\n{}", old.len(), old.join("\n"));
}

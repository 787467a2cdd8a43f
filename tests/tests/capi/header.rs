//! The header is what `runtime/capi/src` says, and is stable.

use std::path::{Path, PathBuf};

/// The folder of the C interface.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/capi")
}

/// The order of the header. What is not named comes first, and has nothing for it.
const ORDER: [&str; 12] = [
    "status",
    "adapters",
    "model",
    "sources",
    "text",
    "engine",
    "scheduler",
    "steps",
    "events",
    "sequence",
    "reply",
    "snapshot",
];

/// The header as it follows from the sources.
fn generated() -> String {
    let folder = folder();
    let config =
        cbindgen::Config::from_file(folder.join("cbindgen.toml")).expect("a configuration");
    let sources = std::fs::read_dir(folder.join("src")).expect("a folder");
    let mut sources: Vec<PathBuf> = sources
        .map(|entry| entry.expect("an entry").path())
        // It has no functions, and cbindgen would follow its `mod` lines a second time.
        .filter(|path| !path.ends_with("lib.rs"))
        .collect();
    sources.sort_by_key(|path| {
        let name = path.file_stem().unwrap_or_default();
        (ORDER.iter().position(|first| *first == name), path.clone())
    });
    let mut builder = cbindgen::Builder::new().with_config(config);
    for source in sources {
        builder = builder.with_src(source);
    }
    let mut header = Vec::new();
    builder.generate().expect("a header").write(&mut header);
    String::from_utf8(header).expect("UTF-8")
}

/// Set `GODWIT_WRITE_HEADER=1` to write the header anew.
#[test]
fn the_header_is_what_the_sources_say() {
    let path = folder().join("include/godwit.h");
    let generated = generated();
    if std::env::var_os("GODWIT_WRITE_HEADER").is_some() {
        std::fs::write(&path, &generated).expect("it is written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == generated,
        "{} is not what runtime/capi/src says; write it anew with\n\
         GODWIT_WRITE_HEADER=1 cargo test --workspace --test capi the_header\n{}",
        path.display(),
        first_difference(&kept, &generated)
    );
}

fn first_difference(kept: &str, generated: &str) -> String {
    let mut lines = kept.lines().zip(generated.lines()).enumerate();
    let found = lines.find(|(_, (kept, generated))| kept != generated);
    found.map_or("one is longer".into(), |(line, (kept, generated))| {
        format!("line {}: `{kept}`, but `{generated}`", line + 1)
    })
}

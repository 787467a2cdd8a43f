//! The header is what `runtime/capi/src` says, and is stable.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the C interface.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/capi")
}

/// The order of the header. What is not named comes first, and has nothing for it.
const ORDER: [&str; 13] = [
    "status",
    "library",
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

/// The header without its comments.
fn code() -> String {
    let header = std::fs::read_to_string(folder().join("include/godwit.h")).expect("the header");
    let mut code = String::new();
    let mut rest = &*header;
    while let Some((before, comment)) = rest.split_once("/*") {
        code += before;
        rest = comment.split_once("*/").expect("the end of a comment").1;
    }
    code + rest
}

/// The functions that the header declares.
pub fn functions() -> BTreeSet<String> {
    let code = code();
    let names = code
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
    let names = names.filter_map(|line| line.split_once('(')?.0.split([' ', '*']).next_back());
    names.map(str::to_owned).collect()
}

/// The folder of what cargo has built for this test.
pub fn built() -> PathBuf {
    let test = std::env::current_exe().expect("this program");
    test.parent().expect("its folder").to_owned()
}

/// Runs a program; returns what it writes to stdout and to stderr.
pub fn run(command: &mut Command) -> (String, String) {
    let output = command.output();
    let output = output.expect("it starts; run tests/fetch.sh --tests");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{out}\n{error}",
        output.status
    );
    (out, error)
}

#[test]
fn the_library_has_the_functions_of_the_header_and_no_others() {
    let library = built().join("libgodwit_capi.so");
    let listed = run(Command::new("nm")
        .args(["-D", "--defined-only"])
        .arg(library))
    .0;
    let names = listed.lines().filter_map(|line| line.split(' ').nth(2));
    let mut found: BTreeSet<String> = names.map(str::to_owned).collect();
    // Of the feature that tests are built with.
    assert!(found.remove("godwit_testing_panic"));
    assert_eq!(found, functions());
}

/// The structs of the header with their fields.
fn structs() -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    let code = code();
    for text in code.split("typedef struct ").skip(1) {
        let (name, rest) = text.split_once(" {").expect("fields");
        let fields = rest.split_once("\n}").expect("the end").0;
        let names = fields.split(';').filter_map(|field| {
            // The name of a function pointer is in parentheses, that of an array before brackets.
            let field = field
                .trim()
                .split_once("(*")
                .map_or(field.trim(), |(_, name)| name);
            let field = field.split([')', '[']).next()?;
            let name = field.rsplit([' ', '*']).next()?;
            Some(name.to_owned()).filter(|name| !name.is_empty())
        });
        found.push((name.to_owned(), names.collect()));
    }
    assert!(found.len() > 10, "{found:?}");
    found
}

/// Offsets and sizes as a C compiler has them. A line that changes breaks programs: raise
/// `GODWIT_ABI`. Lines may be added at the end of a struct, except of `godwit_text`.
#[cfg(target_pointer_width = "64")]
#[test]
fn the_layout_is_stable() {
    let mut program = String::from("#include <godwit.h>\n#include <stdio.h>\nint main(void) {\n");
    for (name, fields) in structs() {
        for field in fields {
            let _ = writeln!(
                program,
                "printf(\"{name}.{field} %zu, %zu bytes\\n\", offsetof({name}, {field}), \
                 sizeof(({name} *)0)->{field});"
            );
        }
        let _ = writeln!(program, "printf(\"{name} %zu bytes\\n\", sizeof({name}));");
    }
    program += "return 0;\n}\n";
    let place = tempfile::tempdir().expect("a folder");
    let (source, path) = (place.path().join("layout.c"), place.path().join("layout"));
    std::fs::write(&source, program).expect("room");
    let mut compiler = Command::new("cc");
    compiler.args(["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror"]);
    run(compiler
        .arg("-I")
        .arg(folder().join("include"))
        .arg(source)
        .arg("-o")
        .arg(&path));
    let layout = run(&mut Command::new(path)).0;
    let symbols: Vec<String> = functions().into_iter().collect();
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| {
        insta::assert_snapshot!("capi__layout", layout);
        insta::assert_snapshot!("capi__functions", symbols.join("\n"));
    });
}

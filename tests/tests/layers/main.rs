//! The modules of each crate form layers: a module uses those below it, and so no cycle can form.
//!
//! Test code is left out: it may use everything.

mod modules;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree};

use modules::{Modules, Reference};

/// The modules of each crate, from the bottom up: each may use those before it. A crate's root
/// (`lib.rs`) and its `main.rs` may use all.
const LAYERS: [(&str, &[&str]); 6] = [
    (
        "shaders",
        &[
            "buffers",
            "capabilities",
            "random",
            // Weight formats, with their WGSL.
            "weights",
            // A kernel's declaration, its dispatches, its fixture.
            "kernel",
            "compose",
            "plan",
            // KV-cache formats, with their WGSL.
            "kv",
            "testing",
            "kernels",
        ],
    ),
    (
        "runtime",
        &[
            "setters",
            "progress",
            // Devices, memory and plans on them. It knows no files.
            "gpu",
            // Sources of bytes, files that are written, caches on disk.
            "io",
            // JSON within a budget of memory.
            "json",
            // Segments of positions, spilled ones, the format of snapshots.
            "kv_cache",
            "gguf",
            "tokenizer",
            "sampling",
            "chat",
            // The error of all that deals with whole models; those below have errors of their own.
            "error",
            // Models as they are stored: GGUF files and repositories.
            "checkpoint",
            // Hyperparameters, rotary embedding, the forward pass, hashes of weights.
            "model",
            "quantize",
            // Weights on a GPU, memory plan, tuning on disk.
            "engine",
            // Guesses of the next tokens.
            "speculation",
            // Activations, a KV cache, and the plans over them.
            "executor",
            // Prefill, decode, snapshots, prefix cache, calibration.
            "session",
            // Replies: the loop over a session, and the rules that end it.
            "generation",
            // Many sequences over a paged KV cache.
            "scheduler",
            // Beginnings of prompts on disk.
            "prefix_cache",
            // What the crate shows beside its root.
            "errors",
            "low_level",
            "fuzzing",
        ],
    ),
    (
        "runtime/capi",
        &[
            // Errors on their way to C.
            "status",
            "panic_point",
            // Pointers, lengths and structs.
            "arguments",
            // What handles stand for.
            "entries",
            "handles",
            "border",
            // The functions.
            "library",
            "adapters",
            "model",
            "sources",
            "text",
            "engine",
            "scheduler",
            "steps",
            "sequence",
            "reply",
            "events",
            "snapshot",
        ],
    ),
    (
        "cli/hub",
        &[
            "crash_point",
            "size",
            "error",
            "choose",
            "name",
            "shards",
            "cache",
            "listing",
            "settings",
            "table",
            "remove",
            "downloaded",
            "http",
            "part",
            "transfer",
            "fuzzed",
        ],
    ),
    (
        "cli",
        &[
            // Output to the terminal, and the end of the program.
            "escape",
            "screen",
            "render",
            "output",
            "log",
            "progress",
            "terminal",
            "crash",
            "stop",
            "exit",
            // The command line, files and names.
            "candidates",
            "paths",
            "args",
            "complete",
            "manual",
            "destination",
            "history",
            "lines",
            "input",
            "consent",
            "locate",
            "lossy",
            "load",
            "text",
            "transcript",
            "context",
            "answer",
            "clipboard",
            // Commands.
            "parallel",
            "chat",
            "run",
            "bench",
            "cache",
            "doctor",
            "imatrix",
            "wgsl",
            "inspect",
            "models",
            "perplexity",
            "quantize",
            "tokenize",
        ],
    ),
    (
        "web",
        &[
            "hash",
            "numbers",
            "packed_dot",
            "error",
            "source",
            "model",
            "engine",
            "listener",
            "reply",
            "replies",
        ],
    ),
];

#[test]
fn no_module_uses_one_above_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a workspace");
    let mut causes = Vec::new();
    for (name, layers) in LAYERS {
        let modules = Modules::read(&root.join(name).join("src/lib.rs"));
        causes.extend(
            modules
                .causes(layers)
                .into_iter()
                .map(|cause| format!("{name}: {cause}")),
        );
    }
    assert!(causes.is_empty(), "\n{}\n", causes.join("\n"));
}

/// The way an error is found: in groups, behind `super`, in expressions, types and macros, and
/// under names that the root exports; not in tests.
#[test]
fn references_are_found_wherever_they_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    };
    write(
        "lib.rs",
        "mod a; mod b; mod c; mod d; mod e; mod f; #[cfg(test)] mod tests;\n\
         pub use f::{Exported, inner::Deep};",
    );
    write(
        "a.rs",
        "use crate::{b::{self, X}, c}; #[cfg(test)] mod tests { use crate::f::Y; }",
    );
    write("b/mod.rs", "mod child; fn f() { let _ = crate::c::g(); }");
    write(
        "b/child.rs",
        "fn f(x: super::super::d::T) { assert!(x == crate::e::Z); super::here(); }",
    );
    write(
        "c.rs",
        "fn f() -> crate::Deep { #[cfg(test)] crate::tests::point(); }",
    );
    write(
        "d.rs",
        "mod inline { use super::super::f; }\n#[cfg(all(test, unix))] mod more { use crate::a; }",
    );
    write("e.rs", "/// [`crate::a`]\nfn f() {}");
    write("f.rs", "#[cfg(not(test))] use crate::a::b;");
    let modules = Modules::read(&folder.path().join("lib.rs"));
    let found: Vec<String> = modules
        .references
        .iter()
        .map(|Reference { from, to, .. }| format!("{from}{to}"))
        .collect();
    let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    assert_eq!(
        found,
        BTreeSet::from(["ab", "ac", "bc", "bd", "be", "cf", "df", "fa"])
    );
    let causes = modules.causes(&["e", "f", "d", "c", "b", "a", "gone"]);
    assert_eq!(causes.len(), 2, "{causes:#?}");
    assert!(causes[0].contains("`gone`"), "{causes:#?}");
    assert!(
        causes[1].contains("`f` uses `a`") && causes[1].contains("f -> a -> c -> f"),
        "{causes:#?}"
    );
}

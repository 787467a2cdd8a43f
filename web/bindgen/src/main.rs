//! Writes the JavaScript and the types that load a wasm file: what the command `wasm-bindgen` does.
//! As a member of the workspace it always has the version of the crate, which must be the same.
//! Also writes the TypeScript declarations of what crosses between wasm and JavaScript.

use anyhow::Context as _;
use wasm_bindgen_cli_support::Bindgen;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let (Some(wasm), Some(folder), Some(declarations)) = (args.next(), args.next(), args.next())
    else {
        anyhow::bail!("usage: godwit-bindgen WASM FOLDER DECLARATIONS");
    };
    // Rewritten only where it changes, so that nothing is built anew for it.
    let typescript = godwit_wire::typescript();
    if !std::fs::read_to_string(&declarations).is_ok_and(|before| before == typescript) {
        std::fs::write(&declarations, typescript)
            .with_context(|| format!("{} can't be written", declarations.display()))?;
    }
    let mut bindgen = Bindgen::new();
    bindgen
        .input_path(&wasm)
        .out_name("godwit")
        .typescript(true)
        .web(true)?;
    bindgen
        .generate(&folder)
        .with_context(|| format!("{} can't be bound", wasm.display()))
}

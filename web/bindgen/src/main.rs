//! Writes the JavaScript and the types that load a wasm file: what the command `wasm-bindgen` does. As a member of the
//! workspace it always has the version of the crate, which must be the same.

use anyhow::Context as _;
use wasm_bindgen_cli_support::Bindgen;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let (Some(wasm), Some(folder)) = (args.next(), args.next()) else {
        anyhow::bail!("usage: godwit-bindgen WASM FOLDER");
    };
    let mut bindgen = Bindgen::new();
    bindgen.input_path(&wasm).out_name("godwit").typescript(true).web(true)?;
    bindgen.generate(&folder).with_context(|| format!("{} can't be bound", wasm.display()))
}

//! Names the shared library as it is installed: `libgodwit`, with the number of its ABI.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    match target.as_str() {
        // Android needs segments that are aligned to pages of 16 KiB.
        "android" => {
            println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libgodwit.so");
            println!("cargo::rustc-cdylib-link-arg=-Wl,-z,max-page-size=16384");
        }
        "linux" | "freebsd" | "netbsd" | "openbsd" => {
            println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libgodwit.so.0");
        }
        "macos" | "ios" => {
            println!("cargo::rustc-cdylib-link-arg=-Wl,-install_name,@rpath/libgodwit.0.dylib");
        }
        _ => {}
    }
}

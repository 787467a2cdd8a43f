#!/usr/bin/env bash
# Builds the wasm crate. With --check, only compiles it.
#
# With rustup's wasm32 target that is one cargo command. Without it, Debian's rustc-web brings a standard library that
# can be built from source.
set -euo pipefail
cd "$(dirname "$0")/.."

command=build
[ "${1-}" != --check ] || command=check
TARGET=wasm32-unknown-unknown

if [ -d "$(rustc --print sysroot)/lib/rustlib/$TARGET" ]; then
  exec cargo "$command" --quiet --release -p godwit-web --target $TARGET
fi

if ! [ -d /usr/lib/rustlib/src ] && ! dpkg -s rust-web-src >/dev/null 2>&1; then
  sudo=
  [ "$(id -u)" = 0 ] || sudo=sudo
  echo "installing Debian's Rust for wasm32 (or run: rustup target add $TARGET)" >&2
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get update -qq
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends rustc-web cargo-web rust-web-src >/dev/null
fi
LINKER=$(find "$(rustc --print sysroot)" -name rust-lld | head -n 1)
export RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc CARGO_TARGET_DIR=target/web
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$LINKER
exec /usr/bin/cargo "$command" --quiet --release -p godwit-web --target $TARGET -Zbuild-std=std,panic_abort

#!/usr/bin/env bash
# Builds web/dist: the chat page (page/), for any static host, and the npm package (npm/). With --check, only compiles the
# wasm crate; with --page, only what is TypeScript, around the wasm that was built before.
#
# With rustup's wasm32 target the wasm is one cargo command. Without it, Debian's rustc-web brings a standard library that
# can be built from source.
set -euo pipefail
cd "$(dirname "$0")/.."

TARGET=wasm32-unknown-unknown
BUILT=target/web/$TARGET/web
BOUND=target/web/bound
# What Rust's wasm32 target takes for granted, and nothing newer.
FEATURES=(--enable-{bulk-memory,multivalue,mutable-globals,nontrapping-float-to-int,reference-types,sign-ext})
DIST=web/dist

# cargo COMMAND on the wasm crate.
wasm() {
  local cargo=(cargo "$1" --quiet --profile web -p godwit-web --target $TARGET)
  export CARGO_TARGET_DIR=target/web
  if [ -d "$(rustc --print sysroot)/lib/rustlib/$TARGET" ]; then
    "${cargo[@]}"
    return
  fi
  if ! [ -d /usr/lib/rustlib/src ] && ! dpkg -s rust-web-src >/dev/null 2>&1; then
    local sudo=
    [ "$(id -u)" = 0 ] || sudo=sudo
    echo "installing Debian's Rust for wasm32 (or run: rustup target add $TARGET)" >&2
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends rustc-web cargo-web rust-web-src >/dev/null
  fi
  CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$(find "$(rustc --print sysroot)" -name rust-lld | head -n 1)
  export RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER
  /usr/bin/"${cargo[@]}" -Zbuild-std=std,panic_abort
}

if [ "${1-}" = --check ]; then
  wasm check
  exit
fi

if [ "${1-}" != --page ]; then
  (wasm build)
  # The types that Rust and TypeScript share are written too: tsc below finds what no longer fits.
  cargo run --quiet -p godwit-bindgen -- $BUILT/godwit_web.wasm $BOUND web/js/wire.ts
fi

cd web
[ node_modules -nt package-lock.json ] ||
  { npm ci --ignore-scripts --silent && touch node_modules; }
rm -rf dist
mkdir -p dist/npm dist/page
# A minute, and two fifths of the size.
OPTIMISED=../$BOUND/optimised.wasm
[ $OPTIMISED -nt ../$BUILT/godwit_web.wasm ] ||
  node_modules/.bin/wasm-opt -Os "${FEATURES[@]}" --strip-debug --strip-producers ../$BOUND/godwit_bg.wasm -o $OPTIMISED
cp $OPTIMISED dist/npm/godwit_bg.wasm

# The npm package. Its types are those that js/index.ts reaches.
tsc=node_modules/.bin/tsc
esbuild() { node_modules/.bin/esbuild --log-level=warning --bundle --format=esm --target=es2022 --minify --legal-comments=linked "$@"; }
$tsc -p .
rm dist/npm/{worker,files,obtain,download,request}.d.ts
esbuild js/index.ts --outfile=dist/npm/index.js
esbuild js/worker.ts --outfile=dist/npm/worker.js --alias:godwit-wasm="$PWD/../$BOUND/godwit.js"
cp npm.json dist/npm/package.json
cp npm.md dist/npm/README.md
cp ../LICENSE-* dist/npm/
# As a project with strict settings sees the types.
$tsc -p tests

# The page: static files with relative paths.
$tsc -p page
esbuild page/app.ts page/style.css --outdir=dist/page
cp -r page/static/. dist/page/
cp dist/npm/{worker.js,godwit_bg.wasm} dist/page/
# The service worker keeps all of it but models, under a version that changes with any of it.
names=$(cd dist/page && find . -type f ! -name '*.LEGAL.txt' -printf '"%P"\n' | sort | paste -sd,)
version=$(cd dist/page && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | head -c 16)
esbuild page/sw.ts --outfile=dist/page/sw.js --define:FILES="[$names]" --define:VERSION="\"$version\""

bytes=$(wc -c <dist/npm/godwit_bg.wasm)
echo "web/dist: wasm of $bytes bytes, $(gzip -9 -c dist/npm/godwit_bg.wasm | wc -c) of them over the wire with gzip"

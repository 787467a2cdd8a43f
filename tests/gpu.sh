#!/usr/bin/env bash
# What wants a GPU, in one go, on this machine's: all kernels against their references, recall over a long context, and how fast it
# is. The report is a folder of logs; the exit status says whether all was right.
#
#   tests/gpu.sh [REPORT]        builds, then does it; the report goes to target/gpu
#   tests/gpu.sh --pack FOLDER   builds, and puts into FOLDER what a machine without Rust needs: there, FOLDER/gpu.sh [REPORT]
#
# GODWIT_ADAPTER picks a GPU by a part of its name, SHAPE another synthetic model than Llama-3-8B's, CONTEXT another length than 64k,
# and DEPTHS where decode is timed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

# An executable that cargo has just built: its target's name, and cargo's arguments.
built() {
  local name=$1
  shift
  cargo "$@" --manifest-path "$here/../Cargo.toml" --message-format=json |
    sed -n "s/.*\"name\":\"$name\".*\"executable\":\"\([^\"]*\)\".*/\1/p" | tail -n 1
}

pack() {
  mkdir -p "$1"
  cp "$here/gpu.sh" "$1"
  cp "$(built godwit build --release -p godwit-cli)" "$1/godwit"
  cp "$(built kernels test --release -p godwit-tests --no-run --test kernels)" "$1/kernels"
  cp "$(built kernels bench -p godwit-tests --no-run --bench kernels)" "$1/speed"
  cp "$(built retrieval build --release -p godwit-tests --example retrieval)" "$1/retrieval"
  strip "$1"/{godwit,kernels,speed,retrieval}
}

case "${1:-}" in
  --pack)
    pack "${2:?"usage: gpu.sh --pack FOLDER"}"
    exit
    ;;
  -*)
    echo "usage: gpu.sh [REPORT], or gpu.sh --pack FOLDER" >&2
    exit 2
    ;;
esac
if [ ! -x "$here/kernels" ]; then
  packed=$here/../target/gpu-pack
  pack "$packed"
  exec "$packed/gpu.sh" "${1:-$here/../target/gpu}"
fi

mkdir -p "${1:-gpu-report}"
report=$(cd "${1:-gpu-report}" && pwd)
cd "$here"
failed=0
# A step: the log's name, and a command.
step() {
  local name=$1 start=$SECONDS verdict=ok
  shift
  printf '%-12s ' "$name"
  "$@" >"$report/$name.log" 2>&1 || { verdict="FAILED: see $report/$name.log"; failed=1; }
  printf '%4d s  %s\n' $((SECONDS - start)) "$verdict"
}

bench=(./godwit bench --synthetic "${SHAPE:-llama3-8b:q4_k}" --kv q8_0 --context 40k -p 512 -n 64 -d "${DEPTHS:-0,4k,32k}" -r 2)
[ -z "${GODWIT_ADAPTER:-}" ] || bench+=(--adapter "$GODWIT_ADAPTER")
step doctor ./godwit doctor -v
step kernels ./kernels
step recall ./retrieval "${CONTEXT:-64k}" q8_0
step bench "${bench[@]}" --no-tune --profile
step bench-tuned "${bench[@]}" --json
step products ./speed --bench product Q4_K
exit $failed

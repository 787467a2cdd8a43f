#!/usr/bin/env bash
# Fuzzes what reads strangers' bytes: every target for so many minutes, one after the other.
#
#   tests/fuzz.sh MINUTES             all targets of tests/fuzz/Cargo.toml, and those of the web page
#   tests/fuzz.sh MINUTES TARGET...   these targets alone; `web` is the page's
#
# MINUTES may be a fraction (0.5). Installs cargo-fuzz where it is missing. Prints a table in the end, and fails where a
# target found something: its input is then in tests/fuzz/artifacts/TARGET, and the log beside it. Inputs that reach new
# code are kept in tests/fuzz/found/TARGET for the next time; the corpus of the repository stays as it is.
#
# Every target asserts that memory stays below a multiple of the input and that no input takes long
# (tests/src/limits.rs).
set -euo pipefail
cd "$(dirname "$0")"

fail() { printf 'fuzz.sh: %s\n' "$*" >&2; exit 2; }

[ $# -ge 1 ] || fail 'give the minutes for each target: tests/fuzz.sh 20'
seconds=$(awk -v minutes="$1" 'BEGIN { if (minutes + 0 <= 0) exit 1; printf "%d", minutes * 60 }') ||
  fail "\`$1\` is no number of minutes"
shift

# libFuzzer needs flags of the compiler that a stable one takes only so.
export RUSTC_BOOTSTRAP=1
cargo fuzz --version >/dev/null 2>&1 || cargo install --quiet --locked cargo-fuzz

targets=("$@")
if [ $# = 0 ]; then
  mapfile -t targets < <(cargo fuzz list --fuzz-dir fuzz)
  if [ -f ../web/tests/fuzz.mjs ]; then targets+=(web); fi
fi

table=()
findings=0
row() { table+=("$(printf '%-20s %12s %10s %9s  %s' "$@")"); }
row target runs 'peak MB' seconds finding

for target in "${targets[@]}"; do
  log=fuzz/artifacts/$target.log
  mkdir -p "fuzz/artifacts/$target" "fuzz/found/$target"
  start=$SECONDS
  if [ "$target" = web ]; then
    if node ../web/tests/fuzz.mjs "$seconds" >"$log" 2>&1; then finding=none; else finding="see tests/$log"; fi
    runs=$(awk '/ inputs$/ { sum += $2 } END { print sum }' "$log")
    peak=
  else
    options=(-max_total_time="$seconds" -timeout=60 -rss_limit_mb=4096 -malloc_limit_mb=2048 -print_final_stats=1
      -max_len=262144)
    if [ -f "fuzz/dictionaries/$target.dict" ]; then options+=(-dict="fuzz/dictionaries/$target.dict"); fi
    if cargo fuzz run --fuzz-dir fuzz "$target" "fuzz/found/$target" "fuzz/corpus/$target" -- "${options[@]}" \
      >"$log" 2>&1; then
      finding=none
    else
      finding=$(grep -ao 'fuzz/artifacts/[^ ]*' "$log" | tail -1 || true)
      finding="${finding:+tests/$finding, }see tests/$log"
    fi
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -1)
    peak=$(sed -n 's/^stat::peak_rss_mb: *//p' "$log" | tail -1)
  fi
  [ "$finding" = none ] || findings=$((findings + 1))
  row "$target" "${runs:--}" "${peak:--}" "$((SECONDS - start))" "$finding"
done

printf '%s\n' "${table[@]}"
[ $findings = 0 ] || { echo "$findings of ${#targets[@]} targets found something" >&2; exit 1; }

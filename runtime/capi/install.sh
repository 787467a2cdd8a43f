#!/usr/bin/env bash
# Installs the C interface: the header, both libraries, and files for pkg-config and CMake.
#
#   runtime/capi/install.sh PREFIX               builds it (some minutes), and installs it
#   runtime/capi/install.sh PREFIX --from FOLDER installs what cargo has built in FOLDER
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

fail() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }
[ $# = 1 ] || { [ $# = 3 ] && [ "$2" = --from ]; } ||
  fail "usage: install.sh PREFIX [--from FOLDER]"

if [ $# = 3 ]; then
  from=$3
else
  (cd "$here/../.." && cargo build --release --locked -p godwit-capi)
  from=${CARGO_TARGET_DIR:-$here/../../target}/release
fi
mkdir -p "$1"
prefix=$(cd "$1" && pwd)
manifest=$here/../../Cargo.toml
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$manifest")
abi=$(sed -n 's/^#define GODWIT_ABI //p' "$here/include/godwit.h")

mkdir -p "$prefix/include" "$prefix/lib/pkgconfig" "$prefix/lib/cmake/godwit"
install -m 644 "$here/include/godwit.h" "$prefix/include/"
case "$(uname -s)" in
  Darwin)
    install -m 755 "$from/libgodwit_capi.dylib" "$prefix/lib/libgodwit.$abi.dylib"
    ln -sf "libgodwit.$abi.dylib" "$prefix/lib/libgodwit.dylib"
    install -m 644 "$from/libgodwit_capi.a" "$prefix/lib/libgodwit.a"
    private='-framework Metal -framework QuartzCore -framework Foundation'
    ;;
  MINGW* | MSYS* | CYGWIN*)
    mkdir -p "$prefix/bin"
    install -m 755 "$from/godwit_capi.dll" "$prefix/bin/godwit.dll"
    install -m 644 "$from/godwit_capi.dll.lib" "$prefix/lib/godwit.dll.lib"
    install -m 644 "$from/godwit_capi.lib" "$prefix/lib/godwit.lib"
    private='-lws2_32 -luserenv -lntdll -lbcrypt -ld3dcompiler -ldxgi'
    ;;
  *)
    install -m 755 "$from/libgodwit_capi.so" "$prefix/lib/libgodwit.so.$version"
    ln -sf "libgodwit.so.$version" "$prefix/lib/libgodwit.so.$abi"
    ln -sf "libgodwit.so.$abi" "$prefix/lib/libgodwit.so"
    install -m 644 "$from/libgodwit_capi.a" "$prefix/lib/libgodwit.a"
    private='-lgcc_s -lpthread -lm -ldl'
    ;;
esac
template=$(cat "$here/godwit.pc.in")
template=${template//@PREFIX@/"$prefix"}
template=${template//@VERSION@/"$version"}
printf '%s\n' "${template//@PRIVATE@/"$private"}" >"$prefix/lib/pkgconfig/godwit.pc"
install -m 644 "$here/godwit-config.cmake" "$prefix/lib/cmake/godwit/godwit-config.cmake"
cat >"$prefix/lib/cmake/godwit/godwit-config-version.cmake" <<VERSION
set(PACKAGE_VERSION "$version")
if(PACKAGE_FIND_VERSION VERSION_LESS_EQUAL PACKAGE_VERSION)
  set(PACKAGE_VERSION_COMPATIBLE TRUE)
endif()
if(PACKAGE_FIND_VERSION STREQUAL PACKAGE_VERSION)
  set(PACKAGE_VERSION_EXACT TRUE)
endif()
VERSION
printf 'installed Godwit %s in %s\n' "$version" "$prefix"

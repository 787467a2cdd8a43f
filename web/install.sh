#!/usr/bin/env bash
# Installs the npm packages of package-lock.json: what the build, the linters and the tests need.
# Does nothing if they are up to date.
set -euo pipefail
cd "$(dirname "$0")"
[ node_modules -nt package-lock.json ] && exit
# No package runs code while it is installed.
npm ci --ignore-scripts --silent
touch node_modules

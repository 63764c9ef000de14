#!/usr/bin/env bash
# Runs a command with a Node that Vite runs on, and its npm: `ui/node.sh npm ci`. Where there is none, or one that is too old
# (Debian 12's is), npm fetches one into the cache first; the machine's own stays as it is.
set -euo pipefail
version=24.21.0
npm_version=11.21.2
folder=${SLIPWAY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/slipway}/tools/node-$version

# 20.19 or newer of 20, 22.12 or newer of all others.
is_new_enough() {
    local major minor
    IFS=. read -r major minor _ <<< "${1#v}"
    case $major in
        20) ((minor >= 19)) ;;
        22) ((minor >= 12)) ;;
        *) ((major > 22)) ;;
    esac
}

fetch() {
    local arch
    if ! command -v npm > /dev/null; then
        echo "ui/node.sh: there is no npm: install Debian's packages nodejs and npm; a newer node is fetched by them" >&2
        return 1
    fi
    case $(uname -m) in
        x86_64) arch=x64 ;;
        aarch64) arch=arm64 ;;
        *) echo "ui/node.sh: no node to fetch for $(uname -m): install one, 20.19 or newer" >&2; return 1 ;;
    esac
    mkdir -p "$folder"
    npm install --prefix "$folder" --no-audit --no-fund --loglevel=error \
        "node-linux-$arch@$version" "npm@$npm_version" >&2
}

found=$(node --version 2> /dev/null) || found=0.0
if ! is_new_enough "$found" || ! command -v npm > /dev/null; then
    bin=$folder/node_modules/.bin
    if [[ ! -x $bin/node || ! -x $bin/npm ]]; then fetch; fi
    export PATH=$bin:$PATH
fi
exec "$@"

#!/usr/bin/env bash
# Builds the operator of the version before, for the story that replaces one by the other in the middle of a canary, and prints
# the path of the program: of the newest tag v… before HEAD, or, while there is none, of the last commit on the main line
# before HEAD that changed what Rollouts are made of. Its sources and what was built of it are kept in a folder (CACHE), so that
# it is built once per version.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/slipway/previous}
version=$(git describe --tags --abbrev=0 --match 'v*' HEAD~1 2> /dev/null ||
    git log -1 --first-parent --format=%H HEAD~1 -- src/rollout src/traffic)
commit=$(git rev-parse --verify --quiet "$version^{commit}") || {
    echo "previous.sh: there is no version before this one; is this a shallow clone?" >&2
    exit 1
}
program=$cache/$commit/slipway
if [[ ! -x $program ]]; then
    mkdir -p "$cache/$commit/tree"
    git archive "$commit" | tar -x -C "$cache/$commit/tree"
    # One folder for whatever is built, so that the next version finds what it has in common with this one.
    CARGO_TARGET_DIR=$cache/target "${CARGO:-cargo}" build --quiet --locked \
        --manifest-path "$cache/$commit/tree/Cargo.toml" --bin slipway >&2
    install -m 0755 "$cache/target/debug/slipway" "$program"
    rm -rf "$cache/$commit/tree"
fi
echo "the version before is $version" >&2
echo "$program"

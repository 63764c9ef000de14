#!/usr/bin/env bash
# Builds the targets for libFuzzer and runs each of them, or the one that is named, for so many seconds (60; 0 builds and lists
# them only). What cargo-fuzz would do, on the stable
# toolchain: the flags that make programs tell which way they went are stable, only those of the sanitizers are not.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-60}
wanted=${2:-}
cargo=${CARGO:-cargo}
work=${SLIPWAY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/slipway}/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
flags='--cfg fuzzing -Cdebug-assertions -Cpasses=sancov-module'
for flag in level=4 inline-8bit-counters pc-table trace-compares; do
    flags+=" -Cllvm-args=-sanitizer-coverage-$flag"
done
# The same versions as everything else; cargo adds libFuzzer.
cp ../Cargo.lock Cargo.lock
# With a target named, build scripts and macros are built without the flags.
RUSTFLAGS=$flags "$cargo" build --target "$host" --target-dir "$work/target"
if [ "$seconds" = 0 ]; then
    basename --suffix=.rs targets/*.rs
    exit
fi
mkdir -p "$work/found"
if [ -n "$wanted" ] && [ ! -f "targets/$wanted.rs" ]; then
    printf 'no target %s; there are: %s\n' "$wanted" "$(basename --suffix=.rs targets/*.rs | paste -sd' ')" >&2
    exit 2
fi
for source in targets/*.rs; do
    target=$(basename "$source" .rs)
    if [ -n "$wanted" ] && [ "$target" != "$wanted" ]; then continue; fi
    printf '\n=== %s\n' "$target"
    mkdir -p "$work/corpus/$target"
    # What it finds new goes into the first folder.
    "$work/target/$host/debug/$target" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=20 -verbosity=0 -print_final_stats=1 \
        -artifact_prefix="$work/found/$target-" "$work/corpus/$target" "seeds/$target"
done

#!/usr/bin/env bash
# Runs the parts of the tests that are named (unit, worlds, api, node, testbed, pictures), prints a summary with times, and fails
# if one failed. What needs a node runs beside the rest: its stories wait most of the time.
set -uo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
testbed=("$cargo" run --quiet -p testbed --bin testbed --)
# The same cases in every run; another number tries others.
export PROPTEST_RNG_SEED=${PROPTEST_RNG_SEED:-2026}
# Simulated worlds: as many as there is time for. Their seeds are 0 and up.
export SLIPWAY_WORLDS=${SLIPWAY_WORLDS:-${SLIPWAY_TEST_FULL:+1000000}}
export SLIPWAY_WORLDS=${SLIPWAY_WORLDS:-10000}
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT

part() {
    local name=$1 start=$SECONDS result=ok
    shift
    printf '\n=== %s\n' "$name"
    "$@" || result=FAILED
    printf '%-8s %6ds  %s\n' "$name" $((SECONDS - start)) "$result" > "$results/$name"
}

unit() { "$cargo" test --workspace --lib -- --skip world:: ${SLIPWAY_TEST_FULL:+--include-ignored}; }
worlds() { "$cargo" test --profile worlds --lib -- world:: --nocapture; }
api() {
    "${testbed[@]}" run --control-plane -- "$cargo" test --test it -- --include-ignored &&
        env -u SLIPWAY_TEST_KUBECONFIG \
            "$cargo" test -p testbed --test control_plane --test scripted -- --include-ignored # of clusters of its own
}
# Two stories at once, but for those in which the operator dies, which all share. What it did is compared with what it may
# do after everything else.
node() {
    export -f e2e
    cargo=$cargo "${testbed[@]}" run --node -- \
        bash -c 'e2e 2 --skip operator:: --skip rights:: --skip envoy:: && e2e 1 operator:: && e2e 1 rights::'
}
# The stories that docs/pictures shows.
pictures() {
    export -f e2e
    cargo=$cargo "${testbed[@]}" run --node -- bash -c 'e2e 1 canary:: strategy:: router:: change::a_newer ratio::'
}
# The node itself, and its second data plane, with the operator on it too.
testbed() {
    export -f e2e
    cargo=$cargo "${testbed[@]}" run --node --envoy -- bash -c \
        '$cargo test -p testbed --test node --test envoy -- --include-ignored --test-threads=1 && e2e 1 envoy::'
}
e2e() { "$cargo" test --test e2e -- --include-ignored --nocapture --test-threads="$@"; }

here=() beside=()
for name in "$@"; do
    case $name in
        unit | worlds | api) here+=("$name") ;;
        node | testbed | pictures) beside+=("$name") ;;
        *)
            echo "unknown part $name: unit, worlds, api, node, testbed or pictures" >&2
            exit 2
            ;;
    esac
done
printf 'random cases: PROPTEST_RNG_SEED=%s SLIPWAY_WORLDS=%s\n' "$PROPTEST_RNG_SEED" "$SLIPWAY_WORLDS"
part build "$cargo" test --workspace --no-run --quiet
# Built before anything is timed.
if [[ " ${here[*]} " == *' worlds '* ]]; then part build-w "$cargo" test --profile worlds --lib --no-run --quiet; fi
if ((${#here[@]} == 0)); then
    for name in "${beside[@]}"; do part "$name" "$name"; done
else
    for name in "${beside[@]}"; do part "$name" "$name"; done > "$results/log" 2>&1 &
    for name in "${here[@]}"; do part "$name" "$name"; done
    if ((${#beside[@]})); then printf '\n=== waiting for: %s\n' "${beside[*]}"; fi
    wait
    cat "$results/log"
    rm "$results/log"
fi
printf '\n=== summary\n'
for name in build build-w "$@"; do
    if [[ -e $results/$name ]]; then cat "$results/$name"; fi
done
! grep -q FAILED "$results"/*

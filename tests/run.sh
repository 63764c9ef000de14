#!/usr/bin/env bash
# Runs the parts of the tests that are named (unit, api, node, testbed, pictures), prints a summary with times, and fails if one failed.
set -uo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
testbed=("$cargo" run --quiet -p testbed --bin testbed --)
# The same cases in every run; another number tries others.
export PROPTEST_RNG_SEED=${PROPTEST_RNG_SEED:-2026}
summary=() status=0

part() {
    local name=$1 start=$SECONDS result
    shift
    printf '\n=== %s\n' "$name"
    if "$@"; then result=ok; else result=FAILED status=1; fi
    summary+=("$(printf '%-8s %6ds  %s' "$name" $((SECONDS - start)) "$result")")
}

unit() { "$cargo" test --workspace --lib -- ${SLIPWAY_TEST_FULL:+--include-ignored}; }
api() {
    "${testbed[@]}" run --control-plane -- "$cargo" test --test it -- --include-ignored &&
        env -u SLIPWAY_TEST_KUBECONFIG \
            "$cargo" test -p testbed --test control_plane --test scripted -- --include-ignored # of clusters of its own
}
# Most stories wait most of the time, so two are told at once; not those in which the operator dies, which all share. What
# it did is compared with what it may do after everything else.
node() {
    export -f e2e
    cargo=$cargo "${testbed[@]}" run --node -- \
        bash -c 'e2e 2 --skip operator:: --skip rights:: && e2e 1 operator:: && e2e 1 rights::'
}
# The stories that docs/pictures shows.
pictures() {
    export -f e2e
    cargo=$cargo "${testbed[@]}" run --node -- bash -c 'e2e 1 canary:: strategy:: router:: change::a_newer ratio::'
}
# The node itself, and its second data plane.
testbed() {
    "${testbed[@]}" run --node --envoy -- \
        "$cargo" test -p testbed --test node --test envoy -- --include-ignored --test-threads=1
}
e2e() { "$cargo" test --test e2e -- --include-ignored --nocapture --test-threads="$@"; }

printf 'random cases: PROPTEST_RNG_SEED=%s\n' "$PROPTEST_RNG_SEED"
part build "$cargo" test --workspace --no-run --quiet
for name in "$@"; do
    case $name in
        unit | api | node | testbed | pictures) part "$name" "$name" ;;
        *)
            echo "unknown part $name: unit, api, node, testbed or pictures" >&2
            exit 2
            ;;
    esac
done
printf '\n=== summary\n'
printf '%s\n' "${summary[@]}"
exit $status

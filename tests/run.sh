#!/usr/bin/env bash
# Runs the parts of the tests that are named (ui, unit, worlds, api, node, testbed, bench, pictures), prints a summary with times and with
# the first words of what failed, and fails if one failed.
set -uo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
testbed=${CARGO_TARGET_DIR:-target}/debug/testbed
# The same cases in every run; another number tries others.
export PROPTEST_RNG_SEED=${PROPTEST_RNG_SEED:-2026}
# Simulated worlds: as many as there is time for, from the first (or from SLIPWAY_WORLDS_FROM). Their seeds are 0 and up.
export SLIPWAY_WORLDS=${SLIPWAY_WORLDS:-${SLIPWAY_TEST_FULL:+1000000}}
export SLIPWAY_WORLDS=${SLIPWAY_WORLDS:-10000}
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT

part() {
    local name=$1 start=$SECONDS result=ok
    shift
    printf '\n=== %s\n' "$name"
    "$@" 2>&1 | tee "$results/$name.log" || result=FAILED
    printf '%-8s %6ds  %s\n' "$name" $((SECONDS - start)) "$result" > "$results/$name"
    if [[ $result == FAILED ]]; then grep -A6 -h "panicked at" "$results/$name.log" >> "$results/$name"; fi
    rm "$results/$name.log"
}

# Everything that is run. What is built while stories are told takes their time.
build() {
    "$cargo" test --workspace --no-run --quiet || return
    if [[ -n $has_worlds ]]; then worlds --no-run --quiet || return; fi
    if [[ -n $has_api ]]; then "$testbed" build promtool gitea gitops syft mail-server oci-registry cue-registry || return; fi
    if [[ -z $needs_node ]]; then return; fi
    "$testbed" exec alertmanager -- --version > /dev/null || return
    "$testbed" build syft gitea gitops || return
    if [[ -n ${SLIPWAY_TEST_FULL:-} ]]; then "$testbed" build osv-scanner gitleaks k6 cosign vault sigstore || return; fi
    "$cargo" rustc --quiet --package=slipway --bin=slipway-runner -- -C target-feature=+crt-static
}
# What the dashboard serves, and its unit tests; the stories of the API server look at it with a browser.
ui() {
    ui/build.sh && ui/node.sh npm --prefix ui/tests ci --no-audit --no-fund && ui/node.sh npm --prefix ui/tests run check
}
unit() { "$cargo" test --workspace --lib -- --skip world:: ${SLIPWAY_TEST_FULL:+--include-ignored}; }
# Optimised a little: ten thousand take a minute then. A million are worth a longer build.
worlds() {
    local level=1
    if [[ -n ${SLIPWAY_TEST_FULL:-} ]]; then level=3; fi
    # A world is made of small things that come and go: glibc keeps only seven of a size at hand, and this saves a sixth of the time.
    GLIBC_TUNABLES=glibc.malloc.tcache_count=2000 CARGO_PROFILE_TEST_OPT_LEVEL=$level "$cargo" test --lib "$@" -- world:: --nocapture
}
# These wait more than they compute, but for two that have a Prometheus compute weeks; a third waits for minutes that pass, and
# a fourth makes hundreds of Jobs, a fifth fetches clients of registries, and a sixth takes programs that are built for it. A browser takes all of the machine: its stories come after the others.
api() {
    local long=(--skip publish:: --skip slo::prometheus_computes --skip slo::what_is_left --skip slo::rules_are_kept --skip stage::the_largest --skip cosign_signs)
    if [[ -n ${SLIPWAY_TEST_FULL:-} ]]; then
        long=()
        # The version before, for the story that upgrades and goes back in the middle of a canary.
        SLIPWAY_PREVIOUS=$(CARGO=$cargo tests/previous.sh) || return
        export SLIPWAY_PREVIOUS
    fi
    local first=$cargo' test --test it -- --include-ignored'
    "$testbed" run --control-plane -- bash -c \
        "$first --test-threads=8 --skip dashboard::browser ${long[*]} && $first --nocapture dashboard::browser" &&
        env -u SLIPWAY_TEST_KUBECONFIG \
            "$cargo" test --workspace --test control_plane --test scripted -- --include-ignored # of clusters of its own
}
# Three stories at once (two of the long versions, whose loads are larger), but for those in which the operator dies, which
# all share; the longest only where there is time for them. What the operator did is compared with what it may do after everything else.
node() {
    export -f e2e
    local long='back::aborted_at_each_step strategy::auto_takes sick:: strategy::stable_goes operator::process:: operator::database:: operator::when_its_pod'
    long+=' slo::a_promotion slo::a_change compare::a_canary_as_ill analysis::no_requests analysis::a_value_that_flaps'
    long+=' fault::a_re build::the_same_commit change::the_size change::a_newer config::an_autoscaler strategy::people_hold'
    long+=' library:: workflow:: migrate::alembic gitops::a_service supply::a_key_service supply::an_account'
    local at_once=3
    if [[ -n ${SLIPWAY_TEST_FULL:-} ]]; then long= at_once=2; fi
    cargo=$cargo at_once=$at_once skipped=${long:+--skip ${long// / --skip }} "$testbed" run --node -- bash -c \
        'e2e $at_once --skip operator:: --skip rights:: --skip envoy:: $skipped && e2e 1 operator:: $skipped && e2e 1 rights::'
}
# The stories that docs/pictures shows.
pictures() {
    export -f e2e
    SLIPWAY_TEST_FULL=1 cargo=$cargo "$testbed" run --node -- bash -c 'e2e 1 canary:: strategy:: router:: change::a_newer ratio::' &&
        "$testbed" run --control-plane -- "$cargo" test --test it -- --include-ignored --nocapture dashboard::browser
}
# The node itself, and its second data plane, with the operator on it too.
testbed() {
    export -f e2e
    cargo=$cargo "$testbed" run --node --envoy -- bash -c \
        '$cargo test --workspace --test node --test envoy -- --include-ignored --test-threads=1 && e2e 1 envoy::'
}
# As many Rollouts as there may ever be: an hour. Its figures are printed beside goals.
bench() { make bench-rollout AT_REST=10000 UPDATE=1; }
e2e() { "$cargo" test --test e2e -- --include-ignored --nocapture --test-threads="$@"; }

has_worlds= has_api= needs_node=
# The user interface comes before everything that embeds or serves it.
before=() after=()
for name in "$@"; do
    if [[ $name == ui ]]; then before+=(ui); else after+=("$name"); fi
    case $name in
        ui | unit | bench) ;;
        api) has_api=1 ;;
        worlds) has_worlds=1 ;;
        node | testbed | pictures) needs_node=1 ;;
        *)
            echo "unknown part $name: ui, unit, worlds, api, node, testbed, bench or pictures" >&2
            exit 2
            ;;
    esac
done
printf 'random cases: PROPTEST_RNG_SEED=%s SLIPWAY_WORLDS=%s\n' "$PROPTEST_RNG_SEED" "$SLIPWAY_WORLDS"
parts=("${before[@]}" build "${after[@]}")
# One after the other: what is measured in requests that are lost has the machine for itself.
for name in "${parts[@]}"; do part "$name" "$name"; done
printf '\n=== summary\n'
for name in "${parts[@]}"; do
    if [[ -e $results/$name ]]; then cat "$results/$name"; fi
done
! grep -q FAILED "$results"/*

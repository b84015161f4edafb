#!/usr/bin/env bash
# Proves the promises: the model, the reference, hostile input, crashes, planted bugs, mutants, and the API against its description.
# Each part is bounded; `make model`, `make reference`, `make crash` and `make fuzz` run the same for longer.
#   PROOFS_ONLY="NAME…"   only these parts
set -uo pipefail
cd "$(dirname "$0")/.." || exit
source scripts/parts.sh

wanted() { [[ -z ${PROOFS_ONLY:-} || " $PROOFS_ONLY " == *" $1 "* ]]; }
prove() { if wanted "$1"; then part "$@"; fi; }
program() { # program NAME [FILTER…]: one test program; the whole workspace, so that it shares the build of `make test`
    cargo test --workspace --locked --no-fail-fast --test "$1" -- "${@:2}"
}
reference() { PROPTEST_CASES=${CASES:-150} program reference; }
crash() {
    MINITOWER_CRASH_CYCLES=${CYCLES:-60} MINITOWER_CRASH_SECONDS_MAX=${SECONDS_MAX:-90} program crash
}
fuzzed() { cargo test --workspace --locked --no-fail-fast --test all --test rest -- fuzzed; }

export RUST_BACKTRACE=0
if part "build" cargo build --workspace --bins --locked; then
    # A build is no test.
    passed=0
    prove model program model
    prove reference reference
    prove hostile program hostile
    prove fuzzed fuzzed
    prove crash crash
    prove planted scripts/planted.sh
    # The state machines and the lease protocol; `make mutants` changes the other rules too, which takes half an hour.
    prove mutants env FILES="app.rs artifact.rs attempt.rs claim.rs lease.rs retry.rs run.rs runner.rs" scripts/mutants.sh
    prove schemathesis scripts/schemathesis.sh
fi
summary

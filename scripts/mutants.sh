#!/usr/bin/env bash
# Changes the rules of runs in every small way that cargo-mutants knows, and asserts that a test beside the code fails each time. The rules
# are compiled by themselves (proofs/rules), so a mutant takes seconds. proofs/mutants.toml has the mutants that may survive, and why.
#   FILES="NAME…"   only the rules in these files of server/runs/src/domain
set -euo pipefail
cd "$(dirname "$0")/.."

if ! cargo mutants --version >/dev/null 2>&1; then
    echo "SKIPPED mutants: cargo-mutants is not installed (make setup-proofs)"
    exit 0
fi
output=${CARGO_TARGET_DIR:-target}/mutants
mkdir -p "$output"
# Each of the copies is built in a folder of its own, as quickly as it can be.
unset CARGO_TARGET_DIR
export CARGO_PROFILE_DEV_DEBUG=0
# One function changes at a time: what is left of the build before saves nine tenths of the next one.
export CARGO_INCREMENTAL=1
# Without a mutant the tests have to pass. The baseline of cargo-mutants would build the whole server.
# The model is explored with optimised rules; here they are compiled hundreds of times and run for a second.
quickly=profile.dev.package.minitower-rules.opt-level=0
cargo test --quiet --locked --package minitower-rules --lib --target-dir "$output/baseline" --config "$quickly"
files=()
for name in ${FILES:-'**'}; do files+=(--file "server/runs/src/domain/$name"); done
cargo mutants --config proofs/mutants.toml --package minitower-runs "${files[@]}" --test-package minitower-rules \
    --cargo-arg=--lib --cargo-arg=--locked --cargo-arg="--config=$quickly" --baseline skip --timeout "${TIMEOUT:-60}" \
    --gitignore=true --jobs "${JOBS:-2}" --no-shuffle --colors never --output "$output" "$@"

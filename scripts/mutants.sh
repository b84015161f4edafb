#!/usr/bin/env bash
# Changes the rules of runs in every small way that cargo-mutants knows, and asserts that a test beside the code fails each time. The rules
# are compiled by themselves (proofs/rules), so a mutant takes seconds. proofs/mutants.toml has the mutants that may survive, and why.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! cargo mutants --version >/dev/null 2>&1; then
    echo "SKIPPED mutants: cargo-mutants is not installed (make setup-proofs)"
    exit 0
fi
output=${CARGO_TARGET_DIR:-target}/mutants
mkdir -p "$output"
# The copies are built in a folder of their own each.
unset CARGO_TARGET_DIR
cargo mutants --config proofs/mutants.toml --package minitower-runs --file 'server/runs/src/domain/**' --test-package minitower-rules \
    --cargo-arg=--lib --cargo-arg=--locked --gitignore=true --jobs "${JOBS:-2}" --no-shuffle --colors never --output "$output" "$@"

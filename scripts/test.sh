#!/usr/bin/env bash
# Builds the programs and runs every test that needs neither a cluster nor a second build. `make proofs` and `make e2e` run the others.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
source scripts/parts.sh

smoke() {
    if command -v curl >/dev/null 2>&1; then
        scripts/smoke.sh
    else
        echo "SKIPPED smoke: curl is not installed"
    fi
}

# What a test asked and what came back is in its message.
export RUST_BACKTRACE=0
if part "build" cargo build --workspace --bins --locked; then
    # A build is no test.
    passed=0
    part "tests" cargo test --workspace --exclude minitower-proofs --exclude minitower-rules --locked --no-fail-fast
    part "end to end with curl" smoke
fi
summary

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

# without_shims: the PATH with the Python that answers to `python3` in place of a version manager's shims. Each of them is a chain of shell
# scripts, and some three hundred runners ask every Python what it is: that alone would double the time of the tests.
without_shims() {
    local python
    python=$(python3 -c 'import os, sys; print(os.path.dirname(os.path.realpath(sys.executable)))' 2>/dev/null) || return
    echo "$python:$(tr ':' '\n' <<<"$PATH" | grep -v '/shims/*$' | paste -sd:)"
}

if [[ :$PATH: == */shims:* ]]; then PATH=$(without_shims || echo "$PATH"); fi
# Most tests wait for programs most of the time.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((2 * $(nproc)))}
# What a test asked and what came back is in its message.
export RUST_BACKTRACE=0
if part "build" cargo build --workspace --bins --locked; then
    # A build is no test.
    passed=0
    part "tests" cargo test --workspace --exclude minitower-proofs --exclude minitower-rules --locked --no-fail-fast
    part "end to end with curl" smoke
fi
summary

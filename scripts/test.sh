#!/usr/bin/env bash
# Builds the programs, runs every test, and prints one closing line: N passed, N failed, N skipped.
# A test that cannot run on this machine says SKIPPED and why; it counts as skipped, never as passed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

log=$(mktemp)
cluster_log=$(mktemp)
trap 'rm -f "$log" "$cluster_log"' EXIT
passed=0
failed=0
skipped=0

sum() { # sum WORD [LOG]: adds up "N WORD" over the results of all test binaries
    { grep -E '^test result: ' "${2:-$log}" || true; } | sed -E "s/.* ([0-9]+) $1.*/\1/" | awk '{ n += $1 } END { print n + 0 }'
}

echo "test: building the programs"
if ! cargo build --workspace --bins --locked; then
    echo "test: the build failed" >&2
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
fi

# What a test asked and what came back is in its message.
export RUST_BACKTRACE=0
echo "test: unit, model, reference, contract, protocol, job, crash, hostile and command-line tests"
# The planted bugs have a build of their own, below.
cargo test --workspace --locked --no-fail-fast -- --skip every_planted_bug_is_caught 2>&1 | tee "$log"
status=${PIPESTATUS[0]}
noted=$(grep -cE '^SKIPPED ' "$log")
passed=$(($(sum passed) - noted))
failed=$(sum failed)
skipped=$(($(sum ignored) + noted))
# A test binary that was killed reports no result of its own, one that does not compile not even a name.
named=$(grep -cE '^ +`(-p|--)' "$log")
told=$(grep -cE '^test result: FAILED' "$log")
if ((named > told)); then
    failed=$((failed + named - told))
elif ((status != 0 && failed == 0)); then
    failed=1
fi

echo "test: planted bugs"
if scripts/planted.sh; then
    passed=$((passed + 1))
else
    failed=$((failed + 1))
    planted=failed
fi

echo "test: end to end with curl"
if ! command -v curl >/dev/null 2>&1; then
    echo "SKIPPED smoke: curl is not installed"
    skipped=$((skipped + 1))
elif scripts/smoke.sh; then
    passed=$((passed + 1))
else
    failed=$((failed + 1))
fi

echo "test: on a real Kubernetes"
# The programs that are built already, and as many scale-downs as a few minutes allow: `make e2e` does all of it.
# Never on a cluster that happens to be set in the environment: E2E_TARGET=kubeconfig asks for that.
if [[ "${E2E_TARGET:-}" != kubeconfig ]]; then unset KUBECONFIG; fi
PROFILE=dev E2E_SHORT=1 scripts/e2e.sh 2>&1 | tee "$cluster_log"
status=${PIPESTATUS[0]}
noted=$(grep -cE '^SKIPPED ' "$cluster_log")
passed=$((passed + $(sum passed "$cluster_log") - noted))
told=$(sum failed "$cluster_log")
failed=$((failed + told))
skipped=$((skipped + $(sum ignored "$cluster_log") + noted))
if ((status != 0 && told == 0)); then
    failed=$((failed + 1))
    cluster=failed
fi

if ((failed > 0)); then
    echo
    echo "Failed:"
    [[ -z "${planted:-}" ]] || echo "  a planted bug that no check has caught: make planted"
    [[ -z "${cluster:-}" ]] || echo "  the cluster, or installing on it: make e2e"
    # shellcheck disable=SC2016 # The backticks are cargo's.
    cat "$log" "$cluster_log" | sed -nE -e 's/^test (.*) \.\.\. FAILED$/  \1/p' -e 's/^    `(-p .*)`$/  in \1/p'
fi
echo
echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0))

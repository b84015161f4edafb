#!/usr/bin/env bash
# Checks the sources, the cheapest check first. If a tool is not installed, says so and skips its check.
set -euo pipefail
cd "$(dirname "$0")/.."

step() {
    echo "check: $*"
    "$@"
}

step cargo fmt --all --check
if command -v shellcheck >/dev/null 2>&1; then
    step shellcheck -x scripts/*.sh .ci/run deploy/kubernetes/*.sh tests/cluster/{cluster,base-images,tools,validate,smoke,check-iptables}
else
    echo "check: skipped: shellcheck is not installed (make setup-check)"
fi
if cargo deny --version >/dev/null 2>&1; then
    step cargo deny --log-level error check bans licenses sources
    if cargo deny fetch db >/dev/null 2>&1; then
        step cargo deny --log-level error check advisories
    else
        echo "check: skipped: the advisory database cannot be fetched"
    fi
else
    echo "check: skipped: cargo-deny is not installed (make setup-check)"
fi
step cargo clippy --workspace --all-targets --locked -- -D warnings
# No targets of `cargo test`, hence none of `--all-targets`.
step cargo clippy -p minitower-tests --test e2e --test chart --locked -- -D warnings
step cargo clippy -p minitower-operator --test apiserver --locked -- -D warnings
step scripts/planted.sh --check
step scripts/crds.sh --check
step scripts/openapi-lint.sh
if command -v go >/dev/null 2>&1; then
    step go -C tests/cluster/go/netpol test ./...
else
    echo "check: skipped: the local cluster's network policies are tested with Go, which is not installed"
fi
step tests/cluster/check-iptables
step scripts/chart.sh
step scripts/links.py
step scripts/observability.sh
step scripts/compose-check.sh
step scripts/release.sh check
step scripts/release_test.sh
# Of the programs that the tests build anyway.
step cargo build --workspace --bins --locked
step scripts/reference_docs.py --check
step scripts/release.sh dry-run

#!/usr/bin/env bash
# Writes crds/ anew from the operator's types. With --check it writes nothing, and fails where a file differs.
set -euo pipefail
cd "$(dirname "$0")/.."

file=crds/runnerpools.minitower.dev.yaml

generated=$(mktemp)
trap 'rm -f "$generated"' EXIT
cargo run --quiet --locked -p minitower-operator -- crd >"$generated"

if cmp -s "$generated" "$file"; then
    echo "crds: $file is as the code has it"
elif [[ "${1:-}" == "--check" ]]; then
    diff -u "$file" "$generated" >&2 || true
    echo "crds: $file differs from the code: run 'make crds' and commit it" >&2
    exit 1
else
    mkdir -p crds
    cat "$generated" >"$file"
    echo "crds: wrote $file"
fi

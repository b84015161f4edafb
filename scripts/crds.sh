#!/usr/bin/env bash
# Regenerates what is derived from the operator's types: the definition in crds/, the chart's copy of it, and the schema of the chart's
# value `runnerPools`. With --check it writes nothing, and fails if a file differs.
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
trap 'rm -r "$scratch"' EXIT
cargo build --quiet --locked -p minitower-operator --bin minitower-operator
operator=${CARGO_TARGET_DIR:-target}/debug/minitower-operator
"$operator" crd >"$scratch/definition.yaml"
"$operator" crd --json >"$scratch/definition.json"
python3 scripts/values_schema.py "$scratch/definition.json" charts/minitower/values.schema.json >"$scratch/values.schema.json"

differs=
# keep FILE GENERATED
keep() {
    if cmp -s "$2" "$1"; then
        echo "crds: $1 matches the code"
    elif [[ "${check:-}" ]]; then
        diff -u "$1" "$2" >&2 || true
        echo "crds: $1 differs from the code: run 'make crds' and commit it" >&2
        differs=yes
    else
        cat "$2" >"$1"
        echo "crds: wrote $1"
    fi
}

[[ "${1:-}" != --check ]] || check=yes
mkdir -p crds
keep crds/runnerpools.minitower.dev.yaml "$scratch/definition.yaml"
keep charts/minitower/files/runnerpools.minitower.dev.yaml "$scratch/definition.yaml"
keep charts/minitower/values.schema.json "$scratch/values.schema.json"
[[ -z $differs ]]

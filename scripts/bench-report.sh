#!/usr/bin/env bash
# Makes benches/cluster.md, which `make e2e` writes, the last section of benches/report.md, which `make bench` writes.
set -euo pipefail
cd "$(dirname "$0")/../benches"

[[ -f cluster.md ]] || exit 0
rest=$(sed '/^## On Kubernetes$/,$d' report.md)
{
    printf '%s\n\n' "$rest"
    cat cluster.md
} >report.md.part
mv report.md.part report.md

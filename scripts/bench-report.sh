#!/usr/bin/env bash
# Makes benches/runner.md, which `make bench-runner` writes, and benches/cluster.md, which `make e2e` writes, the last sections of
# benches/report.md, which `make bench` writes.
set -euo pipefail
cd "$(dirname "$0")/../benches"

rest=$(sed -E '/^## (The runner|On Kubernetes)$/,$d' report.md)
{
    printf '%s\n' "$rest"
    for section in runner.md cluster.md; do
        if [[ -f $section ]]; then
            echo
            cat "$section"
        fi
    done
} >report.md.part
mv report.md.part report.md

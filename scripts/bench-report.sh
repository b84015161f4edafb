#!/usr/bin/env bash
# Puts benches/runner.md (written by `make bench-runner`) and benches/cluster.md (written by `make e2e`) at the end of benches/report.md
# (written by `make bench`).
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

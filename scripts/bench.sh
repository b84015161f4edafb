#!/usr/bin/env bash
# Builds the release and measures it: benches/report.md with its plots. QUICK=1: a few minutes, once each, the report below target/ only.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
[[ "$target" = /* ]] || target="$PWD/$target"

echo "bench: building the release"
# One at a time, as they are shipped: together they would share features that one of them does not have by itself.
for package in minitowerd minitower-runner minitower-cli minitower-benches; do
    cargo build --release --locked -p "$package"
done

args=(--programs "$target/release" --folder "$target/bench")
if [[ -n "${QUICK:-}" ]]; then
    out="$target/bench-quick"
    args+=(--quick)
else
    out="$PWD/benches"
fi
"$target/release/tower-report" "${args[@]}" --out "$out"
if [[ -z "${QUICK:-}" ]]; then scripts/bench-report.sh; fi
sed -n '/^## Targets/,/^## Beside/p' "$out/report.md" | sed '1,2d;$d'
echo "bench: the report is in $out/report.md"

#!/usr/bin/env bash
# Runs the fuzz targets of proofs/fuzz/, each for so many seconds: fuzz.sh [SECONDS [TARGET…]]. Needs a nightly toolchain for libFuzzer's
# instrumentation; builds cargo-fuzz when it is missing. Findings stay in proofs/fuzz/artifacts: fix the fault, and keep the input in proofs/fuzz/regressions.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
shift || true
targets=("$@")
((${#targets[@]} > 0)) || targets=(archive towerfile bodies)

if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "fuzz: needs a nightly toolchain: run 'rustup toolchain install nightly'" >&2
    exit 1
fi
if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "fuzz: building cargo-fuzz (takes some minutes)"
    cargo install --locked --quiet cargo-fuzz
fi

# Files of the targets go into memory where the machine has such a folder: millions of them are made and removed.
memory=/dev/shm
[[ -d $memory && -w $memory ]] || memory=${TMPDIR:-/tmp}
TMPDIR=$(mktemp -d -p "$memory" minitower-fuzz-XXXXXX)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

failed=()
for target in "${targets[@]}"; do
    features=()
    [[ $target == bodies ]] && features=(--features bodies)
    echo "fuzz: building $target"
    cargo +nightly fuzz build --fuzz-dir proofs/fuzz "${features[@]}" "$target"
    echo "fuzz: $target for $seconds s"
    mkdir -p "proofs/fuzz/corpus/$target"
    places=("proofs/fuzz/corpus/$target" "proofs/fuzz/seeds/$target")
    [[ -d "proofs/fuzz/regressions/$target" ]] && places+=("proofs/fuzz/regressions/$target")
    cargo +nightly fuzz run --fuzz-dir proofs/fuzz "${features[@]}" "$target" "${places[@]}" -- -max_total_time="$seconds" -timeout=60 -rss_limit_mb=2048 \
        -dict="proofs/fuzz/dictionaries/$target.dict" -print_final_stats=1 -verbosity=1 || failed+=("$target")
    rm -rf "${TMPDIR:?}"/*
done
if ((${#failed[@]} > 0)); then
    echo "fuzz: found something in: ${failed[*]}; the inputs are in proofs/fuzz/artifacts" >&2
    exit 1
fi
echo "fuzz: nothing found"

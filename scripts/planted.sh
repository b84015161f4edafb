#!/usr/bin/env bash
# Builds programs and tests with the planted bugs in them, in a target folder of their own, and asserts that each bug is caught.
set -euo pipefail
cd "$(dirname "$0")/.."

target="${CARGO_TARGET_DIR:-target}/planted"
[[ "$target" = /* ]] || target="$PWD/$target"

echo "planted: building the programs with the bugs"
cargo build --workspace --bins --tests --locked --features minitower-planted/enabled --target-dir "$target"
MINITOWER_PLANTED_TARGET_DIR="$target" cargo test --locked -p minitower-proofs --test planted -- --nocapture

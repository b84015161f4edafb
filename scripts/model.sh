#!/usr/bin/env bash
# Explores every interleaving of small systems under the lease protocol, and prints how many states there were and what bounded them.
# Uses an optimised build in a target folder of its own; `make test` explores the smaller systems without one.
set -euo pipefail
cd "$(dirname "$0")/.."

target="${CARGO_TARGET_DIR:-target}/model"
# One system after the other, so that time and memory are its own.
cargo test --release --locked -p minitower-rules --test model --target-dir "$target" -- --nocapture --test-threads=1

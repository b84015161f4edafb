#!/usr/bin/env bash
# Walks through every interleaving of small systems under the lease protocol, and says how many states there were and what bounded them.
# Optimised, in a target folder of its own; `make test` walks through the smaller ones without.
set -euo pipefail
cd "$(dirname "$0")/.."

target="${CARGO_TARGET_DIR:-target}/model"
# One system after the other, so that time and memory are its own.
cargo test --release --locked -p minitower-rules --test model --target-dir "$target" -- --nocapture --test-threads=1

#!/usr/bin/env bash
# Kills a real control plane, real runners and real jobs at random moments under load, CYCLES times or for SECONDS_MAX seconds, and
# checks the outcome. SEED repeats the same sequence of faults; their moments still depend on the machine.
set -euo pipefail
cd "$(dirname "$0")/.."

echo "crash: building the programs"
cargo build --workspace --bins --locked
export MINITOWER_CRASH_CYCLES="${CYCLES:-100}"
export MINITOWER_CRASH_SECONDS_MAX="${SECONDS_MAX:-1200}"
export MINITOWER_CRASH_SEED="${SEED:-}"
export RUST_BACKTRACE="${RUST_BACKTRACE:-0}"
cargo test --locked -p minitower-proofs --test crash -- \
    --exact a_storm_of_kills_loses_nothing_runs_nothing_twice_and_leaves_nothing_stuck --nocapture

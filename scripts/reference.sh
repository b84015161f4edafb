#!/usr/bin/env bash
# Random operations on a real database against the reference: CASES sequences one operation after another, as many with operations at the
# same time, and as many of polls that wait; other random numbers each time. What fails is kept in proofs/reference/*.regressions.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo test --locked -p minitower-proofs --test reference --no-run
echo "reference: ${CASES:=1000} sequences of each kind"
PROPTEST_CASES=$CASES cargo test --locked -p minitower-proofs --test reference -- --nocapture

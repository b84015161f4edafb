#!/usr/bin/env bash
# Builds the server of another commit and that of the working tree, loads them in turn, and prints the ratio of their throughput and of
# their processor time, with its 95 % interval. Usage: bench-compare.sh COMMIT [options of tower-compare]
set -euo pipefail
cd "$(dirname "$0")/.."

base=${1:-}
[[ -n "$base" ]] || { echo "bench-compare: which commit? make bench-compare BASE=<commit>" >&2; exit 2; }
shift
commit=$(git rev-parse --verify --quiet "$base^{commit}") || { echo "bench-compare: $base is not a commit" >&2; exit 2; }

target=${CARGO_TARGET_DIR:-target}
[[ "$target" = /* ]] || target="$PWD/$target"
folder="$target/compare"
server="$folder/minitowerd-$commit"
mkdir -p "$folder"

# Not below this folder: cargo would take this tree's .cargo/config.toml for the other commit's too.
tree=$(mktemp -d)
tidy() {
    git worktree remove --force "$tree/base" 2>/dev/null || true
    rm -rf "$tree"
}
trap tidy EXIT

if [[ ! -x "$server" ]]; then
    echo "bench-compare: building $base"
    git worktree add --quiet --detach "$tree/base" "$commit"
    (cd "$tree/base" && cargo build --release --locked -p minitowerd --target-dir "$folder/build")
    mv "$folder/build/release/minitowerd" "$server"
fi
echo "bench-compare: building the working tree"
# One at a time: together they would share features that the server does not have by itself.
cargo build --release --locked -p minitowerd
cargo build --release --locked -p minitower-benches

echo "bench-compare: base is $(git log -1 --format='%h %s' "$commit")"
"$target/release/tower-compare" --base "$server" --new "$target/release/minitowerd" --folder "$folder/servers" "$@"

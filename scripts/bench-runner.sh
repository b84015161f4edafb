#!/usr/bin/env bash
# Builds the release and measures its runner: benches/runner.md, and with it benches/report.md. With a commit, the server and runner of that
# commit are built too and measured in turn with these. Usage: bench-runner.sh [COMMIT]
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
[[ "$target" = /* ]] || target="$PWD/$target"
folder="$target/compare"
args=()

if [[ -n "${1:-}" ]]; then
    commit=$(git rev-parse --verify --quiet "$1^{commit}") || { echo "bench-runner: $1 is not a commit" >&2; exit 2; }
    former="$folder/programs-$commit"
    if [[ ! -x "$former/minitower-runner" ]]; then
        # Not below this folder: cargo would take this tree's .cargo/config.toml for the other commit's too.
        tree=$(mktemp -d)
        tidy() {
            git worktree remove --force "$tree/base" 2>/dev/null || true
            rm -rf "$tree"
        }
        trap tidy EXIT
        echo "bench-runner: building $1"
        git worktree add --quiet --detach "$tree/base" "$commit"
        for package in minitowerd minitower-runner; do
            (cd "$tree/base" && cargo build --release --locked -p "$package" --target-dir "$folder/build")
        done
        mkdir -p "$former"
        cp "$folder/build/release/minitowerd" "$folder/build/release/minitower-runner" "$former/"
    fi
    args+=(--former "$former")
fi

echo "bench-runner: building the working tree"
# One at a time, as they are shipped: together they would share features that one of them does not have by itself.
for package in minitowerd minitower-runner minitower-benches; do
    cargo build --release --locked -p "$package"
done
"$target/release/tower-report" --runner --programs "$target/release" --folder "$target/bench" --out "$PWD/benches" "${args[@]}"
if [[ -d /dev/shm ]]; then
    echo "bench-runner: once more in memory"
    memory=$(mktemp -d /dev/shm/minitower-bench.XXXXXX)
    "$target/release/tower-report" --runner --programs "$target/release" --folder "$memory/bench" --out "$memory" "${args[@]}"
    {
        # shellcheck disable=SC2016 # The backquotes are Markdown's.
        printf '\nThe same in memory (`/dev/shm`), where the disk costs nothing:\n\n'
        sed -n '/^|/p' "$memory/runner.md"
    } >> benches/runner.md
    rm -rf "$memory"
fi
scripts/bench-report.sh
cat benches/runner.md

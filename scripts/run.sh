#!/usr/bin/env bash
# Starts a control plane and one runner, deploys examples/hello, runs it, shows its log live, and keeps serving.
# ONCE=1 stops after the first run, with its exit code.
set -euo pipefail
cd "$(dirname "$0")/.."

listen=${LISTEN:-127.0.0.1:8080}
state=$PWD/.minitower
server_log=$state/dev.log
welcome=$state/dev.json
minitower=${CARGO_TARGET_DIR:-target}/debug/minitower

fail() {
    printf 'run: %s\n' "$@" >&2
    exit 1
}

# Use the server started below, whatever the shell has set for another one.
unset MINITOWER_SERVER_URL MINITOWER_API_TOKEN

command -v cargo >/dev/null 2>&1 || fail "cargo is missing" "install Rust with rustup, see https://rustup.rs"
python3 -c 'import venv' >/dev/null 2>&1 || fail "python3 with its module venv is missing" "run 'make setup'"
if (exec 3<>"/dev/tcp/${listen%:*}/${listen##*:}") 2>/dev/null; then
    fail "another program is listening on $listen" "choose another port: make run LISTEN=127.0.0.1:8081"
fi

echo "run: building (the first time takes a few minutes)"
cargo build --locked -p minitower-cli

mkdir -p "$state"
# In a process group of its own: Ctrl-C reaches this script, which then ends the server in an orderly way.
set -m
"$minitower" dev --json --listen "$listen" --data-dir "$state" >"$welcome" 2>"$server_log" &
server=$!
set +m

stop() {
    if kill -TERM "$server" 2>/dev/null; then
        wait "$server" || true
    fi
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# said KEY: prints a string from the line that `minitower dev` writes once it serves.
said() {
    sed -nE 's/.*"'"$1"'": ?"([^"]*)".*/\1/p' "$welcome"
}

deadline=$((SECONDS + 30))
until [[ -n "$(said profile)" ]]; do
    if ! kill -0 "$server" 2>/dev/null; then
        cat "$server_log" >&2
        fail "minitower dev has exited; its output is above"
    fi
    ((SECONDS < deadline)) || fail "minitower dev is not ready after 30 s" "its log: $server_log"
    sleep 0.1
done
url=$(said server)
profile=$(said profile)

ask() {
    "$minitower" --profile "$profile" "$@"
}

echo "run: MiniTower serves at $url (log: ${server_log#"$PWD"/})"

ask deploy --dir examples/hello
created=$(ask runs create hello --input '{"name":"MiniTower"}' --json)
run=$(sed -E 's/.*"run_id": ?([0-9]+).*/\1/' <<<"$(tr -d '\n' <<<"$created")")
echo "run: run $run of hello; its log:"
ask runs logs "$run" --follow
code=0
ask runs watch "$run" >/dev/null || code=$?

if [[ -n "${ONCE:-}" ]]; then
    exit "$code"
fi
trap 'echo; echo "run: stopping; your apps and runs are kept (\`make clean-state\` deletes them)"; exit 0' INT TERM
echo "run: still serving at $url; try '$minitower --profile $profile runs list'. Ctrl-C stops it."
wait "$server"

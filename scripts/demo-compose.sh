#!/usr/bin/env bash
# demo-compose.sh [--loop]: gives the services of docker-compose.yml something to do, so that Prometheus and Grafana have something to
# show: runs that succeed, fail, take long, are cancelled, are queued in bulk, and are started again because their runner was killed.
# Runs once, or with --loop until Ctrl-C.
#   BASE_URL, MINITOWER_BOOTSTRAP_TOKEN   of the control plane, as docker-compose.yml has them by default
#   TEAM_SLUG                             whose runs they are (default acme; its registration token is replaced)
#   MINITOWER_API_TOKEN                   a token of that team; then nothing is bootstrapped
#   COMPOSE                               the Compose command (default: docker compose)
#   PAUSE_MAX                             longest pause between two rounds, in seconds (default 20)
# The command line is `minitower` on PATH, else the service `cli`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

base_url=${BASE_URL:-http://127.0.0.1:8080}
bootstrap_token=${MINITOWER_BOOTSTRAP_TOKEN:-dev}
slug=${TEAM_SLUG:-acme}
pause_max=${PAUSE_MAX:-20}
read -ra compose <<<"${COMPOSE:-docker compose}"
examples=(hello imports shell slow fails data)
unset MINITOWER_SERVER_URL # given to each call

say() { echo "demo: $*"; }
die() {
    echo "demo: $*" >&2
    exit 1
}

case "${1:-}" in
    --loop) loop=yes ;;
    "") loop= ;;
    *) die "usage: scripts/demo-compose.sh [--loop]" ;;
esac
(($# < 2)) || die "usage: scripts/demo-compose.sh [--loop]"
command -v curl >/dev/null || die "curl is not installed"
"${compose[@]}" version >/dev/null 2>&1 || die "'${compose[*]}' does not run: install Docker with Compose, or name another command in COMPOSE"

# minitower ARGUMENTS...
if command -v minitower >/dev/null; then
    minitower() { MINITOWER_SERVER_URL=$base_url command minitower "$@"; }
else
    minitower() { "${compose[@]}" run --rm --no-deps -T cli "$@" </dev/null; }
fi

ready() { curl -fsS --max-time 3 -o /dev/null "$base_url/ready" 2>/dev/null; }

# wait_for SECONDS COMMAND...
wait_for() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.5
    done
}

# field NAME: prints a string or number of the JSON object on standard input.
field() { tr -d '\n' | sed -nE 's/.*"'"$1"'": ?"?([^",}]*).*/\1/p'; }

bootstrap() {
    local answer
    wait_for 60 ready || die "$base_url is not ready: start it with 'docker compose up -d --build', or name another one in BASE_URL"
    [[ -z ${MINITOWER_API_TOKEN:-} ]] || return 0
    answer=$(curl -sS --fail-with-body --max-time 30 -X POST "$base_url/api/v1/bootstrap/team" \
        -H "Authorization: Bearer $bootstrap_token" -d "{\"slug\":\"$slug\",\"name\":\"Acme\"}" 2>/dev/null) ||
        die "no team was created: ${answer:-no answer}; name the existing team in TEAM_SLUG, and set the control plane's MINITOWER_BOOTSTRAP_TOKEN"
    MINITOWER_API_TOKEN=$(field token <<<"$answer")
    export MINITOWER_API_TOKEN
}

deploy() {
    local example
    for example in "${examples[@]}"; do minitower deploy --dir "examples/$example"; done
}

# run APP [ARGUMENTS...]: queues a run and prints its id.
run() { minitower runs create "$@" --json | field run_id; }

# queue APP [ARGUMENTS...]: queues a run whose id nobody needs.
queue() {
    local id
    id=$(run "$@")
    say "run $id: $*"
    runs+=("$id")
}

runs_on_a_runner() {
    runner=$(minitower runs get "$1" --json | field runner)
    [[ -n $runner && $runner != null ]]
}

# A run whose runner is killed is started again: in this case by the same runner, which reports its predecessor as dead when it is back.
lose_a_runner() {
    local id runner
    id=$(run slow -p seconds=8 --max-retries 3 --priority 10)
    say "run $id: slow, whose runner will be killed"
    runs+=("$id")
    wait_for 120 runs_on_a_runner "$id" || die "run $id did not start within 120 s: see 'minitower runners list'"
    "${compose[@]}" kill --signal SIGKILL "$runner" >/dev/null
    "${compose[@]}" up -d --no-deps --no-build "$runner" >/dev/null
    say "run $id: $runner was killed, and is back"
}

one_round() {
    local n names=(Ada Grace Edsger Barbara) languages=(en de fr)
    for n in 1 2 3; do queue hello -p "name=${names[RANDOM % 4]}"; done
    for ((n = RANDOM % 4; n >= 0; n--)); do queue imports -p "language=${languages[RANDOM % 3]}"; done
    queue shell-backup -p "lines=$((1000 + RANDOM))"
    queue fails
    queue slow -p "seconds=$((3 + RANDOM % 10))" --priority "$((RANDOM % 3))"
    queue slow -p seconds=600
    minitower runs cancel "${runs[-1]}" >/dev/null
}

# Prints the last state of each run.
watch_all() {
    local id
    for id in "${runs[@]}"; do minitower runs watch "$id" || true; done
}

trap 'echo; say "stopped; \`docker compose down -v\` forgets everything"; exit 0' INT TERM
bootstrap
deploy
runs=()
# With a library from the Python package index, which the first run installs and later ones find in the runner's cache.
queue airports
one_round
lose_a_runner
if [[ -z $loop ]]; then
    watch_all
    minitower runs list
    exit
fi
say "running until Ctrl-C; see http://localhost:3000 (Grafana) and http://localhost:9090 (Prometheus)"
for ((round = 2; ; round++)); do
    # The load's own rhythm, calm and busy by turns.
    sleep $((1 + RANDOM % pause_max))
    runs=()
    one_round
    if ((round % 5 == 0)); then lose_a_runner; fi
done

#!/usr/bin/env bash
# End-to-end test with curl alone: health, bootstrap, app, upload, run, log, cancel, metrics.
#
# Against a running server: BASE_URL, MINITOWER_BOOTSTRAP_TOKEN and, where a team other than acme exists already,
# TEAM_SLUG (its registration token is replaced). The server must have a runner in the environment "default".
# From outside, where an ingress routes the API without bootstrap: BASE_URL and TEAM_TOKEN; health, bootstrap and metrics are then left out.
# Without BASE_URL the script starts a server and a runner of its own from BIN_DIR (default: what cargo builds).
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

work=$(mktemp -d)
processes=()
cleanup() {
    local status=$?
    for process in "${processes[@]}"; do
        kill -TERM "$process" 2>/dev/null || true
    done
    for process in "${processes[@]}"; do
        wait "$process" 2>/dev/null || true
    done
    if ((status != 0)); then
        tail -n 40 "$work"/*.log 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap cleanup EXIT

step() {
    echo "smoke: $*"
}

fail() {
    echo "smoke: FAILED: $*" >&2
    exit 1
}

# call METHOD PATH EXPECTED_STATUS [CURL_ARGUMENT...]: the answer goes to $work/answer.
call() {
    local method=$1 path=$2 expected=$3 status
    shift 3
    status=$(curl -sS --max-time 30 -o "$work/answer" -w '%{http_code}' -X "$method" "$BASE_URL$path" "$@") \
        || fail "$method $path: no answer"
    [[ "$status" == "$expected" ]] || fail "$method $path answered $status, not $expected: $(cat "$work/answer")"
}

# text NAME, number NAME: a field of the last answer.
text() {
    grep -o "\"$1\":\"[^\"]*\"" "$work/answer" | head -n1 | cut -d'"' -f4
}
number() {
    grep -o "\"$1\":[0-9]*" "$work/answer" | head -n1 | cut -d: -f2
}

# until_true SECONDS WHAT COMMAND...
until_true() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        ((SECONDS < deadline)) || fail "timed out waiting: $what"
        sleep 0.1
    done
}

# What is not of the API is not routed from outside.
is_ready() {
    local path=/ready
    [[ -z "${TEAM_TOKEN:-}" ]] || path=/api/v1/auth/options
    curl -sS --max-time 3 -o /dev/null --fail "$BASE_URL$path" 2>/dev/null
}

# has_status RUN STATUS; a run that ended otherwise is a failure at once.
has_status() {
    call GET "/api/v1/runs/$1" 200 "${team[@]}"
    local status
    status=$(text status)
    case "$status" in
        "$2") return 0 ;;
        completed | failed | cancelled | dead) fail "run $1 is $status, not $2: $(cat "$work/answer")" ;;
        *) return 1 ;;
    esac
}

# bootstrap: makes the team, or takes it over.
bootstrap() {
    local status
    step "bootstrap"
    status=$(curl -sS --max-time 30 -o "$work/answer" -w '%{http_code}' -X POST "$BASE_URL/api/v1/bootstrap/team" \
        -H "Authorization: Bearer $MINITOWER_BOOTSTRAP_TOKEN" -d "{\"slug\":\"${TEAM_SLUG:-acme}\",\"name\":\"Acme\"}")
    [[ "$status" == 200 || "$status" == 201 ]] || fail "bootstrap answered $status: $(cat "$work/answer")"
    team=(-H "Authorization: Bearer $(text token)")
    registration=$(text registration_token)
}

free_port() {
    local port
    for port in $(seq $((20000 + $$ % 10000)) 31000); do
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
    fail "no free port"
}

own=
if [[ -z "${BASE_URL:-}" ]]; then
    own=yes
    bin=${BIN_DIR:-${CARGO_TARGET_DIR:-$root/target}/debug}
    [[ -x "$bin/minitowerd" && -x "$bin/minitower-runner" ]] || fail "the programs are not built: run 'make build'"
    port=$(free_port)
    BASE_URL=http://127.0.0.1:$port
    MINITOWER_BOOTSTRAP_TOKEN=smoke-bootstrap TEAM_TOKEN=
    step "starting a server at $BASE_URL"
    env MINITOWER_LISTEN_ADDR="127.0.0.1:$port" MINITOWER_DB_PATH="$work/minitower.db" \
        MINITOWER_LEASE_TTL=6s MINITOWER_OBJECTS_DIR="$work/objects" MINITOWER_BOOTSTRAP_TOKEN="$MINITOWER_BOOTSTRAP_TOKEN" \
        "$bin/minitowerd" >"$work/minitowerd.log" 2>&1 &
    processes+=($!)
fi
[[ -n "${TEAM_TOKEN:-}${MINITOWER_BOOTSTRAP_TOKEN:-}" ]] || fail "set MINITOWER_BOOTSTRAP_TOKEN to the bootstrap token of $BASE_URL, or TEAM_TOKEN to a team's"
until_true 30 "$BASE_URL is ready" is_ready

if [[ -z "${TEAM_TOKEN:-}" ]]; then
    step "health"
    call GET /health 200
    grep -q '"status":"ok"' "$work/answer" || fail "unexpected health: $(cat "$work/answer")"
    call GET /version 200
fi
call GET /api/v1/me 401

if [[ -n "${TEAM_TOKEN:-}" ]]; then
    team=(-H "Authorization: Bearer $TEAM_TOKEN")
else
    bootstrap
fi
call GET /api/v1/me 200 "${team[@]}"

if [[ -n "$own" ]]; then
    step "starting a runner"
    env MINITOWER_SERVER_URL="$BASE_URL" MINITOWER_RUNNER_NAME=smoke-runner MINITOWER_DATA_DIR="$work/runner" \
        MINITOWER_REGISTRATION_TOKEN="$registration" MINITOWER_KILL_GRACE_PERIOD=1s \
        "$bin/minitower-runner" >"$work/runner.log" 2>&1 &
    processes+=($!)
fi

step "app and version"
app=smoke-$(date +%s)-$((RANDOM % 1000))
call POST /api/v1/apps 201 "${team[@]}" -d "{\"slug\":\"$app\"}"
mkdir "$work/artifact"
cat >"$work/artifact/main.py" <<'PY'
import os, time

print("hello,", os.environ["name"], flush=True)
if os.environ["name"] == "forever":
    time.sleep(600)
PY
tar -czf "$work/job.tar.gz" -C "$work/artifact" .
call POST "/api/v1/apps/$app/versions" 201 "${team[@]}" -F "artifact=@$work/job.tar.gz" -F entrypoint=main.py
[[ "$(number version_no)" == 1 ]] || fail "the first version is not number 1: $(cat "$work/answer")"

step "a run to its end"
call POST "/api/v1/apps/$app/runs" 201 "${team[@]}" -d '{"input":{"name":"smoke"}}'
run=$(number run_id)
until_true 60 "run $run completes" has_status "$run" completed
call GET "/api/v1/runs/$run/logs" 200 "${team[@]}"
grep -q 'hello, smoke' "$work/answer" || fail "the log does not contain the line: $(cat "$work/answer")"

step "a run that is cancelled"
call POST "/api/v1/apps/$app/runs" 201 "${team[@]}" -d '{"input":{"name":"forever"}}'
run=$(number run_id)
until_true 60 "run $run is running" has_status "$run" running
call POST "/api/v1/runs/$run/cancel" 200 "${team[@]}"
until_true 60 "run $run is cancelled" has_status "$run" cancelled

step "lists"
call GET /api/v1/runs/summary 200 "${team[@]}"
call GET "/api/v1/runs?app=$app" 200 "${team[@]}"
[[ "$(grep -o '"run_id":' "$work/answer" | wc -l)" == 2 ]] || fail "expected two runs: $(cat "$work/answer")"
if [[ -z "${TEAM_TOKEN:-}" ]]; then
    step "metrics"
    call GET /metrics 200
    grep -q '^minitower_http_requests_total' "$work/answer" || fail "the metrics do not contain the requests"
fi

step "passed"

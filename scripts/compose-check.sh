#!/usr/bin/env bash
# Checks docker-compose.yml, with and without docker-compose.local.yml: Compose understands it, every port is open to the local machine
# only, what is mounted exists, and Prometheus scrapes services that exist. Needs Compose but no daemon.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# tests/cluster/tools builds one where none is installed.
PATH+=:${MINITOWER_CLUSTER_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/minitower-cluster}/bin/tools
if docker compose version >/dev/null 2>&1; then
    compose=(docker compose)
elif command -v docker-compose >/dev/null && [[ $(docker-compose version --short 2>/dev/null) == [2-9]* ]]; then
    compose=(docker-compose)
else
    echo "compose-check: skipped: Compose v2 is not installed"
    exit
fi

rules=$(
    cat <<'PY'
import json, os, re, sys

config, wrong = json.load(sys.stdin), []
services = config["services"]
for name, service in services.items():
    for port in service.get("ports", []):
        if port.get("host_ip") != "127.0.0.1":
            wrong.append(f"{name}: port {port.get('published')} is open to more than this machine")
    for volume in service.get("volumes", []):
        if volume["type"] == "bind" and not os.path.exists(volume["source"]):
            wrong.append(f"{name}: {volume['source']} is mounted and not there")
    if service.get("pull_policy") == "never" and "build" in service:
        wrong.append(f"{name}: has a ready image, and is built nevertheless")
    if "ALL" not in service.get("cap_drop", []):
        wrong.append(f"{name}: keeps capabilities it does not need")
scraped = re.findall(r"targets: \[([^:\]]+):", open("deploy/prometheus/prometheus.yml").read())
if "minitowerd" not in scraped:
    wrong.append("deploy/prometheus/prometheus.yml: does not scrape minitowerd")
for host in scraped:
    if host != "localhost" and host not in services:
        wrong.append(f"deploy/prometheus/prometheus.yml: scrapes {host}, which is no service")
print(*(f"compose-check: {line}" for line in wrong), sep="\n", end="\n" if wrong else "", file=sys.stderr)
sys.exit(bool(wrong))
PY
)

# check FILE...: as they are without anybody's .env or variables.
check() {
    local file options=()
    for file in "$@"; do options+=(--file "$file"); done
    env -u COMPOSE_FILE -u COMPOSE_PROFILES -u MINITOWER_PUBLISH -u PROMETHEUS_PUBLISH -u GRAFANA_PUBLISH \
        "${compose[@]}" --env-file /dev/null "${options[@]}" --profile '*' config --format json | python3 -c "$rules"
}

check docker-compose.yml
check docker-compose.yml docker-compose.local.yml

#!/usr/bin/env bash
# Checks alerts, their tests, the dashboard and the table of metrics against each other and the sources.
# With --live PROMETHEUS_URL [PROGRAM_URL...] also that every query of the dashboard runs there, and that the programs
# (control plane, operator) export what is documented.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONDONTWRITEBYTECODE=1

prometheus=
scrapes=()
if [[ "${1:-}" == --live ]]; then
    prometheus=${2:?the URL of a running Prometheus}
    for url in "${@:3}"; do scrapes+=(--scrape "$url"); done
elif (($# > 0)); then
    echo "usage: $0 [--live PROMETHEUS_URL [PROGRAM_URL...]]" >&2
    exit 2
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Prints the path of promtool: the machine's, else the one of Debian's package prometheus, unpacked into the cache. Installing the package would start a server.
find_promtool() {
    local cache=${XDG_CACHE_HOME:-$HOME/.cache}/minitower/prometheus
    if command -v promtool; then
        return
    fi
    if [[ ! -x $cache/usr/bin/promtool ]]; then
        command -v apt-get >/dev/null && command -v dpkg >/dev/null || return 1
        echo "observability: fetching promtool" >&2
        (
            cd "$work"
            if ! apt-get download prometheus; then
                apt-get update -q
                apt-get download prometheus
            fi
        ) >"$work/apt.log" 2>&1 || { cat "$work/apt.log" >&2; return 1; }
        mkdir -p "${cache%/*}"
        dpkg -x "$work"/prometheus_*.deb "$work/prometheus"
        # Another process may have been quicker; both have the same.
        mv -T "$work/prometheus" "$cache" 2>/dev/null || [[ -x $cache/usr/bin/promtool ]] || return 1
    fi
    echo "$cache/usr/bin/promtool"
}

deploy/prometheus/check.py "${scrapes[@]}"
deploy/grafana/check.py ${prometheus:+--prometheus "$prometheus"}

if ! tool=$(find_promtool); then
    echo "observability: promtool is not installed and cannot be fetched: the rules' syntax and tests are left out (it comes with Prometheus)" >&2
    # Where nobody looks, what is left out must not pass for checked.
    [[ -z ${CI:-} ]]
    exit
fi

# quiet COMMAND...: says something only when it fails.
quiet() {
    "$@" >"$work/said" 2>&1 || { cat "$work/said" >&2; exit 1; }
}

deploy/grafana/check.py --rules >"$work/dashboard.yaml"
quiet "$tool" check rules charts/minitower/files/alerts.yaml "$work/dashboard.yaml"
quiet "$tool" check config deploy/prometheus/prometheus.yml
# One process each: they need not wait for each other.
tests=(deploy/prometheus/*_test.yaml)
pids=()
for file in "${tests[@]}"; do
    "$tool" test rules "$file" >"$work/${file##*/}.log" 2>&1 &
    pids+=($!)
done
status=0
for number in "${!pids[@]}"; do
    if ! wait "${pids[$number]}"; then
        cat "$work/${tests[$number]##*/}.log" >&2
        status=1
    fi
done
((status == 0)) || exit 1
echo "observability: rules, ${#tests[@]} files of rule tests and the scrape configuration pass"

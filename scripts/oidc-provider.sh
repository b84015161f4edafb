#!/usr/bin/env bash
# Installs the identity provider of the tests (tests/oidc) from the npm registry, once, and prints its program's path. Exits with 3 and the
# reason if it cannot be had.
set -euo pipefail
cd "$(dirname "$0")/../tests/oidc"

if ! command -v node >/dev/null 2>&1 || ! command -v npm >/dev/null 2>&1; then
    echo "Node.js and npm are not installed"
    exit 3
fi
content=$(cat package.json package-lock.json provider.mjs | sha256sum | cut -c1-12)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/minitower
place=$cache/oidc-provider-$content
mkdir -p "$cache"
# Several tests may want it at the same time.
exec 9>"$cache/oidc-provider.lock"
flock 9
if [[ ! -f $place/provider.mjs ]]; then
    rm -rf "$place.new"
    mkdir "$place.new"
    cp package.json package-lock.json provider.mjs "$place.new"
    if ! (cd "$place.new" && npm ci --no-audit --no-fund --ignore-scripts) >"$cache/oidc-provider.log" 2>&1; then
        rm -rf "$place.new"
        echo "oidc-provider cannot be installed from the npm registry: $(tail -n1 "$cache/oidc-provider.log")"
        exit 3
    fi
    rm -rf "$place"
    mv "$place.new" "$place"
fi
echo "$place/provider.mjs"

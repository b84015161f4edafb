#!/usr/bin/env bash
# Fuzzes a real server with schemathesis, from openapi.json, in every role: no 5xx, no undocumented answer.
# Takes about three minutes. Skipped if schemathesis cannot be installed. EXAMPLES sets how much is tried, SEED what is tried, ROLES
# in which roles (public,bootstrap,registration,admin,member,attempt,operator,runner,lease holder).
set -euo pipefail
cd "$(dirname "$0")/.."

wanted=4.32.5
venv=${XDG_CACHE_HOME:-$HOME/.cache}/minitower/schemathesis-$wanted
if [[ ! -x $venv/bin/schemathesis ]]; then
    echo "schemathesis: installing $wanted into $venv"
    rm -rf "$venv"
    if ! { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet "schemathesis==$wanted"; }; then
        rm -rf "$venv"
        echo "SKIPPED schemathesis: version $wanted cannot be installed from the package index"
        exit
    fi
fi
cargo build --quiet --locked --workspace --bins
target=$(cargo metadata --format-version 1 --no-deps --offline | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
exec "$venv/bin/python" proofs/schemathesis/run.py "$target/debug/minitowerd"

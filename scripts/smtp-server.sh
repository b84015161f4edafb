#!/usr/bin/env bash
# Installs the mail server of the tests (aiosmtpd, from PyPI), once, and prints the path of its Python. Exits with 3 and the reason if it
# cannot be had.
set -euo pipefail
version=1.4.6
cache=${XDG_CACHE_HOME:-$HOME/.cache}/minitower
place=$cache/smtp-server-$version
mkdir -p "$cache"
# Several tests may want it at the same time.
exec 9>"$cache/smtp-server.lock"
flock 9
if [[ ! -e $place/ready ]]; then
    rm -rf "$place"
    if ! python3 -m venv "$place" >"$cache/smtp-server.log" 2>&1; then
        echo "python3 makes no virtual environment: $(tail -n1 "$cache/smtp-server.log")"
        exit 3
    fi
    if ! "$place/bin/pip" install --quiet "aiosmtpd==$version" >"$cache/smtp-server.log" 2>&1; then
        echo "aiosmtpd cannot be installed from the package index: $(tail -n1 "$cache/smtp-server.log")"
        exit 3
    fi
    touch "$place/ready"
fi
echo "$place/bin/python"

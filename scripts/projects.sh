#!/usr/bin/env bash
# Deploys real Python projects of different shapes, as their authors publish them, to a fresh `minitower dev`, and runs each once. Prints a
# table and a count; exits with the number of those that failed. Usage: projects.sh [NAME…]. Needs pip, the package index and
# curl.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=${BIN:-target/debug}
[[ "$bin" = /* ]] || bin="$PWD/$bin"
[[ -x "$bin/minitower" ]] || { echo "projects: $bin/minitower is missing; run make build" >&2; exit 2; }

# Name==version of a source distribution, its shape, and what starts: a module, or a statement after `-c`.
projects='
httpx==0.28.1|hatch, flat|-c import httpx; print(httpx.__version__)
pip-tools==7.4.1|setuptools, pyproject, flat|-m piptools --help
black==24.10.0|hatch, src, dynamic version|-m black --help
flit==3.10.1|flit, flat|-m flit --help
flit_core==3.10.1|flit, builds itself|-c import flit_core; print(flit_core.__version__)
tomli==2.2.1|flit, src|-c import tomli; print(tomli.loads("a = 1"))
packaging==24.2|flit, src|-m packaging.tags
click==8.1.8|flit, src|-c import click; print(click.__version__)
requests==2.32.3|setuptools, setup.py, src|-m requests.help
six==1.17.0|setup.py, one module|-c import six; print(six.__version__)
docopt==0.6.2|setup.py, no pyproject|-c import docopt; print(docopt.__version__)
tabulate==0.9.0|setuptools, pyproject, flat|-c import tabulate; print(tabulate.__version__)
PyYAML==6.0.2|setuptools, own backend, C extension|-c import yaml; print(yaml.safe_load("a: 1"))
MarkupSafe==3.0.2|setuptools, src, C extension|-c import markupsafe; print(markupsafe.escape("<"))
simplejson==3.19.3|setup.py, C extension|-c import simplejson; print(simplejson.loads("[1]"))
wrapt==1.17.2|setuptools, src, C extension|-c import wrapt; print(wrapt.__version__)
poetry==2.0.1|poetry-core, [project], src|-m poetry --version
hatchling==1.27.0|hatch, src, builds itself|-m hatchling --help
pastel==0.2.1|poetry, setup.py beside|-c import pastel; print(pastel.__version__)
poetry_core==2.0.1|poetry-core, [project], src|-c import poetry.core; print(poetry.core.__version__)
pdm_backend==2.4.3|pdm, builds itself, src|-c import pdm.backend; print("pdm")
findpython==0.6.2|pdm, src|-m findpython --help
pygments==2.19.1|hatch, flat|-m pygments -h
jaraco.text==4.0.0|setuptools, namespace package|-c import jaraco.text; print("jaraco")
zope.interface==7.2|setuptools, src, namespace, C extension|-c import zope.interface; print("zope")
attrs==24.3.0|hatch, src|-c import attr; print(attr.__version__)
build==1.2.2.post1|flit, src, main module|-m build --help
virtualenv==20.28.1|hatch, src, version from git|-m virtualenv --help
yamllint==1.35.1|setuptools, flat, dependencies|-m yamllint --help
pyflakes==3.2.0|setup.py, flat|-m pyflakes --help
'

folder=$(mktemp -d)
server=
# shellcheck disable=SC2317 # The trap calls it.
tidy() {
    [[ -z "$server" ]] || { kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; }
    chmod -R u+w "$folder" 2>/dev/null || true
    rm -rf "$folder"
}
trap tidy EXIT

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export MINITOWER_CLI_CONFIG="$folder/cli.json" MINITOWER_SERVER_URL="http://127.0.0.1:$port"
unset MINITOWER_API_TOKEN
mkdir "$folder/home"
HOME="$folder/home" "$bin/minitower" dev --listen "127.0.0.1:$port" --data-dir "$folder/data" >"$folder/dev.log" 2>&1 &
server=$!
for _ in $(seq 300); do
    curl --silent --fail --output /dev/null "$MINITOWER_SERVER_URL/ready" && grep --quiet mtk_ "$MINITOWER_CLI_CONFIG" 2>/dev/null && break
    kill -0 "$server" 2>/dev/null || { cat "$folder/dev.log" >&2; exit 2; }
    sleep 0.1
done

# Unpacks the source distribution $1 into $2.
fetch() {
    mkdir "$2.sdist" "$2.all"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --no-binary "${1%%==*}" \
        --dest "$2.sdist" "$1" || return
    tar -xzf "$2.sdist"/*.tar.gz -C "$2.all"
    mv "$2.all"/* "$2"
}

# The project $1 starts as $2: a script runs the module in the environment, so that this works with every version of the Towerfile.
towerfile() {
    python3 - "$1" "$2" <<'PYTHON'
import os, sys
project, start = sys.argv[1:]
kind, _, rest = start.partition(" ")
words = ["-c", rest] if kind == "-c" else start.split()
code = f"import subprocess, sys\nsys.exit(subprocess.call([sys.executable, '-P', *{words!r}] if sys.version_info >= (3, 11) else [sys.executable, *{words!r}], cwd='/', env={{n: v for n, v in __import__('os').environ.items() if n != 'PYTHONPATH'}}))\n"
# A folder that setuptools never takes for a package.
os.makedirs(project + "/scripts", exist_ok=True)
open(project + "/scripts/minitower_job.py", "w").write(code)
slug = "project-" + os.path.basename(project).lower().replace(".", "-").replace("_", "-")
open(project + "/Towerfile", "w").write(f'[app]\nname = "{slug}"\nscript = "scripts/minitower_job.py"\n[app.timeout]\nseconds = 600\n')
print(slug)
PYTHON
}

total=0 failed=0
printf '%-26s %-42s %s\n' project shape outcome
while IFS='|' read -r wanted shape start; do
    [[ -n "$wanted" ]] || continue
    name=${wanted%%==*}
    [[ $# -eq 0 || " $* " == *" $name "* ]] || continue
    total=$((total + 1))
    outcome=ok
    if ! fetch "$wanted" "$folder/$name" 2>"$folder/error"; then
        outcome="not fetched: $(tail -1 "$folder/error")"
    else
        slug=$(towerfile "$folder/$name" "$start")
        if ! "$bin/minitower" deploy --dir "$folder/$name" >"$folder/error" 2>&1; then
            outcome="deploy: $(tail -1 "$folder/error")"
        elif ! "$bin/minitower" --json runs create "$slug" --wait >"$folder/run.json" 2>"$folder/error"; then
            run=$(grep --only-matching '"run_id": *[0-9]*' "$folder/run.json" "$folder/error" | head -1 | grep --only-matching '[0-9]*$')
            outcome="run: $("$bin/minitower" runs logs "$run" 2>&1 | grep -v '^$' | tail -4 | tr '\n' ' ')"
        fi
    fi
    [[ "$outcome" = ok ]] || failed=$((failed + 1))
    printf '%-26s %-42s %s\n' "$wanted" "$shape" "$outcome"
done <<<"$projects"
echo "projects: $((total - failed)) of $total"
exit "$failed"

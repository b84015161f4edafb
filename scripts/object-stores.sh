#!/usr/bin/env bash
# Installs the object stores that the tests use, from package registries, and prints the folder they are in:
#   versitygw  S3, over a folder (Go)
#   azurite    Azure Blob Storage (npm)
#   moto       S3 without credentials, for the client of Google Cloud Storage: its XML API is that of S3 (PyPI)
# What cannot be had is left out, with a word about it: the tests that need it are skipped.
set -uo pipefail

VERSITYGW=v1.8.0
AZURITE=3.37.0
MOTO=5.2.5

folder=${MINITOWER_STORES_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/minitower-stores}
mkdir -p "$folder"

go_program() { # go_program NAME MODULE VERSION
    local name=$1 module=$2 version=$3
    [[ -x $folder/$name && $(cat "$folder/$name.version" 2>/dev/null) == "$version" ]] && return
    if ! command -v go >/dev/null 2>&1; then
        echo "setup: skipped $name: Go is not installed" >&2
        return
    fi
    echo "setup: building $name (takes some minutes)" >&2
    if GOBIN=$folder GOFLAGS=-mod=mod go install "$module@$version" >"$folder/$name.log" 2>&1; then
        echo "$version" >"$folder/$name.version"
    else
        echo "setup: skipped $name: 'go install $module@$version' failed, see $folder/$name.log" >&2
    fi
}

node_program() { # node_program NAME VERSION
    local name=$1 version=$2
    [[ -x $folder/node_modules/.bin/$name && $(cat "$folder/$name.version" 2>/dev/null) == "$version" ]] && return
    if ! command -v npm >/dev/null 2>&1; then
        echo "setup: skipped $name: npm is not installed" >&2
        return
    fi
    echo "setup: installing $name" >&2
    if npm install --prefix "$folder" --no-fund --no-audit --no-save "$name@$version" >"$folder/$name.log" 2>&1; then
        echo "$version" >"$folder/$name.version"
    else
        echo "setup: skipped $name: 'npm install $name@$version' failed, see $folder/$name.log" >&2
    fi
}

python_program() { # python_program NAME PACKAGE VERSION
    local name=$1 package=$2 version=$3
    [[ -x $folder/$name/bin/python && $(cat "$folder/$name.version" 2>/dev/null) == "$version" ]] && return
    if ! command -v python3 >/dev/null 2>&1; then
        echo "setup: skipped $name: python3 is not installed" >&2
        return
    fi
    echo "setup: installing $name" >&2
    if { python3 -m venv --clear "$folder/$name" && "$folder/$name/bin/pip" install --quiet "$package==$version"; } \
        >"$folder/$name.log" 2>&1; then
        echo "$version" >"$folder/$name.version"
    else
        echo "setup: skipped $name: 'pip install $package==$version' failed, see $folder/$name.log" >&2
    fi
}

go_program versitygw github.com/versity/versitygw/cmd/versitygw "$VERSITYGW"
node_program azurite "$AZURITE"
python_program moto "moto[s3,server]" "$MOTO"
echo "$folder"

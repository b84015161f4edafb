#!/usr/bin/env bash
# Installs what the build and the tests need and the machine does not have. Prints nothing if nothing is missing.
# With --check also installs the optional tools of `make check`, with --proofs those of `make proofs`.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=()
unmet=()

need() { # need COMMAND DEBIAN_PACKAGE
    command -v "$1" >/dev/null 2>&1 || packages+=("$2")
}

need cc gcc
need curl curl
need tar tar
need setpriv util-linux
need python3 python3
if ! python3 -c 'import ensurepip, venv' >/dev/null 2>&1; then
    packages+=(python3-venv)
fi
if [[ "${1:-}" == "--check" ]]; then
    need shellcheck shellcheck
fi

if ((${#packages[@]} > 0)); then
    sudo=()
    if [[ "$(id -u)" != 0 ]]; then
        if command -v sudo >/dev/null 2>&1 && sudo -n true >/dev/null 2>&1; then
            sudo=(sudo -n)
        else
            sudo=(false)
        fi
    fi
    install=(apt-get install -y --no-install-recommends "${packages[@]}")
    if ! command -v apt-get >/dev/null 2>&1; then
        unmet+=("packages ${packages[*]}: this is not Debian; install the equivalent with your package manager")
    elif [[ "${sudo[*]}" == false ]]; then
        unmet+=("packages ${packages[*]}: run 'sudo ${install[*]}'")
    else
        echo "setup: installing ${packages[*]}"
        if ! { "${sudo[@]}" apt-get update -q && DEBIAN_FRONTEND=noninteractive "${sudo[@]}" "${install[@]}"; } >/dev/null; then
            unmet+=("packages ${packages[*]}: '${install[*]}' failed")
        fi
    fi
fi

# The toolchain must be as new as the workspace says.
wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
if ! command -v cargo >/dev/null 2>&1; then
    unmet+=("Rust $wanted or newer: install it with rustup, see https://rustup.rs")
else
    found=$(cargo --version | cut -d' ' -f2)
    if [[ "$(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n1)" != "$wanted" ]]; then
        unmet+=("Rust $wanted or newer: this is $found; run 'rustup update'")
    else
        for component in rustfmt clippy; do
            if ! cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1; then
                echo "setup: adding the Rust component $component"
                rustup component add "$component" >/dev/null 2>&1 || unmet+=("$component: run 'rustup component add $component'")
            fi
        done
    fi
fi

if [[ "${1:-}" == "--check" ]] && ! cargo deny --version >/dev/null 2>&1; then
    echo "setup: building cargo-deny (takes some minutes)"
    cargo install --locked --quiet cargo-deny || unmet+=("cargo-deny: 'cargo install --locked cargo-deny' failed")
fi

if [[ "${1:-}" == "--proofs" ]] && ! cargo mutants --version >/dev/null 2>&1; then
    echo "setup: building cargo-mutants (takes some minutes)"
    cargo install --locked --quiet cargo-mutants || echo "setup: skipped: 'cargo install --locked cargo-mutants' failed"
fi

if [[ "${1:-}" == "--proofs" ]]; then
    # Says itself what it has to leave out.
    scripts/object-stores.sh >/dev/null
fi

if ((${#unmet[@]} > 0)); then
    printf 'setup: missing: %s\n' "${unmet[@]}" >&2
    exit 1
fi

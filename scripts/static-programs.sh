#!/usr/bin/env bash
# static-programs.sh FOLDER: builds the release's programs as the images hold them, into FOLDER. Statically linked, so that they run
# where there is nothing else; and without a path of the machine that built them, so that the same commit and the same Rust give the
# same bytes anywhere.
#   MINITOWER_COMMIT   what they say they were built from (default: git's HEAD, where there is a git)
#   CARGO_TARGET_DIR   where cargo works (default: target)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

die() {
    echo "static-programs: $*" >&2
    exit 1
}

folder=${1:-}
[[ -n $folder && $# == 1 ]] || die "one argument: the folder for the programs"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
cargo_home=${CARGO_HOME:-$HOME/.cargo}
triple=$(rustc -vV | sed -n 's/^host: //p')
# glibc and not musl, whose allocator is slow with threads: docs/adr/0012-static-programs-on-glibc.md
[[ $triple == *-linux-gnu ]] || die "the machine's Rust builds for $triple: it must be a Linux with glibc"

if [[ -z ${MINITOWER_COMMIT:-} ]]; then
    MINITOWER_COMMIT=$(git describe --always --dirty --abbrev=40 --match= 2>/dev/null || true)
fi
if [[ -n $MINITOWER_COMMIT ]]; then
    export MINITOWER_COMMIT
else
    unset MINITOWER_COMMIT # an empty one would be what the programs say
fi

mkdir -p "$CARGO_TARGET_DIR/static-objects"
cc -O2 -Wall -Werror -c scripts/static-names.c -o "$CARGO_TARGET_DIR/static-objects/minitower-names.o"
# By its name alone, for a path would be another on each machine.
export LIBRARY_PATH="$CARGO_TARGET_DIR/static-objects${LIBRARY_PATH:+:$LIBRARY_PATH}"

# Sources of panics name their files: the crates' folder depends on the registry they came from, and is known once they are there.
cargo fetch --quiet --locked --target "$triple"
flags=(-C target-feature=+crt-static -C link-arg=-l:minitower-names.o "--remap-path-prefix=$PWD=/minitower" "--remap-path-prefix=$CARGO_TARGET_DIR=/target")
for crates in "$cargo_home"/registry/src/*/; do
    flags+=("--remap-path-prefix=${crates%/}=/crates")
done
# The encoded form goes before every other place of flags, and allows for blanks in paths.
CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f' && echo "${flags[*]}")
export CARGO_ENCODED_RUSTFLAGS
# The same for what is written in C.
export CFLAGS="${CFLAGS:-} -ffile-prefix-map=$CARGO_TARGET_DIR=/target -ffile-prefix-map=$cargo_home=/cargo"

# With --target, the flags are not for build scripts and procedural macros, which cannot be static. All programs at once, for the
# features of a crate depend on who is built beside it.
cargo build --release --locked --target "$triple" -p minitowerd -p minitower-operator -p minitower-runner -p minitower-cli \
    --bin minitowerd --bin minitower-operator --bin minitower-runner --bin minitower
mkdir -p "$folder"
for program in minitowerd minitower-operator minitower-runner minitower; do
    built=$CARGO_TARGET_DIR/$triple/release/$program
    [[ $(LC_ALL=C readelf --program-headers --dynamic "$built") != *@(INTERP|NEEDED)* ]] || die "$built is not static"
    if found=$(LC_ALL=C grep --text --only-matching --max-count=1 --fixed-strings -e "$cargo_home/" -e "$CARGO_TARGET_DIR/" "$built"); then
        die "$built holds a path of this machine: $found"
    fi
    # Unchanged programs keep their time, and with it what was made from them.
    cmp --silent "$built" "$folder/$program" || install -m 0755 "$built" "$folder/$program"
done

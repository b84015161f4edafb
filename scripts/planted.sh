#!/usr/bin/env bash
# Proves the checks. proofs/bugs/*.patch put deliberate bugs into a copy of the source tree, which is built once; then the check that has
# to catch a bug runs with that bug, for each of them, and has to fail.
#   planted.sh [BUG…]     builds the copy and runs the checks, or those of these bugs only
#   planted.sh --check    asserts that every patch applies to the sources as they are
#   planted.sh --renew    rewrites the patches for the sources as they are, by a three-way merge
#   planted.sh --record   rewrites the patches from target/planted/edit, after conflicts were resolved or a bug was added there
# The copy is in target/planted/tree. See proofs/bugs/README.md.
set -euo pipefail
cd "$(dirname "$0")/.."

root=$PWD
work=${CARGO_TARGET_DIR:-target}
[[ $work = /* ]] || work=$root/$work
seed=$work/debug
work=$work/planted
patches=("$root"/proofs/bugs/*.patch)

# In a folder of its own: inside another repository, git would look for the files there.
apply() { # apply FOLDER PATCH [OPTION…]
    GIT_CEILING_DIRECTORIES=$(dirname "$1") git -C "$1" apply "${@:3}" "$2"
}

# The sources as they are on the disk, committed or not.
export_to() { # export_to FOLDER
    rm -rf "$1"
    mkdir -p "$1"
    git ls-files -z --cached --others --exclude-standard --deduplicate |
        while IFS= read -r -d '' file; do [[ -e $file || -L $file ]] && printf '%s\0' "$file"; done |
        tar --create --null --files-from=- | tar --extract --directory "$1"
}

# Applies all patches to FOLDER, and names each one that does not apply.
apply_all() { # apply_all FOLDER [OPTION…]
    local patch failed=0
    for patch in "${patches[@]}"; do
        if ! apply "$1" "$patch" "${@:2}"; then
            echo "planted: proofs/bugs/${patch##*/} no longer applies: run scripts/planted.sh --renew" >&2
            failed=1
        fi
    done
    return "$failed"
}

# The crates whose sources the patches touch need the crate with the switches; the rules are compiled once more by themselves.
add_dependency() { # add_dependency FOLDER
    local patch file folder manifests=(proofs/rules/Cargo.toml)
    for patch in "${patches[@]}"; do
        file=$(sed -n 's#^+++ b/##p' "$patch")
        folder=$(dirname "$file")
        until [[ -e $1/$folder/Cargo.toml ]]; do folder=$(dirname "$folder"); done
        manifests+=("$folder/Cargo.toml")
    done
    printf '%s\n' "${manifests[@]}" | sort -u | while read -r file; do
        sed -i '/^\[dependencies\]$/a minitower-planted = { workspace = true }' "$1/$file"
    done
}

# A file that is as it was keeps its time, so that cargo builds only what has changed.
update() { # update FROM TO
    local line file
    mkdir -p "$2"
    { LC_ALL=C diff --recursive --brief --no-dereference "$1" "$2" || true; } | while IFS= read -r line; do
        case $line in
            "Only in $2"*)
                line=${line#Only in }
                file=${line%%: *}/${line#*: }
                [[ $file == "$2/Cargo.lock" ]] || rm -rf "$file"
                ;;
            "Only in $1"*)
                line=${line#Only in }
                file=${line%%: *}/${line#*: }
                cp -r --no-dereference "$file" "$2/${file#"$1"/}"
                find "$2/${file#"$1"/}" -exec touch --no-dereference {} +
                ;;
            "Files "*)
                file=${line#Files "$1"/}
                file=${file%% and "$2"/*}
                cp "$1/$file" "$2/$file"
                ;;
        esac
    done
}

check() {
    local status=0
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    export_to "$scratch/tree"
    apply_all "$scratch/tree" || status=1
    ((status)) || echo "planted: ${#patches[@]} patches apply"
    return "$status"
}

run() {
    local tree=$work/tree next=$work/next target=$work/target
    export_to "$next"
    apply_all "$next"
    add_dependency "$next"
    update "$next" "$tree"
    rm -rf "$next"
    # What is not ours is the same in both builds.
    if [[ ! -d $target && -d $seed ]]; then
        mkdir -p "$target/debug"
        cp -al "$seed"/{.fingerprint,build,deps} "$target/debug/"
        rm -rf "$target"/debug/{.fingerprint,build,deps}/{lib,}minitower*
    fi
    cd "$tree"
    echo "planted: building the programs with the bugs"
    export CARGO_TARGET_DIR=$target MINITOWER_BIN_DIR=$target/debug
    cargo build --workspace --bins --quiet
    MINITOWER_PLANTED=1 cargo test --workspace --locked --quiet --test planted -- --nocapture
}

renew() {
    local edit=$work/edit objects
    objects=$(realpath "$(git rev-parse --git-path objects)")
    export_to "$edit"
    git -C "$edit" init --quiet
    # What the patches were made for is in the history.
    echo "$objects" >"$edit/.git/objects/info/alternates"
    git -C "$edit" add --all --force
    git -C "$edit" -c user.name=planted -c user.email=planted@localhost commit --quiet --message base
    if apply_all "$edit" --3way; then
        record
    else
        echo "planted: resolve the conflicts in $edit, then run scripts/planted.sh --record" >&2
        return 1
    fi
}

record() {
    local edit=$work/edit file name
    if git -C "$edit" grep -n -e '^<<<<<<< ' -- '*.rs'; then
        echo "planted: there are conflicts left" >&2
        return 1
    fi
    rm -f "$root"/proofs/bugs/*.patch
    git -C "$edit" add --all
    git -C "$edit" diff --cached --name-only | while read -r file; do
        name=${file%.rs}
        name=${name//\/src\//\/}
        name=${name%/mod}
        git -C "$edit" diff --cached --full-index --unified=2 --no-renames --src-prefix=a/ --dst-prefix=b/ -- "$file" \
            >"$root/proofs/bugs/${name//\//-}.patch"
    done
    patches=("$root"/proofs/bugs/*.patch)
    echo "planted: ${#patches[@]} patches written"
}

case ${1:-} in
    '' | [a-z0-9]*) MINITOWER_PLANTED_ONLY=$* run ;;
    --check) check ;;
    --renew) renew ;;
    --record) record ;;
    *)
        sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
esac

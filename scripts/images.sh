#!/usr/bin/env bash
# images.sh [--no-build] [NAME...]: makes the images minitowerd, minitower-operator, minitower-runner and minitower (or the named
# ones) without a registry, from the Dockerfile that releases use and the programs built here, and loads them into the local cluster
# when it runs. Image NAME becomes docker.io/minitower/NAME:dev, and ghcr.io/minitower/NAME:VERSION as the chart names it. What has
# not changed is neither made nor loaded again.
#   PROFILE=dev       (default) the programs as the tests build them, on Debian
#   PROFILE=release   the programs as in releases: static, in scratch images; prints each image's size, and fails if one is too large
set -eEuo pipefail
# shellcheck source=tests/cluster/lib/common.sh disable=SC1091
source "$(dirname "${BASH_SOURCE[0]}")/../tests/cluster/lib/common.sh"
cd "$HERE/../.."

programs=(minitowerd minitower-operator minitower-runner minitower)
declare -A package_of=([minitower]=minitower-cli)
# What an image may weigh compressed, in MB (10^6 bytes), as a registry transfers it.
declare -A most_of=([minitowerd]=25 [minitower-operator]=25 [minitower]=25 [minitower-runner]=80)
case ${PROFILE:=dev} in
    dev) folder=${CARGO_TARGET_DIR:-target}/debug server_image=docker.io/library/debian:bookworm-slim ;;
    release) folder=${CARGO_TARGET_DIR:-target}/static server_image=scratch ;;
    *) die "PROFILE=$PROFILE: it must be dev or release" ;;
esac
build=yes
if [[ ${1:-} == --no-build ]]; then
    build=no
    shift
fi
names=("$@")
((${#names[@]})) || names=("${programs[@]}")
for name in "${names[@]}"; do
    [[ " ${programs[*]} " == *" $name "* ]] || die "$name is not an image; choose from: ${programs[*]}"
done
need_root

compile() {
    local packages=()
    if [[ $PROFILE == release ]]; then
        scripts/static-programs.sh "$folder"
    else
        for name in "${names[@]}"; do packages+=(-p "${package_of[$name]:-$name}"); done
        cargo build --locked --bins "${packages[@]}"
    fi
}

# No namespaces or cgroups of its own, so that it also works inside a container; and no overlay on top of an overlay.
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=overlay CONTAINERS_REGISTRIES_CONF=$STATE/buildah/registries.conf
image_tool() { buildah --root "$STATE/buildah/root" --runroot "$STATE/buildah/run" "$@"; }

prepare_buildah() {
    packages buildah=buildah strip=binutils
    mkdir -p "$STATE/buildah"
    [[ $(stat -fc %T "$STATE/buildah") != overlayfs ]] || export STORAGE_DRIVER=vfs
    # Names are looked up nowhere: the base images are there already.
    printf 'unqualified-search-registries = ["docker.io"]\nshort-name-mode = "permissive"\n' >"$CONTAINERS_REGISTRIES_CONF"
    local archive mark
    for archive in "$IMAGES"/{debian,python}.tar; do
        mark=$STATE/buildah/${archive##*/}.loaded
        [[ ! $mark -nt $archive ]] || continue
        image_tool pull --quiet "docker-archive:$archive" >/dev/null
        touch "$mark"
    done
}

# name_also ARCHIVE NAME SECOND: buildah writes one name into an archive.
name_also() {
    local unpacked=$scratch/unpacked
    mkdir "$unpacked"
    tar --extract --file "$1" --directory "$unpacked"
    sed -i "s|\"$2\"|\"$2\",\"$3\"|" "$unpacked/manifest.json"
    (cd "$unpacked" && tar --create --sort=name --owner=0 --group=0 --mtime=@0 --file - -- *) >"$1"
    rm -r "$unpacked"
}

# make_image NAME: from the stripped program in a folder of its own, which is the whole build context.
make_image() {
    local name=$1 context=$scratch/$1 archive=$IMAGES/$1.tar reference=docker.io/minitower/$1:dev recipe option options=() version
    [[ -x $folder/$name ]] || die "$folder/$name is not there: build it first, or leave --no-build out"
    mkdir "$context"
    strip -o "$context/$name" "$folder/$name"
    recipe=$(cat Dockerfile "$context/$name" "${BASH_SOURCE[0]}" <(echo "$PROFILE") <(stat -Lc %Y-%s "$IMAGES"/{debian,python}.tar) | sha256sum)
    if [[ -f $archive && $(cat "$IMAGES/$name.recipe" 2>/dev/null) == "$recipe" ]]; then
        echo "$reference: unchanged"
        return
    fi
    version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
    for option in PROGRAMS=built "SERVER_IMAGE=$server_image" PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm \
        "VERSION=$version" "REVISION=$(git describe --always --dirty --abbrev=40 2>/dev/null || true)" \
        ${PIP_INDEX_URL:+"PIP_INDEX_URL=$PIP_INDEX_URL"}; do
        options+=(--build-arg "$option")
    done
    # The time of the commit and not of the clock, so that the same commit gives the same image.
    image_tool bud --file Dockerfile --target "$name" "${options[@]}" --timestamp "$(git log -1 --format=%ct 2>/dev/null || echo 0)" \
        --pull-never --layers --quiet --tag "$reference" "$context" >/dev/null
    rm -f "$archive.part"
    image_tool push --quiet "$reference" "docker-archive:$archive.part:$reference"
    name_also "$archive.part" "$reference" "ghcr.io/minitower/$name:$version"
    mv "$archive.part" "$archive"
    echo "$recipe" >"$IMAGES/$name.recipe"
}

# weigh NAME: the archive holds the layers as they are, a registry has each compressed by gzip.
weigh() {
    local name=$1 archive=$IMAGES/$1.tar bytes
    if [[ $IMAGES/$name.weight -nt $archive ]]; then
        bytes=$(<"$IMAGES/$name.weight")
    else
        bytes=$(nice gzip --stdout "$archive" | wc --bytes)
        echo "$bytes" >"$IMAGES/$name.weight"
    fi
    printf '%-20s %5d.%d MB compressed, %d at most\n' "$name" $((bytes / 1000000)) $((bytes / 100000 % 10)) "${most_of[$name]}"
    ((bytes <= most_of[$name] * 1000000)) || too_heavy+=("$name")
}

# The cluster keeps a link of what it has loaded.
load_images() {
    local name archives=()
    for name in "${names[@]}"; do
        [[ $RUN/loaded/$name.tar -ef $IMAGES/$name.tar ]] || archives+=("$IMAGES/$name.tar")
    done
    ((${#archives[@]} == 0)) || "$HERE/cluster" load "${archives[@]}"
}

if [[ $build == yes ]]; then step "programs ($PROFILE)" compile; fi
"$HERE/base-images"
lock "$IMAGES"
step "buildah" prepare_buildah
scratch=$(mktemp -d)
trap 'rm -r "$scratch"; unmount_below "$STATE/buildah"' EXIT # buildah leaves mounts of images that stages copied from
made=0
for name in "${names[@]}"; do
    made=$((made + 1))
    step "image $made of ${#names[@]}: $name" make_image "$name"
done
if [[ $PROFILE == release ]]; then
    too_heavy=()
    for name in "${names[@]}"; do weigh "$name"; done
    ((${#too_heavy[@]} == 0)) || die "too large: ${too_heavy[*]}; see what takes the space with 'tar --list --verbose' on the layers of $IMAGES/NAME.tar"
fi
if running kube-apiserver; then load_images; else echo "the cluster is down: nothing loaded"; fi

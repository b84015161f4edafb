# shellcheck shell=bash
# Builds what no Debian package of the needed version has. A program lies in a folder whose name carries the hash of its recipe
# (sources, go.mod, go.sum, flags): a changed recipe is built anew, an unchanged one never.

KUBE_VERSION=$(sed -n 's/^\tk8s.io\/kubernetes v/v/p' "$HERE/go/k8s/go.mod")

# Version strings come from the linker, as in a release: charts and clients ask the server for its version.
program_flags() { # program_flags NAME
    local flags="-s -w" minor=${KUBE_VERSION#v1.}
    local package=k8s.io/component-base/version
    if [[ $1 == k8s ]]; then
        flags+=" -X $package.gitVersion=$KUBE_VERSION -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}"
    fi
    if [[ $1 == docker-compose || $1 == traefik ]]; then flags+=" $(module_flags "$1")"; fi
    echo "$flags"
}

# module_flags NAME: the version of the module whose program a `tool` line in go.mod names.
module_flags() {
    local module variable version
    case $1 in
        docker-compose) module=github.com/docker/compose/v2 variable=internal.Version ;;
        traefik) module=github.com/traefik/traefik/v3 variable=pkg/version.Version ;;
    esac
    version=$(awk -v module="$module" '$1 == module { print $2 }' "$HERE/go/$1/go.mod")
    echo "-X $module/$variable=$version"
}

# package NAME: what to build: our own main.go, or the program of a module, which a `tool` line names.
package() { sed -n 's/^tool //p' "$HERE/go/$1/go.mod" | grep . || echo .; }

program_folder() { # program_folder NAME
    local sum
    sum=$(cd "$HERE/go/$1" && { cat -- *.go 2>/dev/null || true; cat go.mod; cat go.sum 2>/dev/null || true; program_flags "$1"; } | sha256sum | cut -c1-12)
    echo "$BIN/$1-$sum"
}

# program NAME: the path of the built program.
program() { echo "$(program_folder "$1")/$1"; }

# build_once FOLDER NAME TEXT COMMAND...: FOLDER has the program NAME afterwards. COMMAND gets the folder to put it into as its last
# argument. Prints nothing when it is there already; of several processes one builds and the others wait.
build_once() {
    local folder=$1 name=$2 text=$3 lock began=$SECONDS
    shift 3
    [[ -x $folder/$name ]] && return
    command -v go >/dev/null || die "go is not installed: see https://go.dev/dl (1.26 or newer)"
    mkdir -p "$BIN"
    exec {lock}>"$BIN/$name.lock"
    flock -n "$lock" || { echo "waiting for another process that builds $name"; flock "$lock"; }
    if [[ ! -x $folder/$name ]]; then
        echo "building $text (once; minutes on a small machine)"
        rm -rf "$folder.part"
        mkdir -p "$folder.part"
        "$@" "$folder.part" || die "building $name failed: the lines above say why (a Go module proxy must be within reach)"
        mv "$folder.part" "$folder"
        echo "built $name in $((SECONDS - began)) s"
    fi
    exec {lock}>&-
}

build_program() { # build_program NAME
    build_once "$(program_folder "$1")" "$1" "$1" compile_program "$1"
}

compile_program() { # compile_program NAME FOLDER
    (cd "$HERE/go/$1" && CGO_ENABLED=0 nice -n 5 go build -trimpath -ldflags "$(program_flags "$1")" -o "$2/$1" "$(package "$1")")
}

# build_programs NAME...: and kubectl, which is the program k8s under another name.
build_programs() {
    local name
    for name in "$@"; do build_program "$name"; done
    ln -sfn k8s "$(program_folder k8s)/kubectl"
}

# module_source MODULE@VERSION: the folder of its sources, fetched when it is not there.
module_source() {
    local folder
    # Outside of any module of our own, lest one's requirements choose another version.
    folder=$(cd / && go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
    [[ -d $folder ]] || die "$1 cannot be fetched from the Go module proxy"
    echo "$folder"
}

# gateway_version: the custom resources of the Gateway API must be of the version that the ingress controller was built with.
gateway_version() { awk '$1 == "sigs.k8s.io/gateway-api" { print $2 }' "$HERE/go/traefik/go.mod"; }

#!/usr/bin/env bash
# Prints in one line which Kubernetes the end-to-end tests use:
#   kubeconfig PATH   KUBECONFIG is set
#   kind NAME         Docker runs, and kind and its node image are there
#   local             the cluster of tests/cluster, which needs root on Linux and Debian's packages
#   skip: WHY         none of them is available
# E2E_TARGET=kubeconfig, kind or local leaves only that one.
set -euo pipefail
cd "$(dirname "$0")/.."

only=${E2E_TARGET:-}
case $only in
    "" | kubeconfig | kind | local) ;;
    *)
        echo "cluster-target: E2E_TARGET=$only: it must be kubeconfig, kind or local" >&2
        exit 2
        ;;
esac
reasons=()

wanted() { [[ -z $only || $only == "$1" ]]; }

# Each prints its line, or adds to `reasons` why it cannot be had.
kubeconfig() {
    if [[ -z ${KUBECONFIG:-} ]]; then
        reasons+=("KUBECONFIG is not set")
        return 1
    fi
    echo "kubeconfig $KUBECONFIG"
}

kind_cluster() {
    local name image
    name=$(sed -n 's/^name: //p' kind-config.yaml)
    image=$(sed -n 's/^ *image: //p' kind-config.yaml)
    if ! command -v docker >/dev/null || ! timeout 10 docker info >/dev/null 2>&1; then
        reasons+=("Docker does not run")
    elif ! command -v kind >/dev/null; then
        reasons+=("kind is not installed")
    elif ! docker image inspect "$image" >/dev/null 2>&1; then
        reasons+=("the image $image is not there ('docker pull $image')")
    else
        echo "kind $name"
        return
    fi
    return 1
}

local_cluster() {
    if [[ $(uname -s) != Linux ]]; then
        reasons+=("the local cluster needs Linux")
    elif [[ $(id -u) != 0 ]]; then
        reasons+=("the local cluster needs root")
    elif ! command -v go >/dev/null && ! compgen -G "${MINITOWER_CLUSTER_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/minitower-cluster}/bin/k8s-*/k8s" >/dev/null; then
        reasons+=("the local cluster is built with Go, which is not installed")
    elif ! command -v apt-get >/dev/null && ! command -v containerd >/dev/null; then
        reasons+=("the local cluster needs containerd and etcd, and this is no Debian")
    else
        echo local
        return
    fi
    return 1
}

if { wanted kubeconfig && kubeconfig; } || { wanted kind && kind_cluster; } || { wanted local && local_cluster; }; then
    exit
fi
text=$(printf '; %s' "${reasons[@]}")
echo "skip: ${text:2}"

# shellcheck shell=bash
# Command-line tools from Go modules, each in a folder of its own version; $TOOLS links to those of the versions wanted here.

TOOLS=$BIN/tools

# kubeVersion of a chart is held against this version of Kubernetes where no cluster is asked: that of the Helm in use, as in its
# releases (without it Helm 3 believes in 1.20).
HELM_KUBE_MINOR=37

# tool_recipe NAME: "MODULE-OF-THE-PROGRAM VERSION [LINKER FLAGS]"; fails for an unknown name.
tool_recipe() {
    case $1 in
        actionlint) echo "github.com/rhysd/actionlint/cmd/actionlint v1.7.12 -X github.com/rhysd/actionlint.version=1.7.12" ;;
        helm)
            echo "helm.sh/helm/v3/cmd/helm v3.22.0" \
                "-X helm.sh/helm/v3/internal/version.version=v3.22.0" \
                "-X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=$HELM_KUBE_MINOR" \
                "-X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor=$HELM_KUBE_MINOR"
            ;;
        helm4) echo "helm.sh/helm/v4/cmd/helm v4.3.1 -X helm.sh/helm/v4/internal/version.version=v4.3.1" ;;
        helm-docs) echo "github.com/norwoodj/helm-docs/cmd/helm-docs v1.14.2 -X main.version=1.14.2" ;;
        kind) echo "sigs.k8s.io/kind v0.33.0" ;;
        kubeconform) echo "github.com/yannh/kubeconform/cmd/kubeconform v0.8.0 -X main.version=v0.8.0" ;;
        litestream) echo "github.com/benbjohnson/litestream/cmd/litestream v0.5.18 -X main.Version=v0.5.18" ;;
        *) return 1 ;;
    esac
}

# install_tool NAME: prints nothing when it is there already.
install_tool() {
    local name=$1 package version flags folder lock began=$SECONDS
    read -r package version flags < <(tool_recipe "$name")
    folder=$BIN/$name-$version-$(sha256sum <<<"$flags" | cut -c1-6)
    if [[ ! -x $folder/$name ]]; then
        command -v go >/dev/null || die "go is not installed: see https://go.dev/dl (1.26 or newer)"
        mkdir -p "$BIN"
        exec {lock}>"$BIN/$name.lock"
        flock -n "$lock" || { echo "waiting for another process that builds $name"; flock "$lock"; }
        if [[ ! -x $folder/$name ]]; then
            echo "building $name $version (once; minutes on a small machine)"
            rm -rf "$folder.part"
            mkdir -p "$folder.part"
            GOBIN=$folder.part CGO_ENABLED=0 nice -n 5 go install -trimpath -ldflags "-s -w $flags" "$package@$version" ||
                die "building $name failed: the lines above say why (a Go module proxy must be within reach)"
            [[ $name == "${package##*/}" ]] || mv "$folder.part/${package##*/}" "$folder.part/$name"
            mv "$folder.part" "$folder"
            echo "built $name in $((SECONDS - began)) s"
        fi
        exec {lock}>&-
    fi
    link_tool "$name" "$folder"
}

# link_tool NAME FOLDER: replaced in one step, for another process may be using the name just then.
link_tool() {
    mkdir -p "$TOOLS"
    [[ $(readlink "$TOOLS/$1") != "$2/$1" ]] || return 0
    ln -sfn "$2/$1" "$TOOLS/.$1.$$"
    mv -T "$TOOLS/.$1.$$" "$TOOLS/$1"
}

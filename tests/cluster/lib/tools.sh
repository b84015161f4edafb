# shellcheck shell=bash
# Command-line tools from Go modules, built by build.sh, each in a folder of its own version; $TOOLS links to those of the versions wanted here.

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

install_tool() { # install_tool NAME
    local name=$1 package version flags folder
    read -r package version flags < <(tool_recipe "$name")
    folder=$BIN/$name-$version-$(sha256sum <<<"$flags" | cut -c1-6)
    build_once "$folder" "$name" "$name $version" compile_tool "$name" "$package" "$version" "$flags"
    link_tool "$name" "$folder"
}

compile_tool() { # compile_tool NAME PACKAGE VERSION FLAGS FOLDER
    GOBIN=$5 CGO_ENABLED=0 nice -n 5 go install -trimpath -ldflags "-s -w $4" "$2@$3" &&
        { [[ $1 == "${2##*/}" ]] || mv "$5/${2##*/}" "$5/$1"; }
}

# link_tool NAME FOLDER: replaced in one step, for another process may be using the name just then.
link_tool() {
    mkdir -p "$TOOLS"
    [[ $(readlink "$TOOLS/$1") != "$2/$1" ]] || return 0
    ln -sfn "$2/$1" "$TOOLS/.$1.$$"
    mv -T "$TOOLS/.$1.$$" "$TOOLS/$1"
}

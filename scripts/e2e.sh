#!/usr/bin/env bash
# Runs the operator on an API server without nodes (operator/tests/apiserver). Then installs MiniTower on a real Kubernetes, runs the
# scenarios of tests/tests/e2e there, and removes everything again; then the same cluster sees the life of the Helm chart's release
# (tests/tests/chart).
#   The cluster is what scripts/cluster-target.sh says: KUBECONFIG, else kind, else the one of tests/cluster. One that is down is
#   started, and only what was started here is taken down afterwards.
#   PROFILE=release|dev     which build goes into the images (default release)
#   E2E_SHORT=1             as much as fits into twenty minutes on two cores
#   E2E_ONLY=WORD           only the tests whose name begins so: speed::, together::, alone::, chart::, or more of a name
#   E2E_THREADS=N           how many scenarios run beside each other (default 6)
#   E2E_KEEP=1              leave the product, and what failed, on the cluster
# Results, and what helps after a failure, are in target/e2e.
# shellcheck disable=SC2317 # What is called by main alone is taken for unreachable, because finish exits.
set -euo pipefail
cd "$(dirname "$0")/.."

export PROFILE=${PROFILE:-release} E2E_SHORT=${E2E_SHORT:-} E2E_KEEP=${E2E_KEEP:-}
system=minitower-system
images=(minitowerd minitower-operator minitower-runner)
results=${CARGO_TARGET_DIR:-target}/e2e
began=$SECONDS
started='' installed='' failed=0 lines=() extras=()

say() { echo "e2e: $*"; }
die() {
    echo "e2e: $*" >&2
    exit 1
}

# step TEXT COMMAND...: runs it and notes how long it took; its failure is the script's.
step() {
    local text=$1 from=$SECONDS
    shift
    say "$text"
    "$@"
    lines+=("$(printf '%-44s %5d s' "$text" $((SECONDS - from)))")
}

kube() { "$KUBECTL" "$@"; }

# use_cluster: the target's kubeconfig and kubectl, started where it was down.
use_cluster() {
    case $target in
        kubeconfig*)
            KUBECTL=${KUBECTL:-kubectl}
            ;;
        kind*)
            KUBECTL=${KUBECTL:-kubectl}
            if ! kind get clusters 2>/dev/null | grep -qx "${target#kind }"; then
                kind create cluster --config kind-config.yaml --wait 120s
                started=yes
            fi
            KUBECONFIG=$(mktemp)
            kind get kubeconfig --name "${target#kind }" >"$KUBECONFIG"
            ;;
        local)
            if ! tests/cluster/cluster status >/dev/null 2>&1; then
                started=yes
            fi
            tests/cluster/cluster up
            KUBECONFIG=$(tests/cluster/cluster kubeconfig)
            KUBECTL=$(kubectl_of_local)
            ;;
    esac
    export KUBECONFIG KUBECTL
    command -v "$KUBECTL" >/dev/null || die "kubectl is not installed; or say where it is by KUBECTL"
    kube get nodes
}

# shellcheck disable=SC2016 # The inner shell expands it, so that the cluster's variables stay there.
kubectl_of_local() {
    bash -c 'source tests/cluster/lib/common.sh; source tests/cluster/lib/build.sh; echo "$(program_folder k8s)/kubectl"'
}

version_of() { sed -n 's/^appVersion: //p' "$1/Chart.yaml"; } # version_of CHART: the tag of its images

make_images() {
    local image version
    version=$(version_of charts/minitower)
    if [[ $target == kind* ]]; then
        for image in "${images[@]}"; do
            docker build --quiet --target "$image" --tag "docker.io/minitower/$image:dev" .
            docker tag "docker.io/minitower/$image:dev" "ghcr.io/minitower/$image:$version"
            kind load docker-image --name "${target#kind }" "docker.io/minitower/$image:dev" "ghcr.io/minitower/$image:$version"
        done
    elif [[ $target == local || $KUBECONFIG == "$(tests/cluster/cluster kubeconfig)" ]]; then
        scripts/images.sh
    else
        say "images are not made: the cluster of KUBECONFIG has to have docker.io/minitower/{$(IFS=,; echo "${images[*]}")}:dev, and the same as ghcr.io/minitower/…:$version"
    fi
}

install() {
    if kube get namespace "$system" >/dev/null 2>&1; then
        [[ -n $E2E_KEEP ]] || die "there is a namespace $system already: MiniTower is installed here. 'kubectl delete -k deploy/kubernetes' removes it with its data; E2E_KEEP=1 takes it as it is"
    fi
    if [[ -z $E2E_KEEP ]] && kube get crd runnerpools.minitower.dev >/dev/null 2>&1; then
        die "this cluster knows RunnerPools already: MiniTower is installed here, and removing it afterwards would remove its pools. E2E_KEEP=1 takes it as it is"
    fi
    installed=yes
    kube apply -f deploy/kubernetes/base/namespace.yaml
    PATH=$(dirname "$(command -v "$KUBECTL")"):$PATH deploy/kubernetes/secret.sh
    kube apply -k deploy/kubernetes
    if [[ -n $E2E_KEEP ]]; then
        # The tag is the same after a new build.
        kube rollout restart -n "$system" deployment/minitower deployment/minitower-operator
    fi
    kube rollout status -n "$system" deployment/minitower --timeout=120s
    kube rollout status -n "$system" deployment/minitower-operator --timeout=120s
}

# scenarios FILTER THREADS: runs them; a failure is remembered, so that the others run too.
scenarios() {
    local filter=$1 threads=$2 log=$results/${1%%::*}.log status=0
    E2E=1 RUST_BACKTRACE=0 cargo test --locked -p minitower-tests --test e2e -- \
        "$filter" --test-threads="$threads" --show-output 2>&1 | tee "$log" || status=$?
    if ((status != 0)); then failed=1; fi
}

# on_api_server: the operator and its definition, on an API server without nodes that the tests start for themselves.
on_api_server() {
    cargo build --locked --quiet -p minitower-operator -p minitowerd --bins &&
        RUST_BACKTRACE=0 cargo test --locked -p minitower-operator --test apiserver -- --test-threads="${E2E_THREADS:-6}"
}

api_server() {
    on_api_server 2>&1 | tee "$results/apiserver.log" || failed=1
}

# chart FILTER: Helm, ingress controller and enforced policies where the cluster is one of ours; else what it has.
chart() {
    local bin status=0
    bin=$(tests/cluster/tools helm | tail -n 1)
    export HELM=$bin/helm
    if [[ $target == local ]]; then
        begin_extra traefik ingress
        begin_extra netpol-0 netpol
        E2E_INGRESS_URL=https://localhost:$(https_port_of_local) E2E_GATEWAY_URL=https://127.0.0.1:$(https_port_of_local)
        export E2E_INGRESS_URL E2E_GATEWAY_URL E2E_POLICIES=yes E2E_GATEWAY_CA=${KUBECONFIG%/*}/pki/ca.crt
    fi
    if [[ $target == local && $PROFILE == release ]]; then
        MINITOWER_BIN_DIR=$(realpath "${CARGO_TARGET_DIR:-target}/static")
        export MINITOWER_BIN_DIR
    else
        cargo build --locked --quiet -p minitower-cli -p minitower-runner --bins
    fi
    former_release
    E2E=1 RUST_BACKTRACE=0 cargo test --locked -p minitower-tests --test chart -- \
        "${1#chart::}" --test-threads=1 --show-output 2>&1 | tee "$results/chart.log" || status=$?
    if ((status != 0)); then failed=1; fi
    # Of the witness.
    [[ -n $E2E_KEEP ]] || kube delete namespace -l minitower.dev/e2e=true --timeout=180s
}

# begin_extra PROCESS NAME: what the cluster can have besides is taken away again where it was not there before.
begin_extra() {
    if [[ ! -e ${KUBECONFIG%/*}/pids/$1 ]]; then extras+=("$2-down"); fi
    tests/cluster/cluster "$2-up"
}

# shellcheck disable=SC2016 # The inner shell expands it.
https_port_of_local() {
    bash -c 'source tests/cluster/lib/common.sh; source tests/cluster/lib/ingress.sh; ingress_ports; echo "$HTTPS_PORT"'
}

# former_release: the chart of the newest tag, for the upgrade from it. Its images are pulled; for the cluster of tests/cluster they are
# built from that state, which keeps its own target folder.
former_release() {
    local tag version former=${CARGO_TARGET_DIR:-target}/former
    tag=$(git tag --list 'v*' --sort=-v:refname | head -n 1)
    if [[ -z $tag ]]; then
        export E2E_FORMER_SKIP="no release yet"
        return
    fi
    find "$former" -mindepth 1 -maxdepth 1 ! -name target -exec rm -rf {} + 2>/dev/null || true
    mkdir -p "$former"
    git archive "$tag" | tar --extract --directory "$former"
    version=$(version_of "$former/charts/minitower")
    if [[ $version == "$(version_of charts/minitower)" ]]; then
        export E2E_FORMER_SKIP="$tag has the version of this state"
        return
    fi
    if [[ $target == local ]]; then
        say "images of $tag"
        CARGO_TARGET_DIR=$(realpath "$former")/target "$former/scripts/images.sh" "${images[@]}"
        scripts/images.sh "${images[@]}" # the tag dev is of this state again
    fi
    E2E_FORMER_CHART=$(realpath "$former/charts/minitower")
    export E2E_FORMER_CHART
}

only() { # only FILTER: the tests of E2E_ONLY that are in it, else all of it
    if [[ -z ${E2E_ONLY:-} ]]; then
        echo "$1"
    elif [[ $E2E_ONLY == "$1"* ]]; then
        echo "$E2E_ONLY"
    fi
}

# report: the rows that the tests have written, as target/e2e/speed.md; a full run of the release keeps it in benches/.
report() {
    local memory
    memory=$(awk '/^MemTotal/ { printf "%.1f", $2 / 1048576 }' /proc/meminfo 2>/dev/null || true)
    {
        echo "## On Kubernetes"
        echo
        echo "Written by \`make e2e\`, the $PROFILE build: Kubernetes $(server_version) with $(kube get nodes --no-headers | wc -l) node, the scenarios beside it on the same machine ($(nproc) cores${memory:+, $memory GiB of memory}). The speed was measured while no other scenario ran, the scale-downs with the policy beside the others. [tests/tests/e2e](../tests/tests/e2e) describes what is measured."
        echo
        echo "| what | target | measured | holds | how |"
        echo "|---|---|---|---|---|"
        cat "$results"/rows/*.md
    } >"$results/speed.md"
    if [[ $PROFILE == release && -z $E2E_SHORT && -z ${E2E_ONLY:-} ]] && ((!failed)); then
        cp "$results/speed.md" benches/cluster.md
        scripts/bench-report.sh
    fi
}

report_if_any() {
    if compgen -G "$results/rows/*.md" >/dev/null; then step "report" report; fi
}

server_version() { kube version -o json | sed -n '/serverVersion/,$ s/.*"gitVersion": "\(.*\)".*/\1/p'; }

keep_logs() {
    kube get all,rp,events -A -o wide >"$results/cluster.txt" 2>&1 || true
    kube describe pods -n "$system" >"$results/$system.txt" 2>&1 || true
    kube logs -n "$system" -l app.kubernetes.io/name=minitower-operator --prefix --tail=-1 >"$results/operator.log" 2>&1 || true
    kube logs -n "$system" deployment/minitower --tail=-1 >"$results/control-plane.log" 2>&1 || true
    say "what the cluster and the programs said is in $results"
}

# Pools first: they need nobody to go, but their runners say goodbye to a control plane that is still there.
remove() {
    kube delete namespace -l minitower.dev/e2e=true --timeout=180s
    kube delete -k deploy/kubernetes --timeout=180s --ignore-not-found
}

finish() {
    local status=$?
    trap - EXIT
    set +e
    if ((status != 0 || failed)) && [[ -n $installed ]]; then keep_logs; fi
    if [[ -z $E2E_KEEP ]]; then
        for extra in "${extras[@]}"; do tests/cluster/cluster "$extra" >/dev/null; done
        if [[ -n $installed ]]; then step "remove" remove >/dev/null || failed=1; fi
        if [[ -n $started && $target == local ]]; then tests/cluster/cluster down; fi
        if [[ -n $started && $target == kind* ]]; then kind delete cluster --name "${target#kind }"; fi
    fi
    if [[ $target == kind* ]]; then rm -f "$KUBECONFIG"; fi
    echo
    printf '%s\n' "${lines[@]}"
    printf '%-44s %5d s\n' "in all" $((SECONDS - began))
    ((status == 0)) || exit "$status"
    if ((failed)); then
        # Once more, because hundreds of lines ago is too far to look.
        sed --quiet '/^failures:$/,/^test result:/p' "$results"/{apiserver,speed,together,alone,chart}.log 2>/dev/null
        die "failed: see above and $results"
    fi
    exit 0
}

# One function, so that bash has read all of it before it begins: a run takes long, and the file may change meanwhile.
main() {
    target=$(scripts/cluster-target.sh)
    say "cluster: $target"
    if [[ $target == skip:* ]]; then
        # Each test says that it did not run, and why.
        on_api_server || failed=1
        E2E='' E2E_SKIP=${target#skip: } cargo test --locked -p minitower-tests --test e2e --test chart || failed=1
        exit "$failed"
    fi
    mkdir -p "$results"
    rm -rf "$results/rows" "$results"/*.log # of an earlier run
    trap finish EXIT
    trap 'exit 130' INT TERM
    step "cluster" use_cluster
    step "programs and images ($PROFILE)" make_images
    step "test programs" cargo test --locked --quiet -p minitower-tests --test e2e --test chart --no-run
    if [[ -z ${E2E_ONLY:-} ]]; then step "API server" api_server; fi
    if [[ -n $(only chart::) && -n ${E2E_ONLY:-} ]]; then
        step chart:: chart "$E2E_ONLY"
        report_if_any
        finish
    fi
    step "install" install
    for part in speed:1 together:"${E2E_THREADS:-6}" alone:1; do
        filter=$(only "${part%:*}::")
        if [[ -n $filter ]]; then step "$filter" scenarios "$filter" "${part#*:}"; fi
    done
    filter=$(only chart::)
    if [[ -n $filter && -n $E2E_KEEP ]]; then
        say "chart:: skipped: E2E_KEEP leaves another installation where the chart's would be"
    elif [[ -n $filter ]]; then
        if ((failed)); then keep_logs; fi
        step "remove" remove
        installed=''
        step "$filter" chart "$filter"
    fi
    report_if_any
    finish
}

# Asked for counts, it counts what its own output says.
if [[ -n ${COUNTS:-} ]]; then
    set +e
    source scripts/parts.sh
    part e2e env COUNTS= scripts/e2e.sh
    summary
    exit
fi
main

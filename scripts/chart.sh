#!/usr/bin/env bash
# chart.sh [--write]: checks the chart without a cluster. Its README is up to date, it passes the linter, its manifests are valid for
# several versions of Kubernetes and match charts/minitower/snapshots, and wrong values are refused by name. With --write it regenerates
# the README and the snapshots. Needs Go for the tools, which are built once.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v go >/dev/null 2>&1; then
    echo "chart: skipped: helm is built from its Go module, and Go is not installed"
    exit
fi
write=
[[ "${1:-}" != --write ]] || write=yes
bin=$(tests/cluster/tools helm helm-docs kubeconform | tail -n 1)
chart=charts/minitower
helm=$bin/helm
scratch=$(mktemp -d)
trap 'rm -r "$scratch"' EXIT
failed=0

wrong() {
    echo "chart: $*" >&2
    failed=1
}

# keep FILE GENERATED
keep() {
    if cmp -s "$2" "$1"; then return; fi
    if [[ $write ]]; then
        cat "$2" >"$1"
        echo "chart: wrote $1"
    else
        diff -u "$1" "$2" | head -n 40 >&2 || true
        wrong "$1 is out of date: run 'make chart' and look at the difference"
    fi
}

# The README, from the comments of values.yaml.
cp -r "$chart" "$scratch/chart"
"$bin/helm-docs" --chart-search-root "$scratch/chart" --sort-values-order file --log-level warning
keep "$chart/README.md" "$scratch/chart/README.md"

sets=(default)
for file in "$chart"/examples/*.yaml "$chart"/ci/*.yaml; do sets+=("$file"); done
for set in "${sets[@]}"; do
    name=$(basename "$set" .yaml)
    values=()
    [[ $set == default ]] || values=(--values "$set")
    "$helm" lint --strict --quiet "$chart" "${values[@]}" || wrong "$name: helm lint"
    # What is random is masked; the definition and the dashboard, which have checks of their own, are left out.
    "$helm" template mt "$chart" --namespace apps "${values[@]}" --set crds.enabled=false \
        | sed -E 's/^(  [a-z-]+): [A-Za-z0-9+\/=]{40,}$/\1: RANDOM/' \
        | awk '/^  minitower.json: \|/ { print; cut = 1; next } cut && /^(    |$)/ { next } { cut = 0; print }' >"$scratch/$name.yaml"
    keep "$chart/snapshots/$name.yaml" "$scratch/$name.yaml"
    "$helm" template mt "$chart" --namespace apps "${values[@]}" >"$scratch/$name-all.yaml"
done
tests/cluster/validate "$scratch"/*-all.yaml >"$scratch/validation" 2>&1 || {
    cat "$scratch/validation" >&2
    wrong "a manifest is not valid"
}

# part FILE KIND NAME KEY: from KEY on, the objects of that kind whose names end in NAME, without comments.
part() {
    awk -v kind="kind: $2" -v name="$3" -v key="$4:" '/^---/ { inside = ours = seen = 0 } $0 == kind { inside = 1 }
        /^  name: / && substr($2, length($2) - length(name) + 1) == name { ours = 1 } inside && ours && $0 == key { seen = 1 }
        seen && !/^ *#/ && NF' "$1"
}
# Rights and policy stand in deploy/kubernetes too, for those without Helm: word for word.
base=deploy/kubernetes/base
for same in "operator-rbac.yaml ClusterRole minitower-operator rules" "operator-rbac.yaml ClusterRole minitower-operator-pools rules" \
    "pool-roles.yaml ClusterRole minitower-runnerpools-view rules" "pool-roles.yaml ClusterRole minitower-runnerpools-edit rules" \
    "admission-policy.yaml ValidatingAdmissionPolicy minitower-runner-pods spec"; do
    read -r file kind name key <<<"$same"
    part "$base/$file" "$kind" "$name" "$key" >"$scratch/by-hand"
    part "$scratch/default-all.yaml" "$kind" "$name" "$key" >"$scratch/by-chart"
    [[ -s $scratch/by-hand ]] || wrong "$base/$file: no $key in its $kind $name"
    diff -u "$scratch/by-hand" "$scratch/by-chart" >&2 || wrong "$kind $name: the chart's $key differ from $base/$file"
done

# refused WORDS VALUES...: the words must be in what Helm says of these values.
refused() {
    local words=$1 said
    shift
    if said=$("$helm" template mt "$chart" "$@" 2>&1 >/dev/null); then
        wrong "not refused: $*"
    elif [[ $said != *"$words"* ]]; then
        wrong "$*: said \"$said\", without \"$words\""
    fi
}
refused "at '/ingress/enabled': got string, want boolean" --set ingress.enabled=maybe
refused "additional properties 'operatr' not allowed" --set operatr.enabled=true
refused "at '/runnerPools/default': additional properties 'maxRuners' not allowed" --set runnerPools.default.maxRuners=3
refused "at '/runnerPools/default/minRunners': minimum: got -1, want 0" --set runnerPools.default.minRunners=-1
refused "at '/runnerPools': additional properties 'Big_Pool' not allowed" --set runnerPools.Big_Pool.maxRunners=1
refused "at '/controlPlane/config/leaseTTL': 'soon' does not match" --set controlPlane.config.leaseTTL=soon
refused "at '/controlPlane/persistence/size'" --set controlPlane.persistence.size=much
refused "at '/controlPlane/service/type': value must be one of" --set controlPlane.service.type=Public
refused "at '/controlPlane/oidc/clientID'" --set controlPlane.oidc.issuer=https://id.example.com
refused "at '/controlPlane/oidc/teams/0'" --set controlPlane.oidc.teams[0]=data=sales:owner
refused "at '/networkPolicy/runners/allow/0'" --set networkPolicy.runners.allow[0]=db.example.com
refused "at '/operator/tokenSecrets/team-a'" --set operator.tokenSecrets.team-a=minitower
refused "at '/operator/poolNamespaces': got array, want object" --set operator.poolNamespaces[0]=team-a
refused "at '/operator/poolNamespaces/team-a/teams'" --set operator.poolNamespaces.team-a.teams=acme
refused "at '/operator/poolNamespaces/team-a'" --set operator.poolNamespaces.team-a.environments[0]=gpu
refused "at '/operator/replicas': minimum: got 0, want 1" --set operator.replicas=0
refused "at '/operator/image/digest'" --set operator.image.digest=latest
refused "httpRoute.parentRefs is empty: name the Gateway" --set httpRoute.enabled=true
refused "at '/backup/to'" --set backup.to=ftp://example.com/backups
refused "at '/backup/every': 'daily' does not match" --set backup.every=daily
refused "controlPlane.trustedCA: name existingConfigMap or existingSecret, not both" \
    --set controlPlane.trustedCA.existingConfigMap=a --set controlPlane.trustedCA.existingSecret=b
refused "controlPlane.oidc.issuer is empty" --set controlPlane.oidc.clientID=minitower
refused "controlPlane.notifications.smtp.existingSecret is empty" --set controlPlane.notifications.smtp.from=t@example.com
refused "backup.to is empty" --set backup.endpoint=https://s3.example.com
refused "litestream.replica is empty: say where the copies go" --set litestream.enabled=true
refused "chart requires kubeVersion: >=1.30.0-0" --kube-version 1.29.0

((failed == 0)) || exit 1
echo "chart: ${#sets[@]} sets of values rendered, valid and as they were; wrong values are refused by name"

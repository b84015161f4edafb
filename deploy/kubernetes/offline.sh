#!/usr/bin/env bash
# Runs a command of minitowerd while the control plane is stopped, in a pod with its image, its settings and its volume:
#   kubectl -n minitower scale deployment mt-minitower --replicas=0
#   deploy/kubernetes/offline.sh -n minitower mt-minitower vacuum
#   kubectl -n minitower scale deployment mt-minitower --replicas=1
# Before the Deployment's name come options of kubectl, and --claim NAME: the volume claim to use in place of the control plane's own.
# The exit code is that of the command. Needs kubectl and Python 3.
set -euo pipefail

claim=
options=()
while [[ ${1:-} == -* ]]; do
    case $1 in
        --claim) claim=${2:?--claim needs a name}; shift 2 ;;
        --claim=*) claim=${1#*=}; shift ;;
        --*=*) options+=("$1"); shift ;;
        *) options+=("$1" "${2:?$1 needs a value}"); shift 2 ;;
    esac
done
if (($# < 2)); then
    echo "usage: $0 [KUBECTL OPTION...] [--claim NAME] DEPLOYMENT COMMAND..." >&2
    exit 2
fi
deployment=$1
shift
k() { kubectl "${options[@]}" "$@"; }

pod=$deployment-offline
manifest=$(k get deployment "$deployment" -o json | python3 -c '
import json, sys

pod, claim, command = sys.argv[1], sys.argv[2], sys.argv[3:]
deployment = json.load(sys.stdin)
name, replicas = deployment["metadata"]["name"], deployment["spec"].get("replicas", 1)
if replicas or deployment["status"].get("replicas"):
    sys.exit(f"{name} is running: stop it first, with kubectl scale deployment {name} --replicas=0, and wait until its pod is gone")
spec = deployment["spec"]["template"]["spec"]
container = next((one for one in spec["containers"] if one["name"] == "minitowerd"), None)
if container is None:
    sys.exit(f"{name} is no control plane: it has no container minitowerd")
for key in ["command", "ports", "lifecycle", "startupProbe", "livenessProbe", "readinessProbe"]:
    container.pop(key, None)
container["args"] = command
spec.update(containers=[container], restartPolicy="Never")
spec.pop("initContainers", None)
if claim:
    data = next(mount["name"] for mount in container["volumeMounts"] if mount["mountPath"] == "/var/lib/minitower")
    spec["volumes"] = [one for one in spec["volumes"] if one["name"] != data]
    spec["volumes"].append({"name": data, "persistentVolumeClaim": {"claimName": claim}})
json.dump({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod}, "spec": spec}, sys.stdout)
' "$pod" "$claim" "$@")

k create -f - <<<"$manifest" >/dev/null
trap 'k delete pod "$pod" --ignore-not-found --wait=false >/dev/null' EXIT
# Its volume and its image may take a while.
until k logs --follow "$pod" 2>/dev/null; do
    waiting=$(k get pod "$pod" -o jsonpath='{.status.containerStatuses[0].state.waiting.message}')
    [[ ${said:-} == "$waiting" ]] || echo "waiting: $waiting" >&2
    said=$waiting
    sleep 1
done
until code=$(k get pod "$pod" -o jsonpath='{.status.containerStatuses[0].state.terminated.exitCode}') && [[ $code ]]; do sleep 0.2; done
exit "$code"

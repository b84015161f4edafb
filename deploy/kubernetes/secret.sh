#!/usr/bin/env bash
# Creates the Secret `minitower` with three random tokens in the namespace minitower-system, unless it exists.
# Arguments go to kubectl: secret.sh --context kind-minitower
set -euo pipefail

namespace=minitower-system
token() { head -c 32 /dev/urandom | base64 | tr -d '=+/\n'; }

if kubectl "$@" -n "$namespace" get secret minitower >/dev/null 2>&1; then
    echo "secret.sh: the Secret minitower is there already; kept"
    exit
fi
# On standard input, because everyone on the machine can read arguments.
kubectl "$@" create -f - <<END
apiVersion: v1
kind: Secret
metadata:
  name: minitower
  namespace: $namespace
  labels: {app.kubernetes.io/part-of: minitower}
stringData:
  bootstrap-token: $(token)
  registration-token: $(token)
  operator-token: $(token)
END

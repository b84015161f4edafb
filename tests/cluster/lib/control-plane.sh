# shellcheck shell=bash disable=SC2153 # KUBECONFIG is set in common.sh
# etcd, kube-apiserver, kube-controller-manager, kube-scheduler: all that a Kubernetes without nodes consists of.

# Ports are chosen at the start and kept in $RUN/ports, so that several control planes can run side by side. Below the range
# that the kernel hands out to outgoing connections, and below that of NodePorts.
free_port() {
    local port
    while true; do
        port=$((20000 + RANDOM % 10000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo "$port"
}

choose_ports() { # choose_ports NAME...: sets and remembers NAME=port for each
    local name
    if [[ ! -f $RUN/ports ]]; then
        mkdir -p "$RUN"
        for name in "$@"; do echo "$name=$(free_port)"; done >"$RUN/ports.part"
        mv "$RUN/ports.part" "$RUN/ports"
    fi
    # shellcheck source=/dev/null
    source "$RUN/ports"
}

# Status 200 and not the word "ok": a failing /readyz lists its passing checks with that word, and kube-controller-manager exits
# when it comes before the bootstrap of the RBAC roles.
api_ready() {
    curl -fsS --max-time 5 --cacert "$PKI/ca.crt" --cert "$PKI/admin.crt" --key "$PKI/admin.key" "https://$API_IP:$API_PORT/readyz"
}

# start_api [FLAGS OF KUBE-APISERVER...]
start_api() {
    local etcd=http://127.0.0.1:$ETCD_PORT
    start etcd etcd --data-dir "$RUN/etcd" --log-level warn --listen-client-urls "$etcd" --advertise-client-urls "$etcd" \
        --listen-peer-urls "http://127.0.0.1:$ETCD_PEER_PORT" --initial-advertise-peer-urls "http://127.0.0.1:$ETCD_PEER_PORT" \
        --initial-cluster "default=http://127.0.0.1:$ETCD_PEER_PORT" --unsafe-no-fsync # nothing here outlives the machine
    # Pods of a lost node move after half a minute, not after five: tests of that are worth having and nobody waits that long.
    start kube-apiserver "$(program k8s)" kube-apiserver --etcd-servers="$etcd" --bind-address="$API_IP" --advertise-address="$API_IP" \
        --secure-port="$API_PORT" --cert-dir="$PKI" --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" \
        --client-ca-file="$PKI/ca.crt" --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
        --service-account-issuer=https://kubernetes.default.svc.cluster.local --service-account-key-file="$PKI/sa.pub" \
        --service-account-signing-key-file="$PKI/sa.key" --service-cluster-ip-range="$SERVICE_NET" --allow-privileged=true \
        --kubelet-client-certificate="$PKI/admin.crt" --kubelet-client-key="$PKI/admin.key" \
        --kubelet-certificate-authority="$PKI/ca.crt" --kubelet-preferred-address-types=InternalIP \
        --requestheader-client-ca-file="$PKI/ca.crt" --requestheader-allowed-names=front-proxy-client \
        --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
        --requestheader-extra-headers-prefix=X-Remote-Extra- --proxy-client-cert-file="$PKI/front-proxy.crt" \
        --proxy-client-key-file="$PKI/front-proxy.key" --enable-aggregator-routing=true \
        --default-not-ready-toleration-seconds=10 --default-unreachable-toleration-seconds=10 "$@"
    came_up 60 kube-apiserver api_ready
}

# The defaults, 20 requests a second, make hundreds of pods take minutes.
QUICK=(--kube-api-qps=200 --kube-api-burst=400)

start_controllers() {
    local kubeconfig=$PKI/kube-controller-manager.conf
    start kube-controller-manager "$(program k8s)" kube-controller-manager --kubeconfig="$kubeconfig" --secure-port=0 \
        --leader-elect=false --use-service-account-credentials=true --service-account-private-key-file="$PKI/sa.key" \
        --root-ca-file="$PKI/ca.crt" --cluster-signing-cert-file="$PKI/ca.crt" --cluster-signing-key-file="$PKI/ca.key" \
        --node-monitor-grace-period=20s "${QUICK[@]}"
}

start_scheduler() {
    start kube-scheduler "$(program k8s)" kube-scheduler --kubeconfig="$PKI/kube-scheduler.conf" --secure-port=0 --leader-elect=false "${QUICK[@]}"
}

default_account() { kubectl get --raw /api/v1/namespaces/default/serviceaccounts/default; }

CONTROL_PLANE_PACKAGES=(etcd=etcd-server openssl=openssl curl=curl setsid=util-linux)

# An API server with controllers and no node, in a folder of its own, on free ports of the loopback address: for tests of what the
# API server itself says. Needs no root.
api_up() {
    step "Debian packages" packages "${CONTROL_PLANE_PACKAGES[@]}"
    step "programs" build_programs k8s
    choose_ports API_PORT ETCD_PORT ETCD_PEER_PORT
    step "certificates" make_pki kube-controller-manager
    # A loopback address cannot be an endpoint of the Service `kubernetes`, which nobody needs here.
    step "kube-apiserver" start_api --endpoint-reconciler-type=none
    step "kube-controller-manager" start_controllers
    step "default service account" came_up 30 kube-controller-manager default_account
    echo "export KUBECONFIG=$KUBECONFIG"
}

api_down() {
    local name
    for name in kube-controller-manager kube-apiserver etcd; do stop "$name" KILL; done
    rm -rf "${RUN:?}"/{etcd,kube-cache,log,pids,pki,kubeconfig,ports,lock}
    rmdir --ignore-fail-on-non-empty "$RUN"
}

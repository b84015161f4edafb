# shellcheck shell=bash
# An ingress controller for Ingress and the Gateway API, on demand: Traefik as a process of the machine, with its own defaults but
# for what is said here, so that what is found through it is what a person finds.

HTTP_PORT=${MINITOWER_CLUSTER_HTTP_PORT:-80}
HTTPS_PORT=${MINITOWER_CLUSTER_HTTPS_PORT:-443}
INGRESS_PING=$API_IP:10255

# The custom resources are kept beside the program: they must be of the Gateway API that it was built with.
gateway_crds() { echo "$(program_folder traefik)/gateway-api"; }

build_ingress() {
    build_program traefik
    [[ -d $(gateway_crds) ]] && return
    local part
    part=$(gateway_crds).part
    mkdir -p "$part"
    install -m 644 "$(module_source "sigs.k8s.io/gateway-api@$(gateway_version)")"/config/crd/standard/*_*.yaml "$part"
    mv "$part" "$(gateway_crds)"
}

# The ports that a running controller has, whatever the variables say by now.
ingress_ports() {
    # shellcheck source=/dev/null
    [[ ! -f $RUN/ingress-ports ]] || source "$RUN/ingress-ports"
}

port_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

ingress_up() {
    need_cluster
    lock "$STATE"
    step "programs" build_ingress
    ingress_ports
    if ! running traefik; then
        port_free "$HTTP_PORT" || die "port $HTTP_PORT is taken: free it, or choose another with MINITOWER_CLUSTER_HTTP_PORT"
        port_free "$HTTPS_PORT" || die "port $HTTPS_PORT is taken: free it, or choose another with MINITOWER_CLUSTER_HTTPS_PORT"
        printf 'HTTP_PORT=%s\nHTTPS_PORT=%s\n' "$HTTP_PORT" "$HTTPS_PORT" >"$RUN/ingress-ports"
    fi
    step "custom resources" apply_gateway_crds
    step "Traefik" start_traefik
    step "Gateway" apply_gateway
    cat <<END
HTTP on port $HTTP_PORT, HTTPS on port $HTTPS_PORT of every address of the machine; the certificate is of $PKI/ca.crt
Ingress: class traefik, the default. HTTPRoute: parentRefs [{name: cluster, namespace: kube-system}]
END
}

apply_gateway_crds() {
    kubectl apply --server-side -f "$(gateway_crds)" >/dev/null
    kubectl wait --for=condition=Established --timeout=30s -f "$(gateway_crds)" >/dev/null
}

start_traefik() {
    # What answers where neither an Ingress nor a Gateway names a certificate; also the Gateway's. The name localhost is left to those
    # who bring a certificate: of two that fit, Traefik takes either.
    certificate ingress /CN=ingress "DNS:*.minitower.test,DNS:minitower.test,IP:127.0.0.1,IP:$API_IP"
    cat >"$RUN/traefik.yaml" <<END
tls: {stores: {default: {defaultCertificate: {certFile: "$PKI/ingress.crt", keyFile: "$PKI/ingress.key"}}}}
END
    # Time-outs are Traefik's own. Its chart too turns TLS on for the entry point `websecure`. The default of two seconds before a
    # changed route takes effect would be most of a test's time.
    start traefik "$(program traefik)" --entryPoints.web.address=":$HTTP_PORT" --entryPoints.websecure.address=":$HTTPS_PORT" \
        --entryPoints.websecure.http.tls=true --entryPoints.traefik.address="$INGRESS_PING" --ping \
        --providers.providersThrottleDuration=200ms --providers.file.filename="$RUN/traefik.yaml" \
        --providers.kubernetesIngress --providers.kubernetesIngress.ingressEndpoint.ip="$API_IP" \
        --providers.kubernetesGateway --providers.kubernetesGateway.statusAddress.ip="$API_IP" \
        --global.checkNewVersion=false --global.sendAnonymousUsage=false
    came_up 30 traefik curl -fsS --max-time 5 "http://$INGRESS_PING/ping"
}

ingress_manifest() { sed "s/port: 80,/port: $HTTP_PORT,/; s/port: 443\$/port: $HTTPS_PORT/" "$HERE/manifests/ingress.yaml"; }

apply_gateway() {
    kubectl -n kube-system create secret tls cluster-gateway --cert="$PKI/ingress.crt" --key="$PKI/ingress.key" --dry-run=client -o yaml |
        kubectl apply --server-side -f - >/dev/null
    ingress_manifest | kubectl apply --server-side -f - >/dev/null
    came_up 30 traefik kubectl -n kube-system wait --for=condition=Programmed --timeout=1s gateway/cluster
}

ingress_down() {
    need_cluster
    lock "$STATE"
    ingress_ports
    stop traefik
    if kubectl get crd gateways.gateway.networking.k8s.io >/dev/null 2>&1; then
        ingress_manifest | kubectl delete --ignore-not-found --wait=false -f - >/dev/null
        kubectl delete --ignore-not-found --timeout=30s -f "$(gateway_crds)" >/dev/null
    fi
    kubectl -n kube-system delete secret cluster-gateway --ignore-not-found >/dev/null
    rm -f "$RUN/ingress-ports" "$RUN/traefik.yaml"
}

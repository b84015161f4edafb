# shellcheck shell=bash
# Certificates and kubeconfigs, made anew for each cluster.

# certificate NAME SUBJECT [SUBJECT-ALT-NAMES]
certificate() {
    local name=$1 extensions="basicConstraints=CA:FALSE"
    [[ -f $PKI/$name.crt ]] && return
    [[ -z ${3:-} ]] || extensions+=$'\n'"subjectAltName=$3"
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$PKI/$name.key" -out "$PKI/$name.csr" -subj "$2" 2>/dev/null
    openssl x509 -req -in "$PKI/$name.csr" -CA "$PKI/ca.crt" -CAkey "$PKI/ca.key" -CAcreateserial -days 365 \
        -out "$PKI/$name.crt" -extfile <(echo "$extensions") 2>/dev/null
}

# client NAME SUBJECT [SUBJECT-ALT-NAMES]: a certificate and the kubeconfig that uses it. The data is inlined, so that the file
# also works where this folder is not visible, such as inside a container.
client() {
    local name=$1
    [[ -f $PKI/$name.conf ]] && return
    certificate "$@"
    cat >"$PKI/$name.conf" <<END
apiVersion: v1
kind: Config
current-context: $TAG
clusters: [{name: $TAG, cluster: {server: "https://$API_IP:$API_PORT", certificate-authority-data: $(base64 -w0 "$PKI/ca.crt")}}]
users: [{name: $name, user: {client-certificate-data: $(base64 -w0 "$PKI/$name.crt"), client-key-data: $(base64 -w0 "$PKI/$name.key")}}]
contexts: [{name: $TAG, context: {cluster: $TAG, user: $name}}]
END
}

make_authority() {
    mkdir -p "$PKI"
    chmod 700 "$PKI"
    [[ ! -f $PKI/sa.pub ]] || return 0
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$PKI/ca.key" -out "$PKI/ca.crt" -days 365 -subj "/CN=$TAG-ca" 2>/dev/null
    openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$PKI/sa.key" 2>/dev/null
    openssl rsa -in "$PKI/sa.key" -pubout -out "$PKI/sa.pub" 2>/dev/null
}

# make_pki NAME...: certificates for the API server, the administrator, and clients of the given names.
make_pki() {
    local name service=kubernetes.default.svc
    make_authority
    certificate apiserver /CN=kube-apiserver \
        "DNS:kubernetes,DNS:kubernetes.default,DNS:$service,DNS:$service.cluster.local,DNS:localhost,IP:127.0.0.1,IP:${SERVICE_NET%.0/*}.1,IP:$API_IP"
    certificate front-proxy /CN=front-proxy-client
    client admin /O=system:masters/CN=admin
    for name in "$@"; do client "$name" "/CN=system:$name"; done
    install -m 600 "$PKI/admin.conf" "$KUBECONFIG"
}

# shellcheck shell=bash
# Name resolution and volumes. They are host processes: nothing to schedule, no image to make, and they outlive the nodes.

# Names outside the cluster do not resolve unless a server is given: tests should not depend on the machine's network.
write_corefile() {
    local other='template ANY ANY . { rcode NXDOMAIN }'
    [[ -z ${MINITOWER_CLUSTER_UPSTREAM_DNS:-} ]] || other="forward . $MINITOWER_CLUSTER_UPSTREAM_DNS"
    # Two blocks, because the order of plug-ins within one is fixed, and template comes before kubernetes.
    cat >"$RUN/Corefile" <<END
cluster.local:10053 10.in-addr.arpa:10053 {
  bind $API_IP
  errors
  ready $API_IP:10054
  kubernetes cluster.local 10.in-addr.arpa {
    kubeconfig $KUBECONFIG
    pods insecure
    ttl 5
  }
  cache 5
}
.:10053 {
  bind $API_IP
  errors
  $other
}
END
}

start_system() {
    kubectl apply --server-side -f "$HERE/manifests/system.yaml" >/dev/null
    mkdir -p "$RUN/volumes"
    write_corefile
    start coredns "$(program coredns)" -conf "$RUN/Corefile"
    start provisioner "$(program provisioner)" --kubeconfig="$KUBECONFIG" --root="$RUN/volumes"
}

dns_ready() { curl -fsS --max-time 5 "http://$API_IP:10054/ready"; }

# shellcheck shell=bash
# NetworkPolicy, which the bridge CNI does not enforce: one process per node, on demand (go/netpol).

netpol_wanted() { [[ -e $RUN/netpol ]]; }

start_netpol() { # start_netpol N
    start_in_node "$1" "netpol-$1" "$(program netpol)" --kubeconfig="$KUBECONFIG" --node="$(node_name "$1")" --prefix="$TAG-"
    came_up 30 "netpol-$1" netpol_ready "$1"
}

netpol_ready() { in_node "$1" iptables -w -t mangle -C INPUT -j "$TAG-input"; }

netpol_up() {
    need_cluster
    lock "$STATE"
    step "programs" build_program netpol
    touch "$RUN/netpol"
    local n
    for n in $(nodes); do
        ! running "containerd-$n" || step "policies on node $n" start_netpol "$n"
    done
}

netpol_down() {
    need_cluster
    lock "$STATE"
    local n
    for n in $(nodes); do
        stop "netpol-$n"
        in_node "$n" iptables-save -t mangle | grep -v "$TAG-" | in_node "$n" iptables-restore -w
    done
    rm -f "$RUN/netpol"
}

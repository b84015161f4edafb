# shellcheck shell=bash
# A node: containerd, kubelet and kube-proxy. Node 0 lives in the machine's own network namespace; the others get one each, so
# that ports, bridges and iptables rules do not clash and a test can cut a node off or stop it.

node_name() { echo "minitower-$1"; }
node_ip() { echo "10.200.$1.1"; }
node_dir() { echo "$RUN/node-$1"; }
nodes() { # the numbers of the nodes whose folder exists, the highest first
    local dir
    for dir in "$RUN"/node-*/; do
        [[ ! -d $dir ]] || basename "$dir" | cut -d- -f2
    done | sort -rn
}

# All of a node's pods live under this cgroup. Separate roots matter: kubelet removes the cgroups of pods that it does not know.
node_cgroup() { echo "/$TAG/$(node_name "$1")"; }

# cgroup_roots: the mount point of every hierarchy of cgroup v1, for kubelet insists on all of them; under v2 there is the one.
cgroup_roots() {
    if [[ $(stat -fc %T /sys/fs/cgroup) == cgroup2fs ]]; then
        echo /sys/fs/cgroup
    else
        awk '$3 == "cgroup" { print $2 }' /proc/mounts
    fi
}

make_cgroup() {
    local root part path
    for root in $(cgroup_roots); do
        mkdir -p "$root$1"
        [[ -f $root/cgroup.subtree_control ]] || continue
        path=$root
        for part in ${1//\// }; do # v2: a child has only the controllers that its parent hands down
            sed 's/[a-z_]*/+&/g' "$path/cgroup.controllers" >"$path/cgroup.subtree_control" || true
            path+=/$part
        done
    done
}

# in_node N COMMAND...: nsenter and not `ip netns exec`, because the latter mounts a fresh /sys, without the cgroups.
in_node() {
    local n=$1
    shift
    if ((n == 0)); then "$@"; else nsenter --net="/run/netns/$(node_name "$n")" "$@"; fi
}

start_in_node() { # start_in_node N NAME COMMAND...
    local n=$1 name=$2
    shift 2
    # nsenter replaces itself by the command, so the recorded pid is the command's own.
    if ((n == 0)); then start "$name" "$@"; else start "$name" nsenter --net="/run/netns/$(node_name "$n")" "$@"; fi
}

rule() { # rule N TABLE CHAIN RULE...: appends an iptables rule unless it is there
    local n=$1 table=$2 chain=$3
    shift 3
    in_node "$n" iptables -w -t "$table" -C "$chain" "$@" -m comment --comment "$TAG" 2>/dev/null ||
        in_node "$n" iptables -w -t "$table" -A "$chain" "$@" -m comment --comment "$TAG"
}

node_network() {
    local n=$1 ip name link=mt$1 outside
    ip=$(node_ip "$n") name=$(node_name "$n")
    if ((n == 0)); then
        [[ $(ip addr show dev lo) == *" $ip/32 "* ]] || ip addr add "$ip/32" dev lo
        sysctl -qw net.ipv4.ip_forward=1
    elif [[ ! -e /run/netns/$name ]]; then
        # A pair of unnumbered ends: the node's default route goes to an address that the host's end answers for (proxy ARP).
        ip netns add "$name"
        ip link add "$link" type veth peer name eth0 netns "$name"
        sysctl -qw "net.ipv4.conf.$link.proxy_arp=1"
        ip link set "$link" up
        ip route add "$ip/32" dev "$link"
        ip route add "10.244.$n.0/24" via "$ip" dev "$link" onlink
        in_node "$n" sh -ec "
            ip link set lo up
            ip addr add $ip/32 dev eth0
            ip link set eth0 up
            ip route add default via 169.254.1.1 dev eth0 onlink
            sysctl -qw net.ipv4.ip_forward=1"
    fi
    # Service traffic between two pods of one bridge passes iptables only with this; without it the answer comes from the wrong address.
    in_node "$n" sysctl -qw net.bridge.bridge-nf-call-iptables=1
    # A Service that kube-proxy does not know yet has no address: without these rules, a connection to it would leave the machine, and a
    # client could keep a connection that something outside answers.
    rule "$n" filter FORWARD -d "$SERVICE_NET" -j REJECT
    rule "$n" filter OUTPUT -d "$SERVICE_NET" -j REJECT
    # Another tool, such as Docker, may have set the policy of FORWARD to DROP.
    rule "$n" filter FORWARD -s "$POD_NET" -j ACCEPT
    rule "$n" filter FORWARD -d "$POD_NET" -j ACCEPT
    rule "$n" filter FORWARD -s "$NODE_NET" -j ACCEPT
    rule "$n" filter FORWARD -d "$NODE_NET" -j ACCEPT
    # Pods reach the outside as the machine, but each other and the nodes as themselves.
    outside=$(ip route show default | awk '!n++ { sub(/.* dev /, ""); print $1 }')
    ((n)) || [[ -z $outside ]] || rule 0 nat POSTROUTING -s "$POD_NET" -o "$outside" -j MASQUERADE
}

write_node_config() {
    local n=$1 dir
    dir=$(node_dir "$n")
    mkdir -p "$dir/cni" "$dir/kubelet" "$dir/pod-logs"
    cat >"$dir/cni/10-bridge.conflist" <<END
{"cniVersion": "0.4.0", "name": "$TAG", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipam": {
    "type": "host-local", "dataDir": "$dir/ipam", "ranges": [[{"subnet": "10.244.$n.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
END
    # Everything under our own folder, so that `cluster down` finds and removes it all.
    cat >"$dir/containerd.toml" <<END
version = 2
root = "$dir/containerd/root"
state = "$dir/containerd/state"
[grpc]
  address = "$dir/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$dir/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$PAUSE_IMAGE"
  netns_mounts_under_state_dir = true
  restrict_oom_score_adj = true # lowering it needs CAP_SYS_RESOURCE, which even root lacks in some sandboxes; runc then dies
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$CNI_BIN"
    conf_dir = "$dir/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = "$dir/runc"
END
    cat >"$dir/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false # several CI machines still have cgroup v1
cgroupDriver: cgroupfs
cgroupRoot: $(node_cgroup "$n")
clusterDNS: [$DNS_IP]
clusterDomain: cluster.local
resolvConf: $dir/resolv.conf
authentication: {anonymous: {enabled: false}, x509: {clientCAFile: $PKI/ca.crt}, webhook: {enabled: true}}
authorization: {mode: Webhook}
tlsCertFile: $PKI/$(node_name "$n").crt
tlsPrivateKeyFile: $PKI/$(node_name "$n").key
containerRuntimeEndpoint: unix://$dir/containerd.sock
podLogsDir: $dir/pod-logs
volumePluginDir: $dir/kubelet/volume-plugins
failSwapOn: false
maxPods: 250
# The disk is shared with everything else on the machine: no eviction and no image collection because of what others store.
evictionHard: {}
imageGCHighThresholdPercent: 100
nodeStatusUpdateFrequency: 4s
END
    echo "nameserver $API_IP" >"$dir/resolv.conf" # for pods with dnsPolicy Default; no search list from the machine
}

containerd_ready() { ctr -a "$(node_dir "$1")/containerd.sock" version; }

import_image() { ctr -a "$(node_dir "$1")/containerd.sock" -n k8s.io images import "$2" >/dev/null; }

# What kubelet, kube-proxy, containerd and `ip netns` change outside our folder, whatever folder they are given.
SYSCTLS=(net.ipv4.ip_forward net.ipv4.conf.all.route_localnet net.bridge.bridge-nf-call-iptables
    net.netfilter.nf_conntrack_max net.netfilter.nf_conntrack_tcp_timeout_established net.netfilter.nf_conntrack_tcp_timeout_close_wait
    vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops kernel.keys.root_maxkeys kernel.keys.root_maxbytes)
TRACES=(/run/netns /etc/cni/net.d/cni.lock /etc/cni/net.d /etc/cni /var/lib/cni/results /var/lib/cni
    /var/lib/kubelet/device-plugins/kubelet.sock /var/lib/kubelet/device-plugins /var/lib/kubelet /var/log/containers)

changed_machine() { [[ -f $RUN/sysctl.conf ]]; }

# chains TOOL: the chains that kube-proxy, kubelet and the port mapping plug-in would name like theirs, as "TABLE CHAIN", sorted.
chains() {
    "$1-save" 2>/dev/null | awk '/^[*]/ { table = substr($1, 2) } /^:(KUBE|CNI)-/ { print table, substr($1, 2) }' | LC_ALL=C sort -u
}

# Before the first node: how the machine was.
remember_machine() {
    local path
    ! changed_machine || return 0
    modprobe -q br_netfilter 2>/dev/null || true # compiled in on some kernels, and no module to be had in a container
    for path in "${TRACES[@]}"; do
        [[ -e $path ]] || echo "$path"
    done >"$RUN/traces"
    local tool
    for tool in iptables ip6tables; do chains "$tool" >"$RUN/chains.$tool"; done
    sysctl -e "${SYSCTLS[@]}" >"$RUN/sysctl.conf.part" 2>/dev/null
    mv "$RUN/sysctl.conf.part" "$RUN/sysctl.conf"
}

# After the last node: what was not there before goes, unless somebody else uses it by now.
restore_machine() {
    local path
    changed_machine || return 0
    sysctl -qe -p "$RUN/sysctl.conf" >/dev/null
    while read -r path; do
        if [[ $path == /run/netns && -d $path && -z $(ls -A "$path") ]]; then umount -l "$path" 2>/dev/null || true; fi
        if [[ -d $path ]]; then rmdir --ignore-fail-on-non-empty "$path"; else rm -f "$path"; fi
    done <"$RUN/traces"
}

start_node() {
    local n=$1 dir name ip image
    dir=$(node_dir "$n") name=$(node_name "$n") ip=$(node_ip "$n")
    client "$name" "/O=system:nodes/CN=system:node:$name" "DNS:$name,IP:$ip"
    node_network "$n"
    make_cgroup "$(node_cgroup "$n")"
    write_node_config "$n"
    # kubelet hands volumes to containers by mount propagation, which needs a shared mount; / is private on some machines.
    mountpoint -q "$dir/kubelet" || { mount --bind "$dir/kubelet" "$dir/kubelet" && mount --make-rshared "$dir/kubelet"; }
    start_in_node "$n" "containerd-$n" containerd -c "$dir/containerd.toml"
    came_up 20 "containerd-$n" containerd_ready "$n"
    for image in "$IMAGES/pause.tar" "$RUN"/loaded/*; do
        [[ ! -f $image ]] || import_image "$n" "$image"
    done
    start_in_node "$n" "kubelet-$n" "$(program k8s)" kubelet --kubeconfig="$PKI/$name.conf" --config="$dir/kubelet.yaml" \
        --hostname-override="$name" --node-ip="$ip" --root-dir="$dir/kubelet"
    start_in_node "$n" "kube-proxy-$n" "$(program k8s)" kube-proxy --kubeconfig="$PKI/kube-proxy.conf" --hostname-override="$name" \
        --cluster-cidr="$POD_NET" --proxy-mode=iptables --conntrack-max-per-core=0
    ! netpol_wanted || start_netpol "$n"
}

node_ready() { kubectl wait --for=condition=Ready --timeout=1s "node/$(node_name "$1")"; }

# kill_pods CGROUP: kills every process below it, in one hierarchy, which is enough.
kill_pods() {
    local root file pid
    root=$(cgroup_roots | awk '/\/(pids|cgroup)$/')
    while read -r file; do
        while read -r pid; do kill -s KILL "$pid" 2>/dev/null || true; done <"$file"
    done < <(find "$root$1" -name cgroup.procs 2>/dev/null)
}

# The shims outlive containerd on purpose; ours are those that talk to our socket. Their own sockets have no configurable place.
kill_shims() {
    local file command socket
    socket=$(node_dir "$1")/containerd.sock
    for file in /proc/[0-9]*/cmdline; do
        command=$(tr '\0' ' ' 2>/dev/null <"$file") || continue # it ended meanwhile
        if [[ $command == */containerd-shim*" -address $socket "* ]]; then
            file=${file#/proc/}
            kill -s KILL "${file%/cmdline}" 2>/dev/null || true
        fi
    done
    for file in "$(node_dir "$1")"/containerd/state/io.containerd.runtime.v2.task/*/*/address; do
        [[ ! -f $file ]] || rm -f "$(sed 's,^unix://,,' "$file")"
    done
}

# crash_node N: as if the machine had lost power. What it stored stays, so start_node brings it back.
crash_node() {
    stop "netpol-$1" KILL
    stop "kubelet-$1" KILL
    stop "kube-proxy-$1" KILL
    stop "containerd-$1" KILL
    kill_pods "$(node_cgroup "$1")"
    kill_shims "$1"
}

remove_node() {
    local n=$1 dir name root
    dir=$(node_dir "$n") name=$(node_name "$n")
    crash_node "$n"
    unmount_below "$dir"
    if ((n)); then
        ip link del "mt$n" 2>/dev/null || true
        [[ ! -e /run/netns/$name ]] || ip netns del "$name"
    else
        ip link del cni0 2>/dev/null || true
    fi
    # Also in the v2 hierarchy that some v1 machines mount beside: runc uses it.
    while read -r _ root _; do
        [[ ! -d $root$(node_cgroup "$n") ]] || find "$root$(node_cgroup "$n")" -depth -type d -exec rmdir {} + 2>/dev/null || true
        rmdir "$root/$TAG" 2>/dev/null || true # when it was the last node
    done < <(awk '$3 ~ /^cgroup2?$/' /proc/mounts)
    rm -rf "$dir"
}

# made_since TOOL BEFORE: what takes away the chains that are not in the file BEFORE, the rules that lead to them, and our own rules, as input
# of TOOL-restore --noflush. Chains and rules of anybody else, such as another Kubernetes, are not touched.
made_since() {
    local tool=$1 before=$2
    "$tool-save" | awk -v tag="$TAG" -v new="$(LC_ALL=C comm -13 "$before" <(chains "$tool"))" '
        BEGIN { n = split(new, lines, "\n"); for (i = 1; i <= n; i++) { ours[lines[i]] = 1 } }
        /^[*]/ { table = substr($1, 2); rules = emptied = deleted = ""; next }
        /^:/ {
            chain = substr($1, 2)
            if ((table " " chain) in ours || index(chain, tag) == 1) {
                mine[table " " chain] = 1; emptied = emptied "-F " chain "\n"; deleted = deleted "-X " chain "\n"
            }
            next
        }
        /^-A / {
            if ((table " " $2) in mine) { next } # it goes with its chain
            leads = 0
            for (i = 3; i < NF; i++) { if (($i == "-j" || $i == "-g") && (table " " $(i + 1)) in mine) { leads = 1 } }
            if (leads || index($0, tag)) { sub(/^-A/, "-D"); rules = rules $0 "\n" }
            next
        }
        /^COMMIT/ { if (rules emptied deleted != "") { printf "*%s\n%s%s%sCOMMIT\n", table, rules, emptied, deleted } }'
}

# What was made since remember_machine, whatever state it was left in.
clear_iptables() {
    local tool
    for tool in iptables ip6tables; do
        [[ -f $RUN/chains.$tool ]] || continue # it never got that far
        made_since "$tool" "$RUN/chains.$tool" | "$tool-restore" -w --noflush
    done
}

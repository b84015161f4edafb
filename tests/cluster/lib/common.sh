# shellcheck shell=bash disable=SC2034 # its variables are used by the scripts that source it
# What the cluster's scripts share: where things lie, messages with timings, packages, locks, processes kept by pid file.

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
STATE=${MINITOWER_CLUSTER_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/minitower-cluster}
BIN=$STATE/bin       # programs, built once, kept by `cluster down`
IMAGES=$STATE/images # image archives, kept too
RUN=$STATE/run       # one cluster's life; `cluster down` deletes it
PKI=$RUN/pki
KUBECONFIG=$RUN/kubeconfig
KUBECACHEDIR=$RUN/kube-cache # kubectl's, else in the home directory, where the next cluster of the same address would find it
export KUBECONFIG KUBECACHEDIR

# The node address is an alias on the loopback device, because kubelet refuses 127.0.0.0/8 and not every kernel has dummy devices.
# Node n has 10.200.n.1 and the pods 10.244.n.0/24.
API_IP=10.200.0.1
API_PORT=6443
NODE_NET=10.200.0.0/16
POD_NET=10.244.0.0/16
SERVICE_NET=10.96.0.0/16
DNS_IP=10.96.0.10
TAG=minitower-cluster # marks iptables rules, cgroups and network namespaces as ours

die() {
    echo "error: $*" >&2
    exit 1
}

# No `|| die` after a call of a function with several steps: bash would then ignore failures inside that function.
trap 'echo "error: ${BASH_SOURCE[0]##*/}:$LINENO: $BASH_COMMAND" >&2' ERR

# step TEXT COMMAND...: runs it and says how long it took.
step() {
    local text=$1 began=$EPOCHREALTIME took
    shift
    # On a terminal, what goes on is shown until its time is.
    [[ ! -t 1 ]] || printf '%-32s …\r' "$text"
    "$@"
    took=$(((${EPOCHREALTIME/./} - ${began/./}) / 1000))
    printf '%-32s %4d.%03d s\n' "$text" $((took / 1000)) $((took % 1000))
}

# wait_for SECONDS COMMAND...: asks ten times a second until it succeeds.
wait_for() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < deadline)) || return 1
        sleep 0.1
    done
}

# unmount_below FOLDER: the newest mounts first, for they may lie on top of older ones.
unmount_below() {
    local _ mount
    while read -r _ mount _; do
        [[ $mount != "$1"/* ]] || umount -l "$mount" || true
    done < <(tac /proc/mounts)
}

need_root() {
    [[ $(uname -s) == Linux ]] || die "this runs on Linux only; use kind (kind-config.yaml), or set KUBECONFIG to a cluster"
    [[ $EUID == 0 ]] || die "needs root for mounts, cgroups and network devices: use sudo, or kind (kind-config.yaml), or set KUBECONFIG"
}

# packages COMMAND=PACKAGE...: installs the Debian packages whose command (or file) is missing.
packages() {
    local pair missing=()
    for pair in "$@"; do
        command -v "${pair%=*}" >/dev/null || missing+=("${pair#*=}")
    done
    ((${#missing[@]})) || return 0
    command -v apt-get >/dev/null || die "missing: ${missing[*]} (names of Debian packages); install them with your package manager"
    [[ $EUID == 0 ]] || die "missing packages: run 'sudo apt-get install ${missing[*]}'"
    echo "installing ${missing[*]}"
    if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends "${missing[@]}"; } >/dev/null; then
        die "'apt-get install ${missing[*]}' failed; its words are above"
    fi
}

# lock FOLDER: one command at a time changes a cluster. Waits a little for another process's command, then gives up. Held until
# the script ends; what `start` starts does not inherit it.
lock() {
    mkdir -p "$1"
    exec 9>"$1/lock"
    flock -n 9 && return
    echo "waiting for another process's command on $1"
    flock -w "${MINITOWER_CLUSTER_LOCK_WAIT:-120}" 9 ||
        die "another process still works on $1: wait for it, or find it with 'fuser $1/lock'"
}

# A pid alone may by now belong to another process, so its start time is kept beside it. A dead process that nobody has waited for
# yet (some containers' init takes seconds) counts as gone.
started_at() { awk '{ sub(/.*\) /, "") } $1 !~ /[ZX]/ { print $20 }' "/proc/$1/stat" 2>/dev/null; }

running() { # running NAME
    local pid start
    read -r pid start 2>/dev/null <"$RUN/pids/$1" && [[ -n $start && $(started_at "$pid") == "$start" ]]
}

# start NAME COMMAND...: in the background, in a session of its own, logging to log/NAME.log; does nothing when it runs already.
start() {
    local name=$1 pid
    shift
    running "$name" && return
    mkdir -p "$RUN/pids" "$RUN/log"
    setsid "$@" >>"$RUN/log/$name.log" 2>&1 </dev/null 9>&- &
    pid=$!
    echo "$pid $(started_at "$pid")" >"$RUN/pids/$name"
}

# stop NAME [SIGNAL [SECONDS]]: signals it, and kills it when it is still there after the given time.
stop() {
    local name=$1 pid
    if running "$name"; then
        read -r pid _ <"$RUN/pids/$name"
        kill -s "${2:-TERM}" "$pid" 2>/dev/null || true
        wait_for "${3:-10}" gone "$name" || kill -s KILL "$pid" 2>/dev/null || true
    fi
    rm -f "$RUN/pids/$name"
}

gone() { ! running "$1"; }

# came_up SECONDS NAME COMMAND...: waits until COMMAND succeeds, but no longer than the process NAME lives.
came_up() {
    local name=$2
    if ! wait_for "$1" over_or "${@:2}" || ! running "$name"; then
        tail -n 3 "$RUN/log/$name.log" >&2
        die "$name did not come up; the end of $RUN/log/$name.log is above"
    fi
}

over_or() { # over_or NAME COMMAND...
    gone "$1" || "${@:2}"
}

//! System calls by which a job would reach others, tried from inside one.

use rstest::rstest;
use serde_json::json;

use crate::support::{Circumstances, ControlPlane, Job, Runner};

/// Makes raw system calls. Prints the name of each that is not refused by the filter's own error: the arguments are such that the
/// kernel itself would complain of something else, or go along.
const CALLS: &str = r#"
import ctypes, errno, json, os, platform
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
x86 = platform.machine() == "x86_64"
others = [os.getppid()] + json.loads(os.environ["others"])
def call(number, *arguments):
    words = [ctypes.c_long(number)] + [a if isinstance(a, ctypes.Array) else ctypes.c_long(a) for a in arguments]
    ctypes.set_errno(0)
    return libc.syscall(*words), ctypes.get_errno()
count = 0
def refused(name, numbers, *arguments, how=errno.EPERM):
    global count
    count += 1
    got = call(numbers[0] if x86 else numbers[1], *arguments)
    if got != (-1, how): print("allowed", name, got, errno.errorcode.get(got[1]))
def allowed(name, numbers, *arguments):
    got = call(numbers[0] if x86 else numbers[1], *arguments)
    if got[0] < 0: print("refused", name, errno.errorcode.get(got[1]))
few = (ctypes.c_ulong * 2)(3, 3)
one = (ctypes.c_ulong * 16)(1)
for other in others:
    refused("prlimit64, open files", (302, 261), other, 7, few, 0)
    refused("prlimit64, reading", (302, 261), other, 0, 0, few)
    refused("ptrace, attach", (101, 117), 16, other, 0, 0)
    refused("ptrace, seize", (101, 117), 0x4206, other, 0, 0)
    refused("process_vm_readv", (310, 270), other, 0, 0, 0, 0, 0)
    refused("process_vm_writev", (311, 271), other, 0, 0, 0, 0, 0)
    refused("kcmp", (312, 272), other, os.getpid(), 0, 0, 0)
    if os.environ["alone"] == "no":
        refused("sched_setaffinity", (203, 122), other, 8, one)
        refused("sched_setscheduler", (144, 119), other, 0, one)
        refused("sched_setparam", (142, 118), other, one)
        refused("sched_setattr", (314, 274), other, one, 0)
        refused("setpriority, process", (141, 140), 0, other, 19)
        refused("setpriority, group", (141, 140), 1, 0, 19)
        refused("ioprio_set", (251, 30), 1, other, 0)
        refused("migrate_pages", (256, 238), other, 0, 0, 0)
        refused("move_pages", (279, 239), other, 0, 0, 0, 0, 0)
refused("ptrace, traceme", (101, 117), 0, 0, 0, 0)
refused("pidfd_getfd", (438, 438), -1, 0, 0)
refused("process_madvise", (440, 440), -1, 0, 0, 0, 0)
refused("process_mrelease", (448, 448), -1, 0)
for name, flag in [("user", 0x10000000), ("mount", 0x20000), ("pid", 0x20000000), ("ipc", 0x8000000), ("net", 0x40000000),
                   ("uts", 0x4000000), ("cgroup", 0x2000000), ("files and user", 0x10000400)]:
    refused("unshare, " + name, (272, 97), flag)
    refused("clone, " + name, (56, 220), flag | 17, 0, 0, 0, 0)
refused("unshare, time", (272, 97), 0x80)
refused("unshare, upper half", (272, 97), 0x10000000 | 1 << 40)
refused("clone3", (435, 435), one, 64, how=errno.ENOSYS)
refused("setns", (308, 268), -1, 0)
here = ctypes.create_string_buffer(b"/tmp")
kind = ctypes.create_string_buffer(b"tmpfs")
refused("mount", (165, 40), kind, here, kind, 0, 0)
refused("mount, bind", (165, 40), here, here, 0, 4096, 0)
refused("mount, remount", (165, 40), 0, here, 0, 32, 0)
refused("umount2", (166, 39), here, 2)
refused("pivot_root", (155, 41), here, here)
refused("open_tree", (428, 428), -100, here, 1)
refused("open_tree_attr", (467, 467), -100, here, 1, 0, 0)
refused("move_mount", (429, 429), -1, here, -1, here, 0)
refused("fsopen", (430, 430), kind, 0)
refused("fsconfig", (431, 431), -1, 0, 0, 0, 0)
refused("fsmount", (432, 432), -1, 0, 0)
refused("fspick", (433, 433), -100, here, 0)
refused("mount_setattr", (442, 442), -100, here, 0, one, 32)
refused("open_by_handle_at", (304, 265), -1, one, 0)
refused("bpf", (321, 280), 0, 0, 0)
refused("userfaultfd", (323, 282), 0)
refused("perf_event_open", (298, 241), one, 0, -1, -1, 0)
refused("keyctl", (250, 219), 0, -1, 0)
refused("add_key", (248, 217), here, here, 0, 0, -1)
refused("request_key", (249, 218), here, here, 0, -1)
refused("io_uring_setup", (425, 425), 1, 0)
refused("io_uring_enter", (426, 426), -1, 0, 0, 0, 0, 0)
refused("io_uring_register", (427, 427), -1, 0, 0, 0)
refused("swapon", (167, 224), here, 0)
refused("swapoff", (168, 225), here)
refused("kexec_load", (246, 104), 0, 0, 0, 0)
refused("kexec_file_load", (320, 294), -1, -1, 0, 0, 0)
refused("init_module", (175, 105), 0, 0, 0)
refused("finit_module", (313, 273), -1, 0, 0)
refused("delete_module", (176, 106), here, 0)
refused("reboot", (169, 142), 0, 0, 0, 0)
refused("acct", (163, 89), 0)
refused("quotactl", (179, 60), 0, 0, 0, 0)
refused("quotactl_fd", (443, 443), -1, 0, 0, 0)
refused("syslog", (103, 116), 3, 0, 0)
refused("settimeofday", (164, 170), 0, 0)
refused("clock_settime", (227, 112), 0, 0)
refused("clock_adjtime", (305, 266), 0, 0)
refused("adjtimex", (159, 171), 0)
refused("sethostname", (170, 161), here, 4)
refused("setdomainname", (171, 162), here, 4)
refused("ioctl, typing into a terminal", (16, 29), 0, 0x5412, here)
refused("ioctl, a console's extras", (16, 29), 0, 0x541c, here)
refused("ioctl, upper half", (16, 29), 0, 0x5412 | 1 << 40, here)
if x86:
    refused("iopl", (172, 0), 3)
    refused("ioperm", (173, 0), 0, 1, 1)
    for name, number in [("getpid", 39), ("ptrace", 521), ("process_vm_readv", 539), ("unshare", 272), ("mount", 165)]:
        refused("32-bit pointers, " + name, (0x40000000 | number, 0), 0, 0, 0, 0, 0, how=errno.ENOSYS)
# What programs do all the time.
now = (ctypes.c_ulong * 2)()
allowed("prlimit64, itself", (302, 261), 0, 7, 0, now)
allowed("sched_setaffinity, itself", (203, 122), 0, 8, (ctypes.c_ulong * 1)(1))
allowed("setpriority, itself", (141, 140), 0, 0, 1)
allowed("unshare, files", (272, 97), 0x400)
allowed("personality", (135, 92), 0xffffffff)
allowed("memfd_create", (319, 279), here, 0)
import subprocess, threading
thread = threading.Thread(target=lambda: None); thread.start(); thread.join()
assert subprocess.run(["true"]).returncode == 0
print("tried", count > 75)
"#;

#[rstest]
#[case(Circumstances::AsTheTest)]
#[case(Circumstances::AsNobody)]
#[case(Circumstances::WithMaskedProc)]
#[case(Circumstances::WithoutNamespaces)]
#[tokio::test]
async fn calls_that_reach_other_processes_or_the_kernels_edges_are_refused(
    #[case] circumstances: Circumstances,
) {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    let runner = Runner::under(circumstances, &server, data.path());
    server.wait_for("a poll", |seen| !seen.polls().is_empty()).await;
    let alone = runner.log().contains("PID, mount and IPC namespaces");
    let mut job = Job::script("main.py", CALLS);
    let others = [runner.pid(), 1];
    job.input = json!({"others": others, "alone": if alone { "yes" } else { "no" }});
    server.submit(job);
    server.result().await;
    assert_eq!(server.seen().log(), "tried True\n");
    assert_eq!(alone, circumstances.gives_processes(), "the test sees both kinds");
}

#[rstest]
#[case(Circumstances::AsTheTest)]
#[case(Circumstances::AsNobody)]
#[case(Circumstances::WithMaskedProc)]
#[case(Circumstances::WithoutNamespaces)]
#[tokio::test]
async fn neither_the_runner_nor_the_supervisor_can_be_signalled_or_looked_into(
    #[case] circumstances: Circumstances,
) {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    let runner = Runner::under(circumstances, &server, data.path());
    server.wait_for("a poll", |seen| !seen.polls().is_empty()).await;
    let mut job = Job::script(
        "main.py",
        r#"
import json, os, signal
for pid in [os.getppid(), int(os.environ["runner"])]:
    for number in (0, signal.SIGCONT, signal.SIGKILL):
        try:
            os.kill(pid, number)
            print("signalled", pid, number)
        except OSError: pass
    for name in ("environ", "mem", "maps", "root", "cwd", "exe", "fd/0", "fd/3"):
        path = "/proc/%d/%s" % (pid, name)
        try:
            os.readlink(path) if name in ("root", "cwd", "exe", "fd/0", "fd/3") else open(path, "rb").read(1)
            print("looked into", path)
        except OSError: pass
for number in (signal.SIGTERM, signal.SIGKILL):
    try: os.kill(1, number)
    except OSError: pass
print("still here")
"#,
    );
    job.input = json!({"runner": runner.pid()});
    server.submit(job);
    server.result().await;
    assert_eq!(server.seen().log(), "still here\n");
}

#[rstest]
#[case(Circumstances::AsTheTest)]
#[case(Circumstances::AsNobody)]
#[case(Circumstances::WithMaskedProc)]
#[tokio::test]
async fn the_machines_files_terminals_disks_and_wires_are_out_of_reach(#[case] circumstances: Circumstances) {
    let server = ControlPlane::start();
    let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    // Somebody else's, which whoever the runner runs as could otherwise change.
    let victims = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let victim = victims.path().join("victim");
    std::fs::write(&victim, "x").unwrap();
    if circumstances == Circumstances::AsNobody && nix::unistd::geteuid().is_root() {
        for path in [victims.path(), &victim] {
            nix::unistd::chown(path, Some(12345.into()), Some(12345.into())).unwrap();
        }
    }
    let mut job = Job::script(
        "main.py",
        r#"
import os, pty, socket, stat
victim = os.environ["victim"]
def tried(name, work):
    try: work()
    except OSError: return
    print("possible:", name)
for path in (victim, os.path.dirname(victim), "/usr", "/etc/passwd"):
    tried("chmod " + path, lambda: os.chmod(path, 0o4755))
    tried("chown " + path, lambda: os.chown(path, os.getuid(), os.getgid()))
    tried("utime " + path, lambda: os.utime(path, (1, 1)))
    tried("setxattr " + path, lambda: os.setxattr(path, "user.mark", b"x"))
tried("raw socket", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
tried("raw IP", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
for name in os.listdir("/dev"):
    mode = os.lstat("/dev/" + name).st_mode
    if stat.S_ISBLK(mode) or name.startswith(("ttyS", "vcs", "mem", "kmsg")) or name == "console":
        print("there:", name)
print("terminals", sorted(os.listdir("/dev/pts")))
# And what jobs need of it works.
leader, follower = pty.openpty()
os.write(follower, b"heard\n")
print("own terminal", os.read(leader, 100).strip())
for name in ("null", "zero", "urandom", "full"):
    open("/dev/" + name, "rb").read(1)
open("/dev/null", "w").write("x")
open("/dev/stdout", "w").write("stdout\n")
"#,
    );
    job.input = json!({"victim": victim});
    server.submit(job);
    let _runner = Runner::under(circumstances, &server, data.path());
    server.result().await;
    let log = server.seen().log();
    assert_eq!(log, "terminals ['ptmx']\nown terminal b'heard'\nstdout\n");
}

//! Which system calls a job may not make: those that reach other processes or the kernel's edges (seccomp(2)).
//!
//! Everything else is allowed: this is no list of what programs need, but of what none of them needs and an attacker
//! does. A refused call fails with EPERM, as it would for lack of a right; `clone3` fails with ENOSYS, because its
//! flags lie in memory that a filter cannot read, and C libraries then use `clone`.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use nix::libc;
use seccompiler::{
    BackendError, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

/// Refused whatever the arguments are.
const REFUSED: &[libc::c_long] = &[
    // Other processes: their memory, descriptors and registers.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    // Parts of the kernel with much code behind them, which a job has no use for.
    libc::SYS_bpf,
    libc::SYS_userfaultfd,
    libc::SYS_perf_event_open,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
    libc::SYS_vhangup,
    // Mounts, by the old and the new calls, and other namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_open_tree,
    OPEN_TREE_ATTR,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_setns,
    // The machine.
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
];
/// Since Linux 6.15; the same number on every architecture.
const OPEN_TREE_ATTR: libc::c_long = 467;
/// Namespaces that `clone` can make. A new time namespace is the business of `unshare` alone: its flag is part of the
/// signal's number here.
const NEW_NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];
const NEW_TIME_NAMESPACE: libc::c_int = 0x80;
/// `ioctl`s that put words into a terminal's input.
const TERMINAL_INPUT: [libc::c_ulong; 2] = [libc::TIOCSTI as libc::c_ulong, TIOCLINUX];
const TIOCLINUX: libc::c_ulong = 0x541c;
/// `PRIO_PROCESS` and `IOPRIO_WHO_PROCESS`: the only kind of "who" by which a process can mean itself alone.
const PRIO_PROCESS: u64 = 0;
const IOPRIO_WHO_PROCESS: u64 = 1;
/// Calls of the ABI with 32-bit pointers on x86-64 have this bit in their number, and would be another way to each.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

/// Why a job could not be confined.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SeccompError {
    /// The filter cannot be made for this machine.
    #[error("cannot make the filter of system calls")]
    Make(#[from] BackendError),
    /// The kernel does not take it.
    #[error("cannot set the filter of system calls")]
    Apply(#[from] seccompiler::Error),
}

/// Keeps the calling thread and all it will start from those calls, for good. `alone`: no process but the job's own can be named by
/// an id, because it lives in a PID namespace; else what changes how others are scheduled is refused, too.
pub(super) fn enforce(alone: bool) -> Result<(), SeccompError> {
    #[cfg(target_arch = "x86_64")]
    apply_filter(&without_x32())?;
    let filters =
        [(BTreeMap::from([(libc::SYS_clone3, Vec::new())]), libc::ENOSYS), (refused(alone)?, libc::EPERM)];
    for (rules, errno) in filters {
        let action = SeccompAction::Errno(errno.unsigned_abs());
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, action, TargetArch::try_from(ARCH)?)?;
        apply_filter(&seccompiler::BpfProgram::try_from(filter)?)?;
    }
    Ok(())
}

/// A call, and the conditions under which it is refused: any of them.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn refused(alone: bool) -> Result<Rules, BackendError> {
    let mut rules: Rules = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let mut namespaces = Vec::new();
    for flag in NEW_NAMESPACES {
        let bit = u64::from(flag.unsigned_abs());
        namespaces.push(when([argument(0, SeccompCmpOp::MaskedEq(bit), bit)?])?);
    }
    rules.insert(libc::SYS_clone, namespaces.clone());
    let bit = u64::from(NEW_TIME_NAMESPACE.unsigned_abs());
    namespaces.push(when([argument(0, SeccompCmpOp::MaskedEq(bit), bit)?])?);
    rules.insert(libc::SYS_unshare, namespaces);
    let mut terminal = Vec::new();
    for request in TERMINAL_INPUT {
        terminal.push(when([argument(1, SeccompCmpOp::Eq, request)?])?);
    }
    rules.insert(libc::SYS_ioctl, terminal);
    let mut on_others = vec![libc::SYS_prlimit64];
    if !alone {
        on_others.extend([
            libc::SYS_sched_setaffinity,
            libc::SYS_sched_setattr,
            libc::SYS_sched_setscheduler,
            libc::SYS_sched_setparam,
            libc::SYS_migrate_pages,
            libc::SYS_move_pages,
        ]);
        for (call, itself) in
            [(libc::SYS_setpriority, PRIO_PROCESS), (libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS)]
        {
            let other_kind = when([argument(0, SeccompCmpOp::Ne, itself)?])?;
            let other = when([argument(1, SeccompCmpOp::Ne, 0)?])?;
            rules.insert(call, vec![other_kind, other]);
        }
    }
    for call in on_others {
        rules.insert(call, vec![when([argument(0, SeccompCmpOp::Ne, 0)?])?]);
    }
    Ok(rules)
}

fn when<const N: usize>(conditions: [SeccompCondition; N]) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(conditions.into())
}

/// The lower half of an argument: ids, flags and requests have 32 bits, and the kernel does not look at the others.
fn argument(index: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value)
}

/// Refuses, as a kernel without it would, the ABI with 32-bit pointers.
#[cfg(target_arch = "x86_64")]
fn without_x32() -> seccompiler::BpfProgram {
    let step = |code: u32, jf: u8, k: u32| seccompiler::sock_filter {
        // All of them are below 2^16: `linux/bpf_common.h`.
        code: u16::try_from(code).unwrap_or_default(),
        jt: 0,
        jf,
        k,
    };
    vec![
        // The call's number stands first in `struct seccomp_data`.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 1, X32),
        step(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs()),
        step(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_are_made_for_every_architecture_we_build_for() {
        for arch in [TargetArch::x86_64, TargetArch::aarch64] {
            for alone in [true, false] {
                let action = SeccompAction::Errno(1);
                let filter =
                    SeccompFilter::new(refused(alone).unwrap(), SeccompAction::Allow, action, arch).unwrap();
                assert!(!seccompiler::BpfProgram::try_from(filter).unwrap().is_empty());
            }
        }
    }

    #[test]
    fn scheduling_others_is_refused_only_where_others_can_be_named() {
        let (alone, among_others) = (refused(true).unwrap(), refused(false).unwrap());
        for call in [libc::SYS_sched_setaffinity, libc::SYS_setpriority, libc::SYS_move_pages] {
            assert!(!alone.contains_key(&call) && among_others.contains_key(&call), "{call}");
        }
        for rules in [alone, among_others] {
            assert!(rules.contains_key(&libc::SYS_ptrace) && rules.contains_key(&libc::SYS_prlimit64));
            assert!(!rules.contains_key(&libc::SYS_read) && !rules.contains_key(&libc::SYS_personality));
        }
    }
}

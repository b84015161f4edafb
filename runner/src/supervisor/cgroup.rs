//! A control group (version 2) per job, where the runner may make one: killing it is atomic, so that not even a
//! storm of forks outruns it. In most containers the hierarchy is read-only; then the walk through `/proc` has to do.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::Pid;

use super::limits::{Limit, Limits};

/// A job's control group. Removed when dropped, if it is empty.
#[derive(Debug)]
pub(super) struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Makes the group `name` below the caller's own, with these limits where the controllers for them are there; `None` where that is
    /// not allowed.
    pub(super) fn create(name: &str, limits: &Limits) -> Option<Self> {
        let path = own()?.join(name);
        match fs::create_dir(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(_) => return None,
        }
        let group = Self { path };
        // Before Linux 5.14 there is no cgroup.kill, and without it a group is of no use to us.
        if !group.path.join("cgroup.kill").exists() {
            return None;
        }
        for (file, limit) in [("pids.max", limits.processes), ("memory.max", limits.memory)] {
            let file = group.path.join(file);
            if file.exists() {
                let _not_allowed = fs::write(file, limit.to_string());
            }
        }
        Some(group)
    }

    /// Moves a process into it. Where that is not allowed it only loses the means to be killed at one stroke.
    pub(super) fn take_in(&self, process: Pid) {
        let _not_allowed = fs::write(self.door(), process.to_string());
    }

    /// The file through which a process joins.
    pub(super) fn door(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    /// Kills every process in it.
    pub(super) fn kill(&self) {
        let _gone_already = fs::write(self.path.join("cgroup.kill"), "1");
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _not_empty = fs::remove_dir(&self.path);
    }
}

/// What the groups of jobs can hold down here, found out with one that goes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Controllers {
    /// Their processes.
    pub(crate) processes: bool,
    /// Their memory.
    pub(crate) memory: bool,
}

impl Controllers {
    /// Those of this machine; `prefix` is that of the groups of this runner's jobs.
    pub(crate) fn of_this_machine(prefix: &str) -> Self {
        let unlimited = Limits { processes: Limit::Unlimited, memory: Limit::Unlimited, ..Limits::default() };
        let group = Cgroup::create(&format!("{prefix}trial"), &unlimited);
        let holds = |file| {
            group
                .as_ref()
                .is_some_and(|group| fs::write(group.path.join(file), Limit::Unlimited.to_string()).is_ok())
        };
        Self { processes: holds("pids.max"), memory: holds("memory.max") }
    }
}

/// Kills and removes groups that a former process made, known by the beginning of their name.
pub(crate) fn remove_leftovers(prefix: &str) {
    let Some(entries) = own().and_then(|own| fs::read_dir(own).ok()) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            let group = Cgroup { path: entry.path() };
            group.kill();
        }
    }
}

fn own() -> Option<PathBuf> {
    own_of(Hierarchy::Unified)
}

/// Which of the trees of groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hierarchy {
    /// Version 2.
    Unified,
    /// Version 1, memory.
    Memory,
}

/// The folder of the group the caller is in.
pub(super) fn own_of(hierarchy: Hierarchy) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    locate(&mounts, &groups, hierarchy)
}

/// Where the caller's group is mounted; see `cgroups(7)` and `proc_pid_mountinfo(5)`.
fn locate(mounts: &str, groups: &str, hierarchy: Hierarchy) -> Option<PathBuf> {
    let group = groups.lines().find_map(|line| {
        let (controllers, group) = line.split_once(':')?.1.split_once(':')?;
        let wanted = match hierarchy {
            Hierarchy::Unified => controllers.is_empty(),
            Hierarchy::Memory => controllers.split(',').any(|controller| controller == "memory"),
        };
        wanted.then_some(group)
    })?;
    mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut kind = kind.split(' ');
        let wanted = match (kind.next()?, hierarchy) {
            ("cgroup2", Hierarchy::Unified) => true,
            ("cgroup", Hierarchy::Memory) => kind.nth(1)?.split(',').any(|option| option == "memory"),
            _ => false,
        };
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let below = Path::new(group).strip_prefix(root).ok().filter(|_| wanted)?;
        Some(Path::new(point).join(below))
    })
}

/// How often the kernel has killed for lack of memory where this process lives: in its control group when that has a
/// limit, else on the machine.
pub(super) fn out_of_memory_kills() -> u64 {
    let files = [
        own_of(Hierarchy::Unified).map(|group| group.join("memory.events")),
        own_of(Hierarchy::Memory).map(|group| group.join("memory.oom_control")),
        Some(PathBuf::from("/proc/vmstat")),
    ];
    files
        .into_iter()
        .flatten()
        .find_map(|file| counter(&fs::read_to_string(file).ok()?, "oom_kill"))
        .unwrap_or_default()
}

fn counter(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("/", "0::/\n", Some("/sys/fs/cgroup"))]
    #[case("/", "4:memory:/x\n0::/user.slice/a\n", Some("/sys/fs/cgroup/user.slice/a"))]
    #[case("/pod", "0::/pod/c\n", Some("/sys/fs/cgroup/c"))]
    #[case("/pod", "0::/other\n", None)]
    #[case("/", "4:memory:/x\n", None)]
    fn the_own_group_is_found(#[case] root: &str, #[case] groups: &str, #[case] expected: Option<&str>) {
        let mounts = format!(
            "22 1 0:20 / /proc rw - proc proc rw\n30 22 0:26 {root} /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup rw\n"
        );
        assert_eq!(locate(&mounts, groups, Hierarchy::Unified), expected.map(PathBuf::from));
    }

    #[test]
    fn the_memory_group_of_version_1_is_found() {
        let mounts = "30 22 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
            31 22 0:27 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n\
            32 22 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let groups = "4:memory:/a/b\n3:cpu,cpuacct:/\n0::/\n";
        let expected = Some(PathBuf::from("/sys/fs/cgroup/memory/a/b"));
        assert_eq!(locate(mounts, groups, Hierarchy::Memory), expected);
        let unified = Some(PathBuf::from("/sys/fs/cgroup/unified/"));
        assert_eq!(locate(mounts, groups, Hierarchy::Unified), unified);
    }

    #[test]
    fn the_counter_is_found_by_its_whole_name() {
        let events = "low 0\noom 2\noom_kill_group 7\noom_kill 3\n";
        assert_eq!(counter(events, "oom_kill"), Some(3));
        assert_eq!(counter("oom 2\n", "oom_kill"), None);
    }
}

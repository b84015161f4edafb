//! How much of the machine one job may take.

use std::fmt;
use std::str::FromStr;

use minitower_daemon::files;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

use super::cgroup::Controllers;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// A number, or no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limit {
    /// At most so many.
    AtMost(u64),
    /// As many as the machine gives.
    Unlimited,
}

/// What one job may take. Each is per process but the first and the last, which are the whole job's where the kernel can tell its
/// processes from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Processes and threads.
    pub processes: Limit,
    /// Open files.
    pub open_files: Limit,
    /// Bytes of one file.
    pub file_size: Limit,
    /// Bytes of a core dump.
    pub core_size: Limit,
    /// Bytes of memory.
    pub memory: Limit,
}

impl Default for Limits {
    /// Enough for what people run; what runs away meets them before the machine suffers. Memory is left to the kernel, which ends the
    /// job first.
    fn default() -> Self {
        Self {
            processes: Limit::AtMost(4096),
            open_files: Limit::AtMost(65_536),
            file_size: Limit::AtMost(64 * GIB),
            core_size: Limit::AtMost(0),
            memory: Limit::Unlimited,
        }
    }
}

/// A text that is no limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a limit; use a number such as 4096, a size such as 512MiB or 8GiB, or unlimited")]
pub struct BadLimit(String);

impl FromStr for Limit {
    type Err = BadLimit;

    fn from_str(text: &str) -> Result<Self, BadLimit> {
        if text.eq_ignore_ascii_case("unlimited") {
            return Ok(Self::Unlimited);
        }
        let bad = || BadLimit(text.to_owned());
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = match unit.trim_start() {
            "" => 1,
            "KiB" => KIB,
            "MiB" => MIB,
            "GiB" => GIB,
            _ => return Err(bad()),
        };
        let number: u64 = number.parse().map_err(|_| bad())?;
        number.checked_mul(unit).map(Self::AtMost).ok_or_else(bad)
    }
}

impl fmt::Display for Limit {
    /// As a control group's file takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(number) => number.fmt(f),
            Self::Unlimited => f.write_str("max"),
        }
    }
}

impl Limits {
    /// Which limits that somebody has asked for this machine keeps not at all, or only in part: the variable, and what is the case.
    /// `own_count`: the processes of a job are counted apart from all others of its user.
    pub(crate) fn unkept(
        &self,
        controllers: Controllers,
        own_count: bool,
    ) -> Vec<(&'static str, &'static str)> {
        let asked = self.processes != Self::default().processes && self.processes != Limit::Unlimited;
        let processes = (asked && !own_count && !controllers.processes).then_some((
            "MINITOWER_JOB_PROCESSES",
            "has no effect here: the runner can make no control group with a pids controller",
        ));
        let memory = (self.memory != Limit::Unlimited && !controllers.memory).then_some((
            "MINITOWER_JOB_MEMORY",
            "holds for each process of a job by itself here, and not for files in /dev/shm: the runner can make no control group with a \
             memory controller",
        ));
        processes.into_iter().chain(memory).collect()
    }

    /// Limits the calling process and what it will start. `own_count`: its processes are counted apart from all others of its user.
    pub(super) fn enforce(&self, own_count: bool) -> nix::Result<()> {
        set(Resource::RLIMIT_CORE, self.core_size)?;
        set(Resource::RLIMIT_FSIZE, self.file_size)?;
        limit_open_files(self.open_files)?;
        set(Resource::RLIMIT_DATA, self.memory)?;
        if own_count {
            set(Resource::RLIMIT_NPROC, self.processes)?;
        }
        Ok(())
    }
}

/// Never more than the caller may have itself.
fn set(resource: Resource, limit: Limit) -> nix::Result<()> {
    let (_, hard) = getrlimit(resource)?;
    let Limit::AtMost(number) = limit else { return Ok(()) };
    let number = number.min(hard);
    setrlimit(resource, number, number)
}

/// Programs that use `select(2)` do not get along with descriptors above 1023: what a job has at once stays what the runner was
/// started with, and the limit bounds how far it may raise that.
fn limit_open_files(limit: Limit) -> nix::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let Limit::AtMost(number) = limit else { return Ok(()) };
    let hard = number.min(hard);
    setrlimit(Resource::RLIMIT_NOFILE, soft.min(hard), hard)
}

/// The variable that tells a supervisor the limit of open files that the runner was started with.
pub(super) const FORMER_OPEN_FILES: &str = "MINITOWER_FORMER_OPEN_FILES";

/// Takes that limit from the environment: what a supervisor starts inherits it.
pub(super) fn lower_open_files() {
    let limit = std::env::var(FORMER_OPEN_FILES).ok().and_then(|limit| limit.parse().ok());
    if let Some(limit) = limit {
        // A lower limit is always allowed.
        let _lowered = files::set_limit(limit);
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_limit_that_was_asked_for_and_is_not_kept_is_told() {
        let with = |processes: &str, memory: &str| Limits {
            processes: processes.parse().unwrap(),
            memory: memory.parse().unwrap(),
            ..Limits::default()
        };
        let told = |limits: Limits, processes, memory, own_count| {
            let unkept = limits.unkept(Controllers { processes, memory }, own_count);
            unkept.into_iter().map(|(variable, _)| variable).collect::<Vec<_>>()
        };
        let both = with("50", "100MiB");
        assert_eq!(told(both, false, false, false), ["MINITOWER_JOB_PROCESSES", "MINITOWER_JOB_MEMORY"]);
        assert_eq!(told(both, false, false, true), ["MINITOWER_JOB_MEMORY"]);
        assert_eq!(told(both, true, true, false), [""; 0]);
        assert_eq!(told(Limits::default(), false, false, false), [""; 0]);
        assert_eq!(told(with("unlimited", "unlimited"), false, false, false), [""; 0]);
    }

    #[rstest]
    #[case("0", Some(Limit::AtMost(0)))]
    #[case("4096", Some(Limit::AtMost(4096)))]
    #[case("512MiB", Some(Limit::AtMost(512 * MIB)))]
    #[case("8 GiB", Some(Limit::AtMost(8 * GIB)))]
    #[case("unlimited", Some(Limit::Unlimited))]
    #[case("", None)]
    #[case("-1", None)]
    #[case("8GB", None)]
    #[case("99999999999999GiB", None)]
    #[case("many", None)]
    fn limits_are_numbers_sizes_or_none(#[case] text: &str, #[case] expected: Option<Limit>) {
        assert_eq!(text.parse().ok(), expected, "{text}");
    }
}

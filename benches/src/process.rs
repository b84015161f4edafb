//! What a process costs, by the files `stat`, `status` and `io` of `/proc/PID` (proc(5)).

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};

use crate::BenchError;

/// Ticks of `/proc/PID/stat` in a second: `USER_HZ`, the same on every Linux of today.
const TICKS: u64 = 100;

/// Memory of a process, in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// Most that was resident since the process began, or since [`forget_peak`].
    pub peak: u64,
}

fn read(pid: u32, file: &str) -> Result<String, BenchError> {
    let path = format!("/proc/{pid}/{file}");
    fs::read_to_string(&path).map_err(BenchError::io(path))
}

/// User and system time so far, to 10 ms; threads that have ended included.
pub fn cpu(pid: u32) -> Result<Duration, BenchError> {
    let stat = read(pid, "stat")?;
    // The name may hold spaces and brackets: what follows it begins behind the last bracket, with field 3.
    let fields: Vec<&str> =
        stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
    let ticks = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<u64>().ok());
    match (ticks(14), ticks(15)) {
        (Some(user), Some(system)) => Ok(Duration::from_millis((user + system) * 1000 / TICKS)),
        _ => Err(BenchError::Usage(format!("/proc/{pid}/stat has no times"))),
    }
}

/// The figure behind `name:` in a file of lines `name: figure`.
fn figure(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Resident memory.
pub fn memory(pid: u32) -> Result<Memory, BenchError> {
    let status = read(pid, "status")?;
    match (figure(&status, "VmRSS"), figure(&status, "VmHWM")) {
        (Some(resident), Some(peak)) => Ok(Memory { resident, peak }),
        _ => Err(BenchError::Usage(format!("process {pid} has no memory: it has ended"))),
    }
}

/// Lets the peak begin anew from what is resident now.
pub fn forget_peak(pid: u32) -> Result<(), BenchError> {
    let path = format!("/proc/{pid}/clear_refs");
    fs::write(&path, "5").map_err(BenchError::io(path))
}

/// Bytes the process has caused to be written to storage.
pub fn written(pid: u32) -> Result<u64, BenchError> {
    figure(&read(pid, "io")?, "write_bytes")
        .ok_or_else(|| BenchError::Usage(format!("/proc/{pid}/io has no write_bytes")))
}

/// User and system time of this process so far.
pub fn own_cpu() -> Result<Duration, BenchError> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)
        .map_err(|error| BenchError::Io { what: "getrusage".to_owned(), source: error.into() })?;
    let spent = |time: nix::sys::time::TimeVal| {
        let micros = time.tv_sec() * 1_000_000 + time.tv_usec();
        Duration::from_micros(u64::try_from(micros).unwrap_or_default())
    };
    Ok(spent(usage.user_time()) + spent(usage.system_time()))
}

/// A command that starts a program which dies with this process, however that ends: nothing is left behind by a measurement that was
/// killed. The way through `setpriv` (util-linux) costs a start about a millisecond.
pub fn bound_to_this(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// Lets this process open as many files as it may: each connection is one, and a thousand runners pass the usual limit.
pub fn raise_file_limit() -> Result<(), BenchError> {
    let raise = || {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    };
    raise()
        .map_err(|error| BenchError::Io { what: "the limit of open files".to_owned(), source: error.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_has_used_time() {
        let pid = std::process::id();
        let memory = memory(pid).unwrap();
        assert!(memory.resident > 0 && memory.peak >= memory.resident, "{memory:?}");
        assert!(own_cpu().unwrap() + Duration::from_millis(20) >= cpu(pid).unwrap());
    }

    #[test]
    fn a_figure_is_found_by_its_whole_name() {
        let text = "VmRSSX:\t1 kB\nVmRSS:\t 2 kB\n";
        assert_eq!(figure(text, "VmRSS"), Some(2));
        assert_eq!(figure(text, "Vm"), None);
    }
}

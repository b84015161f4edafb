//! Whether the kernel killed something for lack of memory.

use std::fs;
use std::path::PathBuf;

use super::cgroup::{Hierarchy, own_of};

/// How often the kernel has killed for lack of memory where this process lives: in its control group when that has a
/// limit, else on the machine.
pub(super) fn kills() -> u64 {
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
    use super::*;

    #[test]
    fn the_counter_is_found_by_its_whole_name() {
        let events = "low 0\noom 2\noom_kill_group 7\noom_kill 3\n";
        assert_eq!(counter(events, "oom_kill"), Some(3));
        assert_eq!(counter("oom 2\n", "oom_kill"), None);
    }
}

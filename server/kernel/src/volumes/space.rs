//! How much room a volume has, and what that allows. Pure.

use std::fmt;

/// What the control plane keeps on a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// The database, and the objects too unless they have a volume of their own.
    Database,
    /// The objects.
    Objects,
}

impl Holds {
    /// The word for it, also in the metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Objects => "objects",
        }
    }
}

/// A volume's room, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// What is on it.
    pub holds: Holds,
    /// What this process may still write there.
    pub free: u64,
    /// What of that belongs to the reserve, which is to be made again.
    pub owed: u64,
    /// Its size.
    pub total: u64,
    /// Bytes of pages that the database has and does not use: new rows take them before it grows.
    pub reusable: u64,
}

/// What the room allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Everything.
    Room,
    /// State, but no uploads, artifacts and logs.
    Nearly,
    /// What keeps leases alive, and what makes room.
    Full,
}

/// Uploads, artifacts and logs are refused when less of a volume is free than this share, or than what the largest run may leave behind.
const NEARLY_FULL: (u64, u64) = (3, 1 << 30);
/// State is refused when less is free than this share, or than a batch of commands with large bodies needs.
const FULL: (u64, u64) = (1, 8 << 20);
/// A warning is logged when less than this share is free.
const WARN_PERCENT: u64 = 10;

/// A refusal ends when this much more is free than what began it, in percent: room that comes and goes does not make it flap.
const HYSTERESIS: u64 = 33;

impl Space {
    fn share(self, (percent, at_most): (u64, u64)) -> u64 {
        (self.total / 100 * percent).min(at_most)
    }

    fn has(self, threshold: (u64, u64), refused_before: bool) -> bool {
        let least = self.share(threshold);
        self.free.saturating_sub(self.owed)
            >= if refused_before { least + least * HYSTERESIS / 100 } else { least }
    }

    /// Whether the database has so much room in itself that it need not grow.
    fn reuses(self, threshold: (u64, u64), refused_before: bool) -> bool {
        let least = self.share(threshold);
        self.reusable > 0
            && self.reusable >= if refused_before { least + least * HYSTERESIS / 100 } else { least }
    }

    /// Whether log lines find room in the database, however full the volume is.
    pub(crate) fn has_room_for_logs(self) -> bool {
        self.holds == Holds::Database && self.reuses(NEARLY_FULL, true)
    }

    /// Whether it is time for a warning, or still is.
    pub(crate) fn is_worth_a_warning(self, warned: bool) -> bool {
        !self.has((WARN_PERCENT, u64::MAX), warned)
    }

    /// Room that has to be left when the reserve is made again.
    pub(crate) fn beside_reserve(self) -> u64 {
        2 * self.share(FULL)
    }
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the volume of the {} has {} of {} bytes free", self.holds.as_str(), self.free, self.total)
    }
}

/// What these volumes allow, and the one that allows no more. `before` is what they allowed until now; `met_full` that a write met a full
/// disk, and that the reserve could not be made again since.
pub(crate) fn level(before: Level, spaces: &[Space], met_full: bool) -> (Level, Option<Space>) {
    for space in spaces.iter().filter(|space| space.holds == Holds::Database) {
        let full_before = before == Level::Full;
        if !space.reuses(FULL, full_before) && (met_full || !space.has(FULL, full_before)) {
            return (Level::Full, Some(*space));
        }
    }
    match spaces.iter().find(|space| !space.has(NEARLY_FULL, before >= Level::Nearly)) {
        Some(space) => (Level::Nearly, Some(*space)),
        None => (Level::Room, None),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn space(holds: Holds, free: u64) -> Space {
        Space { holds, free, owed: 0, total: 1000 * MIB, reusable: 0 }
    }

    #[rstest]
    #[case(Level::Room, 30, Level::Room)]
    #[case(Level::Room, 29, Level::Nearly)]
    #[case(Level::Nearly, 35, Level::Nearly)]
    #[case(Level::Nearly, 40, Level::Room)]
    #[case(Level::Nearly, 8, Level::Nearly)]
    #[case(Level::Nearly, 7, Level::Full)]
    #[case(Level::Full, 9, Level::Full)]
    #[case(Level::Full, 11, Level::Nearly)]
    #[case(Level::Full, 35, Level::Nearly)]
    #[case(Level::Full, 40, Level::Room)]
    fn large_things_are_refused_before_state_and_room_that_comes_and_goes_does_not_flap(
        #[case] before: Level,
        #[case] free_mib: u64,
        #[case] after: Level,
    ) {
        assert_eq!(level(before, &[space(Holds::Database, free_mib * MIB)], false).0, after);
    }

    #[test]
    fn a_full_volume_of_objects_refuses_no_state() {
        let spaces = [space(Holds::Database, 500 * MIB), space(Holds::Objects, 0)];
        assert_eq!(level(Level::Room, &spaces, false), (Level::Nearly, Some(spaces[1])));
    }

    #[test]
    fn a_write_that_met_a_full_disk_counts_whatever_the_volume_says() {
        let quota = space(Holds::Database, 500 * MIB);
        assert_eq!(level(Level::Room, &[quota], true), (Level::Full, Some(quota)));
    }

    #[test]
    fn what_was_deleted_makes_room_for_state_and_logs_and_for_nothing_else() {
        let emptied = Space { reusable: 100 * MIB, ..space(Holds::Database, 0) };
        assert_eq!(level(Level::Full, &[emptied], true), (Level::Nearly, Some(emptied)), "uploads are files");
        assert!(emptied.has_room_for_logs());
        let little = Space { reusable: 10 * MIB, ..emptied };
        assert_eq!(level(Level::Full, &[little], true).0, Level::Full, "it does not flap");
        assert!(!little.has_room_for_logs());
    }

    #[test]
    fn what_the_reserve_gave_up_is_for_lease_traffic_alone() {
        let restarted = Space { owed: 8 * MIB, ..space(Holds::Database, 12 * MIB) };
        assert_eq!(level(Level::Room, &[restarted], false).0, Level::Full);
        assert_eq!(level(Level::Room, &[Space { owed: 0, ..restarted }], false).0, Level::Nearly);
    }

    #[test]
    fn large_volumes_are_not_refused_by_their_share_alone() {
        let large = Space { free: 2 << 30, total: 1 << 42, ..space(Holds::Database, 0) };
        assert_eq!(level(Level::Room, &[large], false).0, Level::Room);
        assert!(large.is_worth_a_warning(false));
    }
}

//! Values as people read them.

use std::sync::OnceLock;

use jiff::tz::TimeZone;
use minitower_client::wire::Timestamp;

/// The moment from which ages are counted.
pub fn now() -> Timestamp {
    minitower_daemon::clock::wall_clock().into()
}

/// The zone of every time that this process shows: it is the machine's, or what the line asks for.
static ZONE: OnceLock<TimeZone> = OnceLock::new();

/// Shows times in UTC from now on.
pub(super) fn show_utc() {
    // Once is enough.
    let _ = ZONE.set(TimeZone::UTC);
}

/// A moment to the second, with the difference from UTC: `2026-01-02 04:04:05+01:00`.
pub fn time(at: Timestamp) -> String {
    time_in(at, ZONE.get_or_init(TimeZone::system))
}

fn time_in(at: Timestamp, zone: &TimeZone) -> String {
    let at = at.to_zoned(zone.clone());
    let format = if at.offset().is_zero() { "%Y-%m-%d %H:%M:%SZ" } else { "%Y-%m-%d %H:%M:%S%:z" };
    at.strftime(format).to_string()
}

/// The time between two moments: `0.4s`, `12s`, `3m05s`, `2h07m`, `3d02h`.
pub fn duration(from: Timestamp, to: Timestamp) -> String {
    let milliseconds = to.as_millisecond().saturating_sub(from.as_millisecond()).max(0);
    let seconds = milliseconds / 1000;
    match seconds {
        0..10 => format!("{}.{}s", seconds, milliseconds % 1000 / 100),
        10..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..172_800 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// A number of bytes in the binary unit that fits.
pub fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}

/// The first twelve digits of a SHA-256.
pub fn short_sha(sha256: &str) -> &str {
    sha256.get(..12).unwrap_or(sha256)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(0, "0.0s")]
    #[case(-5, "0.0s")]
    #[case(1_940, "1.9s")]
    #[case(12_900, "12s")]
    #[case(185_000, "3m05s")]
    #[case(7_625_000, "2h07m")]
    #[case(266_400_000, "3d02h")]
    fn durations_are_short(#[case] milliseconds: i64, #[case] expected: &str) {
        let from = Timestamp::UNIX_EPOCH;
        let to = Timestamp::from_millisecond(milliseconds).unwrap();
        assert_eq!(duration(from, to), expected);
    }

    #[rstest]
    #[case(0, "2026-01-02 03:04:05Z")]
    #[case(3600, "2026-01-02 04:04:05+01:00")]
    #[case(-12_600, "2026-01-01 23:34:05-03:30")]
    fn times_say_their_difference_from_utc(#[case] offset: i32, #[case] expected: &str) {
        let zone = TimeZone::fixed(jiff::tz::Offset::from_seconds(offset).unwrap());
        assert_eq!(time_in("2026-01-02T03:04:05.678Z".parse().unwrap(), &zone), expected);
    }

    #[test]
    fn a_short_sha_is_left_alone() {
        assert_eq!(short_sha("abc"), "abc");
        assert_eq!(short_sha("0123456789abcdef"), "0123456789ab");
    }
}

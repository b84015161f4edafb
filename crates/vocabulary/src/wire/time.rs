//! Moments as they travel.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment in whole milliseconds. It is written as RFC 3339 in UTC with exactly three decimals, and any RFC 3339
/// is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// The beginning of 1970.
    pub const UNIX_EPOCH: Self = Self(jiff::Timestamp::UNIX_EPOCH);

    /// This many milliseconds after the epoch; an error outside of the years -9999 to 9999.
    pub fn from_millisecond(milliseconds: i64) -> Result<Self, jiff::Error> {
        jiff::Timestamp::from_millisecond(milliseconds).map(Self)
    }
}

/// What is finer than a millisecond is left out: it would be lost on the wire.
impl From<jiff::Timestamp> for Timestamp {
    fn from(at: jiff::Timestamp) -> Self {
        Self::from_millisecond(at.as_millisecond()).unwrap_or(Self(at))
    }
}

impl From<Timestamp> for jiff::Timestamp {
    fn from(at: Timestamp) -> Self {
        at.0
    }
}

impl Deref for Timestamp {
    type Target = jiff::Timestamp;

    fn deref(&self) -> &jiff::Timestamp {
        &self.0
    }
}

impl FromStr for Timestamp {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, jiff::Error> {
        text.parse::<jiff::Timestamp>().map(Self::from)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Moment)
    }
}

/// Takes a text, and says of anything else what is meant. A field that is missing never gets here, and is told as such.
struct Moment;

impl Moment {
    fn wrong<E: Error>() -> E {
        E::custom("must be a time like 2026-01-02T03:04:05Z (RFC 3339)")
    }
}

impl<'de> Visitor<'de> for Moment {
    type Value = Timestamp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Timestamp, E> {
        text.parse().map_err(|_| Self::wrong())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Timestamp, E> {
        Err(Self::wrong())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Timestamp, E> {
        Err(Self::wrong())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Timestamp, E> {
        Err(Self::wrong())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Timestamp, E> {
        Err(Self::wrong())
    }

    fn visit_unit<E: Error>(self) -> Result<Timestamp, E> {
        Err(Self::wrong())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Timestamp, A::Error> {
        Err(Self::wrong())
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Timestamp, A::Error> {
        Err(Self::wrong())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000Z")]
    #[case("2026-01-02T03:04:05.6Z", "2026-01-02T03:04:05.600Z")]
    #[case("2026-01-02T03:04:05.6789Z", "2026-01-02T03:04:05.678Z")]
    #[case("2026-01-02T05:04:05.678+02:00", "2026-01-02T03:04:05.678Z")]
    #[case("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z")]
    fn a_moment_is_written_with_exactly_three_decimals(#[case] read: &str, #[case] written: &str) {
        let at: Timestamp = serde_json::from_str(&format!("{read:?}")).unwrap();
        assert_eq!(serde_json::to_string(&at).unwrap(), format!("{written:?}"));
        assert_eq!((at.to_string().as_str(), read.parse::<Timestamp>().unwrap()), (written, at));
    }

    /// Another type for a moment would write it in another way.
    #[test]
    fn no_other_file_of_the_wire_knows_a_type_for_moments() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/wire");
        let mut files = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let known = text.contains("jiff::") || text.contains("SystemTime");
            assert_eq!(known, path.ends_with("time.rs"), "{}", path.display());
            files += 1;
        }
        assert!(files > 5, "{files} files");
    }

    #[test]
    fn what_is_finer_than_a_millisecond_makes_no_two_moments_differ() {
        let fine: jiff::Timestamp = "2026-01-02T03:04:05.6789Z".parse().unwrap();
        assert_eq!(Timestamp::from(fine), "2026-01-02T03:04:05.678Z".parse().unwrap());
    }
}

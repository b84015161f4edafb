//! What a backup says of itself.

use std::fmt;

use data_encoding::HEXLOWER;
use minitower_vocabulary::time::Timestamp as Ms;
use minitower_vocabulary::wire::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::BackupError;

/// The format that is written. A reader refuses a greater one.
const FORMAT: u32 = 1;

/// The name of a backup: when it began, and some random digits. Names are in the order of time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Name(String);

impl Name {
    pub(super) fn new(now: Ms, random: [u8; 2]) -> Self {
        let at = Timestamp::from_millisecond(now.0).unwrap_or(Timestamp::UNIX_EPOCH);
        Self(format!("{}-{:02x}{:02x}", at.strftime("%Y%m%dT%H%M%S%3fZ"), random[0], random[1]))
    }

    /// The name that a text is; none: it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (at, random) = text.split_once('-')?;
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let (day, time) = at.strip_suffix('Z')?.split_once('T')?;
        let is_at = day.len() == 8 && digits(day) && time.len() == 9 && digits(time);
        let is_random = random.len() == 4 && random.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_at && is_random).then(|| Self(text.to_owned()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where the keys of a backup's secrets are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Key {
    /// There are no secrets.
    NotNeeded,
    /// In the key file of the server, and not in the backup.
    Apart,
    /// In the backup.
    Included,
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its name, beside the manifest.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its hash.
    pub sha256: String,
}

impl File {
    pub(super) fn of(name: &str, content: &[u8]) -> Self {
        let sha256 = HEXLOWER.encode(&Sha256::digest(content));
        Self { name: name.to_owned(), bytes: content.len() as u64, sha256 }
    }
}

/// The objects of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objects {
    /// The list of them.
    pub list: File,
    /// How many are there.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many the database names and its store had lost before the backup.
    pub missing: u64,
}

/// What a backup is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format of the backup.
    pub format: u32,
    /// Its name.
    pub name: Name,
    /// The version of the program that made it.
    pub version: String,
    /// The version of the database's schema.
    pub schema: i64,
    /// When the snapshot of the database was taken.
    pub taken_at: Timestamp,
    /// The name that the database gave itself.
    pub owner: String,
    /// The database.
    pub database: File,
    /// The objects.
    pub objects: Objects,
    /// Where the keys of the secrets are.
    pub secrets_key: Key,
    /// The file with them, if they are in the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<File>,
}

impl Manifest {
    pub(super) const FORMAT: u32 = FORMAT;

    /// When the snapshot was taken, in milliseconds.
    pub fn taken_at_ms(&self) -> i64 {
        self.taken_at.as_millisecond()
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        text
    }

    /// Reads the manifest of the backup of that name.
    pub(super) fn of_json(name: &Name, text: &[u8]) -> Result<Self, BackupError> {
        #[derive(Deserialize)]
        struct Which {
            format: u32,
        }
        let damaged = |what: String| BackupError::Damaged { name: name.to_string(), what };
        let which: Which = serde_json::from_slice(text)
            .map_err(|error| damaged(format!("its manifest cannot be read: {error}")))?;
        if which.format > FORMAT {
            return Err(BackupError::Newer { name: name.to_string(), format: which.format });
        }
        let manifest: Self = serde_json::from_slice(text)
            .map_err(|error| damaged(format!("its manifest cannot be read: {error}")))?;
        if manifest.name != *name {
            return Err(damaged(format!("its manifest is that of {}", manifest.name)));
        }
        let files = [&manifest.database, &manifest.objects.list].into_iter().chain(&manifest.key_file);
        // A name from outside becomes part of a path.
        if let Some(odd) =
            files.into_iter().find(|file| file.name.contains('/') || file.name.starts_with('.'))
        {
            return Err(damaged(format!("its manifest names a file {:?}", odd.name)));
        }
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn names_are_read_back_and_are_in_the_order_of_time() {
        let early = Name::new(Ms(1_700_000_000_000), [0xff, 0xff]);
        let late = Name::new(Ms(1_700_000_001_000), [0, 1]);
        assert_eq!(late.as_str(), "20231114T221321000Z-0001");
        assert!(early < late);
        assert_eq!(Name::parse(late.as_str()), Some(late));
    }

    #[rstest]
    #[case("")]
    #[case("objects")]
    #[case("20231114T221321000Z")]
    #[case("20231114T221321000Z-00")]
    #[case("20231114T221321000Z-00zz")]
    #[case("20231114 221321000Z-0001")]
    #[case("2023111éT22132000Z-0001")]
    #[case("../20231114T221321000Z-0001")]
    fn what_is_no_name_is_none(#[case] text: &str) {
        assert_eq!(Name::parse(text), None);
    }

    #[rstest]
    #[case("{", "cannot be read")]
    #[case(r#"{"format": 2}"#, "only a newer version")]
    #[case(r#"{"format": 1}"#, "missing field")]
    fn a_manifest_that_cannot_be_used_says_why(#[case] text: &str, #[case] said: &str) {
        let name = Name::new(Ms(0), [0, 0]);
        let error = Manifest::of_json(&name, text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

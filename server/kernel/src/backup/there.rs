//! Which objects a target has, or a list names: in order, 40 bytes for each.

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};

use super::{BackupError, Target};
use crate::objects::{ObjectError, Objects};

/// Objects listed together.
const SLICE: usize = 1_000;
/// What stands in a list in place of the length of an object that is lost.
const LOST: &str = "missing";

/// A hash.
pub(super) type Hash = [u8; 32];

/// The hash that so many digits are.
pub(super) fn hash(sha256: &str) -> Option<Hash> {
    let bytes = HEXLOWER_PERMISSIVE.decode(sha256.as_bytes()).ok()?;
    bytes.try_into().ok()
}

/// Its digits.
pub(super) fn digits(hash: &Hash) -> String {
    HEXLOWER.encode(hash)
}

/// Objects with their lengths, in order.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct There(Vec<(Hash, u64)>);

impl There {
    /// All objects of a store.
    pub(super) async fn of(objects: &Objects) -> Result<Self, ObjectError> {
        let (mut walk, mut all) = (objects.walk().await?, Vec::new());
        loop {
            let found = walk.next(SLICE).await?;
            if found.is_empty() {
                all.sort_unstable();
                return Ok(Self(all));
            }
            all.extend(found.into_iter().filter_map(|found| Some((hash(&found.sha256)?, found.bytes))));
        }
    }

    /// The length of an object that is there.
    pub(super) fn length(&self, hash: &Hash) -> Option<u64> {
        let at = self.0.binary_search_by(|(there, _)| there.cmp(hash)).ok()?;
        Some(self.0[at].1)
    }

    /// Puts more in, which were not there.
    pub(super) fn extend(&mut self, more: impl IntoIterator<Item = (Hash, u64)>) {
        self.0.extend(more);
        self.0.sort_unstable();
        self.0.dedup();
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(Hash, u64)> {
        self.0.iter()
    }
}

/// The list of the objects of a backup: those that are there, and those that are lost.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct List {
    pub(super) there: There,
    pub(super) lost: Vec<Hash>,
}

impl List {
    /// As text, a line for each.
    pub(super) fn to_text(&self) -> String {
        use std::fmt::Write as _;
        let mut text = String::new();
        for (hash, bytes) in self.there.iter() {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{} {bytes}", digits(hash));
        }
        for hash in &self.lost {
            let _ = writeln!(text, "{} {LOST}", digits(hash));
        }
        text
    }

    /// Reads the text; none: it is damaged.
    pub(super) fn of_text(text: &str) -> Option<Self> {
        let mut list = Self::default();
        let mut all = Vec::new();
        for line in text.lines() {
            let (name, rest) = line.split_once(' ')?;
            let hash = hash(name)?;
            if rest == LOST {
                list.lost.push(hash);
            } else {
                all.push((hash, rest.parse().ok()?));
            }
        }
        list.there.extend(all);
        Some(list)
    }

    /// So many, and so many bytes.
    pub(super) fn sums(&self) -> (u64, u64) {
        (self.there.0.len() as u64, self.there.iter().map(|(_, bytes)| bytes).sum())
    }
}

impl Target {
    pub(super) async fn there(&self) -> Result<There, BackupError> {
        There::of(self.objects()).await.map_err(|error| self.failed(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_back_and_a_damaged_one_is_not() {
        let mut list = List { there: There::default(), lost: vec![[3; 32]] };
        list.there.extend([([2; 32], 5), ([1; 32], 7)]);
        let text = list.to_text();
        assert_eq!(List::of_text(&text), Some(list.clone()));
        assert_eq!(list.sums(), (2, 12));
        assert_eq!(list.there.length(&[2; 32]), Some(5));
        assert_eq!(list.there.length(&[3; 32]), None);
        for damaged in ["x 1\n", &text[1..], "ab 5", &format!("{} five\n", digits(&[1; 32]))] {
            assert_eq!(List::of_text(damaged), None, "{damaged}");
        }
    }
}

//! Extension headers: what they say about the entry that follows, bounded and without room for two readings.
//!
//! Sources: POSIX.1-2024 `pax`, "pax Extended Header"; GNU tar manual, "Basic Tar Format".

use super::ArchiveError;

/// What extension headers said about the next entry.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link_path: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    /// A PAX header was seen; a second one for the same entry is refused.
    pub(super) pax_seen: bool,
}

impl Extensions {
    pub(super) fn is_empty(&self) -> bool {
        !self.pax_seen && self.path.is_none() && self.link_path.is_none()
    }

    /// Takes in the content of a GNU long name (`L`).
    pub(super) fn gnu_long_name(&mut self, content: &[u8]) -> Result<(), ArchiveError> {
        set_once(&mut self.path, terminated(content)?.to_vec())
    }

    /// Takes in the content of a GNU long link target (`K`).
    pub(super) fn gnu_long_link(&mut self, content: &[u8]) -> Result<(), ArchiveError> {
        set_once(&mut self.link_path, terminated(content)?.to_vec())
    }

    /// Takes in the content of a PAX header for one entry (`x`).
    pub(super) fn pax(&mut self, content: &[u8]) -> Result<(), ArchiveError> {
        if self.pax_seen {
            return Err(corrupt("two extended headers for one entry"));
        }
        self.pax_seen = true;
        for record in Records(content) {
            let (key, value) = record?;
            match key {
                b"path" => set_once(&mut self.path, value.to_vec())?,
                b"linkpath" => set_once(&mut self.link_path, value.to_vec())?,
                b"size" => set_once(&mut self.size, decimal(value)?)?,
                _ => refuse_sparse(key)?,
            }
        }
        Ok(())
    }
}

/// Checks the content of a PAX header for all entries (`g`): it may say nothing that matters here.
pub(super) fn check_global_pax(content: &[u8]) -> Result<(), ArchiveError> {
    for record in Records(content) {
        let (key, _) = record?;
        if matches!(key, b"path" | b"linkpath" | b"size") {
            return Err(corrupt("a global extended header that names or sizes entries"));
        }
        refuse_sparse(key)?;
    }
    Ok(())
}

fn refuse_sparse(key: &[u8]) -> Result<(), ArchiveError> {
    if key.starts_with(b"GNU.sparse.") {
        return Err(ArchiveError::Unsupported {
            name: String::from_utf8_lossy(key).into_owned(),
            what: "a sparse file's map",
        });
    }
    Ok(())
}

/// Readers disagree on which of two values counts, so two are refused.
fn set_once<T>(slot: &mut Option<T>, value: T) -> Result<(), ArchiveError> {
    if slot.replace(value).is_some() {
        return Err(corrupt("an entry is described twice"));
    }
    Ok(())
}

/// A C string: the NUL bytes at its end are dropped, others refused.
fn terminated(content: &[u8]) -> Result<&[u8], ArchiveError> {
    let end = content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let text = &content[..end];
    if text.contains(&0) { Err(corrupt("a long name with a NUL byte inside")) } else { Ok(text) }
}

fn decimal(value: &[u8]) -> Result<u64, ArchiveError> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(value).ok().filter(|_| digits).and_then(|text| text.parse().ok());
    number.ok_or_else(|| corrupt("an extended header with a bad number"))
}

fn corrupt(what: &str) -> ArchiveError {
    ArchiveError::Corrupt(what.to_owned())
}

/// The records `LENGTH KEY=VALUE\n` of a PAX header. The length decides, so a value may hold newlines.
struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), ArchiveError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let record = self.split_first();
        if record.is_none() {
            self.0 = &[];
        }
        Some(record.ok_or_else(|| corrupt("a malformed extended header")))
    }
}

impl<'a> Records<'a> {
    fn split_first(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let space = self.0.iter().take(20).position(|byte| *byte == b' ')?;
        let length = usize::try_from(decimal(&self.0[..space]).ok()?).ok()?;
        let (record, rest) = self.0.split_at_checked(length)?;
        let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        self.0 = rest;
        Some((&record[..equals], &record[equals + 1..]))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn values_may_hold_newlines_and_equals_signs() {
        let mut extensions = Extensions::default();
        extensions.pax(b"13 path=a\n=b\n18 mtime=123.4567\n11 size=42\n").unwrap();
        assert_eq!(extensions.path.as_deref(), Some(b"a\n=b".as_slice()));
        assert_eq!(extensions.size, Some(42));
    }

    #[rstest]
    #[case(b"nonsense")]
    #[case(b"9999 path=a\n")]
    #[case(b"10 path=abc")]
    #[case(b"0 path=a\n")]
    #[case(b"1 path=a\n")]
    #[case(b"+9 path=a\n")]
    #[case(b"99999999999999999999999 path=a\n")]
    #[case(b"9 patha \n")]
    #[case(b"9 path=a\n9 path=b\n")]
    #[case(b"11 size=-1\n")]
    #[case(b"9 size=x\n")]
    #[case(b"22 GNU.sparse.major=1\n")]
    fn refused(#[case] content: &[u8]) {
        assert!(Extensions::default().pax(content).is_err());
    }

    #[rstest]
    #[case(b"abc\0", Some(b"abc".as_slice()))]
    #[case(b"abc", Some(b"abc".as_slice()))]
    #[case(b"a\0bc\0", None)]
    fn long_names(#[case] content: &[u8], #[case] expected: Option<&[u8]>) {
        let mut extensions = Extensions::default();
        let result = extensions.gnu_long_name(content);
        assert_eq!(result.is_ok(), expected.is_some());
        assert_eq!(extensions.path.as_deref(), expected);
    }

    #[test]
    fn a_name_given_by_two_means_is_refused() {
        let mut extensions = Extensions::default();
        extensions.gnu_long_name(b"a\0").unwrap();
        assert!(extensions.pax(b"9 path=b\n\n").is_err());
    }

    #[test]
    fn global_headers_may_comment_but_not_name() {
        assert!(check_global_pax(b"17 comment=abcde\n").is_ok());
        assert!(check_global_pax(b"10 path=a\n\n").is_err());
    }
}

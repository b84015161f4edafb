//! What of a request nobody read.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, HeaderValue};
use serde_ignored::Path;

use super::{Fields, IGNORED_FIELDS, Takes};
use crate::ApiError;

/// Most fields that are named, and most bytes of a name: an answer's head must stay small.
const MOST_NAMES: usize = 16;
const MOST_NAME_BYTES: usize = 64;

/// The fields of a request that were not read. A cheap clone: extractors note in it what the guard names in the answer.
#[derive(Debug, Clone)]
pub(crate) struct Unread(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    fields: Fields,
    not_yet: &'static [&'static str],
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
struct Found {
    names: Vec<String>,
    /// There are more than are named.
    more: bool,
    /// The first of them that the call will know one day.
    not_yet: Option<&'static str>,
}

impl Unread {
    pub(super) fn new(takes: &Takes) -> Self {
        let (fields, not_yet) = (takes.fields, takes.not_yet);
        Self(Arc::new(Inner { fields, not_yet, found: Mutex::default() }))
    }

    /// Notes a field by its name.
    pub(crate) fn note(&self, name: &str) {
        self.add(|| name.to_owned());
    }

    /// Notes a field by its place in a JSON body.
    pub(crate) fn note_path(&self, path: &Path<'_>) {
        if let Path::Map { parent: Path::Root, key } = path
            && let Some(known) = self.0.not_yet.iter().find(|known| *known == key)
        {
            self.found().not_yet.get_or_insert(known);
        }
        self.add(|| dotted(path));
    }

    fn add(&self, name: impl FnOnce() -> String) {
        let mut found = self.found();
        if found.names.len() < MOST_NAMES {
            let name = name();
            if !found.names.contains(&name) {
                found.names.push(name);
            }
        } else {
            found.more = true;
        }
    }

    /// Refuses what was noted, if the call refuses it.
    pub(crate) fn judge(&self, known: &[&'static str]) -> Result<(), ApiError> {
        let found = self.found();
        if let Some(name) = found.not_yet {
            return Err(ApiError::invalid_request(format!("`{name}` is not supported yet; leave it out")));
        }
        let Some(first) = found.names.first().filter(|_| self.0.fields == Fields::Refused) else {
            return Ok(());
        };
        let unknown = format!("the request body has an unknown field {}", quoted(first));
        Err(ApiError::invalid_request(match nearest(first, known.iter().copied()) {
            Some(near) => format!("{unknown}; did you mean {near}?"),
            None if known.is_empty() => unknown,
            None => format!("{unknown}; this call takes {}", known.join(", ")),
        }))
    }

    /// Names in an answer what was ignored.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        let found = self.found();
        if found.names.is_empty() || self.0.fields == Fields::Refused {
            return;
        }
        let mut value = found.names.iter().map(|name| plain(name)).collect::<Vec<_>>().join(", ");
        if found.more {
            value.push_str(", ...");
        }
        // Nothing but letters, digits and punctuation.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(IGNORED_FIELDS, value);
        }
    }

    fn found(&self) -> std::sync::MutexGuard<'_, Found> {
        self.0.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in a JSON body: `retry.on` or `logs.0.color`.
fn dotted(path: &Path<'_>) -> String {
    let join = |parent: &Path<'_>, last: String| match dotted(parent) {
        parent if parent.is_empty() => last,
        parent => format!("{parent}.{last}"),
    };
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => join(parent, index.to_string()),
        Path::Map { parent, key } => join(parent, cut(key).to_owned()),
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
            dotted(parent)
        }
    }
}

/// The beginning of a long name.
pub(super) fn cut(name: &str) -> &str {
    &name[..name.floor_char_boundary(MOST_NAME_BYTES)]
}

/// A name from a request in a message.
pub(crate) fn quoted(name: &str) -> String {
    format!("`{}`", cut(name).escape_debug())
}

/// A name in a header: what would not be plain there is percent-encoded.
fn plain(name: &str) -> String {
    let mut plain = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.$~".contains(&byte) {
            plain.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(plain, "%{byte:02X}");
        }
    }
    plain
}

/// The known name that is meant by a misspelt one. A third of its letters may be wrong, by the Damerau–Levenshtein
/// distance, and one at least.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = cut(name);
    let distances = known.map(|one| (strsim::damerau_levenshtein(&name.to_lowercase(), one), one));
    let near = distances.filter(|(distance, one)| *distance <= (one.len() / 3).max(1));
    near.min_by_key(|(distance, _)| *distance).map(|(_, one)| one)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("limt", Some("limit"))]
    #[case("Limit", Some("limit"))]
    #[case("after-seq", Some("after_seq"))]
    #[case("offset", None)]
    #[case("", None)]
    #[case(&"limit".repeat(10_000), None)]
    fn a_misspelt_name_is_near_to_one(#[case] name: &str, #[case] near: Option<&str>) {
        assert_eq!(nearest(name, ["limit", "after_seq"].into_iter()), near);
    }

    #[test]
    fn the_header_stays_short_and_plain_whatever_was_sent() {
        let takes = Takes {
            query: Vec::new(),
            body: true,
            idempotency_key: false,
            fields: Fields::Named,
            not_yet: &[],
        };
        let unread = Unread::new(&takes);
        let names: Vec<String> = (0..100).map(|n| format!("größe,\r\n{n}{}", "ü".repeat(1000))).collect();
        for name in &names {
            let key = name.clone();
            unread.note_path(&Path::Map { parent: &Path::Root, key });
        }
        let mut headers = HeaderMap::new();
        unread.tell(&mut headers);
        let value = headers[IGNORED_FIELDS].to_str().unwrap();
        assert!(value.starts_with("gr%C3%B6%C3%9Fe%2C%0D%0A0") && value.ends_with(", ..."), "{value}");
        assert!(value.len() < 4096, "{}", value.len());
    }
}

//! Maps of strings in which no key may come twice: the first value would be accepted and ignored.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde::de::{Deserializer, Error, MapAccess, Visitor};

/// Most characters of a key that an error repeats.
const MOST_SHOWN: usize = 64;

/// Reads a map; null is an empty one.
pub(super) fn map<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    deserializer.deserialize_option(Map)
}

struct Map;

impl<'de> Visitor<'de> for Map {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(BTreeMap::new())
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(BTreeMap::new())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((key, value)) = entries.next_entry::<String, String>()? {
            match map.entry(key) {
                Entry::Vacant(place) => {
                    place.insert(value);
                }
                Entry::Occupied(place) => {
                    let key: String = place.key().chars().take(MOST_SHOWN).collect();
                    return Err(A::Error::custom(format_args!("has the key {key:?} twice")));
                }
            }
        }
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use crate::wire::runner::Register;

    #[rstest]
    #[case(r#"{"name":"r","labels":{"a":"1","b":"2"}}"#, Some(2))]
    #[case(r#"{"name":"r","labels":null}"#, Some(0))]
    #[case(r#"{"name":"r"}"#, Some(0))]
    #[case(r#"{"name":"r","labels":{"a":"1","a":"2"}}"#, None)]
    #[case(r#"{"name":"r","labels":{"a":1}}"#, None)]
    #[case(r#"{"name":"r","labels":[]}"#, None)]
    fn a_key_comes_once(#[case] text: &str, #[case] labels: Option<usize>) {
        assert_eq!(serde_json::from_str::<Register>(text).ok().map(|register| register.labels.len()), labels);
    }
}

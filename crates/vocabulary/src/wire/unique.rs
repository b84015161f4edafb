//! Objects in which no key may come twice: the first value would be accepted and ignored.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

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
                Entry::Occupied(place) => return Err(twice(place.key())),
            }
        }
        Ok(map)
    }
}

fn twice<E: Error>(key: &str) -> E {
    let key: String = key.chars().take(MOST_SHOWN).collect();
    E::custom(format_args!("has the key {key:?} twice"))
}

/// Reads any JSON; null is none.
pub(super) fn value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Ok(Option::<Once>::deserialize(deserializer)?.map(|Once(value)| value))
}

/// Reads any JSON, null too: the field is there.
pub(super) fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Once::deserialize(deserializer).map(|Once(value)| Some(value))
}

/// A value of JSON, at any depth of which each key comes once.
struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any).map(Self)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("is not a number"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Once(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = serde_json::Map::new();
        while let Some(key) = members.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(twice(&key));
            }
            let Once(value) = members.next_value()?;
            object.insert(key, value);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use serde_json::{Value, json};

    use crate::wire::runner::Register;
    use crate::wire::runs::{CreateRun, RetryRun};

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

    #[test]
    fn an_input_is_kept_as_it_is() {
        let input = json!({
            "a": [null, true, -1, u64::MAX, 0.1, 1e300, "ü\u{0}", {"a": {"a": []}}], "b": {}, "": {"a": 1, "b": 1},
        });
        let text = json!({ "input": input }).to_string();
        assert_eq!(serde_json::from_str::<CreateRun>(&text).unwrap().input, Some(input.clone()));
        assert_eq!(serde_json::from_str::<RetryRun>(&text).unwrap().input, Some(input));
        let null = r#"{"input":null}"#;
        assert_eq!(serde_json::from_str::<CreateRun>(null).unwrap().input, None);
        assert_eq!(serde_json::from_str::<RetryRun>(null).unwrap().input, Some(Value::Null));
    }

    #[rstest]
    #[case(r#"{"input":{"a":1,"a":1}}"#)]
    #[case(r#"{"input":{"b":[{"c":{"a":1,"x":2,"\u0061":3}}]}}"#)]
    fn a_key_of_an_input_comes_once(#[case] text: &str) {
        for error in [
            serde_json::from_str::<CreateRun>(text).unwrap_err(),
            serde_json::from_str::<RetryRun>(text).unwrap_err(),
        ] {
            assert!(error.to_string().contains("has the key \"a\" twice"), "{error}");
        }
    }
}

//! Parameters of a query, decoded into a struct. A parameter is a text that stands for what its field is.

use std::borrow::Cow;
use std::str::FromStr;

use serde::de::value::{CowStrDeserializer, MapAccessDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer as _, MapAccess, Visitor,
};

use super::wrong::{Found, Wrong, one_of, whole_number, whole_numbers};

/// Decodes the query of a URI.
pub(super) fn decode<T: DeserializeOwned>(query: &str) -> Result<T, Wrong> {
    let parameters = Parameters { pairs: form_urlencoded::parse(query.as_bytes()), given: None };
    T::deserialize(MapAccessDeserializer::new(parameters))
}

struct Parameters<'a> {
    pairs: form_urlencoded::Parse<'a>,
    /// The parameter whose name was given out, and its value.
    given: Option<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'de> MapAccess<'de> for Parameters<'de> {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Wrong> {
        self.given = self.pairs.next();
        let Some((name, _)) = &self.given else { return Ok(None) };
        seed.deserialize(name.as_ref().into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let Some((name, value)) = self.given.take() else {
            return Err(Wrong::custom("has a value without a name"));
        };
        seed.deserialize(Given(value)).map_err(|wrong| wrong.within(&name))
    }
}

/// The value of a parameter.
struct Given<'a>(Cow<'a, str>);

impl Given<'_> {
    /// A whole number, as its type is written.
    fn whole<N: FromStr>(&self) -> Option<N> {
        self.0.parse().ok()
    }

    fn not(self, expected: impl Into<Cow<'static, str>>) -> Wrong {
        Wrong::kind(expected, Found::Value(self.0.into_owned()))
    }
}

impl<'de> Deserializer<'de> for Given<'de> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        CowStrDeserializer::new(self.0).deserialize_any(visitor)
    }

    whole_numbers! {}

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0.as_ref() {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            _ => Err(self.not("true or false")),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0.parse() {
            Ok(value) => visitor.visit_f64(value),
            Err(_) => Err(self.not("a number")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        if known.contains(&self.0.as_ref()) {
            visitor.visit_enum(CowStrDeserializer::new(self.0))
        } else {
            Err(self.not(one_of(known)))
        }
    }

    serde::forward_to_deserialize_any! {
        i128 u128 f32 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

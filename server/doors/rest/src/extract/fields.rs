//! The names of a type's fields, as its decoder asks for them.

use serde::de::value::Error;
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};
use serde::forward_to_deserialize_any;

/// The fields that a struct is decoded from; none for any other type.
pub(super) fn fields_of<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // It always fails, once it has been told the names.
    let _ = T::deserialize(Names(&mut names));
    names
}

/// A decoder that has no values.
struct Names<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("it has no values"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use minitower_vocabulary::wire::admin::{Drain, Ended};

    use super::*;

    #[test]
    fn a_struct_names_its_fields_and_nothing_else_does() {
        assert_eq!(fields_of::<Drain>(), ["owner"]);
        assert_eq!(fields_of::<Ended>(), ["instance_id", "reason"]);
        assert!(fields_of::<Vec<i64>>().is_empty());
    }
}

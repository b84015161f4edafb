//! A JSON body once more, after it was refused: decoded slower, to learn which field is wrong and what it must be.

use serde::de::value::StrDeserializer;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::de::{DeserializeOwned, DeserializeSeed};
use serde_json::Number;

use super::wrong::{Found, Wrong, one_of, whole_number, whole_numbers};

/// What is wrong with a text that is JSON, but not a `T`; none if nothing is. An error: it is not JSON.
pub(super) fn what_is_wrong<T: DeserializeOwned>(text: &str) -> serde_json::Result<Option<Wrong>> {
    let node: Node = serde_json::from_str(text)?;
    Ok(T::deserialize(Told(&node)).err())
}

/// JSON as it stands there: a member may come twice.
#[derive(Debug)]
enum Node {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    fn found(&self) -> Found {
        match self {
            Self::Null => Found::Named("null"),
            Self::Bool(value) => Found::Plain(value.to_string()),
            Self::Number(value) => Found::Plain(value.to_string()),
            Self::Text(text) => Found::Text(text.clone()),
            Self::List(_) => Found::Named("a list"),
            Self::Object(_) => Found::Named("an object"),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Node;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("any value")
            }

            fn visit_unit<E>(self) -> Result<Node, E> {
                Ok(Node::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
                Ok(Node::Bool(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
                Ok(Node::Number(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
                Ok(Node::Number(value.into()))
            }

            fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Node, E> {
                Number::from_f64(value).map(Node::Number).ok_or_else(|| E::custom("is not a number"))
            }

            fn visit_str<E>(self, text: &str) -> Result<Node, E> {
                Ok(Node::Text(text.to_owned()))
            }

            fn visit_string<E>(self, text: String) -> Result<Node, E> {
                Ok(Node::Text(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Node::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Node, A::Error> {
                let mut object = Vec::new();
                while let Some(member) = members.next_entry()? {
                    object.push(member);
                }
                Ok(Node::Object(object))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

/// Decodes a value, and knows of each what it is expected to be.
#[derive(Clone, Copy)]
struct Told<'a>(&'a Node);

impl Told<'_> {
    /// A whole number, if its type can hold it.
    fn whole<N: TryFrom<i128>>(self) -> Option<N> {
        match self.0 {
            Node::Number(number) => number.as_i128().and_then(|whole| N::try_from(whole).ok()),
            _ => None,
        }
    }

    fn not(self, expected: impl Into<std::borrow::Cow<'static, str>>) -> Wrong {
        Wrong::kind(expected, self.0.found())
    }
}

/// What a text may be decoded as.
macro_rules! texts {
    ($($deserialize:ident)*) => {
        $(fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
            match self.0 {
                Node::Text(text) => visitor.visit_borrowed_str(text),
                _ => Err(self.not("a text")),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for Told<'de> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            Node::Null => visitor.visit_unit(),
            Node::Bool(value) => visitor.visit_bool(*value),
            Node::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(whole), ..) => visitor.visit_u64(whole),
                (_, Some(whole), _) => visitor.visit_i64(whole),
                (.., Some(value)) => visitor.visit_f64(value),
                (None, None, None) => Err(self.not("a number")),
            },
            Node::Text(text) => visitor.visit_borrowed_str(text),
            Node::List(items) => visitor.visit_seq(Items { items: items.iter(), next: 0 }),
            Node::Object(members) => visitor.visit_map(Members { members: members.iter(), value: None }),
        }
    }

    whole_numbers! {}

    texts! { deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf deserialize_identifier }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            Node::Bool(value) => visitor.visit_bool(*value),
            _ => Err(self.not("true or false")),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            Node::Number(_) => self.deserialize_any(visitor),
            _ => Err(self.not("a number")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        if let Node::Null = self.0 { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        if let Node::Null = self.0 { visitor.visit_unit() } else { Err(self.not("null")) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        if let Node::List(_) = self.0 { self.deserialize_any(visitor) } else { Err(self.not("a list")) }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        if let Node::Object(_) = self.0 { self.deserialize_any(visitor) } else { Err(self.not("an object")) }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        match self.0 {
            Node::Text(text) => visitor.visit_enum(StrDeserializer::new(text)),
            _ => Err(self.not(one_of(known))),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_unit()
    }
}

struct Items<'a> {
    items: std::slice::Iter<'a, Node>,
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Wrong;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Wrong> {
        let Some(item) = self.items.next() else { return Ok(None) };
        let index = self.next;
        self.next += 1;
        seed.deserialize(Told(item)).map(Some).map_err(|wrong| wrong.within(&index))
    }
}

struct Members<'a> {
    members: std::slice::Iter<'a, (String, Node)>,
    /// That of the name that was given out.
    value: Option<&'a (String, Node)>,
}

impl<'de> MapAccess<'de> for Members<'de> {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Wrong> {
        self.value = self.members.next();
        let Some((name, _)) = self.value else { return Ok(None) };
        seed.deserialize(StrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let Some((name, value)) = self.value else { return Err(Wrong::custom("has a value without a name")) };
        seed.deserialize(Told(value)).map_err(|wrong| wrong.within(name))
    }
}

//! Why a body or a query is not what a call takes, in the words of whoever sent it: the field, what it must be and what
//! came. What decoders say of themselves speaks of the server's types instead.

use std::borrow::Cow;
use std::fmt::{self, Display};

use serde::de::{self, Expected, Unexpected};

use crate::ApiError;
use crate::strict::{nearest, quoted};

/// Fields whose values are not repeated in an answer, wherever they stand.
const SECRET: [&str; 4] = ["password", "token", "secret", "value"];
/// Fields whose content is a team's own.
const PRIVATE: [&str; 2] = ["input", "output"];
/// Most characters of a value that are repeated.
const MOST_SHOWN: usize = 64;

/// What does not fit, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// From the innermost name or index outwards.
    path: Vec<String>,
    what: What,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    /// Another kind of value is expected.
    Kind { expected: Cow<'static, str>, found: Found },
    /// The field is not there.
    Missing,
    /// The field comes twice.
    Twice,
    /// The call knows no such field.
    Unknown { name: String, known: &'static [&'static str] },
    /// What the type of the field says of it, to be read after its name.
    Said(String),
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// One of few, or one that has a name: `null`, `a list`.
    Named(&'static str),
    /// A number or a truth value of JSON.
    Plain(String),
    /// A text of JSON.
    Text(String),
    /// The value of a parameter.
    Value(String),
}

impl Found {
    fn shown(&self, secret: bool) -> String {
        match self {
            Self::Named(name) => (*name).to_owned(),
            Self::Plain(_) if secret => "a number or a truth value".to_owned(),
            Self::Text(_) | Self::Value(_) if secret => "a text".to_owned(),
            Self::Plain(value) => value.clone(),
            Self::Text(text) => format!("the text {}", shortened(text)),
            Self::Value(text) => shortened(text),
        }
    }
}

/// The beginning of a text, in quotation marks.
pub(crate) fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(MOST_SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("\"{}\"", shown.escape_debug())
}

impl Wrong {
    /// Something of another kind was expected.
    pub(super) fn kind(expected: impl Into<Cow<'static, str>>, found: Found) -> Self {
        Self { path: Vec::new(), what: What::Kind { expected: expected.into(), found } }
    }

    /// The same, within the field of that name or the item of that number.
    pub(super) fn within(mut self, name: &dyn Display) -> Self {
        self.path.push(name.to_string());
        self
    }

    /// The refusal of a body.
    pub(super) fn of_body(&self) -> ApiError {
        let name = match self.name() {
            Some(name) => format!("{name} in the request body"),
            None => "the request body".to_owned(),
        };
        self.refusal(&name, None)
    }

    /// The refusal of a query. `range` says of a parameter between what it must be.
    pub(super) fn of_query(&self, range: impl FnOnce(&str) -> Option<String>) -> ApiError {
        let name = match self.name() {
            Some(name) => format!("the parameter {name}"),
            None => "the query".to_owned(),
        };
        self.refusal(&name, self.path.first().and_then(|name| range(name)))
    }

    fn name(&self) -> Option<String> {
        let names: Vec<&str> = self.path.iter().rev().map(String::as_str).collect();
        (!names.is_empty()).then(|| quoted(&names.join(".")))
    }

    fn is_secret(&self) -> bool {
        let is =
            |name: Option<&String>, known: &[&str]| name.is_some_and(|name| known.contains(&name.as_str()));
        // A body that is no object may be all secret: someone has sent a password alone.
        self.path.is_empty() || is(self.path.first(), &SECRET) || is(self.path.last(), &PRIVATE)
    }

    fn refusal(&self, name: &str, range: Option<String>) -> ApiError {
        ApiError::invalid_request(match &self.what {
            What::Kind { expected, found } => {
                let expected = range.map_or(expected.as_ref().into(), Cow::Owned);
                format!("{name} must be {expected}, not {}", found.shown(self.is_secret()))
            }
            What::Missing => format!("{name} is missing"),
            What::Twice => format!("{name} comes twice"),
            What::Unknown { name: unknown, known } => {
                let shown = quoted(unknown);
                match nearest(unknown, known.iter().copied()) {
                    Some(near) => format!("{name} has an unknown field {shown}; did you mean {near}?"),
                    None => format!("{name} has an unknown field {shown}; it takes {}", known.join(", ")),
                }
            }
            What::Said(what) => format!("{name} {what}"),
        })
    }
}

impl Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.of_body().message())
    }
}

impl std::error::Error for Wrong {}

/// What decoders report. They never see a value of another kind than they have asked for (`given` and `told` say so
/// first), so a rejection is that of a type with rules of its own, which says them as what follows the name of a field.
impl de::Error for Wrong {
    fn custom<T: Display>(said: T) -> Self {
        Self { path: Vec::new(), what: What::Said(said.to_string()) }
    }

    fn invalid_type(_: Unexpected<'_>, _: &dyn Expected) -> Self {
        Self::custom("does not have the form that the API's description names")
    }

    fn invalid_value(_: Unexpected<'_>, _: &dyn Expected) -> Self {
        Self::custom("is not among the values that the API's description names")
    }

    fn invalid_length(_: usize, _: &dyn Expected) -> Self {
        Self::custom("does not have as many items as the API's description names")
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        Self::kind(one_of(known), Found::Value(variant.to_owned()))
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self { path: Vec::new(), what: What::Unknown { name: field.to_owned(), known } }
    }

    fn missing_field(field: &'static str) -> Self {
        Self { path: vec![field.to_owned()], what: What::Missing }
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self { path: vec![field.to_owned()], what: What::Twice }
    }
}

/// The words for one of these.
pub(super) fn one_of(known: &[&str]) -> String {
    format!("one of {}", known.join(", "))
}

/// The words for a whole number of a type.
pub(super) fn whole_number(least: i128, most: i128) -> Cow<'static, str> {
    match (least, most) {
        (0, most) if most > i128::from(u32::MAX) => "a whole number from 0".into(),
        (_, most) if most > i128::from(u32::MAX) => "a whole number".into(),
        (least, most) => format!("a whole number from {least} to {most}").into(),
    }
}

/// The methods of a decoder for whole numbers, by its methods `whole` and `not`.
macro_rules! whole_numbers {
    () => {
        whole_numbers! {
            deserialize_i8 visit_i8 i8;
            deserialize_i16 visit_i16 i16;
            deserialize_i32 visit_i32 i32;
            deserialize_i64 visit_i64 i64;
            deserialize_u8 visit_u8 u8;
            deserialize_u16 visit_u16 u16;
            deserialize_u32 visit_u32 u32;
            deserialize_u64 visit_u64 u64;
        }
    };
    ($($deserialize:ident $visit:ident $type:ty;)*) => {
        $(fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
            match self.whole() {
                Some(whole) => visitor.$visit(whole),
                None => Err(self.not(whole_number(i128::from(<$type>::MIN), i128::from(<$type>::MAX)))),
            }
        })*
    };
}
pub(super) use whole_numbers;

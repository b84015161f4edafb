//! Many runs at once, by what they have in common.

use std::fmt;

use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Body of `POST /runs/cancel` and `POST /runs/retry`: the runs that are all of this. At least one of `app`, `status`, `environment` and
/// `label` has to be given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "app": "hello", "status": ["failed", "dead"], "label": "stage=test"
})))]
pub struct ManyRuns {
    /// Runs of the app with this slug.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// Runs with this status, or with one of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<OneOrMany>,
    /// Runs in this environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Runs with this label, as `key=value`, or with all of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<OneOrMany>,
    /// Only runs with a smaller id: the `next_before` of the answer before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<i64>,
    /// Whether the runs are only counted, and nothing changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
}

/// A text, or a list of texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum OneOrMany {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl OneOrMany {
    /// All of them.
    #[must_use]
    pub fn into_list(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        }
    }
}

impl From<Vec<String>> for OneOrMany {
    fn from(texts: Vec<String>) -> Self {
        Self::Many(texts)
    }
}

/// What is wrong with any other value; follows the name of its field.
const NOT_TEXTS: &str = "must be a text or a list of texts";

// By hand: what serde makes of an untagged enum says of a wrong value no more than that it is wrong.
impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;

        impl<'de> Visitor<'de> for Texts {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_bool<E: Error>(self, _: bool) -> Result<OneOrMany, E> {
                Err(E::custom(NOT_TEXTS))
            }

            fn visit_i64<E: Error>(self, _: i64) -> Result<OneOrMany, E> {
                Err(E::custom(NOT_TEXTS))
            }

            fn visit_u64<E: Error>(self, _: u64) -> Result<OneOrMany, E> {
                Err(E::custom(NOT_TEXTS))
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<OneOrMany, E> {
                Err(E::custom(NOT_TEXTS))
            }

            fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<OneOrMany, A::Error> {
                Err(A::Error::custom(NOT_TEXTS))
            }

            fn visit_str<E>(self, text: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany::One(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<OneOrMany, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = items.next_element()? {
                    texts.push(text);
                }
                Ok(OneOrMany::Many(texts))
            }
        }

        deserializer.deserialize_any(Texts)
    }
}

/// Answer of `POST /runs/cancel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({"cancelled": 12})))]
pub struct CancelledRuns {
    /// How many runs were cancelled, or with `dry_run` would be.
    pub cancelled: u64,
    /// There may be more: call again with this as `before`. Absent when all were cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_before: Option<i64>,
}

/// Answer of `POST /runs/retry`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "retried": 2, "run_ids": [44, 45], "skipped": 0
})))]
pub struct RetriedRuns {
    /// How many runs were made, or with `dry_run` how many runs would be looked at.
    pub retried: u64,
    /// The ids of the new runs.
    pub run_ids: Vec<i64>,
    /// How many runs could not run again: their app is disabled, or the team's limits no longer allow their priority or their timeout.
    pub skipped: u64,
    /// There may be more: call again with this as `before`. Absent when all were looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_before: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_and_a_list_are_both_taken_and_nothing_else() {
        let label = |text: &str| serde_json::from_str::<ManyRuns>(&format!("{{\"label\":{text}}}"));
        assert_eq!(label("\"a=1\"").unwrap().label.unwrap().into_list(), ["a=1"]);
        assert_eq!(label("[\"a=1\",\"b=2\"]").unwrap().label.unwrap().into_list(), ["a=1", "b=2"]);
        assert_eq!(label("null").unwrap().label, None);
        for wrong in ["1", "{}", "[1]", "true"] {
            let error = label(wrong).unwrap_err().to_string();
            assert!(error.contains("text") || error.contains("string"), "{error}");
        }
    }
}

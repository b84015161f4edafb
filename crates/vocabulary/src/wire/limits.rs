//! The limits of a team.

use serde::{Deserialize, Deserializer, Serialize};

use crate::limits::each_limit;
pub use crate::limits::{LOG_LINE_OVERHEAD, LimitName};

/// One limit of a team.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
    "limit": 1000, "used": 5, "allowed": 1000, "default": 1000
})))]
pub struct Limit {
    /// What applies: what the team chose, or else what it is allowed.
    pub limit: u64,
    /// How much of it is used now. Absent where every run is bounded on its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
    /// The most that an admin of the team may choose. The administrator decides it.
    pub allowed: u64,
    /// What a team is allowed if the administrator has not decided otherwise.
    pub default: u64,
}

macro_rules! objects {
    ($($variant:ident $name:ident $doc:tt;)*) => {
        /// Answer of `GET` and `PUT /limits`.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
        pub struct Limits {
            $(
                #[doc = $doc]
                #[serde(default)]
                pub $name: Limit,
            )*
        }

        impl Limits {
            /// Those that `of` makes.
            pub fn new(of: impl Fn(LimitName) -> Limit) -> Self {
                Self { $($name: of(LimitName::$variant),)* }
            }

            /// Each by its name.
            pub fn all(&self) -> impl Iterator<Item = (LimitName, Limit)> {
                [$((LimitName::$variant, self.$name)),*].into_iter()
            }
        }

        /// Body of `PUT /limits`: the limits to change. `null` puts one back to what it is by default.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(example = json!({
            "queued_runs": 5000, "active_runs": null
        })))]
        #[serde(deny_unknown_fields)]
        pub struct SetLimits {
            $(
                #[doc = $doc]
                #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
                #[cfg_attr(feature = "utoipa", schema(value_type = Option<u64>))]
                pub $name: Option<Option<u64>>,
            )*
        }

        impl SetLimits {
            /// Those that are to change, with what they are to be; none: their default.
            pub fn changes(&self) -> impl Iterator<Item = (LimitName, Option<u64>)> {
                [$((LimitName::$variant, self.$name)),*].into_iter().filter_map(|(name, change)| Some((name, change?)))
            }

            /// Asks for one more change.
            #[must_use]
            pub fn with(mut self, name: LimitName, limit: Option<u64>) -> Self {
                match name { $(LimitName::$variant => self.$name = Some(limit),)* }
                self
            }
        }
    };
}
each_limit!(objects);

/// A field that is there, be it null.
#[expect(clippy::option_option, reason = "left out, null and a number are three things")]
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u64>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_stays_and_null_is_a_change() {
        let set: SetLimits = serde_json::from_str(r#"{"queued_runs":7,"apps":null}"#).unwrap();
        assert_eq!(
            set.changes().collect::<Vec<_>>(),
            [(LimitName::QueuedRuns, Some(7)), (LimitName::Apps, None)]
        );
        assert_eq!(serde_json::to_string(&set).unwrap(), r#"{"queued_runs":7,"apps":null}"#);
        let made = SetLimits::default().with(LimitName::Apps, None).with(LimitName::QueuedRuns, Some(7));
        assert_eq!(made, set);
    }

    #[test]
    fn a_limit_that_there_is_not_is_named() {
        let error = serde_json::from_str::<SetLimits>(r#"{"queued_run":7}"#).unwrap_err().to_string();
        assert!(error.contains("`queued_run`") && error.contains("`queued_runs`"), "{error}");
    }

    #[test]
    fn every_limit_has_its_object() {
        let limits = Limits::new(|name| Limit { limit: name as u64, ..Limit::default() });
        assert!(limits.all().all(|(name, limit)| limit.limit == name as u64));
        let json = serde_json::to_value(limits).unwrap();
        for name in LimitName::ALL {
            assert!(json[name.as_str()].is_object(), "{name}");
            assert_eq!(LimitName::parse(name.as_str()), Some(*name));
        }
    }
}

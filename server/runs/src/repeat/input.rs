//! What becomes of the input of a run that is repeated. Pure.

use minitower_vocabulary::wire::runs::HIDDEN_VALUE;
use serde_json::{Map, Value};

/// The input of the new run.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Input {
    /// The input; none: it has none.
    pub(super) values: Option<Map<String, Value>>,
    /// The keys whose values nobody was shown, and that are as in the first run.
    pub(super) unseen: Vec<String>,
}

/// The input of the first run as it was.
pub(super) fn same(first: Option<Map<String, Value>>, hidden: &[String]) -> Input {
    let has = |name: &&String| first.as_ref().is_some_and(|first| first.contains_key(*name));
    let unseen = hidden.iter().filter(has).cloned().collect();
    Input { values: first, unseen }
}

/// Another input. What was shown as [`HIDDEN_VALUE`] of the first run's input stands for its hidden value, so that whoever changes one value of
/// an input need not know the others.
pub(super) fn changed(
    given: Option<Map<String, Value>>,
    first: Option<&Map<String, Value>>,
    hidden: &[String],
) -> Input {
    let Some(mut values) = given else { return Input::default() };
    let mut unseen = Vec::new();
    for name in hidden {
        if let Some(value) = values.get_mut(name).filter(|value| *value == HIDDEN_VALUE)
            && let Some(kept) = first.and_then(|first| first.get(name))
        {
            value.clone_from(kept);
            unseen.push(name.clone());
        }
    }
    Input { values: Some(values), unseen }
}

impl Input {
    /// The first key whose value nobody was shown, and that a version which hides only `hidden` would show.
    pub(super) fn would_show(&self, hidden: &[String]) -> Option<&str> {
        self.unseen.iter().find(|name| !hidden.contains(name)).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: &Value) -> Option<Map<String, Value>> {
        value.as_object().cloned()
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_was_shown_in_place_of_a_hidden_value_stands_for_it() {
        let first = map(&json!({"token": "s3cret", "city": "Bonn", "stars": "x"}));
        let given = map(&json!({"token": "********", "city": "Ulm", "stars": "********"}));
        let new = changed(given, first.as_ref(), &names(&["token"]));
        assert_eq!(new.values, map(&json!({"token": "s3cret", "city": "Ulm", "stars": "********"})));
        assert_eq!(new.unseen, ["token"]);
    }

    #[test]
    fn another_value_replaces_a_hidden_one_and_what_is_left_out_is_gone() {
        let first = map(&json!({"token": "s3cret", "pin": 1}));
        let new = changed(map(&json!({"token": "new"})), first.as_ref(), &names(&["token", "pin"]));
        assert_eq!(new, Input { values: map(&json!({"token": "new"})), unseen: Vec::new() });
        assert_eq!(changed(None, first.as_ref(), &names(&["token"])), Input::default());
    }

    #[test]
    fn stars_stand_for_themselves_where_the_first_run_had_no_value() {
        let given = map(&json!({"token": "********"}));
        let new = changed(given.clone(), map(&json!({})).as_ref(), &names(&["token"]));
        assert_eq!(new, Input { values: given, unseen: Vec::new() });
    }

    #[test]
    fn a_version_that_hides_less_would_show_a_value() {
        let first = map(&json!({"token": "s3cret", "city": "Bonn"}));
        let new = same(first.clone(), &names(&["token", "other"]));
        assert_eq!((new.values.clone(), new.unseen.len()), (first, 1));
        assert_eq!(new.would_show(&names(&["other"])), Some("token"));
        assert_eq!(new.would_show(&names(&["token"])), None);
        assert_eq!(same(None, &names(&["token"])).would_show(&[]), None);
    }
}

//! Parameters of a query that a route does not take, and those that are given twice.

use super::unread::{nearest, quoted};
use super::{Fields, Takes, Unread};
use crate::ApiError;

/// Refuses what the route does not take.
pub(super) fn check(takes: &Takes, query: &str, unread: &Unread) -> Result<(), ApiError> {
    if query.is_empty() {
        return Ok(());
    }
    let mut seen = vec![false; takes.query.len()];
    for (name, _) in form_urlencoded::parse(query.as_bytes()) {
        let known = takes.query.iter().position(|parameter| parameter.name == name);
        match known {
            None if takes.fields == Fields::Anything => unread.note(&name),
            None => return Err(unknown(takes, &name)),
            Some(at) if seen[at] && !takes.query[at].repeatable => {
                return Err(ApiError::invalid_request(format!(
                    "the parameter {} is given more than once",
                    quoted(&name)
                )));
            }
            Some(at) => seen[at] = true,
        }
    }
    Ok(())
}

fn unknown(takes: &Takes, name: &str) -> ApiError {
    let known = || takes.query.iter().map(|parameter| parameter.name.as_str());
    let name_shown = quoted(name);
    ApiError::invalid_request(match (nearest(name, known()), takes.query.is_empty()) {
        (_, true) => format!("this call takes no parameters, and {name_shown} is one"),
        (Some(near), _) => format!("this call has no parameter {name_shown}; did you mean {near}?"),
        (None, _) => {
            let known: Vec<&str> = known().collect();
            format!("this call has no parameter {name_shown}; it takes {}", known.join(", "))
        }
    })
}

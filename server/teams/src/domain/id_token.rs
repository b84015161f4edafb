//! What an ID token must say (OpenID Connect Core 1.0, section 3.1.3.7). Its signature has been checked before.

use std::collections::BTreeSet;

use minitower_vocabulary::time::Timestamp;
use serde_json::{Map, Value};

use super::people::Person;

/// The clocks of the provider and of this server may differ by so much, in seconds.
const LEEWAY: i64 = 60;
/// Longest id of a person, in bytes (OpenID Connect Core 1.0, section 2).
const MOST_SUBJECT: usize = 255;
/// Most groups of a person that are looked at.
const MOST_GROUPS: usize = 10_000;

/// The claims of a token, or of the provider's answer about a person.
pub(crate) type Claims = Map<String, Value>;

/// What a token has to be for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected<'a> {
    /// Who issues it.
    pub(crate) issuer: &'a str,
    /// Whom it is issued to.
    pub(crate) client_id: &'a str,
    /// The sign-in that it belongs to.
    pub(crate) nonce: &'a str,
    /// What the hash of the access token must be, if the token names one.
    pub(crate) at_hash: Option<&'a str>,
    /// When it is shown.
    pub(crate) now: Timestamp,
}

/// A token that was signed, and is still not what it has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadClaims {
    /// It is of another issuer.
    #[error("it was issued by somebody else")]
    Issuer,
    /// It is for another client.
    #[error("it was issued for another client")]
    Audience,
    /// It is over.
    #[error("it has expired: compare the clocks of the provider and of this server")]
    Expired,
    /// It is not valid yet, or was issued in the future.
    #[error("it is not valid yet: compare the clocks of the provider and of this server")]
    Early,
    /// It belongs to another sign-in.
    #[error("it belongs to another sign-in")]
    Nonce,
    /// It does not belong to the access token that came with it.
    #[error("it does not belong to the access token beside it")]
    AccessToken,
    /// It names nobody.
    #[error("it names nobody")]
    Subject,
}

/// Checks the claims of a token; returns the id of the person.
pub(crate) fn check<'c>(claims: &'c Claims, expected: &Expected<'_>) -> Result<&'c str, BadClaims> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("iss") != Some(expected.issuer) {
        return Err(BadClaims::Issuer);
    }
    check_audience(claims, expected.client_id)?;
    let now = expected.now.0.div_euclid(1000);
    let expires = seconds(claims, "exp").ok_or(BadClaims::Expired)?;
    if expires.saturating_add(LEEWAY) <= now {
        return Err(BadClaims::Expired);
    }
    let issued = seconds(claims, "iat").ok_or(BadClaims::Early)?;
    let begins = match claims.get("nbf") {
        None => issued,
        Some(_) => seconds(claims, "nbf").ok_or(BadClaims::Early)?.max(issued),
    };
    if begins.saturating_sub(LEEWAY) > now {
        return Err(BadClaims::Early);
    }
    if text("nonce") != Some(expected.nonce) {
        return Err(BadClaims::Nonce);
    }
    if claims.contains_key("at_hash") && text("at_hash") != expected.at_hash {
        return Err(BadClaims::AccessToken);
    }
    text("sub").filter(|sub| (1..=MOST_SUBJECT).contains(&sub.len())).ok_or(BadClaims::Subject)
}

fn check_audience(claims: &Claims, client_id: &str) -> Result<(), BadClaims> {
    let authorized = claims.get("azp");
    let others = match claims.get("aud") {
        Some(Value::String(one)) if one == client_id => false,
        Some(Value::Array(all)) if all.iter().any(|one| one == client_id) => all.len() > 1,
        _ => return Err(BadClaims::Audience),
    };
    match authorized {
        None if others => Err(BadClaims::Audience),
        None => Ok(()),
        Some(party) if party == client_id => Ok(()),
        Some(_) => Err(BadClaims::Audience),
    }
}

/// A moment in seconds; some providers write fractions.
fn seconds(claims: &Claims, name: &str) -> Option<i64> {
    let value = claims.get(name)?;
    #[expect(clippy::cast_possible_truncation, reason = "a cast of a float saturates")]
    value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds.floor() as i64))
}

/// The groups that a claim names: a list of texts, or one text. None: the claim is not there, or is no such thing.
///
/// An e-mail address counts only if the provider says that it is the person's own: with some providers anyone can enter any address.
#[must_use]
pub(crate) fn groups<'c>(claims: &'c Claims, claim: &str) -> Option<BTreeSet<&'c str>> {
    match claims.get(claim)? {
        Value::String(one) => {
            let own = claim != "email" || claims.get("email_verified") == Some(&Value::Bool(true));
            Some(own.then_some(one.as_str()).into_iter().collect())
        }
        Value::Array(all) => Some(all.iter().take(MOST_GROUPS).filter_map(Value::as_str).collect()),
        _ => None,
    }
}

/// Where a person's name usually is.
const NAMES: [&str; 3] = ["name", "preferred_username", "email"];

/// Whether the claims say what a person is called.
#[must_use]
pub(crate) fn has_name(claims: &Claims, claim: Option<&str>) -> bool {
    claim
        .map_or_else(|| NAMES.iter().any(|name| claims.contains_key(*name)), |name| claims.contains_key(name))
}

/// What a person is called: the claim that the administrator has named, or the first that says something.
#[must_use]
pub(crate) fn name(claims: &Claims, claim: Option<&str>, subject: &str) -> String {
    let texts = claim.into_iter().chain(NAMES).filter_map(|name| claims.get(name)?.as_str());
    let name = texts.chain([subject]).find_map(Person::kept_name);
    name.unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn good() -> Value {
        json!({"iss": "https://id.example", "aud": "tower", "sub": "u1", "nonce": "n", "iat": NOW - 1, "exp": NOW + 300})
    }

    fn checked(claims: &Value) -> Result<&str, BadClaims> {
        let expected = Expected {
            issuer: "https://id.example",
            client_id: "tower",
            nonce: "n",
            at_hash: Some("hash"),
            now: Timestamp(NOW * 1000 + 999),
        };
        check(claims.as_object().unwrap(), &expected)
    }

    #[test]
    fn a_good_token_names_the_person() {
        assert_eq!(checked(&good()), Ok("u1"));
    }

    #[rstest]
    #[case(json!({"iss": "https://id.example/"}), BadClaims::Issuer)]
    #[case(json!({"iss": null}), BadClaims::Issuer)]
    #[case(json!({"aud": "other"}), BadClaims::Audience)]
    #[case(json!({"aud": ["other"]}), BadClaims::Audience)]
    #[case(json!({"aud": []}), BadClaims::Audience)]
    #[case(json!({"aud": {"tower": 1}}), BadClaims::Audience)]
    #[case(json!({"aud": ["tower", "other"]}), BadClaims::Audience)]
    #[case(json!({"aud": ["tower", "other"], "azp": "other"}), BadClaims::Audience)]
    #[case(json!({"azp": "other"}), BadClaims::Audience)]
    #[case(json!({"exp": NOW - 60}), BadClaims::Expired)]
    #[case(json!({"exp": null}), BadClaims::Expired)]
    #[case(json!({"exp": "9999999999"}), BadClaims::Expired)]
    #[case(json!({"iat": NOW + 61}), BadClaims::Early)]
    #[case(json!({"iat": null}), BadClaims::Early)]
    #[case(json!({"nbf": NOW + 61}), BadClaims::Early)]
    #[case(json!({"nbf": "soon"}), BadClaims::Early)]
    #[case(json!({"nonce": "m"}), BadClaims::Nonce)]
    #[case(json!({"nonce": null}), BadClaims::Nonce)]
    #[case(json!({"at_hash": "other"}), BadClaims::AccessToken)]
    #[case(json!({"at_hash": 7}), BadClaims::AccessToken)]
    #[case(json!({"sub": ""}), BadClaims::Subject)]
    #[case(json!({"sub": 7}), BadClaims::Subject)]
    #[case(json!({"sub": "x".repeat(256)}), BadClaims::Subject)]
    fn a_token_that_is_wrong_in_one_thing_is_refused(#[case] change: Value, #[case] why: BadClaims) {
        let mut claims = good();
        for (name, value) in change.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        assert_eq!(checked(&claims), Err(why));
    }

    #[rstest]
    #[case(json!({"aud": ["tower"]}))]
    #[case(json!({"aud": ["other", "tower"], "azp": "tower"}))]
    #[case(json!({"azp": "tower"}))]
    #[case(json!({"exp": NOW - 59}))]
    #[case(json!({"iat": NOW + 60}))]
    #[case(json!({"exp": 1_700_000_300.5}))]
    #[case(json!({"at_hash": "hash"}))]
    #[case(json!({"nbf": NOW}))]
    fn what_the_standard_allows_is_taken(#[case] change: Value) {
        let mut claims = good();
        change.as_object().unwrap().iter().for_each(|(name, value)| claims[name] = value.clone());
        assert_eq!(checked(&claims), Ok("u1"));
    }

    #[rstest]
    #[case(json!({"groups": ["a", 7, "b", "a"]}), "groups", Some(vec!["a", "b"]))]
    #[case(json!({"groups": []}), "groups", Some(vec![]))]
    #[case(json!({"hd": "example.com"}), "hd", Some(vec!["example.com"]))]
    #[case(json!({"groups": 7}), "groups", None)]
    #[case(json!({}), "groups", None)]
    #[case(json!({"email": "a@b", "email_verified": true}), "email", Some(vec!["a@b"]))]
    #[case(json!({"email": "a@b", "email_verified": "true"}), "email", Some(vec![]))]
    #[case(json!({"email": "a@b"}), "email", Some(vec![]))]
    fn groups_are_texts(#[case] claims: Value, #[case] claim: &str, #[case] expected: Option<Vec<&str>>) {
        let found = groups(claims.as_object().unwrap(), claim);
        assert_eq!(found.map(|groups| groups.into_iter().collect()), expected);
    }

    #[rstest]
    #[case(json!({"name": "Ada", "nick": "al"}), Some("nick"), "al")]
    #[case(json!({"name": "Ada"}), Some("nick"), "Ada")]
    #[case(json!({"name": "\n", "email": "a@b"}), None, "a@b")]
    #[case(json!({}), None, "u1")]
    fn somebody_is_called_something(
        #[case] claims: Value,
        #[case] claim: Option<&str>,
        #[case] expected: &str,
    ) {
        assert_eq!(name(claims.as_object().unwrap(), claim, "u1"), expected);
    }
}

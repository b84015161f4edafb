//! What of a sign-in can be decided by looking at it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use minitower_vocabulary::names::Slug;
use minitower_vocabulary::statuses::Role;
use subtle::ConstantTimeEq as _;

use super::LIFE;
use crate::Error;
use crate::domain::people::Memberships;
use crate::oidc::waiting::Waiting;
use crate::oidc::{ProviderError, SignInError};
use crate::secrets::{self, TokenHash};

/// Longest place that a browser may be sent back to, in bytes.
const MOST_RETURN: usize = 256;
/// The letters of a code that a person compares: none is taken for another, and they spell no words (RFC 8628, section 6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// Whether what waits is for whoever asks, so that it may be taken.
pub(super) fn fits(waiting: &Waiting, team: Option<&str>, browser: Option<&str>) -> Result<(), SignInError> {
    match waiting {
        Waiting::Denied { .. } => Err(SignInError::Denied),
        Waiting::Used { .. } => Err(SignInError::CodeGone),
        Waiting::Granted { team: granted, .. } => match team.filter(|team| team != granted) {
            Some(team) => Err(SignInError::NotInTeam { team: team.to_owned(), may: granted.clone() }),
            None => Ok(()),
        },
        Waiting::Returned { memberships, browser: kept, .. } => {
            check_browser(browser, kept)?;
            chosen(memberships, team).map(drop)
        }
    }
}

/// The team that is meant, and what the person is there.
pub(super) fn chosen(memberships: &Memberships, team: Option<&str>) -> Result<(String, Role), SignInError> {
    let mut all = memberships.iter();
    match (team, all.next(), all.next()) {
        (Some(team), ..) => Ok((team.to_owned(), role_in(memberships, team)?)),
        (None, Some((slug, role)), None) => Ok((slug.clone(), *role)),
        (None, ..) => Err(SignInError::WhichTeam { may: listed(memberships) }),
    }
}

pub(super) fn role_in(memberships: &Memberships, team: &str) -> Result<Role, SignInError> {
    let missing = || SignInError::NotInTeam { team: team.to_owned(), may: listed(memberships) };
    memberships.get(team).copied().ok_or_else(missing)
}

pub(super) fn listed(memberships: &Memberships) -> String {
    memberships.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

pub(super) const fn is_admin(role: Role) -> bool {
    matches!(role, Role::Admin)
}

pub(super) fn checked_team(team: Option<String>) -> Result<Option<String>, Error> {
    let team = team.filter(|team| !team.is_empty());
    Ok(team.map(|team| Slug::parse(&team).map(|slug| slug.as_str().to_owned())).transpose()?)
}

pub(super) fn checked_device(device: String) -> Result<String, SignInError> {
    if is_random::<16>(&device) {
        Ok(device)
    } else {
        Err(SignInError::Nonsense("device", "follow the address to the letter that the command line shows"))
    }
}

/// A place on this server, so that nobody is sent elsewhere with a code.
pub(super) fn checked_return(place: String) -> Result<String, SignInError> {
    let plain = place.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\\"<>#".contains(&byte));
    let here = place.starts_with('/') && !place.starts_with("//");
    if here && plain && place.len() <= MOST_RETURN {
        Ok(place)
    } else {
        Err(SignInError::Nonsense("return_to", "it must be a path on this server, beginning with one '/'"))
    }
}

pub(super) fn check_browser(cookie: Option<&str>, kept: &TokenHash) -> Result<(), SignInError> {
    let same = cookie.is_some_and(|cookie| secrets::hash(cookie).ct_eq(kept).into());
    if same { Ok(()) } else { Err(unknown_state()) }
}

pub(super) const fn unknown_state() -> SignInError {
    SignInError::UnknownState { minutes: LIFE.as_secs() / 60 }
}

/// What the administrator has to know, the log says.
pub(super) fn told(error: &SignInError) {
    let ours = matches!(
        error,
        SignInError::Provider(ProviderError::Unfit(_) | ProviderError::Unreachable { .. })
            | SignInError::Signature(_)
            | SignInError::Claims(_)
            | SignInError::NoGroups { .. }
    );
    if ours {
        tracing::warn!(error = error as &dyn std::error::Error, "nobody was signed in");
    }
}

/// Under what the decision about a command line waits.
pub(super) fn device_key(device: &str) -> TokenHash {
    secrets::hash(&format!("device {device}"))
}

/// What a person compares: eight letters that follow from what the command line has begun.
pub(super) fn user_code(device: &str) -> String {
    let letters: Vec<char> = secrets::hash(&format!("letters {device}"))
        .iter()
        .take(8)
        .map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]))
        .collect();
    let (left, right) = letters.split_at(4);
    format!("{}-{}", left.iter().collect::<String>(), right.iter().collect::<String>())
}

pub(super) fn random<const BYTES: usize>() -> Result<String, Error> {
    let mut bytes = [0_u8; BYTES];
    getrandom::fill(&mut bytes).map_err(Error::Random)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Whether a text has the form of what [`random`] makes.
pub(super) fn is_random<const BYTES: usize>(text: &str) -> bool {
    text.len() <= 2 * BYTES && URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == BYTES)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn member_of(teams: &[&str]) -> Memberships {
        teams.iter().map(|slug| ((*slug).to_owned(), Role::Member)).collect()
    }

    #[rstest]
    #[case(&["sales"], None, Ok("sales"))]
    #[case(&["sales"], Some("sales"), Ok("sales"))]
    #[case(&["sales", "data"], Some("data"), Ok("data"))]
    #[case(&["sales", "data"], None, Err("choose one of data, sales with `team`"))]
    #[case(&["sales"], Some("data"), Err("you are not in the team \"data\": you may choose sales"))]
    fn the_team_is_named_unless_there_is_one_only(
        #[case] teams: &[&str],
        #[case] wished: Option<&str>,
        #[case] expected: Result<&str, &str>,
    ) {
        match (chosen(&member_of(teams), wished), expected) {
            (Ok((team, Role::Member)), Ok(expected)) => assert_eq!(team, expected),
            (Err(error), Err(says)) => assert!(error.to_string().contains(says), "{error}"),
            (found, _) => panic!("{found:?}"),
        }
    }

    #[rstest]
    #[case("/", true)]
    #[case("/runs?team=a", true)]
    #[case("//evil.example", false)]
    #[case("/\\evil.example", false)]
    #[case("https://evil.example", false)]
    #[case("", false)]
    #[case("/a b", false)]
    #[case("/a\r\nSet-Cookie: x", false)]
    #[case("/#code=x", false)]
    fn a_browser_goes_back_to_this_server_only(#[case] place: &str, #[case] good: bool) {
        assert_eq!(checked_return(place.to_owned()).is_ok(), good);
    }

    #[test]
    fn the_letters_follow_from_the_device_and_are_easy_to_compare() {
        let device = random::<16>().unwrap();
        let code = user_code(&device);
        assert_eq!(code, user_code(&device));
        assert_ne!(code, user_code(&random::<16>().unwrap()));
        assert_eq!((code.len(), &code[4..5]), (9, "-"));
        assert!(code.bytes().all(|byte| byte == b'-' || LETTERS.contains(&byte)), "{code}");
    }

    #[test]
    fn only_the_browser_that_left_comes_back() {
        let kept = secrets::hash("cookie");
        assert!(check_browser(Some("cookie"), &kept).is_ok());
        assert!(check_browser(Some("other"), &kept).is_err() && check_browser(None, &kept).is_err());
    }
}

//! People who sign in through an identity provider, and what the provider's groups are worth here.

use std::collections::BTreeMap;

use minitower_vocabulary::ids::TokenId;
use minitower_vocabulary::names::{NameError, Slug};
use minitower_vocabulary::statuses::Role;
use minitower_vocabulary::time::Timestamp;

/// Most entries of a mapping.
const MOST_ENTRIES: usize = 500;
/// Longest name of a group, in bytes.
const MOST_GROUP: usize = 1024;
/// Longest name of a person that is kept, in characters.
const MOST_NAME: usize = 200;

/// Most tokens of one person in a team that came from signing in: one for each machine, browser and profile.
const MOST_TOKENS: usize = 10;

/// A person, as the provider knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The provider's issuer.
    pub issuer: String,
    /// The provider's id of the person: never given to anyone else.
    pub subject: String,
    /// Their name for people.
    pub name: String,
}

impl Person {
    /// The name as it is kept: without control characters, not too long, and never empty.
    #[must_use]
    pub fn kept_name(name: &str) -> Option<String> {
        let plain: String = name.trim().chars().filter(|c| !c.is_control()).take(MOST_NAME).collect();
        let plain = plain.trim();
        (!plain.is_empty()).then(|| plain.to_owned())
    }
}

/// A token of a person that came from signing in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownToken {
    /// Its id.
    pub id: TokenId,
    /// Its hash.
    pub hash: [u8; 32],
    /// When it expires, or has expired.
    pub expires_at: Timestamp,
    /// When it was last shown, or made.
    pub used_at: Timestamp,
}

/// Which tokens of a person in a team go when the person signs in once more: those that have expired, the one that the new one replaces, and those
/// that were used least recently, so that there are at most ten with the new one. Nobody else's go, and the team's limit of tokens does not count
/// these: nobody locks others out.
#[must_use]
pub fn superseded(known: Vec<KnownToken>, former: Option<[u8; 32]>, now: Timestamp) -> Vec<TokenId> {
    let over = |token: &KnownToken| token.expires_at <= now || Some(token.hash) == former;
    let (gone, mut left): (Vec<_>, Vec<_>) = known.into_iter().partition(over);
    left.sort_by_key(|token| (token.used_at, token.id.0));
    let too_many = (left.len() + 1).saturating_sub(MOST_TOKENS);
    gone.into_iter().chain(left.into_iter().take(too_many)).map(|token| token.id).collect()
}

/// What a person is in which team, by the team's slug.
pub type Memberships = BTreeMap<String, Role>;

/// Which group of the provider is worth which role in which team: `data-admins=sales:admin,data=sales:member`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mapping(BTreeMap<String, Memberships>);

/// An entry of a mapping is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// It lacks a part.
    #[error("{0:?} is not of the form GROUP=TEAM:ROLE")]
    Form(String),
    /// Several entries stand on one of several lines.
    #[error(
        "{0:?} are several entries on one line: where there are line breaks, each entry has a line of its own"
    )]
    Mixed(String),
    /// The group's name is too long.
    #[error("the group {0:?} has more than {MOST_GROUP} bytes")]
    LongGroup(String),
    /// The team's slug breaks its rule.
    #[error("in {entry:?}, {source}")]
    Team {
        /// The entry.
        entry: String,
        /// The rule.
        source: NameError,
    },
    /// There is no such role.
    #[error("in {0:?}, the role must be admin or member")]
    Role(String),
    /// There is nothing in it.
    #[error("it names no group: write GROUP=TEAM:ROLE, several separated by commas")]
    Empty,
    /// There is too much in it.
    #[error("it has more than {MOST_ENTRIES} entries")]
    TooMany,
}

impl Mapping {
    /// Reads the entries, separated by commas, or by line breaks if there is one: then a group's name may have commas, as those of LDAP do.
    pub fn parse(text: &str) -> Result<Self, MappingError> {
        let separator = if text.contains('\n') { '\n' } else { ',' };
        let mut groups: BTreeMap<String, Memberships> = BTreeMap::new();
        let entries = text.split(separator).map(str::trim).filter(|entry| !entry.is_empty());
        for (n, entry) in entries.enumerate() {
            if n >= MOST_ENTRIES {
                return Err(MappingError::TooMany);
            }
            let (group, team, role) = parse_entry(entry)?;
            raise(groups.entry(group).or_default(), team, role);
        }
        if groups.is_empty() { Err(MappingError::Empty) } else { Ok(Self(groups)) }
    }

    /// What somebody in these groups is in which team. Of two roles in a team, the one that may more counts.
    #[must_use]
    pub fn memberships<'g>(&self, groups: impl IntoIterator<Item = &'g str>) -> Memberships {
        let mut found = Memberships::new();
        for (team, role) in groups.into_iter().filter_map(|group| self.0.get(group)).flatten() {
            raise(&mut found, team.clone(), *role);
        }
        found
    }
}

fn parse_entry(entry: &str) -> Result<(String, String, Role), MappingError> {
    let form = || MappingError::Form(shortened(entry));
    // From the right: the name of a group may have both signs in it.
    let (group, place) = entry.rsplit_once('=').ok_or_else(form)?;
    let (team, role) = place.split_once(':').ok_or_else(form)?;
    let (group, team, role) = (group.trim(), team.trim(), role.trim());
    if group.is_empty() || team.is_empty() {
        return Err(form());
    }
    if [":admin,", ":member,"].iter().any(|end| group.contains(end)) {
        return Err(MappingError::Mixed(shortened(entry)));
    }
    if group.len() > MOST_GROUP {
        return Err(MappingError::LongGroup(shortened(group)));
    }
    let slug = Slug::parse(team).map_err(|source| MappingError::Team { entry: shortened(entry), source })?;
    let role = Role::parse(role).ok_or_else(|| MappingError::Role(shortened(entry)))?;
    Ok((group.to_owned(), slug.as_str().to_owned(), role))
}

fn raise(memberships: &mut Memberships, team: String, role: Role) {
    let known = memberships.entry(team).or_insert(role);
    if role == Role::Admin {
        *known = role;
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn of(mapping: &str, groups: &[&str]) -> Vec<(String, Role)> {
        Mapping::parse(mapping).unwrap().memberships(groups.iter().copied()).into_iter().collect()
    }

    #[test]
    fn groups_are_worth_what_the_mapping_says_and_others_nothing() {
        let mapping = "data-admins=sales:admin, data=sales:member,data=reports:member";
        assert_eq!(
            of(mapping, &["data", "unknown"]),
            [("reports".to_owned(), Role::Member), ("sales".to_owned(), Role::Member)]
        );
        assert_eq!(of(mapping, &["data-admins"]), [("sales".to_owned(), Role::Admin)]);
        assert!(of(mapping, &["Data", "data ", ""]).is_empty(), "names are compared to the letter");
    }

    #[test]
    fn of_two_roles_in_a_team_the_one_that_may_more_counts_in_any_order() {
        for mapping in ["a=sales:admin,b=sales:member", "b=sales:member,a=sales:admin"] {
            assert_eq!(of(mapping, &["a", "b"]), [("sales".to_owned(), Role::Admin)]);
            assert_eq!(of(mapping, &["b", "a"]), [("sales".to_owned(), Role::Admin)]);
        }
        assert_eq!(of("a=sales:admin,a=sales:member", &["a"]), [("sales".to_owned(), Role::Admin)]);
    }

    #[test]
    fn names_of_ldap_stand_on_lines_of_their_own() {
        let mapping = "CN=Data,OU=Groups,DC=example=sales:member\n/teams/a:b=reports:admin\n";
        assert_eq!(of(mapping, &["CN=Data,OU=Groups,DC=example"]), [("sales".to_owned(), Role::Member)]);
        assert_eq!(of(mapping, &["/teams/a:b"]), [("reports".to_owned(), Role::Admin)]);
        assert_eq!(
            of("CN=Data,DC=x=sales:member\n", &["CN=Data,DC=x"]),
            [("sales".to_owned(), Role::Member)]
        );
    }

    #[rstest]
    #[case("", "names no group")]
    #[case(" , ", "names no group")]
    #[case("data", "\"data\" is not of the form GROUP=TEAM:ROLE")]
    #[case("data=sales", "is not of the form")]
    #[case("=sales:admin", "is not of the form")]
    #[case("data=:admin", "is not of the form")]
    #[case("data=Sales:admin", "\"Sales\" is not a valid slug")]
    #[case("data=admin:admin", "reserved")]
    #[case("data=sales:owner", "the role must be admin or member")]
    #[case("a=sales:admin,b=sales:member\n", "each entry has a line of its own")]
    #[case("CN=Data,DC=x=sales:member", "\"CN=Data\" is not of the form")]
    #[case("data=sales:", "the role must be admin or member")]
    fn a_wrong_entry_is_named_with_the_rule(#[case] text: &str, #[case] says: &str) {
        let error = Mapping::parse(text).unwrap_err().to_string();
        assert!(error.contains(says) && error.lines().count() == 1, "{error}");
    }

    #[test]
    fn a_mapping_is_bounded() {
        let entry = |n: usize| format!("g{n}=team{n}:member");
        let many: Vec<_> = (0..=MOST_ENTRIES).map(entry).collect();
        assert_eq!(Mapping::parse(&many.join(",")), Err(MappingError::TooMany));
        assert!(Mapping::parse(&many[1..].join(",")).is_ok());
    }

    #[test]
    fn signing_in_again_leaves_no_pile_of_tokens() {
        let token = |id: i64, expires, used| KnownToken {
            id: TokenId(id),
            hash: [u8::try_from(id).unwrap(); 32],
            expires_at: Timestamp(expires),
            used_at: Timestamp(used),
        };
        let gone = |known: &[KnownToken], former| -> Vec<i64> {
            superseded(known.to_vec(), former, Timestamp(100)).into_iter().map(|id| id.0).collect()
        };
        let (live, dead) = (token(1, 101, 5), token(2, 100, 99));
        assert_eq!(gone(&[], None), Vec::<i64>::new());
        assert_eq!(gone(&[live, dead], None), [2]);
        assert_eq!(gone(&[live, dead], Some([1; 32])), [1, 2]);
        assert_eq!(gone(&[live], Some([9; 32])), Vec::<i64>::new(), "of somebody else, or long gone");
        let many: Vec<_> = (1..=11).map(|id| token(id, 101, 50 - id)).collect();
        assert_eq!(gone(&many[..9], None), Vec::<i64>::new());
        assert_eq!(gone(&many[..10], None), [10]);
        assert_eq!(gone(&many, None), [11, 10]);
    }

    #[test]
    fn a_name_is_kept_without_what_would_disturb_a_terminal() {
        assert_eq!(Person::kept_name(" Ada \u{1b}[2JLovelace\n"), Some("Ada [2JLovelace".to_owned()));
        assert_eq!(Person::kept_name("\n\t "), None);
        assert_eq!(Person::kept_name(&"x".repeat(1000)).unwrap().len(), MOST_NAME);
    }
}

//! Which pools of other namespaces may use the operator's own control plane, and whose runs they may serve.
//!
//! The operator's token speaks for the whole platform. A pool in the control plane's namespace was written by somebody who could read that
//! token anyway. Elsewhere, whoever may create a pool could otherwise serve everybody's runs, and see what they contain. So the
//! administrator says what each namespace may have.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What each namespace besides the control plane's may have. A namespace that is not in here may have nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants(BTreeMap<String, Grant>);

/// What the pools of one namespace may serve.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Grant {
    /// The runs of all teams, with runners of the platform.
    platform: bool,
    /// The runs of these teams, each by pools of its own.
    teams: Vec<String>,
    /// In these environments. None: in all.
    environments: Option<Vec<String>>,
}

/// Why the grants cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum GrantsError {
    /// They are not JSON of the right form.
    #[error(
        "it must be JSON such as {{\"team-a\":{{\"teams\":[\"acme\"],\"environments\":[\"default\"]}},\"team-b\":{{\"platform\":true}}}}"
    )]
    Form(#[from] serde_json::Error),
    /// A name that nothing can have.
    #[error("{namespace}: {name:?} cannot be the name of {what}")]
    Name {
        /// The namespace whose grant it is.
        namespace: String,
        /// Such as `a team`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Environments of nobody.
    #[error("{namespace}: environments alone allow nothing: add teams, or platform: true")]
    OnlyEnvironments {
        /// The namespace whose grant it is.
        namespace: String,
    },
    /// An empty list would allow nothing, and might be meant as all.
    #[error("{namespace}: environments is empty: leave it out to allow all of them")]
    NoEnvironments {
        /// The namespace whose grant it is.
        namespace: String,
    },
}

/// What a pool wants and its namespace may not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The namespace may have nothing.
    #[error("its pools may not use the operator's own control plane")]
    Namespace,
    /// It may not have runners for all teams.
    #[error("its pools may not serve all teams; spec.team may be {}", .teams.join(" or "))]
    Platform {
        /// The teams that it may serve.
        teams: Vec<String>,
    },
    /// It may not have runners for this team.
    #[error("its pools may not serve team {team}{}", alternatives(*.platform, .teams))]
    Team {
        /// The team that the pool names.
        team: String,
        /// Whether it may serve all teams.
        platform: bool,
        /// The teams that it may serve.
        teams: Vec<String>,
    },
    /// It may not serve this environment.
    #[error("its pools may not serve environment {environment}; spec.environment may be {}", .allowed.join(" or "))]
    Environment {
        /// The environment that the pool names.
        environment: String,
        /// Those that it may serve.
        allowed: Vec<String>,
    },
}

fn alternatives(platform: bool, teams: &[String]) -> String {
    match (teams, platform) {
        ([], _) => "; it may serve all teams together, without spec.team".to_owned(),
        (teams, false) => format!("; spec.team may be {}", teams.join(" or ")),
        (teams, true) => format!("; spec.team may be {}, or absent", teams.join(" or ")),
    }
}

impl Grants {
    /// Reads them from JSON. An empty text grants nothing.
    pub fn parse(text: &str) -> Result<Self, GrantsError> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let grants: BTreeMap<String, Grant> = serde_json::from_str(text)?;
        grants.iter().try_for_each(|(namespace, grant)| check(namespace, grant))?;
        Ok(Self(grants))
    }

    /// Whether no namespace may have anything.
    pub fn is_empty(&self) -> bool {
        self.0.values().all(Grant::is_empty)
    }

    /// Whether a pool of that namespace may serve the runs of this team, or of all teams, in that environment.
    pub fn allow(&self, namespace: &str, team: Option<&str>, environment: &str) -> Result<(), Denied> {
        let grant = self.0.get(namespace).filter(|grant| !grant.is_empty()).ok_or(Denied::Namespace)?;
        let Grant { platform, teams, environments } = grant;
        match team {
            None if !platform => return Err(Denied::Platform { teams: teams.clone() }),
            Some(team) if !teams.iter().any(|allowed| allowed == team) => {
                return Err(Denied::Team {
                    team: team.to_owned(),
                    platform: *platform,
                    teams: teams.clone(),
                });
            }
            _ => {}
        }
        match environments {
            Some(allowed) if !allowed.iter().any(|allowed| allowed == environment) => {
                Err(Denied::Environment { environment: environment.to_owned(), allowed: allowed.clone() })
            }
            _ => Ok(()),
        }
    }
}

impl Grant {
    fn is_empty(&self) -> bool {
        !self.platform && self.teams.is_empty()
    }
}

fn check(namespace: &str, grant: &Grant) -> Result<(), GrantsError> {
    let wrong =
        |what, name: &str| GrantsError::Name { namespace: namespace.to_owned(), what, name: name.to_owned() };
    let is = |name: &str, length: std::ops::RangeInclusive<usize>, others: &str| {
        let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || others.contains(c);
        length.contains(&name.len()) && name.chars().all(known) && !name.starts_with(|c| others.contains(c))
    };
    if !is(namespace, 1..=63, "-") {
        return Err(wrong("a namespace", namespace));
    }
    if let Some(team) = grant
        .teams
        .iter()
        .find(|team| !is(team, 3..=32, "-") || team.starts_with(|first: char| first.is_ascii_digit()))
    {
        return Err(wrong("a team", team));
    }
    let Some(environments) = &grant.environments else { return Ok(()) };
    if let Some(environment) = environments.iter().find(|name| !is(name, 1..=63, "._-")) {
        return Err(wrong("an environment", environment));
    }
    if environments.is_empty() {
        return Err(GrantsError::NoEnvironments { namespace: namespace.to_owned() });
    }
    if grant.is_empty() {
        return Err(GrantsError::OnlyEnvironments { namespace: namespace.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use minitower_daemon::errors::chain;
    use rstest::rstest;

    use super::*;

    const SOME: &str = r#"{
        "one": { "teams": ["acme", "zeta"], "environments": ["default", "gpu"] },
        "all": { "platform": true },
        "both": { "platform": true, "teams": ["acme"] },
        "rights": {}
    }"#;

    #[rstest]
    #[case::a_team("one", Some("acme"), "gpu", "")]
    #[case::another_team(
        "one",
        Some("other"),
        "gpu",
        "its pools may not serve team other; spec.team may be acme or zeta"
    )]
    #[case::all_teams("one", None, "gpu", "its pools may not serve all teams; spec.team may be acme or zeta")]
    #[case::another_environment(
        "one",
        Some("acme"),
        "prod",
        "its pools may not serve environment prod; spec.environment may be default or gpu"
    )]
    #[case::the_platform("all", None, "any", "")]
    #[case::a_team_where_only_the_platform_is(
        "all",
        Some("acme"),
        "any",
        "its pools may not serve team acme; it may serve all teams together, without spec.team"
    )]
    #[case::either("both", None, "any", "")]
    #[case::or("both", Some("acme"), "any", "")]
    #[case::neither(
        "both",
        Some("zeta"),
        "any",
        "its pools may not serve team zeta; spec.team may be acme, or absent"
    )]
    #[case::rights_in_the_cluster_alone(
        "rights",
        None,
        "default",
        "its pools may not use the operator's own control plane"
    )]
    #[case::a_namespace_that_nobody_named(
        "other",
        None,
        "default",
        "its pools may not use the operator's own control plane"
    )]
    fn a_namespace_has_what_it_was_given(
        #[case] namespace: &str,
        #[case] team: Option<&str>,
        #[case] environment: &str,
        #[case] denied: &str,
    ) {
        let said = Grants::parse(SOME).unwrap().allow(namespace, team, environment);
        assert_eq!(said.err().map(|denied| denied.to_string()).unwrap_or_default(), denied);
    }

    #[test]
    fn nothing_is_granted_by_nothing() {
        for text in ["", "  ", "{}", r#"{"a":{}}"#] {
            assert!(Grants::parse(text).unwrap().is_empty(), "{text}");
        }
        assert!(!Grants::parse(SOME).unwrap().is_empty());
    }

    #[rstest]
    #[case("team-a", "it must be JSON such as")]
    #[case("[]", "it must be JSON such as")]
    #[case(r#"{"a":{"team":["acme"]}}"#, "unknown field `team`")]
    #[case(r#"{"a":{"teams":"acme"}}"#, "expected a sequence")]
    #[case(r#"{"a":{"environments":["gpu"]}}"#, "a: environments alone allow nothing")]
    #[case(r#"{"a":{"platform":true,"environments":[]}}"#, "a: environments is empty: leave it out")]
    #[case(r#"{"A":{"platform":true}}"#, r#""A" cannot be the name of a namespace"#)]
    #[case(r#"{"a":{"teams":["*"]}}"#, r#"a: "*" cannot be the name of a team"#)]
    #[case(
        r#"{"a":{"platform":true,"environments":["*"]}}"#,
        r#"a: "*" cannot be the name of an environment"#
    )]
    fn what_is_not_clear_is_refused(#[case] text: &str, #[case] words: &str) {
        let error = chain(&Grants::parse(text).unwrap_err());
        assert!(error.contains(words), "{error}");
    }
}

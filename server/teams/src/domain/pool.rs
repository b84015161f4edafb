//! What a pool's registration token registers: the runners of that pool, in one environment and scope, and no others.

use std::fmt;

use minitower_vocabulary::ids::TeamId;

/// Most bytes of a namespace and of a pool's name: a DNS label.
const MAX_LABEL: usize = 63;

/// A pool as its runners name it: its namespace, a slash, its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolName(String);

/// One of the two parts of a pool's name is none that Kubernetes gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotALabel(pub &'static str);

impl PoolName {
    /// Takes the parts. Neither can contain the slash, so that no two pools have the same name.
    pub fn parse(namespace: &str, pool: &str) -> Result<Self, NotALabel> {
        for (field, text) in [("namespace", namespace), ("pool", pool)] {
            let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            let ok = (1..=MAX_LABEL).contains(&text.len())
                && text.bytes().all(inner)
                && !text.starts_with('-')
                && !text.ends_with('-');
            if !ok {
                return Err(NotALabel(field));
            }
        }
        Ok(Self(format!("{namespace}/{pool}")))
    }

    /// Takes one that [`PoolName::parse`] made, as it was kept.
    pub(crate) fn kept(text: String) -> Self {
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the names of its pods begin with.
    fn prefix(&self) -> String {
        format!("{}-", self.0.rsplit('/').next().unwrap_or_default())
    }
}

impl fmt::Display for PoolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a pool's token is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The pool.
    pub pool: PoolName,
    /// The environment whose runs its runners take.
    pub environment: String,
    /// The team whose runs its runners take; none: every team's.
    pub team: Option<TeamId>,
}

/// What a runner that registers says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Registering<'a> {
    /// Its name.
    pub name: &'a str,
    /// The environment whose runs it takes.
    pub environment: &'a str,
    /// The pool it belongs to.
    pub pool: Option<&'a str>,
}

/// A runner that is not the pool's showed the pool's token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "this registration token is for the pool {pool} alone: {field} must {wanted}, and is {}; set it so, or register with another token",
    found.as_deref().map_or_else(|| "missing".to_owned(), |found| format!("{found:?}"))
)]
pub struct NotOfPool {
    /// Whose token it is.
    pub pool: PoolName,
    /// What does not fit.
    pub field: &'static str,
    /// What it has to do.
    pub wanted: String,
    /// What it is.
    pub found: Option<String>,
}

impl Binding {
    /// Whether the runner is one that the token registers. Its scope needs no check: it comes with the token.
    pub fn check(&self, runner: &Registering<'_>) -> Result<(), NotOfPool> {
        let refuse = |field, wanted: String, found: Option<&str>| {
            Err(NotOfPool { pool: self.pool.clone(), field, wanted, found: found.map(str::to_owned) })
        };
        if runner.pool != Some(self.pool.as_str()) {
            return refuse("pool", format!("be {:?}", self.pool.as_str()), runner.pool);
        }
        if runner.environment != self.environment {
            return refuse("environment", format!("be {:?}", self.environment), Some(runner.environment));
        }
        // Another's name would be taken from it: a pool's runners have the names of its pods.
        if !runner.name.starts_with(&self.pool.prefix()) {
            return refuse("name", format!("begin with {:?}", self.pool.prefix()), Some(runner.name));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("ns", "cpu", None)]
    #[case("n", "0-9", None)]
    #[case("", "cpu", Some("namespace"))]
    #[case("ns/x", "cpu", Some("namespace"))]
    #[case("Ns", "cpu", Some("namespace"))]
    #[case("ns", "x/cpu", Some("pool"))]
    #[case("ns", "-cpu", Some("pool"))]
    #[case("ns", "cpu-", Some("pool"))]
    #[case("ns", "a.b", Some("pool"))]
    #[case("ns", &"a".repeat(63), None)]
    #[case("ns", &"a".repeat(64), Some("pool"))]
    fn a_pools_name_has_two_parts(
        #[case] namespace: &str,
        #[case] pool: &str,
        #[case] wrong: Option<&'static str>,
    ) {
        let expected = wrong.map_or_else(|| Ok(format!("{namespace}/{pool}")), |field| Err(NotALabel(field)));
        assert_eq!(PoolName::parse(namespace, pool).map(|pool| pool.to_string()), expected);
    }

    #[rstest]
    #[case::its_own("cpu-1", "default", Some("ns/cpu"), None)]
    #[case::no_pool("cpu-1", "default", None, Some("pool must be \"ns/cpu\", and is missing"))]
    #[case::another_pool(
        "cpu-1",
        "default",
        Some("ns/gpu"),
        Some("pool must be \"ns/cpu\", and is \"ns/gpu\"")
    )]
    #[case::of_another_namespace("cpu-1", "default", Some("other/cpu"), Some("pool must be \"ns/cpu\""))]
    #[case::another_environment(
        "cpu-1",
        "prod",
        Some("ns/cpu"),
        Some("environment must be \"default\", and is \"prod\"")
    )]
    #[case::anothers_name(
        "gpu-1",
        "default",
        Some("ns/cpu"),
        Some("name must begin with \"cpu-\", and is \"gpu-1\"")
    )]
    #[case::a_name_that_goes_on("cpux-1", "default", Some("ns/cpu"), Some("name must begin with \"cpu-\""))]
    fn a_bound_token_registers_its_pools_runners_alone(
        #[case] name: &str,
        #[case] environment: &str,
        #[case] pool: Option<&str>,
        #[case] refused: Option<&str>,
    ) {
        let binding = Binding {
            pool: PoolName::parse("ns", "cpu").unwrap(),
            environment: "default".to_owned(),
            team: None,
        };
        let found = binding.check(&Registering { name, environment, pool }).err().map(|no| no.to_string());
        assert_eq!(found.is_some(), refused.is_some(), "{found:?}");
        if let (Some(found), Some(words)) = (found, refused) {
            assert!(found.contains(words), "{found}");
        }
    }
}

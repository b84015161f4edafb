//! Commands that a project's `pyproject.toml` declares, as modules that `python -m` can start.

use std::path::Path;

use toml::{Table, Value};

/// What `find` knows about a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// `python -m` starts it.
    Module(String),
    /// The command's function is in this module, which does nothing when it is started.
    NotStartable {
        /// Its dotted name.
        module: String,
    },
}

/// Looks for the project's command. The one with the project's own name goes before others.
pub(super) fn find(dir: &Path) -> Option<Found> {
    let text = std::fs::read_to_string(dir.join("pyproject.toml")).ok()?;
    let pyproject: Table = text.trim_start_matches('\u{feff}').parse().ok()?;
    let table = pyproject.get("project").or_else(|| pyproject.get("tool")?.get("poetry"))?;
    let scripts = table.get("scripts")?.as_table()?;
    let name = table.get("name").and_then(Value::as_str).unwrap_or_default();
    let target = scripts.get(name).or_else(|| scripts.values().next())?.as_str()?;
    let module = target.split(':').next()?.trim();
    Some(startable(dir, module))
}

/// `python -m` starts a package by its `__main__.py`, and a module by what it does under the name `__main__`.
fn startable(dir: &Path, module: &str) -> Found {
    let parts: Vec<_> = module.split('.').collect();
    for root in [dir.join("src"), dir.to_owned()] {
        let file = root.join(parts.join("/")).with_extension("py");
        if std::fs::read_to_string(file).is_ok_and(|text| text.contains("__main__")) {
            return Found::Module(module.to_owned());
        }
        // From the module itself, if it is a package, up to the outermost.
        for end in (1..=parts.len()).rev() {
            if root.join(parts[..end].join("/")).join("__main__.py").is_file() {
                return Found::Module(parts[..end].join("."));
            }
        }
    }
    Found::NotStartable { module: module.to_owned() }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const MAIN: &str = "def main(): ...\nif __name__ == '__main__':\n    main()\n";

    fn found(files: &[(&str, &str)]) -> Option<Found> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        find(dir.path())
    }

    #[rstest]
    #[case("[project]\nname = 'x'\nscripts = { x = 'pkg.cli:main' }", &[("pkg/cli.py", MAIN)], "pkg.cli")]
    #[case("[project]\nscripts = { x = 'pkg.cli:main' }", &[("src/pkg/cli.py", MAIN)], "pkg.cli")]
    #[case("[project]\nscripts = { x = 'pkg.cli:main' }", &[("src/pkg/__main__.py", "")], "pkg")]
    #[case("[project]\nscripts = { x = 'pkg:main' }", &[("pkg/__main__.py", ""), ("pkg/__init__.py", "")], "pkg")]
    #[case("[project]\nname = 'b'\nscripts = { a = 'one:main', b = 'two:main' }", &[("one.py", MAIN), ("two.py", MAIN)], "two")]
    #[case("\u{feff}[tool.poetry.scripts]\nx = 'pkg.cli:app'", &[("pkg/cli.py", MAIN)], "pkg.cli")]
    fn commands_become_modules(
        #[case] pyproject: &str,
        #[case] files: &[(&str, &str)],
        #[case] module: &str,
    ) {
        let files = [&[("pyproject.toml", pyproject)], files].concat();
        assert_eq!(found(&files), Some(Found::Module(module.to_owned())));
    }

    #[test]
    fn a_module_that_would_do_nothing_is_told_apart() {
        let pyproject = ("pyproject.toml", "[project]\nscripts = { x = 'pkg.cli:main' }");
        let module = "pkg.cli".to_owned();
        assert_eq!(
            found(&[pyproject, ("pkg/cli.py", "def main(): ...")]),
            Some(Found::NotStartable { module })
        );
    }

    #[rstest]
    #[case("[project]\nname = 'x'")]
    #[case("[project]\nscripts = {}")]
    #[case("[tool.ruff]")]
    #[case("not TOML")]
    fn projects_without_commands(#[case] pyproject: &str) {
        assert_eq!(found(&[("pyproject.toml", pyproject)]), None);
    }
}

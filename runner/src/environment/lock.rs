//! Lock files: `uv.lock` and `pylock.toml`. Here is only whether what they name comes from an index everybody uses.

use toml::{Table, Value};

use super::files::FileError;
use super::pyproject::table;

/// The index that everybody uses.
const PUBLIC_INDEX: &str = "https://pypi.org/simple";

/// From there that index hands out its files.
const PUBLIC_FILES: &str = "https://files.pythonhosted.org/";

/// Why an environment of this `uv.lock` is nobody else's, if so; the project itself counts only when it is `installed`.
pub(super) fn private_uv(text: &str, installed: bool) -> Result<Option<String>, FileError> {
    Ok(packages("uv.lock", text, "package")?.iter().find_map(|package| {
        let mut sources = package.get("source").and_then(Value::as_table).into_iter().flatten();
        let (Some((kind, place)), None) = (sources.next(), sources.next()) else {
            return Some("uv.lock does not say where a package is from".to_owned());
        };
        let place = place.as_str().unwrap_or_default();
        let is_root = place == "." && matches!(kind.as_str(), "virtual" | "editable" | "directory");
        match kind.as_str() {
            _ if is_root && !installed => None,
            _ if is_root => Some("the project itself is installed".to_owned()),
            "registry" if is_public(place) => foreign_files("uv.lock", package),
            "registry" => Some("uv.lock names an index of its own".to_owned()),
            "virtual" | "editable" | "directory" | "path" => {
                Some("uv.lock names files of the project".to_owned())
            }
            _ => Some("uv.lock names an address".to_owned()),
        }
    }))
}

/// The same of a `pylock.toml`.
pub(super) fn private_pylock(text: &str) -> Result<Option<String>, FileError> {
    Ok(packages("pylock.toml", text, "packages")?.iter().find_map(|package| {
        if ["directory", "vcs", "archive"].iter().any(|kind| package.contains_key(*kind)) {
            return Some("pylock.toml names files or addresses".to_owned());
        }
        match package.get("index").and_then(Value::as_str) {
            None => Some("pylock.toml does not name the index of a package".to_owned()),
            Some(index) if is_public(index) => foreign_files("pylock.toml", package),
            Some(_) => Some("pylock.toml names an index of its own".to_owned()),
        }
    }))
}

fn is_public(index: &str) -> bool {
    index.trim_end_matches('/') == PUBLIC_INDEX
}

/// What is wrong with the files of a package that is said to be of the public index: one may come from elsewhere.
fn foreign_files(lock: &str, package: &Table) -> Option<String> {
    let wheels = package.get("wheels").and_then(Value::as_array).into_iter().flatten();
    let is_foreign = |file: &Value| {
        let url = file.get("url").and_then(Value::as_str);
        file.get("path").is_some() || !url.is_some_and(|url| url.starts_with(PUBLIC_FILES))
    };
    wheels
        .chain(package.get("sdist"))
        .any(is_foreign)
        .then(|| format!("{lock} lists a file that is not from its index"))
}

fn packages(file: &str, text: &str, key: &str) -> Result<Vec<Table>, FileError> {
    let mut table = table(file, text)?;
    let packages = match table.remove(key) {
        Some(Value::Array(packages)) => packages,
        _ => Vec::new(),
    };
    Ok(packages.into_iter().filter_map(|package| package.as_table().cloned()).collect())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("registry = \"https://pypi.org/simple\"", false, false)]
    #[case("registry = \"https://pypi.org/simple/\"", true, false)]
    #[case("registry = \"https://index.example/simple\"", false, true)]
    #[case("registry = \"../wheels\"", false, true)]
    #[case("virtual = \".\"", false, false)]
    #[case("editable = \".\"", false, false)]
    #[case("editable = \".\"", true, true)]
    #[case("editable = \"packages/a\"", false, true)]
    #[case("directory = \"a\"", false, true)]
    #[case("path = \"a-1.whl\"", false, true)]
    #[case("git = \"https://h/a.git?rev=1#00\"", false, true)]
    #[case("url = \"https://h/a.whl\"", false, true)]
    fn what_a_lock_names(#[case] source: &str, #[case] installed: bool, #[case] private: bool) {
        let text = format!("version = 1\n[[package]]\nname = 'a'\nversion = '1'\nsource = {{ {source} }}\n");
        assert_eq!(private_uv(&text, installed).unwrap().is_some(), private);
    }

    #[rstest]
    #[case("")]
    #[case("source = 'pypi'")]
    #[case("source = { registry = 'https://pypi.org/simple', url = 'https://h/a.whl' }")]
    fn a_package_of_unknown_origin_is_private(#[case] more: &str) {
        let text = format!("version = 1\n[[package]]\nname = 'a'\n{more}\n");
        assert!(private_uv(&text, false).unwrap().is_some());
    }

    #[rstest]
    #[case("wheels = [{ url = 'https://files.pythonhosted.org/packages/a-1-py3-none-any.whl' }]", false)]
    #[case("sdist = { url = 'https://files.pythonhosted.org/packages/a-1.tar.gz' }", false)]
    #[case("sdist = { url = 'https://h/a-1.tar.gz' }", true)]
    #[case("wheels = [{ url = 'https://files.pythonhosted.org/a.whl' }, { url = 'https://h/a.whl' }]", true)]
    #[case("wheels = [{ url = 'https://files.pythonhosted.org@h/a.whl' }]", true)]
    #[case("wheels = [{ url = 'https://files.pythonhosted.org.h/a.whl' }]", true)]
    #[case("wheels = [{ url = 'http://files.pythonhosted.org/a.whl' }]", true)]
    #[case("wheels = [{ path = 'a.whl' }]", true)]
    #[case("wheels = [{ filename = 'a.whl' }]", true)]
    fn files_of_a_lock_come_from_the_index_it_names(#[case] files: &str, #[case] private: bool) {
        let uv = format!("[[package]]\nname = 'a'\nsource = {{ registry = '{PUBLIC_INDEX}' }}\n{files}\n");
        assert_eq!(private_uv(&uv, false).unwrap().is_some(), private);
        let pylock = format!("[[packages]]\nname = 'a'\nindex = '{PUBLIC_INDEX}'\n{files}\n");
        assert_eq!(private_pylock(&pylock).unwrap().is_some(), private);
    }

    #[rstest]
    #[case("index = 'https://pypi.org/simple'", false)]
    #[case("version = '1'", true)]
    #[case("index = 'https://h/simple'", true)]
    #[case("directory = { path = '.' }", true)]
    #[case("vcs = { type = 'git', url = 'u', commit-id = '0' }", true)]
    #[case("archive = { url = 'https://h/a.tar.gz' }", true)]
    fn what_a_pylock_names(#[case] more: &str, #[case] private: bool) {
        let text = format!("lock-version = '1.0'\n[[packages]]\nname = 'a'\n{more}\n");
        assert_eq!(private_pylock(&text).unwrap().is_some(), private);
    }
}

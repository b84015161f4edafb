//! What a project needs installed, as its files say it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

/// Largest file that is read.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Most files that requirements may include.
const MAX_FILES: usize = 50;

/// Why the dependencies are unknown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequirementsError {
    /// A file cannot be read.
    #[error("{file}: {reason}")]
    Unreadable {
        /// The file, relative to the project.
        file: String,
        /// Why.
        reason: String,
    },
    /// The project's dependencies are made by its build.
    #[error("pyproject.toml leaves its dependencies to the build (`dynamic`); list them in requirements.txt")]
    Dynamic,
}

/// What is to be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Dependencies {
    /// Nothing.
    None,
    /// `requirements.txt`; the text of it and of all it includes.
    File { text: String },
    /// `[project] dependencies` of `pyproject.toml`.
    List { requirements: Vec<String> },
    /// `uv.lock`; the text of it and of `pyproject.toml`.
    UvLock { text: String },
}

/// What a project needs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Needs {
    /// What is to be installed.
    pub(super) what: Dependencies,
    /// Whether it names files of the project itself, so that the same text may mean something else elsewhere.
    pub(super) local: bool,
    /// Lines for the run's log.
    pub(super) notes: Vec<String>,
}

/// Reads the project's files: `requirements.txt`, else `uv.lock` when it can be used, else `pyproject.toml`.
pub(super) fn read(project: &Path, reads_uv_lock: bool) -> Result<Needs, RequirementsError> {
    let mut needs = Needs { what: Dependencies::None, local: false, notes: Vec::new() };
    if project.join("requirements.txt").is_file() {
        let mut scan = Scan::default();
        scan.file(project, Path::new("requirements.txt"))?;
        needs.local = scan.local;
        if scan.requirements > 0 {
            needs.what = Dependencies::File { text: scan.text };
        }
        return Ok(needs);
    }
    if !project.join("pyproject.toml").is_file() {
        return Ok(needs);
    }
    let text = read_text(project, Path::new("pyproject.toml"))?;
    if project.join("uv.lock").is_file() {
        if reads_uv_lock {
            let lock = read_text(project, Path::new("uv.lock"))?;
            // Packages of the workspace itself and of folders beside it.
            needs.local = ["editable = ", "directory = ", "path = "].iter().any(|word| {
                lock.lines().any(|line| line.contains(word) && !line.contains("{ editable = \".\" }"))
            });
            needs.what = Dependencies::UvLock { text: format!("{text}\n{lock}") };
            return Ok(needs);
        }
        needs.notes.push(
            "minitower-runner: uv.lock is not used because uv is not on the runner's PATH; installing what pyproject.toml says"
                .to_owned(),
        );
    }
    let requirements = project_dependencies(&text)?;
    needs.local = requirements.iter().any(|requirement| is_local(requirement));
    if !requirements.is_empty() {
        needs.what = Dependencies::List { requirements };
    }
    Ok(needs)
}

fn project_dependencies(text: &str) -> Result<Vec<String>, RequirementsError> {
    #[derive(Deserialize)]
    struct PyProject {
        project: Option<Project>,
    }
    #[derive(Deserialize)]
    struct Project {
        #[serde(default)]
        dependencies: Vec<String>,
        #[serde(default)]
        dynamic: Vec<String>,
    }
    let parsed: PyProject = toml::from_str(text).map_err(|error| RequirementsError::Unreadable {
        file: "pyproject.toml".to_owned(),
        reason: error.message().to_owned(),
    })?;
    let Some(project) = parsed.project else { return Ok(Vec::new()) };
    if project.dynamic.iter().any(|field| field == "dependencies") {
        return Err(RequirementsError::Dynamic);
    }
    Ok(project.dependencies)
}

/// Reads requirements files with all they include; the format is pip's.
#[derive(Default)]
struct Scan {
    text: String,
    requirements: usize,
    local: bool,
    seen: BTreeSet<PathBuf>,
}

impl Scan {
    fn file(&mut self, project: &Path, file: &Path) -> Result<(), RequirementsError> {
        if !self.seen.insert(file.to_owned()) {
            return Ok(());
        }
        if self.seen.len() > MAX_FILES {
            let reason = format!("requirements include more than {MAX_FILES} files");
            return Err(RequirementsError::Unreadable { file: file.display().to_string(), reason });
        }
        let text = read_text(project, file)?.replace("\\\r\n", " ").replace("\\\n", " ");
        for part in ["# ", &file.to_string_lossy(), "\n", &text, "\n"] {
            self.text.push_str(part);
        }
        for line in text.lines().map(without_comment).filter(|line| !line.is_empty()) {
            if let Some(included) = option(line, &["-r", "--requirement", "-c", "--constraint"]) {
                let constraint = line.starts_with("-c") || line.starts_with("--constraint");
                if included.contains("://") {
                    // The text behind an address may change, but so may the packages behind a name.
                    self.requirements += usize::from(!constraint);
                } else {
                    let beside = file.parent().unwrap_or(Path::new("")).join(included);
                    self.file(project, &tidy(&beside))?;
                }
            } else if let Some(place) = option(line, &["-f", "--find-links", "-e", "--editable"]) {
                self.local |= !place.contains("://");
                self.requirements += usize::from(line.starts_with("-e") || line.starts_with("--editable"));
            } else if !line.starts_with('-') {
                self.requirements += 1;
                self.local |= is_local(line);
            }
        }
        Ok(())
    }
}

/// Whether a requirement names a file or folder instead of a package.
fn is_local(requirement: &str) -> bool {
    let requirement = requirement.trim();
    if let Some((_, place)) = requirement.split_once('@') {
        let place = place.trim();
        return place.starts_with("file:") || !place.contains("://");
    }
    let name = requirement.split([';', ' ', '[']).next().unwrap_or_default();
    requirement.starts_with("file:")
        || (name.contains('/') && !name.contains("://"))
        || name.starts_with('.')
        || [".whl", ".zip", ".gz"].iter().any(|ending| name.ends_with(ending) && !name.contains("://"))
}

/// The value of a line that is one of these options: `-r x`, `-rx`, `--requirement x`, `--requirement=x`.
fn option<'l>(line: &'l str, names: &[&str]) -> Option<&'l str> {
    names.iter().find_map(|name| {
        let rest = line.strip_prefix(name)?;
        let long = name.starts_with("--");
        let value = rest.strip_prefix('=').or_else(|| rest.strip_prefix(char::is_whitespace));
        match value {
            Some(value) => Some(value.trim()),
            None if !long && !rest.is_empty() && !rest.starts_with('-') => Some(rest.trim()),
            None => None,
        }
    })
}

fn without_comment(line: &str) -> &str {
    let line = line.trim();
    if line.starts_with('#') {
        return "";
    }
    line.split(" #").next().unwrap_or_default().trim()
}

/// `a/../b` is `b`; what would leave the project stays as it is and is refused when it is read.
fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if tidy.file_name().is_some() => {
                tidy.pop();
            }
            other => tidy.push(other),
        }
    }
    tidy
}

fn read_text(project: &Path, file: &Path) -> Result<String, RequirementsError> {
    let unreadable =
        |reason: String| RequirementsError::Unreadable { file: file.display().to_string(), reason };
    // The runner reads what the job could not: its own files must not come into the job's log or key.
    let whole = project.join(file).canonicalize().map_err(|error| unreadable(error.to_string()))?;
    let root = project.canonicalize().map_err(|error| unreadable(error.to_string()))?;
    if !whole.starts_with(root) || !whole.is_file() {
        return Err(unreadable("it is not a file inside the project".to_owned()));
    }
    let mut text = String::new();
    let read = fs::File::open(&whole).and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text));
    match read {
        Ok(bytes) if bytes as u64 > MAX_BYTES => Err(unreadable("it is too large".to_owned())),
        Ok(_) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(unreadable("it is not UTF-8".to_owned()))
        }
        Err(error) => Err(unreadable(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn needs(files: &[(&str, &str)]) -> Needs {
        read(project(files).path(), true).unwrap()
    }

    #[rstest]
    #[case(&[])]
    #[case(&[("requirements.txt", "")])]
    #[case(&[("requirements.txt", "# nothing\n\n  # at all\n--index-url https://x/simple\n")])]
    #[case(&[("pyproject.toml", "[tool.ruff]\nline-length = 100\n")])]
    #[case(&[("pyproject.toml", "[project]\nname = 'x'\ndependencies = []\n")])]
    fn nothing_is_to_be_installed(#[case] files: &[(&str, &str)]) {
        assert_eq!(needs(files).what, Dependencies::None);
    }

    #[rstest]
    #[case("requests==2.0", false)]
    #[case("requests[security] >= 2 ; python_version < '4'", false)]
    #[case("x @ https://host/x.whl", false)]
    #[case("git+https://host/a/b.git", false)]
    #[case("./lib", true)]
    #[case("lib/pkg", true)]
    #[case("-e .", true)]
    #[case("--editable=lib", true)]
    #[case("x @ file:///srv/x.whl", true)]
    #[case("wheels/x-1.whl", true)]
    #[case("x-1.whl", true)]
    #[case("--find-links wheels\nx", true)]
    fn what_names_files_is_not_shared(#[case] text: &str, #[case] local: bool) {
        let needs = needs(&[("requirements.txt", text)]);
        assert!(matches!(needs.what, Dependencies::File { .. }), "{needs:?}");
        assert_eq!(needs.local, local);
    }

    #[test]
    fn included_files_are_part_of_the_key() {
        let key = |base: &str| {
            needs(&[("requirements.txt", "-r more/base.txt\n"), ("more/base.txt", base), ("c.txt", "b<2")])
                .what
        };
        assert_ne!(key("a==1\n-c ../c.txt"), key("a==2\n-c ../c.txt"));
        assert_eq!(key("a==1"), key("a==1"));
        let Dependencies::File { text } = key("a==1\n-c ../c.txt") else { panic!("no file") };
        assert!(text.contains("b<2"), "{text}");
    }

    #[test]
    fn files_outside_the_project_are_refused() {
        let outside = project(&[("secret", "token")]);
        let folder = project(&[("requirements.txt", "-r ../../../../../../etc/passwd\n")]);
        assert!(read(folder.path(), true).is_err());
        let folder = project(&[]);
        std::os::unix::fs::symlink(outside.path().join("secret"), folder.path().join("requirements.txt"))
            .unwrap();
        let error = read(folder.path(), true).unwrap_err().to_string();
        assert!(error.contains("requirements.txt: it is not a file inside the project"), "{error}");
    }

    #[test]
    fn pyproject_gives_its_dependencies() {
        let text = "[project]\nname = 'x'\ndependencies = ['a>=1', 'b']\n";
        let expected = Dependencies::List { requirements: vec!["a>=1".to_owned(), "b".to_owned()] };
        assert_eq!(needs(&[("pyproject.toml", text)]).what, expected);
        let folder = project(&[("pyproject.toml", text), ("uv.lock", "version = 1\n")]);
        assert!(matches!(read(folder.path(), true).unwrap().what, Dependencies::UvLock { .. }));
        let without_uv = read(folder.path(), false).unwrap();
        assert_eq!(without_uv.what, expected);
        assert_eq!(without_uv.notes.len(), 1);
        let dynamic = project(&[("pyproject.toml", "[project]\nname='x'\ndynamic = ['dependencies']\n")]);
        assert!(matches!(read(dynamic.path(), true), Err(RequirementsError::Dynamic)));
    }
}

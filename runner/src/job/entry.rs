//! What an entrypoint starts, judged by the project's files alone.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use minitower_towerfile::Start;

use super::shebang::{self, Beginning, Runner};
use crate::environment::interpreters::is_program;

/// Largest script.
const MAX_SCRIPT_BYTES: u64 = 64 * 1024 * 1024;

/// Why a path of the version cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum PathFault {
    /// It is absolute, or has `..`.
    #[error("it must be a path inside the artifact")]
    NotInside,
    /// A link leads elsewhere.
    #[error("it leads out of the artifact")]
    LeadsOut,
}

/// Why an entrypoint starts nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum EntrypointError {
    /// Its path cannot be used.
    #[error(transparent)]
    Path(#[from] PathFault),
    /// The archive does not have it.
    #[error("there is no such file in the artifact")]
    Missing,
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// It has the line ends of another system, and they stay.
    #[error("its line ends cannot be converted")]
    Convert(#[source] io::Error),
    /// Nothing says how to start it.
    #[error(
        "it must end in .py or .sh, or begin with a line that names its program, such as `#!/usr/bin/env bash`"
    )]
    NoKind,
    /// What follows `-m` is not a name.
    #[error("it is not the name of a module, such as `pkg.cli`")]
    NotAModule,
    /// It is for Python.
    #[error("there is no Python")]
    NoPython,
    /// It is for a program that is not there.
    #[error(
        "its first line is `{line}`, and the runner has no `{program}`; install it there, or name a program that it has"
    )]
    NoProgram {
        /// The first line.
        line: String,
        /// The program in it.
        program: String,
    },
}

/// What an entrypoint starts.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// The environment's Python with these arguments; `script`: the file that may say what it needs.
    Python { arguments: Vec<String>, script: Option<String>, import_from: Vec<PathBuf> },
    /// Another program.
    Other { name: String, arguments: Vec<String>, line: Option<String> },
}

/// Tells what an entrypoint starts.
pub(super) fn entry(source: &Path, start: &Start) -> Result<Entry, EntrypointError> {
    let script = match start {
        Start::Module(module) => return of_module(module),
        Start::Script(script) => script,
    };
    let file = Path::new(script);
    let beginning = shebang::look(&read(source, file)?);
    let named = not_an_option(script);
    let line = beginning.runner.as_ref().map(|(_, line)| line.clone());
    match beginning.runner.map(|(runner, _)| runner) {
        Some(Runner::Python { flags }) => Ok(of_python(source, script, flags)),
        Some(Runner::Program { name, mut arguments }) => {
            arguments.push(named);
            Ok(Entry::Other { name, arguments, line })
        }
        None => match file.extension().and_then(|extension| extension.to_str()) {
            Some("sh") => Ok(Entry::Other { name: "/bin/sh".to_owned(), arguments: vec![named], line }),
            Some("py") => Ok(of_python(source, script, Vec::new())),
            _ => Err(EntrypointError::NoKind),
        },
    }
}

fn of_module(module: &str) -> Result<Entry, EntrypointError> {
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_numeric())
            && name.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    if !module.split('.').all(is_name) {
        return Err(EntrypointError::NotAModule);
    }
    let arguments = ["-u", "-m", module].map(str::to_owned).into();
    Ok(Entry::Python { arguments, script: None, import_from: Vec::new() })
}

/// A Python script. `__main__.py` of a package runs as that package, so that its relative imports work; of a plain folder, as the folder.
fn of_python(source: &Path, script: &str, flags: Vec<String>) -> Entry {
    let mut arguments = vec!["-u".to_owned()];
    arguments.extend(flags);
    let mut import_from = Vec::new();
    let file = Path::new(script);
    match file.parent().filter(|_| file.file_name().is_some_and(|name| name == "__main__.py")) {
        Some(folder) if folder.components().any(|component| matches!(component, Component::Normal(_))) => {
            if let Some((base, module)) = package(source, folder) {
                arguments.extend(["-m".to_owned(), module]);
                import_from.extend((!base.as_os_str().is_empty()).then(|| source.join(base)));
            } else {
                arguments.push(not_an_option(&folder.to_string_lossy()));
            }
        }
        _ => arguments.push(not_an_option(script)),
    }
    Entry::Python { arguments, script: Some(script.to_owned()), import_from }
}

/// The package that a folder is, and the folder it lies in: `src/pkg/sub` with `__init__.py` in the last two is `pkg.sub` in `src`.
fn package(source: &Path, folder: &Path) -> Option<(PathBuf, String)> {
    let folder: PathBuf =
        folder.components().filter(|component| matches!(component, Component::Normal(_))).collect();
    let mut names = Vec::new();
    let mut base = folder.as_path();
    while !base.as_os_str().is_empty() && source.join(base).join("__init__.py").is_file() {
        names.push(base.file_name()?.to_str()?.to_owned());
        base = base.parent()?;
    }
    names.reverse();
    (!names.is_empty()).then(|| (base.to_owned(), names.join(".")))
}

/// Rewrites a script whose byte order mark or line ends would keep its program from running. Says what was wrong with it.
pub(super) fn convert(source: &Path, script: &Path) -> Result<Option<&'static str>, EntrypointError> {
    let text = read(source, script)?;
    let Beginning { runner, has_mark, has_crlf } = shebang::look(&text);
    let is_python = match runner {
        Some((runner, _)) => matches!(runner, Runner::Python { .. }),
        None => script.extension().is_some_and(|extension| extension == "py"),
    };
    // Python reads both.
    if is_python || !(has_mark || has_crlf) {
        return Ok(None);
    }
    let path = resolved(source, script)?;
    rewrite(&path, &shebang::as_unix(&text)).map_err(EntrypointError::Convert)?;
    Ok(Some(if has_crlf { "has the line ends of Windows" } else { "begins with a byte order mark" }))
}

/// Replaces a file of the workspace, in which nothing foreign has run yet, as a whole.
fn rewrite(path: &Path, text: &[u8]) -> io::Result<()> {
    let mode = std::fs::metadata(path)?.permissions().mode();
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".unix");
    let new = path.with_file_name(name);
    let mut file = File::create_new(&new)?;
    file.write_all(text)?;
    file.set_permissions(std::fs::Permissions::from_mode(mode))?;
    std::fs::rename(&new, path)
}

fn read(source: &Path, script: &Path) -> Result<Vec<u8>, EntrypointError> {
    let path = resolved(source, script)?;
    let mut bytes = Vec::new();
    let read = File::open(&path).and_then(|file| file.take(MAX_SCRIPT_BYTES).read_to_end(&mut bytes));
    read?;
    Ok(bytes)
}

/// The plain file behind a path of the project; a link inside the project is followed.
fn resolved(source: &Path, path: &Path) -> Result<PathBuf, EntrypointError> {
    inside(source, path)?;
    let whole = source.join(path).canonicalize().map_err(|_| EntrypointError::Missing)?;
    if whole.is_file() { Ok(whole) } else { Err(EntrypointError::Missing) }
}

/// Finds a program: a name on the path, else a path, relative ones in the project.
pub(super) fn find(name: &str, path: &str, source: &Path) -> Option<PathBuf> {
    let mut places: Vec<PathBuf> = if name.contains('/') {
        vec![source.join(name)]
    } else {
        std::env::split_paths(path).map(|folder| folder.join(name)).collect()
    };
    places.retain(|place| is_program(place));
    places.into_iter().next()
}

/// A file name that begins with a dash must not be read as an option.
fn not_an_option(entrypoint: &str) -> String {
    if entrypoint.starts_with('-') { format!("./{entrypoint}") } else { entrypoint.to_owned() }
}

/// Whether a path of the artifact stays inside it, also when followed through links.
pub(super) fn inside(source: &Path, path: &Path) -> Result<(), PathFault> {
    let plain = |component| matches!(component, Component::Normal(_) | Component::CurDir);
    if path.as_os_str().is_empty() || !path.components().all(plain) {
        return Err(PathFault::NotInside);
    }
    match (source.canonicalize(), source.join(path).canonicalize()) {
        (Ok(source), Ok(target)) if !target.starts_with(&source) => Err(PathFault::LeadsOut),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rstest::rstest;

    use super::*;
    use crate::environment::files::tests::project;

    #[test]
    fn paths_stay_inside_the_artifact() {
        let folder = project(&[("a/x", "")]);
        std::os::unix::fs::symlink("/etc", folder.path().join("out")).unwrap();
        for path in ["a", "./a", "a/not-there", "main.py"] {
            assert!(inside(folder.path(), Path::new(path)).is_ok(), "{path}");
        }
        for path in ["", "..", "a/../..", "/etc", "out", "out/passwd"] {
            assert!(inside(folder.path(), Path::new(path)).is_err(), "{path}");
        }
    }

    fn started(files: &[(&str, &str)], entrypoint: &str) -> String {
        let folder = project(files);
        match entry(folder.path(), &Start::from_entrypoint(entrypoint)) {
            Ok(Entry::Python { arguments, import_from, .. }) => {
                let from: Vec<_> = import_from
                    .iter()
                    .map(|path| path.strip_prefix(folder.path()).unwrap().display().to_string())
                    .collect();
                format!("python {} {}", arguments.join(" "), from.join(" ")).trim().to_owned()
            }
            Ok(Entry::Other { name, arguments, .. }) => format!("{name} {}", arguments.join(" ")),
            Err(error) => error.to_string(),
        }
    }

    #[rstest]
    #[case(&[("main.py", "")], "main.py", "python -u main.py")]
    #[case(&[("main.py", "#!/usr/bin/python3 -O\n")], "main.py", "python -u -O main.py")]
    #[case(&[("-c.py", "")], "-c.py", "python -u ./-c.py")]
    #[case(&[("main.sh", "")], "main.sh", "/bin/sh main.sh")]
    #[case(&[("main.sh", "#!/usr/bin/env bash\n")], "main.sh", "bash main.sh")]
    #[case(&[("main.sh", "#!/usr/bin/env python3\n")], "main.sh", "python -u main.sh")]
    #[case(&[("main.py", "#!/bin/bash\n")], "main.py", "/bin/bash main.py")]
    #[case(&[("tool", "#!/usr/bin/perl -w\n")], "tool", "/usr/bin/perl -w tool")]
    #[case(&[], "-m pkg.cli", "python -u -m pkg.cli")]
    #[case(&[("pkg/__main__.py", ""), ("pkg/__init__.py", "")], "pkg/__main__.py", "python -u -m pkg")]
    #[case(&[("src/pkg/a/__main__.py", ""), ("src/pkg/a/__init__.py", ""), ("src/pkg/__init__.py", "")], "./src/pkg/a/__main__.py", "python -u -m pkg.a src")]
    #[case(&[("tool/__main__.py", "")], "tool/__main__.py", "python -u tool")]
    #[case(&[("__main__.py", "")], "__main__.py", "python -u __main__.py")]
    fn every_entrypoint_has_its_program(
        #[case] files: &[(&str, &str)],
        #[case] entrypoint: &str,
        #[case] expected: &str,
    ) {
        assert_eq!(started(files, entrypoint), expected);
    }

    #[rstest]
    #[case(&[("tool", "echo\n")], "tool", "#!/usr/bin/env bash")]
    #[case(&[], "main.py", "no such file")]
    #[case(&[("main.py/x", "")], "main.py", "no such file")]
    #[case(&[], "-m -c", "not the name of a module")]
    #[case(&[], "-m a..b", "not the name of a module")]
    #[case(&[], "-m ", "not the name of a module")]
    fn what_cannot_start_is_told(
        #[case] files: &[(&str, &str)],
        #[case] entrypoint: &str,
        #[case] words: &str,
    ) {
        assert!(started(files, entrypoint).contains(words));
    }

    #[test]
    fn a_script_that_is_a_link_is_followed_inside_the_project_only() {
        let folder = project(&[("job.sh", "#!/bin/bash\r\n")]);
        std::os::unix::fs::symlink("job.sh", folder.path().join("main.sh")).unwrap();
        std::os::unix::fs::symlink("/bin/sh", folder.path().join("out.sh")).unwrap();
        assert!(convert(folder.path(), Path::new("main.sh")).unwrap().unwrap().contains("Windows"));
        assert_eq!(fs::read(folder.path().join("job.sh")).unwrap(), b"#!/bin/bash\n");
        assert_eq!(convert(folder.path(), Path::new("main.sh")).unwrap(), None);
        assert!(convert(folder.path(), Path::new("out.sh")).unwrap_err().to_string().contains("leads out"));
    }

    #[test]
    fn python_reads_its_own_scripts_as_they_are() {
        let folder = project(&[("main.py", "\u{feff}print(1)\r\n")]);
        assert_eq!(convert(folder.path(), Path::new("main.py")).unwrap(), None);
    }
}

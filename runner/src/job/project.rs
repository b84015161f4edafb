//! The program for an entrypoint: what starts it, in which environment.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use minitower_client::wire::runner::Lease;
use minitower_towerfile::Start;

use super::error::SetupError;
use super::runs::Runs;
use super::shebang::{self, Beginning, Runner};
use crate::environment::interpreters::is_program;
use crate::environment::variables::{self, Variables};
use crate::environment::{EnvironmentError, Prepared, Request, has_dependency_file};
use crate::fault::{self, OwnFault};
use crate::mask::Mask;
use crate::steps::Steps;
use crate::supervisor::Sandbox;
use crate::workspace::Workspace;

/// Largest script.
const MAX_SCRIPT_BYTES: u64 = 64 * 1024 * 1024;

/// A program to start.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) arguments: Vec<String>,
    /// Folders of the project that belong on the path besides its root.
    pub(super) import_from: Vec<PathBuf>,
}

/// What an entrypoint starts.
#[derive(Debug, PartialEq, Eq)]
enum Entry {
    /// The environment's Python with these arguments; `script`: the file that may say what it needs.
    Python { arguments: Vec<String>, script: Option<String>, import_from: Vec<PathBuf> },
    /// Another program.
    Other { name: String, arguments: Vec<String>, line: Option<String> },
}

/// Prepares the program for the entrypoint, and adds what it needs to the variables and the sandbox.
pub(super) async fn program(
    runs: &Runs,
    lease: &Lease,
    steps: &Steps,
    workspace: &Arc<Workspace>,
    environment: &mut Variables,
    sandbox: &mut Sandbox,
) -> Result<Program, SetupError> {
    let source = workspace.source();
    let refused = |reason: String| SetupError::Failed(format!("entrypoint `{}`: {reason}", lease.entrypoint));
    let start = Start::from_entrypoint(&lease.entrypoint);
    let converted = match &start {
        Start::Script(script) => convert(&source, Path::new(script)).map_err(refused)?,
        Start::Module(_) => None,
    };
    if let Some(what) = converted {
        steps.log.note(format!("minitower-runner: {} {what}; running it without", lease.entrypoint)).await;
    }
    let entry = entry(&source, &start).map_err(refused)?;
    let installers = variables::of_installer(environment);
    variables::keep_for_job(environment, runs.config.env_pass_explicit);
    let script = match &entry {
        Entry::Python { script, .. } => script.as_deref(),
        Entry::Other { .. } => None,
    };
    let request = Request { lease, workspace, steps, script, variables: &installers, sandbox };
    let prepared = match runs.environments.prepare(request).await {
        Ok(prepared) => Some(prepared),
        // A shell job without dependencies needs no Python.
        Err(EnvironmentError::Interpreter(_))
            if matches!(entry, Entry::Other { .. }) && !has_dependency_file(&source) =>
        {
            None
        }
        Err(error) => return Err(without_environment(error, &installers)),
    };
    if let Some(prepared) = &prepared {
        enter(prepared, environment, sandbox)?;
    }
    match entry {
        Entry::Python { arguments, mut import_from, .. } => {
            import_from.extend(prepared.as_ref().and_then(|prepared| prepared.import_from.clone()));
            let python = prepared.map(|prepared| prepared.python);
            let path = python.ok_or_else(|| refused("there is no Python".to_owned()))?;
            Ok(Program { path, arguments, import_from })
        }
        Entry::Other { name, arguments, line } => {
            let path = environment.get("PATH").map(String::as_str).unwrap_or_default();
            let path = find(&name, path, &source).ok_or_else(|| {
                let line = line.unwrap_or_default();
                refused(format!(
                    "its first line is `{line}`, and the runner has no `{name}`; install it there, or name a program that it has"
                ))
            })?;
            let import_from = prepared.and_then(|prepared| prepared.import_from).into_iter().collect();
            Ok(Program { path, arguments, import_from })
        }
    }
}

/// What it means for a run that it has no environment. Passwords in the installers' variables are not in the text.
fn without_environment(error: EnvironmentError, installers: &Variables) -> SetupError {
    match error {
        EnvironmentError::Stopped(stop) => SetupError::Stopped(stop),
        EnvironmentError::Supervisor(error) => error.into(),
        EnvironmentError::Files { source, .. } if fault::is_own(&source) => {
            OwnFault::new("prepare the Python environment", source).into()
        }
        EnvironmentError::OwnFiles { source, .. } if fault::is_own(&source) || fault::is_denied(&source) => {
            OwnFault::new("prepare the Python environment", source).into()
        }
        error => {
            let known = installers.values().map(String::as_str);
            SetupError::Failed(Mask::new(known, []).apply(&error.to_string()))
        }
    }
}

/// Makes the environment the job's.
fn enter(prepared: &Prepared, environment: &mut Variables, sandbox: &mut Sandbox) -> Result<(), SetupError> {
    let path = environment.remove("PATH").unwrap_or_default();
    let path = prepared.bin.iter().cloned().chain(std::env::split_paths(&path));
    let path = std::env::join_paths(path)
        .map_err(|error| SetupError::Failed(format!("the folders of PATH: {error}")))?;
    environment.insert("PATH".to_owned(), path.to_string_lossy().into_owned());
    environment.insert("VIRTUAL_ENV".to_owned(), prepared.venv.to_string_lossy().into_owned());
    // Every Python of the job shows its lines as they come.
    environment.insert("PYTHONUNBUFFERED".to_owned(), "1".to_owned());
    sandbox.readable.extend(prepared.readable.iter().cloned());
    Ok(())
}

/// Tells what an entrypoint starts. The text of an error says what is wrong with it.
fn entry(source: &Path, start: &Start) -> Result<Entry, String> {
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
            _ => Err("it must end in .py or .sh, or begin with a line that names its program, such as `#!/usr/bin/env bash`".to_owned()),
        },
    }
}

fn of_module(module: &str) -> Result<Entry, String> {
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_numeric())
            && name.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    if !module.split('.').all(is_name) {
        return Err("it is not the name of a module, such as `pkg.cli`".to_owned());
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
fn convert(source: &Path, script: &Path) -> Result<Option<&'static str>, String> {
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
    rewrite(&path, &shebang::as_unix(&text))
        .map_err(|error| format!("its line ends cannot be converted: {error}"))?;
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

fn read(source: &Path, script: &Path) -> Result<Vec<u8>, String> {
    let path = resolved(source, script)?;
    let mut bytes = Vec::new();
    let read = File::open(&path).and_then(|file| file.take(MAX_SCRIPT_BYTES).read_to_end(&mut bytes));
    read.map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// The plain file behind a path of the project; a link inside the project is followed.
fn resolved(source: &Path, path: &Path) -> Result<PathBuf, String> {
    inside(source, path)?;
    let whole =
        source.join(path).canonicalize().map_err(|_| "there is no such file in the artifact".to_owned())?;
    if whole.is_file() { Ok(whole) } else { Err("there is no such file in the artifact".to_owned()) }
}

/// Finds a program: a name on the path, else a path, relative ones in the project.
fn find(name: &str, path: &str, source: &Path) -> Option<PathBuf> {
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
pub(super) fn inside(source: &Path, path: &Path) -> Result<(), String> {
    let plain = |component| matches!(component, Component::Normal(_) | Component::CurDir);
    if path.as_os_str().is_empty() || !path.components().all(plain) {
        return Err("it must be a path inside the artifact".to_owned());
    }
    match (source.canonicalize(), source.join(path).canonicalize()) {
        (Ok(source), Ok(target)) if !target.starts_with(&source) => {
            Err("it leads out of the artifact".to_owned())
        }
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
            Err(reason) => reason,
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
        assert_eq!(convert(folder.path(), Path::new("main.sh")), Ok(None));
        assert!(convert(folder.path(), Path::new("out.sh")).unwrap_err().contains("leads out"));
    }

    #[test]
    fn python_reads_its_own_scripts_as_they_are() {
        let folder = project(&[("main.py", "\u{feff}print(1)\r\n")]);
        assert_eq!(convert(folder.path(), Path::new("main.py")), Ok(None));
    }
}

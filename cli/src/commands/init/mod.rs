//! `minitower init`

mod commands;

use std::borrow::Cow;
use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use minitower_towerfile::{Error, Start, TOWERFILE, Towerfile, shell, slug};
use serde_json::json;

use self::commands::Found;
use crate::context::Context;
use crate::failure::{Exit, Explained, Failure};

/// Names that a main script is likely to have, the likeliest first.
const LIKELY: [&str; 6] = ["main.py", "app.py", "run.py", "main.sh", "run.sh", "start.sh"];

/// Flags of `init`.
#[derive(Debug, Args)]
pub struct Init {
    /// The project's folder
    #[arg(long, default_value = ".", value_name = "FOLDER")]
    dir: PathBuf,
    /// The app's name; by default made from the folder's name
    #[arg(long)]
    name: Option<String>,
    /// The file to start; by default main.py or a similar file
    #[arg(long, value_name = "FILE", conflicts_with = "module")]
    script: Option<String>,
    /// The module to start, as `python -m` does; by default that of a command in pyproject.toml
    #[arg(long, value_name = "MODULE")]
    module: Option<String>,
    /// Overwrite an existing Towerfile
    #[arg(long)]
    force: bool,
}

/// Why no Towerfile is written.
#[derive(Debug, thiserror::Error)]
enum InitError {
    #[error(transparent)]
    BadValues(Error),
    #[error("the folder's name {folder:?} cannot be the app's name: it must {rule}")]
    BadFolderName { folder: String, rule: String },
    #[error("cannot read the folder {}", folder.display())]
    Unreadable {
        folder: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("there is no .py or .sh file in {} to start", folder.display())]
    NoScript { folder: PathBuf },
    #[error("pyproject.toml has a command in {module}, but `python -m {module}` would do nothing")]
    NotStartable { module: String },
    #[error("{} already exists", path.display())]
    Exists { path: PathBuf },
    #[error("cannot write {}", path.display())]
    Unwritable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl Explained for InitError {
    fn help(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::BadValues(_) => "pass other values with --name, --script and --module".into(),
            Self::BadFolderName { .. } => "name the app with --name".into(),
            Self::NoScript { .. } => "write one first, for example main.py, or name one with --script".into(),
            Self::NotStartable { module } => format!(
                "end {module} with `if __name__ == \"__main__\": main()`, give the package a __main__.py, or name a \
                 file with --script"
            )
            .into(),
            Self::Exists { .. } => "edit it, or overwrite it with --force".into(),
            Self::Unreadable { .. } | Self::Unwritable { .. } => return None,
        })
    }
}

impl Init {
    /// Writes the Towerfile.
    pub fn run(self, context: &Context) -> Result<Exit, Failure> {
        let name = match self.name {
            Some(name) => name,
            None => name_of(&self.dir)?,
        };
        let start = find_start(&self.dir, self.script, self.module)?;
        let text = towerfile(&name, &start);
        Towerfile::parse_strict(&text).map_err(InitError::BadValues)?;
        let path = self.dir.join(TOWERFILE);
        write(&path, &text, self.force)?;
        let (key, started) = match &start {
            Start::Script(script) => ("script", script),
            Start::Module(module) => ("module", module),
        };
        if key == "script" && !self.dir.join(started).is_file() {
            context.out.warn(format_args!("{started} does not exist yet; write it before you deploy"));
        }
        context.out.answer(&json!({"towerfile": path, "name": name, key: started}), |out| {
            out.line(format_args!("Wrote {}: app {name}, which starts {key} {started}.", path.display()))?;
            if self.dir.join(".gitignore").is_file() {
                out.note("Files that .gitignore names are not uploaded, unless app.source names them.");
            }
            let here = self.dir == Path::new(".");
            let dir = if here {
                String::new()
            } else {
                format!(" --dir {}", shell::quoted(&self.dir.to_string_lossy()))
            };
            out.note(format_args!("Upload it: `minitower deploy{dir}`"));
            Ok(())
        })?;
        Ok(Exit::Success)
    }
}

fn write(path: &Path, text: &str, force: bool) -> Result<(), InitError> {
    let mut options = OpenOptions::new();
    if force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    let written = options.write(true).open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => InitError::Exists { path: path.to_owned() },
        _ => InitError::Unwritable { path: path.to_owned(), source },
    })
}

/// A slug made from the folder's name.
fn name_of(dir: &Path) -> Result<String, InitError> {
    let full = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let folder = full.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match slug::violation(&folder) {
        None => Ok(folder),
        Some(rule) => {
            slug::nearest(&folder).ok_or_else(|| InitError::BadFolderName { folder, rule: rule.to_string() })
        }
    }
}

/// What a run starts: what the flags say, otherwise a command of the project, otherwise a file that looks like the main script.
fn find_start(dir: &Path, script: Option<String>, module: Option<String>) -> Result<Start, InitError> {
    if let Some(module) = module {
        return Ok(Start::Module(module));
    }
    if let Some(script) = script {
        return Ok(Start::Script(script));
    }
    let command = commands::find(dir);
    if let Some(Found::Module(module)) = command {
        return Ok(Start::Module(module));
    }
    find_script(dir).map(Start::Script).map_err(|error| match command {
        Some(Found::NotStartable { module }) => InitError::NotStartable { module },
        _ => error,
    })
}

fn find_script(dir: &Path) -> Result<String, InitError> {
    let entries =
        std::fs::read_dir(dir).map_err(|source| InitError::Unreadable { folder: dir.to_owned(), source })?;
    let mut scripts: Vec<String> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            let script = Path::new(&name).extension().is_some_and(|end| end == "py" || end == "sh");
            (script && !name.starts_with('.') && entry.path().is_file()).then_some(name)
        })
        .collect();
    // Python before shell, then by name.
    scripts.sort_by_key(|name| (Path::new(name).extension().is_none_or(|end| end != "py"), name.clone()));
    let likely = LIKELY.iter().find(|likely| scripts.iter().any(|name| name == *likely));
    let found = likely.map(|name| (*name).to_owned()).or_else(|| scripts.into_iter().next());
    found.ok_or_else(|| InitError::NoScript { folder: dir.to_owned() })
}

fn towerfile(name: &str, start: &Start) -> String {
    // `Debug` quotes as TOML's basic strings do, for all names and paths that the rules allow.
    let start = match start {
        Start::Script(script) => format!(
            "# What a run starts: a .py or .sh file, or another file with a #! line. Or name a `module` instead.\n\
             script = {script:?}"
        ),
        Start::Module(module) => format!(
            "# What a run starts, as `python -m` does. Or name a file as `script` instead.\n\
             module = {module:?}"
        ),
    };
    format!(
        r#"# Describes this app to MiniTower. `minitower deploy` reads it.

[app]
name = {name:?}
{start}
# Which files are uploaded. By default all, except .git, virtual environments, __pycache__, and files that .gitignore
# or .towerignore name.
# source = ["**/*.py", "**/*.sh", "*.toml"]
# Folders that are added to the front of PYTHONPATH.
# import_paths = ["lib"]
# Which Python versions may run it.
# python = ">=3.12"
# How often a run starts again if its runner is lost.
# max_retries = 0

# A run that takes longer than this is stopped.
[app.timeout]
seconds = 300

# More environment variables for its runs.
# [app.env]
# LOG_LEVEL = "info"

# Inputs of a run. Each parameter becomes an environment variable of the same name.
# [[parameters]]
# name = "name"
# description = "Whom to greet"
# type = "string" # or "number", "integer", "boolean"
# default = "world"
# hidden = false # true: only the job sees its value
"#
    )
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            std::fs::write(folder.path().join(file), "").unwrap();
        }
        folder
    }

    #[rstest]
    #[case(&["a.py", "main.py", "run.sh"], "main.py")]
    #[case(&["z.py", "job.py", "a.sh"], "job.py")]
    #[case(&["x.sh", "b.sh", "notes.txt", ".hidden.py"], "b.sh")]
    #[case(&["a.py", "run.sh"], "run.sh")]
    fn the_likeliest_script_is_found(#[case] files: &[&str], #[case] expected: &str) {
        assert_eq!(find_script(folder(files).path()).unwrap(), expected);
    }

    #[test]
    fn a_folder_without_scripts_says_so() {
        assert!(find_script(folder(&["x.txt"]).path()).unwrap_err().to_string().contains(".py or .sh"));
    }

    #[rstest]
    #[case("Daily Report (v2)", Some("daily-report-v2"))]
    #[case("2024-sales", Some("sales"))]
    #[case("ü", None)]
    #[case("admin", None)]
    fn the_folders_name_becomes_a_slug(#[case] folder_name: &str, #[case] expected: Option<&str>) {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join(folder_name);
        std::fs::create_dir(&dir).unwrap();
        assert_eq!(name_of(&dir).ok().as_deref(), expected);
    }

    #[test]
    fn the_towerfile_is_valid_with_and_without_its_comments() {
        let module = Start::Module("pkg.cli".to_owned());
        assert_eq!(Towerfile::parse_strict(&towerfile("my-app", &module)).unwrap().start, module);
        let text = towerfile("my-app", &Start::Script("main.py".to_owned()));
        let (parsed, warnings) = Towerfile::parse(&text).unwrap();
        assert_eq!((parsed.start.entrypoint().as_str(), warnings.len()), ("main.py", 0));
        let keys = text.lines().map(|line| match line.strip_prefix("# ") {
            Some(key) if key.contains(" = ") || key.starts_with('[') => key,
            _ => line,
        });
        let (parsed, warnings) = Towerfile::parse(&keys.collect::<Vec<_>>().join("\n")).unwrap();
        assert_eq!((parsed.parameters.len(), parsed.max_retries, warnings.len()), (1, Some(0), 0));
    }
}

//! `minitower init`

mod commands;

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use minitower_towerfile::{Start, TOWERFILE, Towerfile, slug};
use serde_json::json;

use self::commands::Found;
use crate::context::Context;
use crate::failure::{Exit, Failure};

/// Names a main script is likely to have, likeliest first.
const LIKELY: [&str; 6] = ["main.py", "app.py", "run.py", "main.sh", "run.sh", "start.sh"];

/// Flags of `init`.
#[derive(Debug, Args)]
pub struct Init {
    /// The project's folder
    #[arg(long, default_value = ".", value_name = "FOLDER")]
    dir: PathBuf,
    /// The app's name; default: made from the folder's
    #[arg(long)]
    name: Option<String>,
    /// The file to start; default: main.py or whatever looks like it
    #[arg(long, value_name = "FILE", conflicts_with = "module")]
    script: Option<String>,
    /// The module to start, as `python -m` does; default: that of a command in pyproject.toml
    #[arg(long, value_name = "MODULE")]
    module: Option<String>,
    /// Replace a Towerfile that is there
    #[arg(long)]
    force: bool,
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
        Towerfile::parse_strict(&text).map_err(|error| {
            Failure::new(error).help("give other values with --name, --script and --module")
        })?;
        let path = self.dir.join(TOWERFILE);
        write(&path, &text, self.force)?;
        let (key, started) = match &start {
            Start::Script(script) => ("script", script),
            Start::Module(module) => ("module", module),
        };
        if key == "script" && !self.dir.join(started).is_file() {
            context.out.warn(format_args!("{started} does not exist yet; write it before you deploy"));
        }
        if context.out.is_json() {
            context.out.json(&json!({"towerfile": path, "name": name, key: started}))?;
            return Ok(Exit::Success);
        }
        context
            .out
            .line(format_args!("Wrote {}: app {name}, which starts {key} {started}.", path.display()))?;
        if self.dir.join(".gitignore").is_file() {
            context
                .out
                .note("What .gitignore names is not uploaded; app.source can name such files all the same.");
        }
        let dir =
            if self.dir == Path::new(".") { String::new() } else { format!(" --dir {}", self.dir.display()) };
        context.out.note(format_args!("Upload it: `minitower deploy{dir}`"));
        Ok(Exit::Success)
    }
}

fn write(path: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    if force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    let written = options.write(true).open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::new(format!("{} exists already", path.display()))
            .help("edit it, or replace it with --force"),
        _ => Failure::new(format!("cannot write {}: {error}", path.display())),
    })
}

/// A slug made from the folder's name.
fn name_of(dir: &Path) -> Result<String, Failure> {
    let full = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let folder = full.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match slug::violation(&folder) {
        None => Ok(folder),
        Some(rule) => slug::nearest(&folder).ok_or_else(|| {
            Failure::new(format!("the folder's name {folder:?} cannot be the app's: it must {rule}"))
                .help("give the app a name with --name")
        }),
    }
}

/// What a run starts: what the flags say, else a command of the project's own, else what looks like a main script.
fn find_start(dir: &Path, script: Option<String>, module: Option<String>) -> Result<Start, Failure> {
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
    find_script(dir).map(Start::Script).map_err(|failure| match command {
        Some(Found::NotStartable { module }) => Failure::new(format!(
            "pyproject.toml has a command in {module}, but `python -m {module}` would do nothing"
        ))
        .help(format_args!(
            "end {module} with `if __name__ == \"__main__\": main()`, give the package a __main__.py, or name a file \
             with --script"
        )),
        _ => failure,
    })
}

fn find_script(dir: &Path) -> Result<String, Failure> {
    let entries = std::fs::read_dir(dir)
        .map_err(|error| Failure::new(format!("cannot read the folder {}: {error}", dir.display())))?;
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
    likely.map(|name| (*name).to_owned()).or_else(|| scripts.into_iter().next()).ok_or_else(|| {
        Failure::new(format!("there is no .py or .sh file in {} to start", dir.display()))
            .help("write one first, for example main.py, or name one with --script")
    })
}

fn towerfile(name: &str, start: &Start) -> String {
    // Debug quotes as TOML's basic strings do, for everything the rules for names and paths let through.
    let start = match start {
        Start::Script(script) => format!(
            "# What a run starts: a .py or .sh file, or any other with a #! line. `module` names a module instead.\n\
             script = {script:?}"
        ),
        Start::Module(module) => format!(
            "# What a run starts, as `python -m` does. `script` names a file instead.\n\
             module = {module:?}"
        ),
    };
    format!(
        r#"# What MiniTower needs to know about this app. `minitower deploy` reads it.

[app]
name = {name:?}
{start}
# Which files are uploaded. Without it, everything but .git, virtual environments, __pycache__, and what .gitignore
# and .towerignore name.
# source = ["**/*.py", "**/*.sh", "*.toml"]
# Folders put in front of PYTHONPATH.
# import_paths = ["lib"]
# Which Pythons may run it.
# python = ">=3.12"
# How often a run starts again when its runner is lost.
# max_retries = 0

# A run that takes longer is stopped.
[app.timeout]
seconds = 300

# Further variables of its runs.
# [app.env]
# LOG_LEVEL = "info"

# What a run may be given: each parameter becomes an environment variable of its name.
# [[parameters]]
# name = "name"
# description = "Whom to greet"
# type = "string" # or "number", "integer", "boolean"
# default = "world"
# hidden = false # true: its value is shown to nobody
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

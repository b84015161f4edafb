//! Which of a project's files decides its dependencies.

use std::path::Path;

use minitower_towerfile::Towerfile;

use super::files::{FileError, Files};
use super::interpreters::Demand;
use super::lock;
use super::needs::{Needs, What};
use super::pyproject::PyProject;
use super::requirements_txt::Requirements;
use super::script_header::{self, Header};

/// Most files that one line names.
const MOST_NAMED: usize = 5;
/// What to do about dependencies that only Poetry reads.
const POETRY: &str = "the dependencies of [tool.poetry] are not read; run `poetry export -f requirements.txt -o requirements.txt` and deploy \
     again";

/// Whether the project has any file that decides dependencies, so that its other programs get them too.
pub(crate) fn has_dependency_file(project: &Path) -> bool {
    let files = Files::new(project);
    ["uv.lock", "pylock.toml", "pyproject.toml", "requirements.txt", "setup.py"]
        .iter()
        .any(|name| files.has(name))
        || foreign(&files).is_some()
}

/// Reads the project's files; `script` is the Python script to start, if it is one.
pub(super) fn decide(project: &Path, script: Option<&str>) -> Result<Needs, FileError> {
    let files = Files::new(project);
    let text = |name: &str| files.has(name).then(|| files.text(Path::new(name))).transpose();
    let pyproject = text("pyproject.toml")?.map(|text| PyProject::parse(&text)).transpose()?;
    let header = match script {
        // A script in an encoding of its own has no header that we could read; Python judges it.
        Some(script) => match files.text(Path::new(script)) {
            Ok(text) => script_header::read(script, &text)?,
            Err(_) => None,
        },
        None => None,
    };
    let requirements =
        files.has("requirements.txt").then(|| Requirements::read(&files, "requirements.txt")).transpose()?;
    let mut needs = first(&files, script, pyproject.as_ref(), header.as_ref(), requirements)?;
    if needs.what != What::Nothing
        && let Some(_) = text("uv.toml")?
    {
        needs.private.get_or_insert_with(|| "the project has a uv.toml".to_owned());
        needs.only_uv.get_or_insert_with(|| "uv.toml".to_owned());
    }
    needs.pythons = demands(&files, script, pyproject.as_ref(), header.as_ref(), &mut needs.refreshed);
    needs.notes.extend(left(&files, &needs));
    needs.files = files.seen();
    // Of these only what was read counts: it is in the fields above.
    needs
        .files
        .retain(|file, _| file != Path::new("Towerfile") && Some(file.as_path()) != script.map(Path::new));
    for (file, text) in &needs.files {
        if file.extension().is_some_and(|ending| ending == "toml" || ending == "lock") {
            needs.references.add_toml(file, text)?;
        }
    }
    needs.references.extend(header.map(|header| header.references).unwrap_or_default());
    Ok(needs)
}

fn first(
    files: &Files,
    script: Option<&str>,
    pyproject: Option<&PyProject>,
    header: Option<&Header>,
    requirements: Option<Requirements>,
) -> Result<Needs, FileError> {
    if files.has("uv.lock") {
        return by_uv_lock(files, pyproject);
    }
    if files.has("pylock.toml") {
        let mut needs = Needs::new(What::Pylock, "pylock.toml");
        needs.private = lock::private_pylock(&files.text(Path::new("pylock.toml"))?)?;
        needs.unpinned = false;
        needs.only_uv = Some("pylock.toml".to_owned());
        return Ok(needs);
    }
    if let (Some(script), Some(header)) = (script, header)
        && let Some(dependencies) = &header.dependencies
    {
        let mut needs = Needs::list(dependencies, script)?;
        if needs.what != What::Nothing && !header.uv_settings.is_empty() {
            needs.what = What::Script(script.to_owned());
            uv_settings(&mut needs, &header.uv_settings);
        }
        return Ok(needs);
    }
    // A requirements.txt that names the project includes what pyproject.toml says.
    let includes_project = requirements.as_ref().is_some_and(|requirements| requirements.itself);
    if let Some(pyproject) = pyproject
        && let Some(project) = &pyproject.project
        && !includes_project
        && (project.decides() || pyproject.is_installed() || requirements.is_none())
    {
        if pyproject.leaves_them_to_poetry() {
            return Err(FileError::new("pyproject.toml", POETRY));
        }
        return by_project(pyproject, project.dependencies.as_deref().unwrap_or_default());
    }
    if let Some(requirements) = requirements {
        return Ok(by_requirements(requirements, pyproject));
    }
    let built = pyproject.is_some_and(|pyproject| pyproject.builds && pyproject.poetry.is_none());
    if files.has("setup.py") || built {
        let file = if files.has("setup.py") { "setup.py" } else { "pyproject.toml" };
        let mut needs = Needs::new(What::Project, file);
        needs.private = Some("the project itself is installed".to_owned());
        return Ok(needs);
    }
    match foreign(files) {
        Some(error) => Err(error),
        None => Ok(Needs::new(What::Nothing, "")),
    }
}

fn by_uv_lock(files: &Files, pyproject: Option<&PyProject>) -> Result<Needs, FileError> {
    let Some(pyproject) = pyproject else {
        return Err(FileError::new(
            "uv.lock",
            "it belongs to a pyproject.toml, which is missing; deploy both",
        ));
    };
    let mut needs = Needs::new(What::UvLock { checked_online: false }, "uv.lock");
    let text = files.text(Path::new("uv.lock"))?;
    needs.private = lock::private_uv(&text, pyproject.is_installed())?;
    let dynamic = pyproject.project.as_ref().is_some_and(|project| !project.dynamic.is_empty());
    needs.what = What::UvLock { checked_online: dynamic || needs.private.is_some() };
    needs.unpinned = false;
    needs.only_uv = Some("uv.lock".to_owned());
    if needs.private.is_none()
        && pyproject.uv_settings.iter().any(|name| name == "sources" || name == "workspace")
    {
        needs.private = Some("[tool.uv] names sources".to_owned());
    }
    Ok(needs)
}

fn by_project(pyproject: &PyProject, dependencies: &[String]) -> Result<Needs, FileError> {
    let mut needs = Needs::list(dependencies, "pyproject.toml")?;
    if pyproject.is_installed() {
        let known = pyproject.project.as_ref().is_some_and(|project| !project.is_dynamic());
        let listed = match needs.what {
            What::List(requirements) if pyproject.uv_settings.is_empty() => What::List(requirements),
            What::List(_) => What::PyProject,
            _ => What::List(Vec::new()),
        };
        needs.unbuilt = known.then_some(listed);
        needs.what = What::Project;
        needs.private = Some("the project itself is installed".to_owned());
        needs.unpinned = true;
    } else if needs.what != What::Nothing && !pyproject.uv_settings.is_empty() {
        needs.what = What::PyProject;
    }
    if needs.what != What::Nothing {
        uv_settings(&mut needs, &pyproject.uv_settings);
    }
    Ok(needs)
}

fn by_requirements(requirements: Requirements, pyproject: Option<&PyProject>) -> Needs {
    let what = if requirements.count == 0 { What::Nothing } else { What::RequirementsTxt };
    let mut needs = Needs::new(what, "requirements.txt");
    if let Some(settings) = pyproject.map(|pyproject| &pyproject.uv_settings)
        && needs.what != What::Nothing
    {
        // Indexes and constraints there hold for uv whatever file lists the packages.
        uv_settings(&mut needs, settings);
    }
    if needs.private.is_none() {
        needs.private = requirements.private;
    }
    needs.editable = requirements.editable;
    needs.unpinned = requirements.unpinned;
    needs.pinned = requirements.pinned;
    needs.references = requirements.references;
    needs.uv_options = requirements.uv_options;
    needs
}

fn uv_settings(needs: &mut Needs, settings: &[String]) {
    if let Some(first) = settings.first() {
        let setting = format!("[tool.uv] {first}");
        needs.private.get_or_insert_with(|| format!("{setting} decides what is installed"));
        needs.only_uv.get_or_insert(setting);
    }
}

/// Which Pythons the files ask for. Notes when the Towerfile's author asked for everything anew.
fn demands(
    files: &Files,
    script: Option<&str>,
    pyproject: Option<&PyProject>,
    header: Option<&Header>,
    refreshed: &mut Option<String>,
) -> Vec<Demand> {
    let mut demands = Vec::new();
    let mut ask = |by: String, specifier: Option<&String>| {
        demands.extend(specifier.map(|specifier| Demand { by, specifier: specifier.clone() }));
    };
    if let Some(script) = script {
        ask(
            format!("requires-python of {script}"),
            header.and_then(|header| header.requires_python.as_ref()),
        );
    }
    let project = pyproject.and_then(|pyproject| pyproject.project.as_ref());
    ask(
        "requires-python of pyproject.toml".to_owned(),
        project.and_then(|project| project.requires_python.as_ref()),
    );
    let towerfile = files.has("Towerfile").then(|| Files::text(files, Path::new("Towerfile")).ok()).flatten();
    if let Some(text) = towerfile {
        let first = text.lines().next().unwrap_or_default();
        *refreshed = first.strip_prefix("# refreshed: ").map(|at| at.trim().to_owned());
        // One that is no Towerfile came with an archive of another tool.
        let python = Towerfile::parse(&text).ok().and_then(|(towerfile, _)| towerfile.python);
        ask("app.python of the Towerfile".to_owned(), python.as_ref());
    }
    demands
}

/// A line about the files that do not decide although they could.
fn left(files: &Files, needs: &Needs) -> Option<String> {
    if needs.what == What::Nothing {
        return passed_over(files);
    }
    let known = [
        "uv.lock",
        "pylock.toml",
        "pyproject.toml",
        "requirements.txt",
        "setup.py",
        "Pipfile",
        "environment.yml",
    ];
    let mut names: Vec<&str> =
        known.into_iter().filter(|name| *name != needs.decided_by && files.has(name)).collect();
    // What belongs together: a lock is of its pyproject.toml, a build reads its own files.
    names.retain(|name| match needs.decided_by.as_str() {
        "uv.lock" | "pylock.toml" => *name != "pyproject.toml",
        "pyproject.toml" | "setup.py" => !matches!(*name, "setup.py" | "pyproject.toml"),
        _ => {
            *name != "pyproject.toml"
                || files.text(Path::new(name)).is_ok_and(|text| lists_dependencies(&text))
        }
    });
    let left = names.join(", ");
    (!names.is_empty()).then(|| {
        format!("minitower-runner: {} decides the dependencies; {left} is not used", needs.decided_by)
    })
}

/// Files whose names say that they list dependencies, in a project that needs nothing by those that are read.
fn passed_over(files: &Files) -> Option<String> {
    let lists = |name: &String| {
        let name = name.to_ascii_lowercase();
        (name.starts_with("requirements") || name.ends_with("requirements.txt")) && name != "requirements.txt"
    };
    let mut names: Vec<String> = files.names().into_iter().filter(lists).collect();
    names.sort();
    names.truncate(MOST_NAMED);
    (!names.is_empty()).then(|| {
        format!(
            "minitower-runner: nothing is installed: {} is not read; name it in requirements.txt with `-r`, if the job needs it",
            names.join(", ")
        )
    })
}

fn lists_dependencies(pyproject: &str) -> bool {
    PyProject::parse(pyproject).is_ok_and(|pyproject| {
        pyproject.poetry.is_some() || pyproject.project.is_some_and(|project| project.decides())
    })
}

/// The error for files of other tools that list dependencies, when nothing that we read does.
fn foreign(files: &Files) -> Option<FileError> {
    let names = files.names();
    let error = |file: &str, reason: &str| Some(FileError::new(file, reason));
    if files.has("pyproject.toml")
        && files
            .text(Path::new("pyproject.toml"))
            .ok()
            .and_then(|text| PyProject::parse(&text).ok())
            .is_some_and(|it| it.poetry.is_some())
    {
        return error("pyproject.toml", POETRY);
    }
    if files.has("Pipfile") {
        return error(
            "Pipfile",
            "it is not read; run `pipenv requirements > requirements.txt` and deploy again",
        );
    }
    for name in &names {
        match name.to_ascii_lowercase().as_str() {
            "requirements.txt" if name != "requirements.txt" => {
                return error(
                    name,
                    &format!(
                        "it is not read under this name; run `mv {name} requirements.txt` and deploy again"
                    ),
                );
            }
            "environment.yml" | "environment.yaml" => {
                return error(
                    name,
                    "Conda's environments are not read; run `pip list --format=freeze > requirements.txt` in that environment and deploy again",
                );
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests;

//! Installing into an environment, confined: an installer writes its target, its temporary folder, its home and its cache, and
//! starts where nothing of the project is on its path.
//!
//! What only takes wheels runs no code of strangers and may use the team's cache. What builds runs anything: it gets a copy of
//! the project and a cache that is thrown away.

use std::path::{Path, PathBuf};
use std::time::Duration;

use minitower_client::wire::runs::Stream;

use super::error::{EnvironmentError, InstallError};
use super::installer::Installer;
use super::interpreter::Interpreter;
use super::needs::{Needs, What};
use super::setup::Setup;
use super::variables::{self, Variables};
use super::{resolution, venv};
use crate::logs::Lines;
use crate::mask::Mask;
use crate::steps::{Step, StepEnd, Steps};
use crate::supervisor::{Ending, Sandbox};

/// How long installing may take.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// How an installer may go about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner<'m> {
    /// Wheels only, with the team's cache.
    Wheels { cache: &'m Path },
    /// Whatever it takes, with a copy of the project.
    Anything,
    /// The same where the project lies, which stays part of the environment.
    InPlace { source: &'m Path },
}

/// One installation.
pub(super) struct Installation<'j> {
    pub(super) installer: &'j Installer,
    pub(super) interpreter: &'j Interpreter,
    pub(super) needs: &'j Needs,
    pub(super) setup: &'j Setup,
    /// Runs the programs.
    pub(super) steps: &'j Steps,
    /// Their environment.
    pub(super) variables: &'j Variables,
    /// What is hidden from them, and the exceptions.
    pub(super) sandbox: &'j Sandbox,
    /// What must not come into the log.
    pub(super) mask: &'j Mask,
}

/// A program to run.
pub(super) struct Call {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) variables: Variables,
    pub(super) directory: PathBuf,
    pub(super) readable: Vec<PathBuf>,
    pub(super) writable: Vec<PathBuf>,
    pub(super) quiet: bool,
    /// The exit code that says that nothing else need be tried.
    pub(super) fatal: Option<i32>,
}

impl Installation<'_> {
    /// Installs what is wanted into the environment `target`, which exists.
    pub(super) async fn install(&self, target: &Path, manner: Manner<'_>) -> Result<(), EnvironmentError> {
        let call = match self.installer {
            Installer::Uv { program, .. } => {
                self.check_uv_lock(program, manner).await?;
                self.uv(program, target, manner)
            }
            Installer::Pip => self.pip(target, manner).await?,
        };
        self.run(call).await?;
        self.compile(target).await
    }

    /// Whether the wheels in `target` are what would be there had builds been allowed. That it cannot be told counts as yes.
    pub(super) async fn is_whole(&self, target: &Path) -> Result<bool, EnvironmentError> {
        let installed = resolution::installed(target, self.interpreter);
        let pinned = &self.needs.pinned;
        let locked = matches!(self.needs.what, What::UvLock { .. } | What::Pylock);
        if locked || installed.keys().all(|name| pinned.contains(name)) {
            return Ok(true);
        }
        let answer = self.setup.answers().join("resolution");
        let call = match self.installer {
            Installer::Uv { program, .. } => self.uv_resolution(program, &answer),
            Installer::Pip => {
                let Some(call) = self.pip_resolution(target, &answer) else { return Ok(true) };
                call
            }
        };
        match self.run(call).await {
            Ok(()) => {
                Ok(resolution::read(&answer).is_none_or(|wanted| resolution::agrees(&wanted, &installed)))
            }
            Err(EnvironmentError::Install(_)) => Ok(true),
            Err(other) => Err(other),
        }
    }

    fn uv(&self, program: &Path, target: &Path, manner: Manner<'_>) -> Call {
        let mut call = self.call(program.to_owned(), target, manner);
        self.uv_variables(&mut call.variables, manner);
        call.variables.insert("UV_PROJECT_ENVIRONMENT".to_owned(), text(target));
        if let What::Script(script) = &self.needs.what {
            // `pip install -r` takes a script's dependencies without its sources.
            call.variables.insert("VIRTUAL_ENV".to_owned(), text(target));
            call.arguments = words(&["sync", "--active", "--no-editable", "--script"]);
            call.arguments.extend([
                script.clone(),
                "--python".to_owned(),
                text(&self.interpreter.executable),
            ]);
        } else if matches!(self.needs.what, What::UvLock { .. }) {
            call.arguments = words(&["sync", "--frozen", "--no-dev", "--no-editable", "--python"]);
            call.arguments.push(text(&self.interpreter.executable));
        } else {
            call.arguments = words(&["pip", "install", "--python"]);
            call.arguments.push(text(&target.join("bin/python")));
            call.arguments.extend(self.what());
            call.arguments.extend(self.needs.uv_options.iter().cloned());
        }
        if matches!(manner, Manner::Wheels { .. }) {
            call.arguments.push("--no-build".to_owned());
            // One is that there is no solution, as without a wheel; two that an index does not answer, and the like.
            call.fatal = (!matches!(self.needs.what, What::UvLock { .. })).then_some(2);
            Self::without_configuration(&mut call);
        }
        call
    }

    fn uv_resolution(&self, program: &Path, answer: &Path) -> Call {
        let mut call = self.call(program.to_owned(), &self.setup.answers(), Manner::Anything);
        call.directory = self.setup.stage();
        self.uv_variables(&mut call.variables, Manner::Anything);
        call.arguments = words(&["pip", "compile", "--quiet", "--no-header", "--no-annotate", "--python"]);
        call.arguments.push(text(&self.interpreter.executable));
        call.arguments.extend(["--output-file".to_owned(), text(answer)]);
        // The same without `-r`, which this command takes as it stands.
        call.arguments.extend(self.what().into_iter().filter(|word| word != "-r"));
        call.arguments
            .extend(self.needs.uv_options.iter().filter(|word| *word != "--require-hashes").cloned());
        Self::without_configuration(&mut call);
        call.quiet = true;
        call
    }

    /// Of configuration files only that counts which the operator passes on.
    fn without_configuration(call: &mut Call) {
        if !call.variables.contains_key("UV_CONFIG_FILE") {
            call.arguments.push("--no-config".to_owned());
        }
    }

    pub(super) fn uv_variables(&self, variables: &mut Variables, manner: Manner<'_>) {
        variables::for_uv(variables);
        variables::trust_the_system(variables);
        let cache = match manner {
            Manner::Wheels { cache } => cache.join("uv"),
            _ => self.setup.cache(),
        };
        for (name, value) in [
            ("UV_CACHE_DIR", text(&cache)),
            // A link would make the environment and the cache one file.
            ("UV_LINK_MODE", "copy".to_owned()),
            ("UV_PYTHON_DOWNLOADS", "never".to_owned()),
            ("UV_NO_PROGRESS", "1".to_owned()),
        ] {
            variables.insert(name.to_owned(), value);
        }
        // It would run code of what was just installed, with the cache at hand; see `compile`.
        variables.remove("UV_COMPILE_BYTECODE");
    }

    /// Fails when `uv.lock` does not fit its `pyproject.toml`.
    async fn check_uv_lock(&self, program: &Path, manner: Manner<'_>) -> Result<(), EnvironmentError> {
        let What::UvLock { checked_online } = self.needs.what else { return Ok(()) };
        let mut call = self.call(program.to_owned(), &self.setup.answers(), manner);
        call.writable.retain(|path| !matches!(manner, Manner::Wheels { cache } if path.starts_with(cache)));
        let answers = self.setup.cache();
        self.uv_variables(&mut call.variables, Manner::Anything);
        call.writable.push(answers);
        call.arguments = words(&["lock", "--check", "--python"]);
        call.arguments.push(text(&self.interpreter.executable));
        if !checked_online {
            // A lock that fits is read without an index; with another one than its author's it would never fit.
            call.variables.retain(|name, _| {
                !name.starts_with("UV_") || !(name.contains("INDEX") || name.contains("LINKS"))
            });
            call.arguments.push("--offline".to_owned());
            // What it says then is about the network that it may not use.
            call.quiet = true;
        }
        match self.run(call).await {
            Err(EnvironmentError::Install(_)) => Err(EnvironmentError::StaleLock),
            other => other,
        }
    }

    async fn pip(&self, target: &Path, manner: Manner<'_>) -> Result<Call, EnvironmentError> {
        let mut call = self.call(self.interpreter.executable.clone(), target, manner);
        pip_variables(&mut call.variables);
        call.arguments = if let Some(pip) = pip_command(self.interpreter) {
            let python = ["--python".to_owned(), text(&target.join("bin/python"))];
            pip.into_iter().chain(python).collect()
        } else if self.interpreter.ensurepip {
            let mut ensure = self.call(target.join("bin/python"), target, manner);
            ensure.arguments = words(&["-I", "-m", "ensurepip", "--default-pip"]);
            self.run(ensure).await?;
            call.program = target.join("bin/python");
            words(&["-I", "-m", "pip"])
        } else {
            return Err(InstallError::NoPip(self.interpreter.executable.clone()).into());
        };
        call.arguments.extend(words(&[
            "install",
            "--no-input",
            "--progress-bar=off",
            "--disable-pip-version-check",
        ]));
        call.arguments.extend(words(&[
            "--no-warn-script-location",
            "--root-user-action=ignore",
            "--no-compile",
        ]));
        match manner {
            Manner::Wheels { cache } => {
                call.arguments.extend(words(&["--only-binary", ":all:", "--cache-dir"]));
                call.arguments.push(text(&cache.join("pip")));
            }
            Manner::Anything | Manner::InPlace { .. } => call.arguments.push("--no-cache-dir".to_owned()),
        }
        call.arguments.extend(self.what());
        Ok(call)
    }

    fn pip_resolution(&self, target: &Path, answer: &Path) -> Option<Call> {
        let mut call =
            self.call(self.interpreter.executable.clone(), &self.setup.answers(), Manner::Anything);
        call.directory = self.setup.stage();
        pip_variables(&mut call.variables);
        call.readable.push(target.to_owned());
        call.arguments = pip_command(self.interpreter)?;
        call.arguments.extend(["--python".to_owned(), text(&target.join("bin/python"))]);
        call.arguments.extend(words(&[
            "install",
            "--dry-run",
            "--ignore-installed",
            "--quiet",
            "--no-input",
            "--report",
        ]));
        call.arguments.extend([
            text(answer),
            "--no-cache-dir".to_owned(),
            "--disable-pip-version-check".to_owned(),
        ]);
        call.arguments.extend(self.what());
        call.quiet = true;
        Some(call)
    }

    /// Compiles what was installed: the environment will be read-only, and what is not compiled now never will be. `-S` keeps
    /// the packages' own `.pth` files from running.
    async fn compile(&self, target: &Path) -> Result<(), EnvironmentError> {
        let mut call = self.call(target.join("bin/python"), target, Manner::Anything);
        call.directory = self.setup.stage();
        call.arguments = words(&["-I", "-S", "-m", "compileall", "-qq", "-j", "0"]);
        call.arguments.extend(venv::places(self.interpreter).iter().map(|place| text(&target.join(place))));
        call.quiet = true;
        match self.run(call).await {
            // Packages ship templates that are not Python; they are read as they are.
            Ok(()) | Err(EnvironmentError::Install(_)) => Ok(()),
            Err(other) => Err(other),
        }
    }

    /// What is wanted, as arguments that both installers understand.
    fn what(&self) -> Vec<String> {
        match &self.needs.what {
            What::Nothing | What::UvLock { .. } | What::Script(_) => Vec::new(),
            What::RequirementsTxt => words(&["-r", "requirements.txt"]),
            What::List(_) => vec!["-r".to_owned(), text(&self.setup.list())],
            What::PyProject => words(&["-r", "pyproject.toml"]),
            What::Project => words(&["."]),
            What::Pylock => words(&["-r", "pylock.toml"]),
        }
    }

    pub(super) fn call(&self, program: PathBuf, target: &Path, manner: Manner<'_>) -> Call {
        let setup = self.setup;
        let mut writable = vec![target.to_owned(), setup.temporary(), setup.home()];
        let directory = match manner {
            Manner::Wheels { cache } => {
                writable.push(cache.to_owned());
                setup.stage()
            }
            Manner::Anything => {
                writable.extend([setup.project(), setup.cache()]);
                setup.project()
            }
            Manner::InPlace { source } => {
                writable.extend([source.to_owned(), setup.cache()]);
                source.to_owned()
            }
        };
        let mut variables = self.variables.clone();
        variables.insert("HOME".to_owned(), text(&setup.home()));
        variables.insert("TMPDIR".to_owned(), text(&setup.temporary()));
        // Both may be the runner's own, and hidden with the rest of its folder.
        let mut readable = vec![setup.root().to_owned(), self.interpreter.prefix.clone()];
        readable.extend(program.parent().map(Path::to_owned));
        Call {
            program,
            arguments: Vec::new(),
            variables,
            directory,
            readable,
            writable,
            quiet: false,
            fatal: None,
        }
    }

    pub(super) async fn run(&self, call: Call) -> Result<(), EnvironmentError> {
        let mut sandbox = self.sandbox.clone();
        sandbox.readable.extend(call.readable);
        sandbox.writable = call.writable;
        sandbox.temporary = Some(self.setup.temporary());
        let step = Step {
            program: call.program,
            arguments: call.arguments,
            environment: call.variables.into_iter().collect(),
            directory: call.directory,
            sandbox,
            out: Stream::Stderr,
            limit: LIMIT,
            lines: if call.quiet { Lines::Dropped } else { Lines::Masked(self.mask.clone()) },
        };
        ended(self.steps.run(step).await?, call.fatal)
    }
}

/// pip's own arguments for an interpreter whose pip can install into other environments.
pub(super) fn pip_command(interpreter: &Interpreter) -> Option<Vec<String>> {
    if interpreter.pip_reaches_others() {
        return Some(words(&["-I", "-m", "pip"]));
    }
    let wheel = interpreter.pip_home.as_ref().filter(|_| interpreter.pip.is_none())?;
    Some(vec!["-I".to_owned(), text(&wheel.join("pip"))])
}

pub(super) fn pip_variables(variables: &mut Variables) {
    variables::trust_the_system(variables);
    variables::for_pip(variables);
    // Of configuration files only that counts which the operator passes on.
    variables.entry("PIP_CONFIG_FILE".to_owned()).or_insert_with(|| "/dev/null".to_owned());
}

fn ended(end: StepEnd, fatal: Option<i32>) -> Result<(), EnvironmentError> {
    Err(match end {
        StepEnd::Ended(ended) => match ended.ending {
            Ending::Code(0) => return Ok(()),
            Ending::Code(code) if Some(code) == fatal => {
                EnvironmentError::Unavailable(InstallError::Code(code))
            }
            Ending::Code(code) => InstallError::Code(code).into(),
            Ending::Signal(signal) => InstallError::Signal(signal).into(),
        },
        StepEnd::TimedOut => InstallError::TimedOut(LIMIT).into(),
        StepEnd::Stopped(stop) => EnvironmentError::Stopped(stop),
    })
}

pub(super) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

pub(super) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

//! Finding or making what one run needs installed, and for whom: here trust is decided.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{EnvironmentError, InstallError};
use super::install::{Installation, Manner};
use super::installer::Installer;
use super::interpreter::Interpreter;
use super::key::{Owner, key};
use super::needs::Needs;
use super::pool::{Environments, Prepared, Request};
use super::setup::Setup;
use super::venv;
use crate::clock;
use crate::data_dir::create_private;
use crate::mask::Mask;
use crate::removal::remove_tree;

/// Finding or making what one run needs installed.
pub(super) struct Work<'w> {
    pub(super) environments: &'w Environments,
    pub(super) request: &'w Request<'w>,
    pub(super) needs: &'w Needs,
    pub(super) interpreter: &'w Interpreter,
    pub(super) setup: &'w Setup,
    pub(super) mask: Mask,
}

impl Work<'_> {
    /// Makes what is needed visible in the run's own environment.
    pub(super) async fn provide(&self, venv: &Path, prepared: &mut Prepared) -> Result<(), EnvironmentError> {
        if self.needs.editable {
            return self.in_place(venv).await;
        }
        let unbuilt = self.needs.without_project();
        let unbuilt = unbuilt.as_ref().map(|needs| Work { needs, mask: self.mask.clone(), ..*self });
        let target = match (self.find().await?, &unbuilt) {
            (Some(found), _) => found,
            (None, None) => self.make().await?,
            (None, Some(unbuilt)) => match unbuilt.find().await? {
                Some(found) => {
                    prepared.import_from = self.in_place_of_project().await;
                    found
                }
                None => match self.make().await {
                    Err(EnvironmentError::Install(_)) => {
                        self.note(
                            "the project cannot be built, see above; installing only what it depends on",
                        )
                        .await;
                        let target = unbuilt.make().await?;
                        prepared.import_from = self.in_place_of_project().await;
                        target
                    }
                    made => made?,
                },
            },
        };
        venv::add_prepared(venv, self.interpreter, &target).map_err(EnvironmentError::files(venv))?;
        prepared.bin.push(target.join("bin"));
        prepared.readable.push(target);
        Ok(())
    }

    /// The folder with the packages of a project that could not be built.
    async fn in_place_of_project(&self) -> Option<PathBuf> {
        let folder = Some(self.request.workspace.source().join("src")).filter(|folder| folder.is_dir());
        let place = if folder.is_some() { "src/" } else { "its root" };
        self.note(&format!("the project itself is not installed; it is imported from {place}")).await;
        folder
    }

    /// A prepared environment that is there already.
    async fn find(&self) -> Result<Option<PathBuf>, EnvironmentError> {
        // Before uv is fetched, what pip has prepared will do.
        let known = self.at_hand().await?.unwrap_or(Installer::Pip);
        let team = self.team();
        for owner in [self.shared(&team), Some(self.private(&team))].into_iter().flatten() {
            let name = self.key(owner, &known);
            let Some(made) = self.environments.cache.find(&name).await else { continue };
            let age = clock::wall().duration_since(made).unsigned_abs();
            if !self.needs.unpinned || age <= self.environments.max_age {
                self.environments.cache.touch(&name);
                self.tell(&format!("cached, prepared {} ago ({made:.0})", coarse(age)), &known).await;
                return Ok(Some(self.environments.cache.place(&name)));
            }
            let (by, age) = (&self.needs.decided_by, coarse(age));
            self.note(&format!("the environment of {by} is {age} old and not pinned; renewing it")).await;
        }
        Ok(None)
    }

    /// Makes the prepared environment.
    async fn make(&self) -> Result<PathBuf, EnvironmentError> {
        let installer = self.installer().await?;
        self.check(&installer)?;
        self.setup.write_list(self.needs).map_err(EnvironmentError::files(self.setup.root()))?;
        let target = self.make_with(&installer, &self.team()).await?;
        self.tell("new", &installer).await;
        Ok(target)
    }

    /// Makes a prepared environment: the team's, if wheels will do, else one for this version alone.
    async fn make_with(&self, installer: &Installer, team: &str) -> Result<PathBuf, EnvironmentError> {
        self.note(&format!("installing dependencies with {}", installer.name())).await;
        let installation = self.installation(installer);
        if let Some(owner) = self.shared(team) {
            let caches = &self.environments.caches;
            let cache = caches.of(team).map_err(EnvironmentError::own_files(caches.path()))?;
            let name = self.key(owner, installer);
            let target = self.clear(&name).await?;
            let whole = match installation.install(&target, Manner::Wheels { cache: &cache }).await {
                Ok(()) => installation.is_whole(&target).await.map(Some),
                Err(EnvironmentError::Install(_)) => Ok(None),
                Err(other) => Err(other),
            };
            let (caches, kept) = (caches.clone(), cache.clone());
            if let Ok(Err(error)) = tokio::task::spawn_blocking(move || caches.make_room(&kept)).await {
                tracing::warn!(%error, "cannot limit the installers' caches");
            }
            match whole? {
                Some(true) => return self.seal(&name, target).await,
                Some(false) => {
                    self.note("a required version comes as source; installing again, for this version of the app alone")
                        .await;
                }
                None => {
                    self.note("wheels alone are not enough, see above; installing again and building from source, for this version of the app alone")
                        .await;
                }
            }
            remove_tree(&target).map_err(EnvironmentError::files(&target))?;
        }
        let name = self.key(self.private(team), installer);
        let target = self.clear(&name).await?;
        let (setup, needs, source) =
            (self.setup.clone(), self.needs.clone(), self.request.workspace.source());
        let copied = tokio::task::spawn_blocking(move || setup.copy_project(&source, &needs)).await;
        copied
            .unwrap_or_else(|fault| Err(io::Error::other(fault)))
            .map_err(EnvironmentError::files(&self.setup.project()))?;
        installation.install(&target, Manner::Anything).await?;
        self.seal(&name, target).await
    }

    /// Installs into the run's own environment, which refers to the project where it lies.
    async fn in_place(&self, venv: &Path) -> Result<(), EnvironmentError> {
        let installer = self.installer().await?;
        self.check(&installer)?;
        self.note(&format!("installing dependencies with {}", installer.name())).await;
        let source = self.request.workspace.source();
        self.installation(&installer).install(venv, Manner::InPlace { source: &source }).await?;
        self.tell("newly made, for this run only", &installer).await;
        Ok(())
    }

    async fn clear(&self, name: &str) -> Result<PathBuf, EnvironmentError> {
        let target = self.environments.cache.place(name);
        self.environments.cache.clear(name).await.map_err(EnvironmentError::own_files(&target))?;
        venv::create(&target, self.interpreter).map_err(EnvironmentError::own_files(&target))?;
        Ok(target)
    }

    async fn seal(&self, name: &str, target: PathBuf) -> Result<PathBuf, EnvironmentError> {
        self.environments.cache.seal(name).await.map_err(EnvironmentError::files(&target))?;
        Ok(target)
    }

    async fn at_hand(&self) -> Result<Option<Installer>, EnvironmentError> {
        Ok(self.environments.installers.lock().await.at_hand().await.map_err(InstallError::Uv)?)
    }

    /// The installer; uv is fetched, where it is wanted and not there.
    pub(super) async fn installer(&self) -> Result<Installer, EnvironmentError> {
        let mut installers = self.environments.installers.lock().await;
        if let Some(installer) = installers.at_hand().await.map_err(InstallError::Uv)? {
            return Ok(installer);
        }
        let target = installers.target();
        let made = remove_tree(&target).and_then(|()| create_private(&target));
        made.map_err(EnvironmentError::own_files(&target))?;
        let fetched = match self.installation(&Installer::Pip).fetch_uv(&target).await {
            Ok(()) => installers.take_over().await.map_err(InstallError::Fetched),
            Err(EnvironmentError::Install(error)) => Err(error),
            Err(other) => return Err(other),
        };
        if let Err(error) = remove_tree(&target) {
            tracing::warn!(%error, "cannot remove what was fetched beside uv");
        }
        match fetched {
            Ok(installer) => Ok(installer),
            Err(error) => {
                tracing::warn!(%error, "uv is not available; using pip for now");
                self.note(
                    "uv is not on the runner's PATH, and the package index does not offer it; using pip",
                )
                .await;
                Ok(installers.failed())
            }
        }
    }

    /// Refuses what the installer would ignore.
    fn check(&self, installer: &Installer) -> Result<(), EnvironmentError> {
        match (&self.needs.only_uv, installer) {
            (Some(what), Installer::Pip) => Err(EnvironmentError::OnlyUv { what: what.clone() }),
            _ => Ok(()),
        }
    }

    pub(super) fn installation<'i>(&'i self, installer: &'i Installer) -> Installation<'i> {
        Installation {
            installer,
            interpreter: self.interpreter,
            needs: self.needs,
            setup: self.setup,
            steps: self.request.steps,
            variables: self.request.variables,
            sandbox: self.request.sandbox,
            mask: &self.mask,
        }
    }

    /// Names the team; an older server does not tell it, and then no two apps trust each other.
    fn team(&self) -> String {
        let lease = self.request.lease;
        let team =
            lease.team_id.map_or_else(|| format!("app {}", lease.app_id), |team| format!("team {team}"));
        format!("{} {team}", self.environments.server)
    }

    fn shared<'t>(&self, team: &'t str) -> Option<Owner<'t>> {
        self.needs.private.is_none().then_some(Owner::Team(team))
    }

    fn private<'t>(&self, team: &'t str) -> Owner<'t> {
        let lease = self.request.lease;
        Owner::Version { team, app_id: lease.app_id, version_no: lease.version_no }
    }

    fn key(&self, owner: Owner<'_>, installer: &Installer) -> String {
        let installer = installer.identity(self.interpreter.pip.as_deref());
        key(owner, self.interpreter, &installer, self.needs, self.request.variables)
    }

    async fn note(&self, text: &str) {
        self.request.steps.log.note(format!("minitower-runner: {}", self.mask.apply(text))).await;
    }

    /// One line about the environment that is used.
    async fn tell(&self, state: &str, installer: &Installer) {
        let (python, by) = (&self.interpreter.version, &self.needs.decided_by);
        self.note(&format!("environment: {state}; Python {python}, {by} by {}", installer.name())).await;
    }
}

/// A length of time for people: its largest unit.
fn coarse(age: Duration) -> String {
    let seconds = age.as_secs();
    let (count, unit) = match seconds {
        0..60 => (seconds, "s"),
        60..3600 => (seconds / 60, "min"),
        3600..86_400 => (seconds / 3600, "h"),
        _ => (seconds / 86_400, "days"),
    };
    if count == 1 && unit == "days" { "1 day".to_owned() } else { format!("{count} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_their_largest_unit() {
        for (seconds, text) in
            [(5, "5 s"), (60, "1 min"), (7199, "1 h"), (86_400, "1 day"), (1_000_000, "11 days")]
        {
            assert_eq!(coarse(Duration::from_secs(seconds)), text);
        }
    }
}

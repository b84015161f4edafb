//! Making the environment of one run.

use std::io;

use super::error::EnvironmentError;
use super::installer::Installer;
use super::interpreter::Interpreter;
use super::interpreters::{Demands, InterpreterError};
use super::needs::{Needs, What};
use super::pool::{Environments, Prepared, Request};
use super::setup::Setup;
use super::work::Work;
use super::{project, variables, venv};
use crate::data_dir::create_private;
use crate::mask::Mask;

impl Environments {
    /// Makes the environment of a run.
    pub(crate) async fn prepare(&self, request: Request<'_>) -> Result<Prepared, EnvironmentError> {
        let venv = request.workspace.venv();
        let (needs, mask) = self.read(&request).await?;
        let setup = Setup::create(request.workspace.root().join("setup"), &needs)
            .map_err(EnvironmentError::files(request.workspace.root()))?;
        let steps = request.steps;
        let interpreter = self.interpreter(&request, &needs, &setup).await?;
        for note in &needs.notes {
            steps.log.note(note.as_str()).await;
        }
        let made = venv::create(&venv, &interpreter).and_then(|()| venv::add_pip(&venv, &interpreter));
        made.map_err(EnvironmentError::own_files(&venv))?;
        let mut prepared = Prepared {
            python: venv.join("bin/python"),
            bin: vec![venv.join("bin")],
            venv: venv.clone(),
            readable: vec![interpreter.prefix.clone()],
            import_from: None,
        };
        prepared.readable.retain(|path| path.starts_with(&self.tools));
        if needs.what != What::Nothing {
            if !self.jobs_see_secrets {
                needs.references.refuse_secrets(request.variables)?;
            }
            let work = Work {
                environments: self,
                request: &request,
                needs: &needs,
                interpreter: &interpreter,
                setup: &setup,
                mask,
            };
            work.provide(&venv, &mut prepared).await.map_err(|error| match error {
                EnvironmentError::Install(error) => error.of(&needs.decided_by).into(),
                EnvironmentError::Unavailable(error) => {
                    EnvironmentError::Unavailable(error.of(&needs.decided_by))
                }
                other => other,
            })?;
        }
        let removed = tokio::task::spawn_blocking(move || setup.remove()).await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(%error, "cannot remove the installer's folders; they are removed with the workspace");
        }
        Ok(prepared)
    }

    /// Reads what the project needs, and what must not come into the log. Its files may be large: that holds up nothing else.
    async fn read(&self, request: &Request<'_>) -> Result<(Needs, Mask), EnvironmentError> {
        let (source, variables) = (request.workspace.source(), request.variables.clone());
        let script = request.script.map(str::to_owned);
        let reading = tokio::task::spawn_blocking(move || {
            let needs = project::decide(&source, script.as_deref())?;
            let mask = Mask::with_project(
                needs.files.values().map(String::as_str),
                variables.values().map(String::as_str),
                variables::secrets(&variables),
            );
            Ok::<_, EnvironmentError>((needs, mask))
        });
        let read = reading.await.map_err(io::Error::other);
        read.map_err(EnvironmentError::files(&request.workspace.source()))?
    }

    /// The Python for a project; fetched, where none here fits and the operator allows it.
    async fn interpreter(
        &self,
        request: &Request<'_>,
        needs: &Needs,
        setup: &Setup,
    ) -> Result<Interpreter, EnvironmentError> {
        let demands = Demands::read(&needs.pythons)?;
        let stopped = EnvironmentError::Stopped;
        let found = {
            let mut interpreters = self.interpreters.lock().await;
            request.steps.unless_stopped(interpreters.find(&demands)).await.map_err(stopped)?
        };
        match found {
            Err(InterpreterError::Unfit { asked, here, .. }) if self.downloads => {
                let unfit =
                    |way_out| InterpreterError::Unfit { asked: asked.clone(), here: here.clone(), way_out };
                let own = self.interpreters.lock().await.preferred().await?;
                let mask = Mask::default();
                let work = Work { environments: self, request, needs, interpreter: &own, setup, mask };
                let Installer::Uv { program, version } = work.installer().await? else {
                    return Err(unfit(
                        "only uv downloads Pythons, and it cannot be had: put it on the runner's PATH",
                    )
                    .into());
                };
                let wanted = demands.joined();
                request
                    .steps
                    .log
                    .note(format!("minitower-runner: downloading a Python that is {wanted}"))
                    .await;
                let target = self.tools.join("python");
                create_private(&target).map_err(EnvironmentError::own_files(&target))?;
                let uv = Installer::Uv { program: program.clone(), version };
                match work.installation(&uv).fetch_python(&program, &wanted, &target).await {
                    Ok(()) => {}
                    Err(EnvironmentError::Install(_)) => {
                        return Err(unfit("none could be downloaded, see the lines above; install such a Python on the runner").into());
                    }
                    Err(other) => return Err(other),
                }
                Ok(self.interpreters.lock().await.find(&demands).await?)
            }
            found => Ok(found?),
        }
    }
}

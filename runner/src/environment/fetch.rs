//! Fetching what the runner itself lacks: uv, a Python. Confined like an installation.

use std::path::Path;

use super::error::{EnvironmentError, InstallError};
use super::install::{Installation, Manner, pip_command, pip_variables, text, words};

impl Installation<'_> {
    /// Fetches uv into `target` with pip, wheels only.
    pub(super) async fn fetch_uv(&self, target: &Path) -> Result<(), EnvironmentError> {
        let Some(arguments) = pip_command(self.interpreter) else {
            return Err(InstallError::NoFetcher.into());
        };
        let mut call = self.call(self.interpreter.executable.clone(), target, Manner::Anything);
        call.directory = self.setup.stage();
        pip_variables(&mut call.variables);
        call.arguments = arguments;
        call.arguments.extend(words(&[
            "install",
            "--quiet",
            "--no-input",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--retries",
            "1",
        ]));
        call.arguments.extend(words(&[
            "--timeout",
            "15",
            "--no-cache-dir",
            "--disable-pip-version-check",
            "--no-compile",
            "--target",
        ]));
        call.arguments.extend([text(target), "uv".to_owned()]);
        call.quiet = true;
        self.run(call).await
    }

    /// Fetches a Python that is `wanted` into `target` with uv.
    pub(super) async fn fetch_python(
        &self,
        uv: &Path,
        wanted: &str,
        target: &Path,
    ) -> Result<(), EnvironmentError> {
        let mut call = self.call(uv.to_owned(), target, Manner::Anything);
        call.directory = self.setup.stage();
        self.uv_variables(&mut call.variables, Manner::Anything);
        call.variables.insert("UV_PYTHON_DOWNLOADS".to_owned(), "manual".to_owned());
        call.arguments = words(&["python", "install", "--no-bin", "--no-config", "--install-dir"]);
        call.arguments.extend([text(target), wanted.to_owned()]);
        self.run(call).await
    }
}

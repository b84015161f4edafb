//! A virtual environment, written by hand: what `python -m venv --without-pip` makes, without starting Python.
//!
//! The layout is that of PEP 405: `pyvenv.cfg` beside `bin/` tells the interpreter where its library is.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::interpreter::Interpreter;
use crate::data_dir::create_private;

/// Makes the environment at `venv`, with what is installed in the environment `shared` visible behind its own
/// packages.
pub(super) fn create(venv: &Path, interpreter: &Interpreter, shared: Option<&Path>) -> io::Result<()> {
    let bin = venv.join("bin");
    let site_packages = venv.join(&interpreter.site_packages);
    create_private(venv)?;
    fs::create_dir_all(&bin)?;
    fs::create_dir_all(&site_packages)?;
    let home = interpreter.executable.parent().unwrap_or(Path::new("/"));
    fs::write(
        venv.join("pyvenv.cfg"),
        format!(
            "home = {}\ninclude-system-site-packages = false\nversion = {}\nexecutable = {}\n",
            home.display(),
            interpreter.version,
            interpreter.executable.display(),
        ),
    )?;
    symlink(&interpreter.executable, bin.join("python"))?;
    symlink("python", bin.join("python3"))?;
    if let Some(shared) = shared {
        // Not the bare path: addsitedir also reads the .pth files of the packages there.
        let path = shared.join(&interpreter.site_packages);
        let path = serde_json::to_string(&path.to_string_lossy())?;
        fs::write(site_packages.join("_prepared.pth"), format!("import site; site.addsitedir({path})\n"))?;
    }
    Ok(())
}

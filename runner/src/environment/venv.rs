//! A virtual environment, written by hand: what `python -m venv` makes, without starting Python.
//!
//! The layout is that of PEP 405: `pyvenv.cfg` beside `bin/` tells the interpreter where its library is. pip costs two small files: a
//! package `pip` that finds the interpreter's own one when it is imported, and installs into this environment.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::interpreter::Interpreter;
use crate::data_dir::create_private;

/// Makes the environment at `venv`.
pub(super) fn create(venv: &Path, interpreter: &Interpreter) -> io::Result<()> {
    let bin = venv.join("bin");
    create_private(venv)?;
    fs::create_dir_all(&bin)?;
    fs::create_dir_all(venv.join(&interpreter.purelib))?;
    // Where the two differ, `python -m venv` makes them one in the same way.
    if interpreter.platlib.starts_with("lib64") && interpreter.purelib.starts_with("lib") {
        symlink("lib", venv.join("lib64"))?;
    }
    fs::create_dir_all(venv.join(&interpreter.platlib))?;
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
    symlink("python", bin.join(format!("python{}", interpreter.minor())))
}

/// Makes what is installed in the environment `prepared` visible behind the environment's own packages.
pub(super) fn add_prepared(venv: &Path, interpreter: &Interpreter, prepared: &Path) -> io::Result<()> {
    let mut text = "import site".to_owned();
    for place in places(interpreter) {
        // Not the bare path: addsitedir also reads the .pth files of the packages there.
        let place = serde_json::to_string(&prepared.join(place).to_string_lossy())?;
        text.push_str("; site.addsitedir(");
        text.push_str(&place);
        text.push(')');
    }
    fs::write(venv.join(&interpreter.purelib).join("_prepared.pth"), text + "\n")
}

/// The folders of packages below an environment: one, where `lib64` is `lib`.
pub(super) fn places(interpreter: &Interpreter) -> Vec<PathBuf> {
    let (purelib, platlib) = (&interpreter.purelib, &interpreter.platlib);
    let one = platlib.strip_prefix("lib64").ok().map(|rest| Path::new("lib").join(rest));
    let mut places = vec![purelib.clone()];
    if platlib != purelib && one.as_ref() != Some(purelib) {
        places.push(platlib.clone());
    }
    places
}

/// Adds `pip`, `pip3` and `python -m pip`, which install into this environment.
pub(super) fn add_pip(venv: &Path, interpreter: &Interpreter) -> io::Result<()> {
    let program = format!("#!/bin/sh\nexec {} -m pip \"$@\"\n", quoted(&venv.join("bin/python")));
    for name in ["pip".to_owned(), "pip3".to_owned(), format!("pip{}", interpreter.minor())] {
        let path = venv.join("bin").join(name);
        fs::write(&path, &program)?;
        fs::set_permissions(&path, Permissions::from_mode(0o755))?;
    }
    let Some(home) = &interpreter.pip_home else { return Ok(()) };
    let package = venv.join(&interpreter.purelib).join("pip");
    fs::create_dir(&package)?;
    let home = serde_json::to_string(&home.join("pip").to_string_lossy())?;
    fs::write(
        package.join("__init__.py"),
        format!(
            "# The interpreter's own pip; it installs into this environment.\n__path__ = [{home}]\n__file__ = {home} + \"/__init__.py\"\n__version__ = \"{}\"\n\n\ndef main(args=None):\n    from pip._internal.utils.entrypoints import _wrapper\n\n    return _wrapper(args)\n",
            interpreter.pip.as_deref().unwrap_or("bundled"),
        ),
    )
}

/// A word for a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_interpreter_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let venv = folder.path().join("it's a venv");
        let interpreter = Interpreter::of("3.11.7", "/usr/bin/python3.11");
        create(&venv, &interpreter).unwrap();
        add_pip(&venv, &interpreter).unwrap();
        for name in ["python", "python3", "python3.11"] {
            assert!(fs::symlink_metadata(venv.join("bin").join(name)).unwrap().is_symlink(), "{name}");
        }
        let pip = fs::read_to_string(venv.join("bin/pip3.11")).unwrap();
        assert!(pip.contains(r"it'\''s a venv/bin/python' -m pip"), "{pip}");
    }

    #[test]
    fn compiled_packages_are_found_where_lib64_is_a_folder_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let mut interpreter = Interpreter::of("3.11.7", "/usr/bin/python3.11");
        interpreter.platlib = "lib64/python3.11/site-packages".into();
        let (prepared, venv) = (folder.path().join("prepared"), folder.path().join("venv"));
        create(&prepared, &interpreter).unwrap();
        fs::write(prepared.join(&interpreter.platlib).join("compiled.so"), "").unwrap();
        assert!(
            prepared.join(&interpreter.purelib).join("compiled.so").exists(),
            "one folder under two names"
        );
        create(&venv, &interpreter).unwrap();
        add_prepared(&venv, &interpreter, &prepared).unwrap();
        assert_eq!(places(&interpreter), [interpreter.purelib.clone()]);
        interpreter.platlib = "platform/site-packages".into();
        assert_eq!(places(&interpreter).len(), 2, "another layout is seen in both its folders");
    }
}

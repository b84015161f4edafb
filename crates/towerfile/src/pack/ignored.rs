//! What is left out of an archive: by `.towerignore`, by `.gitignore`, and by itself.

use std::fs;
use std::path::{Path, PathBuf};

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::PackError;

/// The file that names what is left out, with the syntax of `.gitignore`; each folder may have one.
const TOWERIGNORE: &str = ".towerignore";

/// Git's own.
const GITIGNORE: &str = ".gitignore";

/// Folders of version control, caches and virtual environments, and what `minitower dev` keeps (database, tokens, every
/// archive so far), wherever they lie.
const LEFT_OUT: [&str; 5] = [".git", ".minitower", ".venv", "venv", "__pycache__"];

/// What a folder has that is a virtual environment of Python, or one of conda.
const ENVIRONMENT_MARKS: [&str; 2] = ["pyvenv.cfg", "conda-meta"];

/// Why something is left out, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing speaks against it.
    Kept,
    /// A `.towerignore` leaves it out, which nothing overrides.
    Refused,
    /// A `.gitignore`, or what it is, leaves it out, unless it is named.
    LeftOut,
}

/// The ignore files of a folder and of those above it.
#[derive(Debug, Default)]
pub(super) struct IgnoreFiles {
    /// With the depth of their folder, outermost first. Folders above the project have depth 0.
    tower: Vec<(usize, Gitignore)>,
    git: Vec<(usize, Gitignore)>,
}

impl IgnoreFiles {
    /// Those that count in all of `root`: the `.gitignore` files above it, up to the root of its repository.
    pub(super) fn above(root: &Path) -> Result<Self, PackError> {
        let mut files = Self::default();
        let absolute = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        let Some(repository) = absolute.ancestors().position(|folder| folder.join(".git").exists()) else {
            return Ok(files);
        };
        let above: Vec<PathBuf> =
            absolute.ancestors().take(repository + 1).skip(1).map(Path::to_owned).collect();
        for folder in above.iter().rev() {
            // Seen from there, the project's files have longer paths.
            if let Some(found) = read(&folder.join(GITIGNORE), folder, false)? {
                files.git.push((0, found));
            }
        }
        Ok(files)
    }

    /// Forgets the files of folders at `depth` and below, and reads those of `folder`, which is there. The root's
    /// depth is 1.
    pub(super) fn enter(&mut self, folder: &Path, absolute: &Path, depth: usize) -> Result<(), PackError> {
        self.tower.retain(|(of, _)| *of < depth);
        self.git.retain(|(of, _)| *of < depth);
        if let Some(found) = read(&folder.join(TOWERIGNORE), absolute, true)? {
            self.tower.push((depth, found));
        }
        if let Some(found) = read(&folder.join(GITIGNORE), absolute, false)? {
            self.git.push((depth, found));
        }
        Ok(())
    }

    /// What becomes of the file or folder at `absolute`.
    pub(super) fn judge(&self, absolute: &Path, is_folder: bool, is_link: bool) -> Verdict {
        match decide(&self.tower, absolute, is_folder) {
            Some(true) => return Verdict::Refused,
            Some(false) => return Verdict::Kept,
            None => {}
        }
        let ignored = decide(&self.git, absolute, is_folder) == Some(true);
        if ignored || by_itself(absolute, is_folder, is_link) { Verdict::LeftOut } else { Verdict::Kept }
    }
}

/// The innermost file that says anything decides, and in it the last line.
fn decide(files: &[(usize, Gitignore)], path: &Path, is_folder: bool) -> Option<bool> {
    files.iter().rev().find_map(|(_, file)| match file.matched(path, is_folder) {
        Match::Ignore(_) => Some(true),
        Match::Whitelist(_) => Some(false),
        Match::None => None,
    })
}

fn by_itself(path: &Path, is_folder: bool, is_link: bool) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if is_folder || is_link {
        // A link to a virtual environment is as much of this machine as the environment itself.
        return LEFT_OUT.contains(&&*name)
            || is_folder && ENVIRONMENT_MARKS.iter().any(|mark| path.join(mark).symlink_metadata().is_ok());
    }
    // The file `.git` of a submodule or another working tree names a folder of this machine.
    name == ".git" || path.extension().is_some_and(|end| end == "pyc")
}

/// The rules of an ignore file, where there is one that is a regular file.
///
/// A wrong line of a `.towerignore` is an error, because what it should leave out would be packed. Git passes over
/// wrong lines, so those of a `.gitignore` are none.
fn read(file: &Path, folder: &Path, strict: bool) -> Result<Option<Gitignore>, PackError> {
    if !file.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Ok(None);
    }
    let fault = |source| PackError::Read { path: file.to_owned(), source };
    let bytes = fs::read(file).map_err(fault)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut builder = GitignoreBuilder::new(folder);
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let added = builder.add_line(None, line);
        if let (true, Err(source)) = (strict, added) {
            return Err(PackError::IgnoreFile { path: file.to_owned(), line: index + 1, source });
        }
    }
    let built = builder.build();
    built.map(Some).map_err(|source| PackError::IgnoreFile { path: file.to_owned(), line: 0, source })
}

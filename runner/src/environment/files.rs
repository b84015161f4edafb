//! Reading a project's files, and remembering what was read: it is part of an environment's key.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use super::text;

/// Largest file that is read.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Most bytes of all files of a project that are read.
const MAX_BYTES_TOGETHER: usize = 64 * 1024 * 1024;

/// A file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {reason}")]
pub(crate) struct FileError {
    /// The file, relative to the project.
    pub(crate) file: String,
    /// Why, and the way out.
    pub(crate) reason: String,
}

impl FileError {
    pub(super) fn new(file: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        Self { file: file.as_ref().display().to_string(), reason: reason.into() }
    }
}

/// The files of one project.
pub(super) struct Files {
    root: PathBuf,
    read: RefCell<BTreeMap<PathBuf, String>>,
}

impl Files {
    /// Those below `root`.
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), read: RefCell::default() }
    }

    /// Whether the project has such a file at its root, a link to one included.
    pub(super) fn has(&self, name: &str) -> bool {
        self.root.join(name).is_file()
    }

    /// Names of the entries at the root.
    pub(super) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// The text of a file.
    pub(super) fn text(&self, file: &Path) -> Result<String, FileError> {
        let text =
            text::decode(&self.bytes(file)?).map_err(|error| FileError::new(file, error.to_string()))?;
        let mut read = self.read.borrow_mut();
        read.insert(file.to_owned(), text.clone());
        if read.values().map(String::len).sum::<usize>() > MAX_BYTES_TOGETHER {
            let most = MAX_BYTES_TOGETHER / 1024 / 1024;
            let reason = format!("with it, the dependency files are larger than {most} MiB together");
            return Err(FileError::new(file, reason));
        }
        Ok(text)
    }

    fn bytes(&self, file: &Path) -> Result<Vec<u8>, FileError> {
        let unreadable = |reason: String| FileError::new(file, reason);
        let outside = || unreadable("it is not a file inside the project".to_owned());
        if !file.components().all(|component| matches!(component, Component::Normal(_) | Component::CurDir)) {
            return Err(outside());
        }
        // The runner reads what the job could not: its own files must not come into the job's log or key.
        let whole = self.root.join(file).canonicalize().map_err(|error| unreadable(error.to_string()))?;
        let root = self.root.canonicalize().map_err(|error| unreadable(error.to_string()))?;
        if !whole.starts_with(root) || !whole.is_file() {
            return Err(outside());
        }
        let mut bytes = Vec::new();
        let read = fs::File::open(&whole).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
        match read {
            Ok(count) if count as u64 > MAX_BYTES => {
                Err(unreadable(format!("it is larger than {} MiB", MAX_BYTES / 1024 / 1024)))
            }
            Ok(_) => Ok(bytes),
            Err(error) => Err(unreadable(error.to_string())),
        }
    }

    /// All texts read so far.
    pub(super) fn seen(&self) -> BTreeMap<PathBuf, String> {
        self.read.borrow().clone()
    }
}

/// `a/../b` is `b`; what would leave the project stays as it is and is refused when it is read.
pub(super) fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if tidy.file_name().is_some() => {
                tidy.pop();
            }
            other => tidy.push(other),
        }
    }
    tidy
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A project of these files.
    pub(crate) fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn nothing_outside_the_project_is_read() {
        let outside = project(&[("secret", "token")]);
        let folder = project(&[("a.txt", "a")]);
        std::os::unix::fs::symlink(outside.path().join("secret"), folder.path().join("link.txt")).unwrap();
        std::os::unix::fs::symlink("a.txt", folder.path().join("inside.txt")).unwrap();
        let files = Files::new(folder.path());
        assert_eq!(files.text(Path::new("inside.txt")).as_deref(), Ok("a"));
        for name in ["link.txt", "../../../../../../etc/passwd", "/etc/passwd"] {
            let error = files.text(Path::new(name)).unwrap_err().to_string();
            assert!(error.contains("not a file inside the project"), "{error}");
        }
        assert_eq!(files.seen().len(), 1);
    }

    #[test]
    fn what_is_read_is_bounded_in_all() {
        let text = "#".repeat(usize::try_from(MAX_BYTES).unwrap());
        let names = ["a", "b", "c", "d", "e"];
        let folder = project(&names.map(|name| (name, text.as_str())));
        let files = Files::new(folder.path());
        for name in &names[..4] {
            assert!(files.text(Path::new(name)).is_ok() && files.text(Path::new("a")).is_ok());
        }
        let error = files.text(Path::new("e")).unwrap_err().to_string();
        assert!(error.starts_with("e: ") && error.contains("64 MiB together"), "{error}");
    }

    #[test]
    fn paths_are_tidied_without_leaving() {
        for (path, expected) in [("./a/../b", "b"), ("a/./b", "a/b"), ("../a", "../a"), ("a/../../b", "../b")]
        {
            assert_eq!(tidy(Path::new(path)), Path::new(expected));
        }
    }
}

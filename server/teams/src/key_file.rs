//! The file with the keys that the keys of teams are encrypted with.
//!
//! One key per line: 32 bytes in Base64. Empty lines, and lines that begin with `#`, count for nothing. The first key is the one in use;
//! the others are former ones. Whoever reads the file and the database reads every secret, so the file is its owner's alone.

use std::fs::{self, File, FileType, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::seal::{Key, KeyId};

/// Most keys of a file.
pub(crate) const MOST_KEYS: usize = 16;
/// Longest file that is read.
const MAX_BYTES: u64 = 16 * 1024;
/// What stands in a file that this program made.
const HEADER: &str = "# The keys of MiniTower's secrets, the one in use first. Keep a copy apart from the database: without it, the \
                      secrets of a backup are lost.\n";

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("cannot read the key file of the secrets, {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be written.
    #[error("cannot write the key file of the secrets, {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is a folder, a device or the like.
    #[error(
        "the key file of the secrets, {}, is not a file, but {kind}: name another place with MINITOWER_SECRETS_KEY_FILE",
        path.display()
    )]
    NotAFile {
        /// What was named.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// Others may read or change it.
    #[error(
        "the key file of the secrets, {}, has mode {mode:04o}, so that others can read or change it: set it to 0600, or mount it with 0440",
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A line is not a key.
    #[error(
        "line {line} of the key file of the secrets, {}, is not a key: it must be 32 bytes in Base64, as `openssl rand -base64 32` makes them",
        path.display()
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// It has no key, or too many.
    #[error("the key file of the secrets, {}, must have 1 to {MOST_KEYS} keys, one per line: it has {found}", path.display())]
    Number {
        /// The file.
        path: PathBuf,
        /// How many it has.
        found: usize,
    },
}

/// The keys of a file: at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ring {
    current: Key,
    former: Vec<Key>,
}

impl Ring {
    pub(crate) fn new(current: Key) -> Self {
        Self { current, former: Vec::new() }
    }

    /// The key in use.
    pub(crate) fn current(&self) -> &Key {
        &self.current
    }

    /// The key of that name.
    pub(crate) fn of(&self, id: &KeyId) -> Option<&Key> {
        std::iter::once(&self.current).chain(&self.former).find(|key| key.id() == *id)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        1 + self.former.len()
    }

    /// The same with a new key in front.
    pub(crate) fn with(&self, current: Key) -> Self {
        let former = std::iter::once(self.current.clone()).chain(self.former.iter().cloned()).collect();
        Self { current, former }
    }
}

/// Reads the file; none: there is no file.
pub(crate) fn read(path: &Path) -> Result<Option<Ring>, KeyFileError> {
    let failed = |source| KeyFileError::Read { path: path.to_owned(), source };
    // Before it is opened, because that would wait for a pipe's other end.
    let file = match fs::metadata(path) {
        Ok(about) => match other_kind(about.file_type()) {
            Some(kind) => return Err(KeyFileError::NotAFile { path: path.to_owned(), kind }),
            None => File::open(path).map_err(failed)?,
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut text = Zeroizing::new(String::new());
    (&file).take(MAX_BYTES).read_to_string(&mut text).map_err(failed)?;
    let ring = parse(path, &text)?;
    // Only now: whatever else was named by mistake is not ours to change.
    keep_private(path, &file)?;
    Ok(Some(ring))
}

/// What it is, unless it is a file.
fn other_kind(kind: FileType) -> Option<&'static str> {
    if kind.is_file() {
        None
    } else if kind.is_dir() {
        Some("a folder")
    } else {
        Some("a device, a pipe or a socket")
    }
}

fn parse(path: &Path, text: &str) -> Result<Ring, KeyFileError> {
    let lines = text.lines().map(str::trim).enumerate();
    let mut keys = Vec::new();
    for (index, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let key = STANDARD.decode(line).ok().map(Zeroizing::new).and_then(|bytes| Key::of(&bytes));
        keys.push(key.ok_or_else(|| KeyFileError::Line { path: path.to_owned(), line: index + 1 })?);
    }
    let found = keys.len();
    if !(1..=MOST_KEYS).contains(&found) {
        return Err(KeyFileError::Number { path: path.to_owned(), found });
    }
    let former = keys.split_off(1);
    let current = keys.pop().ok_or_else(|| KeyFileError::Number { path: path.to_owned(), found })?;
    Ok(Ring { current, former })
}

/// Takes the file from everybody else, where it is ours. What a volume mounts may belong to another user, who shares it with our group.
fn keep_private(path: &Path, file: &File) -> Result<(), KeyFileError> {
    let about = file.metadata().map_err(|source| KeyFileError::Read { path: path.to_owned(), source })?;
    let mode = about.mode() & 0o7777;
    let ours = about.uid() == nix::unistd::geteuid().as_raw();
    if ours && mode & 0o077 != 0 && file.set_permissions(Permissions::from_mode(0o600)).is_ok() {
        tracing::warn!(file = %path.display(), mode = format_args!("{mode:04o}"),
            "the key file of the secrets was open to others: its mode is 0600 now");
        return Ok(());
    }
    // 0440 is how Kubernetes mounts a Secret for a group.
    if mode & 0o027 != 0 {
        return Err(KeyFileError::Exposed { path: path.to_owned(), mode });
    }
    Ok(())
}

/// Writes the file anew: whoever reads it finds the former one or the new one, also after a crash.
pub(crate) fn write(path: &Path, ring: &Ring) -> Result<(), KeyFileError> {
    let keys = std::iter::once(&ring.current).chain(&ring.former);
    let mut text = Zeroizing::new(String::from(HEADER));
    for key in keys {
        STANDARD.encode_string(key.bytes(), &mut text);
        text.push('\n');
    }
    replace(path, text.as_bytes()).map_err(|source| KeyFileError::Write { path: path.to_owned(), source })
}

/// Writes a whole file, as it was read from another one, where there is none. False: there is one with other content.
pub(crate) fn put_back(path: &Path, content: &[u8]) -> Result<bool, KeyFileError> {
    match fs::read(path).map(Zeroizing::new) {
        Ok(there) => Ok(there.as_slice() == content),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let failed = |source| KeyFileError::Write { path: path.to_owned(), source };
            if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                fs::create_dir_all(folder).map_err(failed)?;
            }
            replace(path, content).map_err(failed)?;
            Ok(true)
        }
        Err(source) => Err(KeyFileError::Read { path: path.to_owned(), source }),
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut fresh = name.to_owned();
    fresh.push(".new");
    let fresh = folder.join(fresh);
    // What a crash left.
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    let written =
        file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&fresh, path));
    if let Err(error) = written {
        let _ = fs::remove_file(&fresh);
        return Err(error);
    }
    File::open(folder)?.sync_all()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn what_was_written_is_read_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.key");
        assert_eq!(read(&path).unwrap(), None);
        let first = Ring::new(Key::generate().unwrap());
        write(&path, &first).unwrap();
        assert_eq!((read(&path).unwrap().as_ref(), mode(&path)), (Some(&first), 0o600));
        let second = first.with(Key::generate().unwrap());
        // Left by a crash.
        fs::write(folder.path().join("secrets.key.new"), "half").unwrap();
        write(&path, &second).unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), second);
        assert_eq!(second.of(&first.current().id()), Some(first.current()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_file_that_is_open_to_others_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.key");
        write(&path, &Ring::new(Key::generate().unwrap())).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert!(read(&path).unwrap().is_some());
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn what_is_no_key_file_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let (inner, text, pipe) =
            (folder.path().join("inner"), folder.path().join("text"), folder.path().join("pipe"));
        fs::create_dir(&inner).unwrap();
        fs::write(&text, "not a key").unwrap();
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap();
        for (path, says) in [
            (&inner, "is not a file, but a folder: name another place with MINITOWER_SECRETS_KEY_FILE"),
            (&pipe, "is not a file, but a device, a pipe or a socket"),
            (&text, "is not a key"),
        ] {
            fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
            let error = read(path).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
            assert_eq!(mode(path), 0o755, "{}", path.display());
        }
    }

    #[test]
    fn keys_are_lines_of_base64() {
        let path = Path::new("k");
        let line = STANDARD.encode([7; 32]);
        let ring = parse(path, &format!("# mine\n\n  {line} \r\n{}\n", STANDARD.encode([8; 32]))).unwrap();
        assert_eq!((ring.current(), ring.count()), (&Key::of(&[7; 32]).unwrap(), 2));
        for (text, says) in [
            (String::new(), "1 to 16 keys, one per line: it has 0"),
            ("# none\n".to_owned(), "it has 0"),
            (format!("{line}\n").repeat(17), "it has 17"),
            (format!("\n{}", STANDARD.encode([7; 31])), "line 2 of the key file"),
            (format!("{line}x"), "line 1 of the key file"),
        ] {
            let error = parse(path, &text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
            assert!(!error.contains(&line), "{error}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_or_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = read(&file.join("secrets.key")).unwrap_err().to_string();
        assert!(error.starts_with("cannot read the key file of the secrets, "), "{error}");
        let nowhere = folder.path().join("no/secrets.key");
        let error = write(&nowhere, &Ring::new(Key::generate().unwrap())).unwrap_err().to_string();
        assert!(error.contains("no/secrets.key: No such file"), "{error}");
    }
}

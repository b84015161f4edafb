//! The runner's own secrets: a folder with a file for each, such as a Kubernetes Secret that a pool mounts. Every job of the runner gets them
//! as variables. They are read anew for each run, because the kubelet replaces them while the runner works.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use minitower_towerfile::variables::{Setter, is_reserved};

/// What a value may have, in bytes, as of a team's secret: a shorter one cannot be hidden in logs.
const BYTES: std::ops::RangeInclusive<usize> = 4..=32_768;
/// Most secrets.
const MOST: usize = 100;
/// Most bytes in all values.
const MOST_BYTES: usize = 65_536;
/// How often a folder is read that is replaced meanwhile.
const TRIES: u32 = 5;
/// The kubelet's link to the folder with the current files, which it replaces as a whole.
const CURRENT: &str = "..data";

/// Why a run does not get its runner's secrets.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunnerSecretError {
    /// The folder or a file cannot be read.
    #[error("cannot read the runner's secrets in {path}")]
    Unreadable {
        /// The folder or file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It cannot be a variable.
    #[error(
        "the runner's secret {name:?} cannot be a variable: a name has letters, digits and _, and is none that belongs to the runner or \
         makes programs run other code; rename it, or leave it out of the keys that the pool's secretRef lists"
    )]
    Name {
        /// Its name.
        name: String,
    },
    /// It is no text that can be hidden.
    #[error(
        "the runner's secret {name} must be text of {} to {} bytes without NUL: encode anything else, for example with base64",
        BYTES.start(),
        BYTES.end()
    )]
    Value {
        /// Its name.
        name: String,
    },
    /// They are too many or too large together.
    #[error(
        "the runner's secrets are more than {MOST}, or more than {MOST_BYTES} bytes together: list fewer keys in the pool's secretRef"
    )]
    TooMuch,
}

/// Reads the secrets in a folder.
pub(super) fn read(folder: &Path) -> Result<BTreeMap<String, String>, RunnerSecretError> {
    let mut tries = 1;
    loop {
        match read_once(folder) {
            Err(RunnerSecretError::Unreadable { source, .. })
                if source.kind() == io::ErrorKind::NotFound && tries < TRIES && folder.exists() =>
            {
                tries += 1;
            }
            outcome => return outcome,
        }
    }
}

fn read_once(folder: &Path) -> Result<BTreeMap<String, String>, RunnerSecretError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| RunnerSecretError::Unreadable { path, source }
    };
    // All files of one state, also while the kubelet replaces them.
    let files = folder.join(CURRENT).canonicalize().unwrap_or_else(|_| folder.to_owned());
    let mut secrets = BTreeMap::new();
    let mut bytes = 0;
    for entry in fs::read_dir(&files).map_err(unreadable(folder))? {
        let entry = entry.map_err(unreadable(folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("..") {
            continue;
        }
        if !can_be_a_variable(&name) {
            return Err(RunnerSecretError::Name { name });
        }
        let value = value(&entry.path(), &name)?;
        bytes += value.len();
        secrets.insert(name, value);
        if secrets.len() > MOST || bytes > MOST_BYTES {
            return Err(RunnerSecretError::TooMuch);
        }
    }
    Ok(secrets)
}

fn can_be_a_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !is_reserved(name, Setter::Author)
}

/// The value in a file. A newline at its end is not part of it.
fn value(path: &Path, name: &str) -> Result<String, RunnerSecretError> {
    let unreadable = |source| RunnerSecretError::Unreadable { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let most = *BYTES.end() as u64 + 2;
    File::open(path).map_err(unreadable)?.take(most).read_to_end(&mut bytes).map_err(unreadable)?;
    let refused = || RunnerSecretError::Value { name: name.to_owned() };
    let mut value = String::from_utf8(bytes).map_err(|_| refused())?;
    if value.ends_with('\n') {
        value.pop();
    }
    if BYTES.contains(&value.len()) && !value.contains('\0') { Ok(value) } else { Err(refused()) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rstest::rstest;
    use tempfile::TempDir;

    use super::*;

    fn folder(files: &[(&str, &[u8])]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, value) in files {
            fs::write(folder.path().join(name), value).unwrap();
        }
        folder
    }

    fn refused(files: &[(&str, &[u8])]) -> String {
        read(folder(files).path()).unwrap_err().to_string()
    }

    #[test]
    fn each_file_is_a_secret_without_the_newline_at_its_end() {
        let folder = folder(&[("A_KEY", b"first\nsecond\n"), ("b2", b"word"), ("..old", b"x")]);
        let expected = [("A_KEY", "first\nsecond"), ("b2", "word")];
        assert_eq!(read(folder.path()).unwrap(), expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    }

    #[test]
    fn what_a_kubelet_mounts_is_read_in_its_current_state() {
        let folder = tempfile::tempdir().unwrap();
        let at = |part: &str| folder.path().join(part);
        for (state, value) in [("..2026_1", "first"), ("..2026_2", "second")] {
            fs::create_dir(at(state)).unwrap();
            fs::write(at(state).join("KEY"), value).unwrap();
        }
        symlink("..data/KEY", at("KEY")).unwrap();
        for (state, value) in [("..2026_1", "first"), ("..2026_2", "second")] {
            let _ = fs::remove_file(at("..data"));
            symlink(state, at("..data")).unwrap();
            assert_eq!(read(folder.path()).unwrap()["KEY"], value);
        }
    }

    #[rstest]
    #[case::a_file_name("tls.crt")]
    #[case::a_hidden_file(".netrc")]
    #[case::a_digit("1KEY")]
    #[case::of_the_loader("LD_PRELOAD")]
    #[case::of_the_runner("MINITOWER_API_TOKEN")]
    #[case::where_programs_are("PATH")]
    fn a_name_that_is_no_variable_is_refused_by_name(#[case] name: &str) {
        let text = refused(&[(name, b"word")]);
        assert!(
            text.contains(&format!("{name:?} cannot be a variable")) && text.contains("secretRef"),
            "{text}"
        );
    }

    #[rstest]
    #[case::too_short_to_be_hidden(b"abc".to_vec())]
    #[case::only_with_its_newline(b"abc\n".to_vec())]
    #[case::too_long(vec![b'x'; 32_769])]
    #[case::far_too_long(vec![b'x'; 1 << 20])]
    #[case::with_nul(b"word\0".to_vec())]
    #[case::no_text(vec![0xff; 8])]
    fn a_value_that_cannot_be_hidden_or_passed_on_is_refused_by_name(#[case] value: Vec<u8>) {
        assert!(
            refused(&[("GOOD", b"word"), ("THE_BAD", &value)])
                .contains("secret THE_BAD must be text of 4 to 32768 bytes")
        );
    }

    #[test]
    fn the_largest_value_is_taken() {
        let folder = folder(&[("KEY", &[&vec![b'x'; 32_768][..], b"\n"].concat())]);
        assert_eq!(read(folder.path()).unwrap()["KEY"].len(), 32_768);
    }

    #[test]
    fn too_many_or_too_much_together_is_refused() {
        let names: Vec<String> = (0..=MOST).map(|n| format!("K{n}")).collect();
        let many: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"word"[..])).collect();
        assert!(refused(&many).contains("more than 100"));
        assert!(read(folder(&many[1..]).path()).is_ok());
        let large = vec![b'x'; 32_768];
        assert!(read(folder(&[("A", &large), ("B", &large)]).path()).is_ok());
        assert!(refused(&[("A", &large), ("B", &large), ("C", b"word")]).contains("65536 bytes"));
    }

    #[test]
    fn a_folder_that_is_gone_is_named() {
        let text = read(Path::new("/does/not/exist")).unwrap_err().to_string();
        assert!(text.contains("/does/not/exist"), "{text}");
    }
}

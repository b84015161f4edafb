//! The file profiles are kept in: servers, tokens, and which of them is active.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use minitower_client::json::NotJson;
use minitower_client::wire::Timestamp;
use minitower_towerfile::shell;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::failure::Explained;
use crate::settings::Environment;

/// The profile's name when none is given and none is active.
pub const DEFAULT_PROFILE: &str = "default";

/// The permissions of everybody but the owner.
const OTHERS: u32 = 0o077;

/// Why profiles cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfilesError {
    /// Nothing says where the file is.
    #[error("cannot tell where profiles are kept: HOME is not set")]
    NoHome,
    /// The file cannot be read.
    #[error("cannot use the profiles in {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file holds something else.
    #[error("cannot use the profiles in {}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: NotJson,
    },
    /// Others may read the file.
    #[error("other users of this machine may read the tokens in {} (mode {mode:o})", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file cannot be written.
    #[error("cannot write the profiles to {}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No profile has this name.
    #[error("there is no profile `{name}`")]
    Unknown {
        /// The name.
        name: String,
    },
    /// There is no profile at all.
    #[error("there is no profile yet")]
    None,
}

impl Explained for ProfilesError {
    fn help(&self) -> Option<Cow<'static, str>> {
        Some(Cow::Borrowed(match self {
            Self::Exposed { path, .. } => {
                return Some(format!("run `chmod 600 {}`", shell::quoted(&path.to_string_lossy())).into());
            }
            Self::NoHome => "set MINITOWER_CLI_CONFIG to a file",
            Self::Unreadable { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
                "make it your own file, or set MINITOWER_CLI_CONFIG to another one"
            }
            Self::Unreadable { .. } => "set MINITOWER_CLI_CONFIG to a file that can be read",
            Self::Malformed { .. } => "fix the file, or remove it and run `minitower login`",
            Self::Unwritable { .. } => "set MINITOWER_CLI_CONFIG to a file that can be written",
            Self::Unknown { .. } => {
                "`minitower config list` shows all profiles, `minitower login --profile NAME` makes a new one"
            }
            Self::None => "`minitower login --server URL --team SLUG` makes one",
        }))
    }
}

/// One server and how to speak to it. Unknown keys are kept, because other versions of the command line share the file.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// The server's URL.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub server: String,
    /// A team token.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub token: String,
    /// When the token expires, if a person has signed in for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The team's slug, for people and the next login.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub team: String,
    /// The app of commands that name none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub app: String,
    /// Its token may travel over http without a warning.
    #[serde(default, skip_serializing_if = "is_false")]
    pub insecure_http: bool,
    /// What other versions keep here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_false(value: &bool) -> bool {
    !value
}

/// All profiles.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Profiles {
    /// Name of the active one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub current_profile: String,
    /// By name.
    #[serde(default)]
    pub profiles: BTreeMap<String, Profile>,
    /// What other versions keep here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Profiles {
    /// The active profile's name and content, if there is one.
    pub fn active(&self) -> Option<(&str, &Profile)> {
        let by_name = |name: &str| self.profiles.get_key_value(name);
        by_name(&self.current_profile)
            .or_else(|| by_name(DEFAULT_PROFILE))
            .map(|(name, profile)| (name.as_str(), profile))
    }

    /// The profile of that name.
    pub fn named(&self, name: &str) -> Result<(&str, &Profile), ProfilesError> {
        let found = self.profiles.get_key_value(name);
        found
            .map(|(name, profile)| (name.as_str(), profile))
            .ok_or_else(|| ProfilesError::Unknown { name: name.to_owned() })
    }

    /// The profile that a changing command is about: the given one, otherwise the active one, otherwise the default.
    pub fn name_to_change(&self, given: Option<&str>) -> String {
        match given {
            Some(name) => name.to_owned(),
            None if self.current_profile.is_empty() => DEFAULT_PROFILE.to_owned(),
            None => self.current_profile.clone(),
        }
    }

    /// Reads the file; a missing one holds no profiles.
    pub fn load(path: &Path) -> Result<Self, ProfilesError> {
        let (text, mode) = match read(path) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(ProfilesError::Unreadable { path: path.to_owned(), source }),
        };
        let malformed = |error: serde_json::Error| ProfilesError::Malformed {
            path: path.to_owned(),
            source: error.into(),
        };
        let profiles: Self = serde_json::from_slice(&text).map_err(malformed)?;
        let has_tokens = profiles.profiles.values().any(|profile| !profile.token.is_empty());
        if has_tokens && mode & OTHERS != 0 {
            return Err(ProfilesError::Exposed { path: path.to_owned(), mode });
        }
        Ok(profiles)
    }

    /// Replaces the file in one step, readable by its owner only.
    pub fn save(&self, path: &Path) -> Result<(), ProfilesError> {
        // A link, for example into a folder of dotfiles, stays a link.
        let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let saved = self.written_beside(path).and_then(|file| Ok(file.persist(path).map(drop)?));
        saved.map_err(|source| ProfilesError::Unwritable { path: path.to_owned(), source })
    }

    /// Does all of [`save`](Self::save) but its last step. What comes from a server once, and is lost if it cannot be
    /// saved, is asked for after this.
    pub fn check_saves(&self, path: &Path) -> Result<(), ProfilesError> {
        let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let written = self.written_beside(path).map(drop);
        written.map_err(|source| ProfilesError::Unwritable { path: path.to_owned(), source })
    }

    /// A new file beside the one at `path`, ready to take its place.
    fn written_beside(&self, path: &Path) -> std::io::Result<tempfile::NamedTempFile> {
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o600))?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        Ok(file)
    }
}

/// A file, and the permissions that it had when it was read.
fn read(path: &Path) -> std::io::Result<(Vec<u8>, u32)> {
    let mut file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o777;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    Ok((text, mode))
}

/// Where the file is: `$MINITOWER_CLI_CONFIG`, below `$XDG_CONFIG_HOME`, or below `~/.config`.
pub fn path(environment: &Environment) -> Result<PathBuf, ProfilesError> {
    if let Some(path) = &environment.cli_config {
        return Ok(path.into());
    }
    let base = match (&environment.xdg_config_home, &environment.home) {
        (Some(base), _) => PathBuf::from(base),
        (None, Some(home)) => Path::new(home).join(".config"),
        (None, None) => return Err(ProfilesError::NoHome),
    };
    Ok(base.join("minitower-cli").join("config.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        Environment { home: Some("/home/me".to_owned()), ..Environment::default() }
    }

    #[test]
    fn the_file_is_found_in_the_documented_order() {
        let mut env = environment();
        assert_eq!(path(&env).unwrap(), Path::new("/home/me/.config/minitower-cli/config.json"));
        env.xdg_config_home = Some("/xdg".to_owned());
        assert_eq!(path(&env).unwrap(), Path::new("/xdg/minitower-cli/config.json"));
        env.cli_config = Some("/mine.json".to_owned());
        assert_eq!(path(&env).unwrap(), Path::new("/mine.json"));
        assert!(path(&Environment::default()).is_err());
    }

    #[test]
    fn the_file_is_private_and_keeps_what_it_does_not_know() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a").join("config.json");
        let text = r#"{"current_profile":"p","profiles":{"p":{"server":"http://h","newer":1}},"newer":[2]}"#;
        let profiles: Profiles = serde_json::from_str(text).unwrap();
        profiles.save(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let written: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(written, serde_json::from_str::<Value>(text).unwrap());
        assert!(Profiles::load(&path).unwrap() == profiles);
    }

    #[test]
    fn a_file_with_tokens_that_others_may_read_is_refused_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my config.json");
        let chmod = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        std::fs::write(&path, r#"{"profiles":{"p":{"server":"http://h","token":"mtk_p"}}}"#).unwrap();
        for mode in [0o644, 0o640, 0o604, 0o620] {
            chmod(mode);
            let told = crate::failure::Failure::from(Profiles::load(&path).err().unwrap()).to_string();
            assert!(told.contains(&format!("(mode {mode:o})")) && !told.contains("mtk_p"), "{told}");
            assert!(told.contains(&format!("`chmod 600 '{}'`", path.display())), "{told}");
        }
        chmod(0o400);
        assert!(Profiles::load(&path).is_ok());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, r#"{"profiles":{"p":{"server":"http://h"}}}"#).unwrap();
        chmod(0o644);
        assert!(Profiles::load(&path).is_ok(), "there is nothing to hide");
    }

    #[test]
    fn whether_the_file_can_be_saved_is_known_before_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = Profiles::default().check_saves(&file.join("config.json")).unwrap_err();
        let told = crate::failure::Failure::from(error).to_string();
        assert!(told.contains("cannot write") && told.contains("MINITOWER_CLI_CONFIG"), "{told}");
        let path = folder.path().join("a/config.json");
        Profiles::default().check_saves(&path).unwrap();
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_is_of_no_use_is_named_with_the_reason_and_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        let told = |path: &Path| {
            crate::failure::Failure::from(Profiles::load(path).map(drop).unwrap_err()).to_string()
        };
        for (content, reason) in [
            ("", "it is empty"),
            ("{", "it ends too early"),
            ("{\"profiles\": 7}", "character 14 is not what should stand there"),
            ("{\"profiles\": {\"a\": {\"server\": 7}}}", "is not what should stand there"),
        ] {
            std::fs::write(&file, content).unwrap();
            let told = told(&file);
            assert!(told.contains("config.json: ") && told.contains(reason), "{content}: {told}");
            assert!(told.contains("; fix the file, or remove it and run `minitower login`"), "{told}");
        }
        for (path, reason) in [(folder.path(), "Is a directory"), (&file.join("a"), "Not a directory")] {
            let told = told(path);
            assert!(told.contains(reason) && told.contains("; set MINITOWER_CLI_CONFIG to a file"), "{told}");
        }
    }

    #[test]
    fn a_linked_file_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real.json"), folder.path().join("link.json"));
        std::fs::write(&real, "{}").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let profiles = Profiles { current_profile: "p".to_owned(), ..Profiles::default() };
        profiles.save(&link).unwrap();
        assert!(link.is_symlink() && Profiles::load(&real).unwrap() == profiles);
    }

    #[test]
    fn a_broken_file_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{").unwrap();
        let failure = Profiles::load(file.path()).err().unwrap();
        assert!(failure.to_string().contains(&file.path().display().to_string()), "{failure}");
    }

    #[test]
    fn the_default_profile_is_active_when_none_is_chosen() {
        let mut profiles = Profiles::default();
        assert!(profiles.active().is_none());
        profiles.profiles.insert(DEFAULT_PROFILE.to_owned(), Profile::default());
        profiles.profiles.insert("other".to_owned(), Profile::default());
        assert_eq!(profiles.active().unwrap().0, DEFAULT_PROFILE);
        profiles.current_profile = "other".to_owned();
        assert_eq!(profiles.active().unwrap().0, "other");
    }
}

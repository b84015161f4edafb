//! The file profiles are kept in: servers, tokens, and which of them is active.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::connection::Environment;
use crate::failure::Failure;

/// The profile's name when none is given and none is active.
pub const DEFAULT_PROFILE: &str = "default";

/// One server and how to speak to it. Unknown keys are kept: other versions of the CLI share the file.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// The server's URL.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub server: String,
    /// A team token.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub token: String,
    /// The team's slug, for people and the next login.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub team: String,
    /// The app meant when a command names none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub app: String,
    /// What other versions keep here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
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

    /// The named profile, or an error that says which there are.
    pub fn named(&self, name: &str) -> Result<(&str, &Profile), Failure> {
        match self.profiles.get_key_value(name) {
            Some((name, profile)) => Ok((name, profile)),
            None => Err(Failure::new(format!("there is no profile `{name}`"))
                .help("`minitower config list` shows them, `minitower login --profile NAME` makes one")),
        }
    }

    /// The name a command that changes a profile means: the given one, else the active one, else the default.
    pub fn name_to_change(&self, given: Option<&str>) -> String {
        match given {
            Some(name) => name.to_owned(),
            None if self.current_profile.is_empty() => DEFAULT_PROFILE.to_owned(),
            None => self.current_profile.clone(),
        }
    }

    /// Reads the file; a missing one holds no profiles.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let unusable = |reason: String| {
            Failure::new(format!("cannot use the profiles in {}: {reason}", path.display()))
                .help("mend or remove the file, then run `minitower login`")
        };
        match std::fs::read(path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| unusable(error.to_string())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(unusable(error.to_string())),
        }
    }

    /// Replaces the file in one step, readable by its owner only.
    pub fn save(&self, path: &Path) -> Result<(), Failure> {
        self.write(path).map_err(|error| {
            Failure::new(format!("cannot write the profiles to {}: {error}", path.display()))
                .help("set MINITOWER_CLI_CONFIG to a file that can be written")
        })
    }

    fn write(&self, path: &Path) -> std::io::Result<()> {
        // A link, say into a folder of dotfiles, stays a link.
        let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
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
        file.persist(path)?;
        Ok(())
    }
}

/// Where the file is: `$MINITOWER_CLI_CONFIG`, below `$XDG_CONFIG_HOME`, or below `~/.config`.
pub fn path(environment: &Environment) -> Result<PathBuf, Failure> {
    if let Some(path) = &environment.cli_config {
        return Ok(path.into());
    }
    let base = match (&environment.xdg_config_home, &environment.home) {
        (Some(base), _) => PathBuf::from(base),
        (None, Some(home)) => Path::new(home).join(".config"),
        (None, None) => {
            return Err(Failure::new("cannot tell where profiles are kept: HOME is not set")
                .help("set MINITOWER_CLI_CONFIG to a file"));
        }
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

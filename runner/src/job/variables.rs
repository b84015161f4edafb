//! The environment of a job's process.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use globset::GlobSet;
use minitower_client::wire::runner::Lease;
use minitower_towerfile::variables::{DECLARABLE, Setter, is_reserved};
use nix::unistd::{Uid, User};
use serde_json::Value;

use crate::environment::variables::Variables;
use crate::workspace::Workspace;

/// Longest `NAME=value`, by Linux's `MAX_ARG_STRLEN` (execve(2)) less the closing NUL.
const MAX_VARIABLE_BYTES: usize = 128 * 1024 - 1;
/// Most bytes of a key that a line of the log repeats.
const MAX_KEY_BYTES: usize = 200;
/// Most bytes of all variables; Linux allows a quarter of the stack's limit, usually 2 MiB, for these and arguments.
const MAX_TOTAL_BYTES: usize = 1024 * 1024;
/// Where programs are looked for when the runner itself does not know.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Taken over from the runner where it has them.
const INHERITED: [&str; 6] = ["PATH", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME"];
/// Who runs a job when neither the runner's environment nor the system has a name for its user.
const NAMELESS_USER: &str = "minitower";
/// A locale that every system has, and that knows all characters.
const LOCALE: &str = "C.UTF-8";

/// Where a run's programs live.
#[derive(Debug)]
pub(crate) struct Place<'p> {
    /// The run's folder.
    pub(crate) workspace: &'p Workspace,
    /// The app's folder that outlives it.
    pub(crate) cache: &'p Path,
    /// The environment the runner serves, for servers that do not say the run's.
    pub(crate) environment: &'p str,
}

/// The base every program of a run gets: of the runner's own environment only what is harmless or explicitly passed
/// on, and the names by which the run's processes are found again.
pub(crate) fn base(
    own: impl Iterator<Item = (OsString, OsString)>,
    pass: &GlobSet,
    place: &Place<'_>,
    lease: &Lease,
) -> Variables {
    let mut variables: Variables = own
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        // Whatever is passed on, the runner's own settings hold its secrets.
        .filter(|(name, _)| !name.starts_with("MINITOWER_"))
        .filter(|(name, _)| INHERITED.contains(&name.as_str()) || pass.is_match(name))
        .collect();
    variables.entry("PATH".to_owned()).or_insert_with(|| DEFAULT_PATH.to_owned());
    add_locale(&mut variables);
    add_user(&mut variables);
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let workspace = place.workspace;
    for (name, value) in [
        ("HOME", text(&workspace.home())),
        ("TMPDIR", text(&workspace.temporary())),
        ("SHELL", "/bin/sh".to_owned()),
        // What a job starts with any Python shows its lines as they come, and loses none when it is killed.
        ("PYTHONUNBUFFERED", "1".to_owned()),
        ("MINITOWER_RUN_ID", lease.run_id.to_string()),
        ("MINITOWER_APP", lease.app_slug.clone()),
        ("MINITOWER_ATTEMPT", lease.attempt_id.to_string()),
        ("MINITOWER_ENVIRONMENT", lease.environment.clone().unwrap_or_else(|| place.environment.to_owned())),
        ("MINITOWER_INPUT_FILE", text(&workspace.input())),
        ("MINITOWER_OUTPUT_FILE", text(&workspace.output())),
        ("MINITOWER_ARTIFACTS_DIR", text(&workspace.artifacts())),
        ("MINITOWER_CACHE_DIR", text(place.cache)),
    ] {
        variables.insert(name.to_owned(), value);
    }
    variables
}

/// Makes sure that programs can print every character: a runner's own locale is often that of a bare container.
fn add_locale(variables: &mut Variables) {
    // language[_territory][.codeset][@modifier], see setlocale(3).
    let is_unicode = |locale: &String| {
        let codeset =
            locale.split_once('.').map(|(_, codeset)| codeset.split('@').next().unwrap_or_default());
        codeset.is_some_and(|codeset| ["utf-8", "utf8"].contains(&codeset.to_ascii_lowercase().as_str()))
    };
    for name in ["LC_ALL", "LANG"] {
        if !variables.get(name).is_some_and(is_unicode) {
            variables.remove(name);
        }
    }
    variables.entry("LANG".to_owned()).or_insert_with(|| LOCALE.to_owned());
}

/// Makes sure that there is a user name: a container's user often has no entry in its list of users.
fn add_user(variables: &mut Variables) {
    let filled = |name: &&str| variables.get(*name).filter(|name| !name.is_empty()).cloned();
    let given = ["USER", "LOGNAME"].iter().find_map(filled);
    let name = match given {
        Some(name) => name,
        None => match User::from_uid(Uid::effective()) {
            Ok(Some(user)) => user.name,
            _ => NAMELESS_USER.to_owned(),
        },
    };
    for variable in ["USER", "LOGNAME"] {
        let value = variables.entry(variable.to_owned()).or_default();
        if value.is_empty() {
            value.clone_from(&name);
        }
    }
}

/// Why a variable of `[app.env]` cannot be set.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DeclaredError {
    /// No program could have it.
    #[error(
        "app.env: {name:?} cannot be a variable: its name must not contain `=`, and neither its name nor its value NUL"
    )]
    Impossible {
        /// Its name.
        name: String,
    },
    /// It is not the project's to set.
    #[error(
        "app.env: {name:?} is a variable that the runner sets itself, or that makes programs run other code; use another name"
    )]
    Reserved {
        /// Its name.
        name: String,
    },
}

/// Adds what the Towerfile declares in `[app.env]`.
pub(crate) fn add_declared(
    variables: &mut Variables,
    declared: &BTreeMap<String, String>,
    pass: &GlobSet,
) -> Result<(), DeclaredError> {
    for (name, value) in declared {
        let is_set = variables.contains_key(name) && !pass.is_match(name);
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(DeclaredError::Impossible { name: name.clone() });
        }
        if !DECLARABLE.contains(&name.as_str()) && (is_reserved(name, Setter::Author) || is_set) {
            return Err(DeclaredError::Reserved { name: name.clone() });
        }
        variables.insert(name.clone(), value.clone());
    }
    Ok(())
}

/// Why a run does not get its secrets.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SecretError {
    /// The server is older than secrets.
    #[error(
        "the Towerfile names the secret {name}, but the control plane gave none: it is too old; update minitowerd, or remove the name"
    )]
    NotGiven {
        /// Its name.
        name: String,
    },
    /// It cannot be a variable.
    #[error(
        "the secret {name:?} cannot be a variable: the runner sets it itself, or it makes programs run other code; give it another name"
    )]
    Impossible {
        /// Its name.
        name: String,
    },
}

/// Adds the secrets of the run, of which the Towerfile names `named`. A secret wins over what the runner passes on; an input of the same name
/// is skipped.
pub(crate) fn add_secrets(
    variables: &mut Variables,
    lease: &Lease,
    named: &[String],
) -> Result<(), SecretError> {
    if let Some(name) = named.iter().find(|name| !lease.secrets.contains_key(*name)) {
        return Err(SecretError::NotGiven { name: name.clone() });
    }
    for (name, value) in &lease.secrets {
        let odd = name.is_empty() || name.contains(['=', '\0']) || value.contains('\0');
        if odd || is_reserved(name, Setter::Author) {
            return Err(SecretError::Impossible { name: name.clone() });
        }
        variables.insert(name.clone(), value.clone());
    }
    Ok(())
}

/// Adds what a job needs to start and read runs of its team.
pub(crate) fn add_api(variables: &mut Variables, server_url: &str, token: &str) {
    variables.insert("MINITOWER_SERVER_URL".to_owned(), server_url.to_owned());
    variables.insert("MINITOWER_API_TOKEN".to_owned(), token.to_owned());
}

/// Adds the run's input: all of it as `MINITOWER_INPUT`, and a variable per key. Returns a line for the log for
/// everything that could not be a variable; it is still in the file named by `MINITOWER_INPUT_FILE`. A key wins over a
/// variable that the Towerfile `declared`.
pub(crate) fn add_input(
    variables: &mut Variables,
    lease: &Lease,
    json: &str,
    declared: &BTreeMap<String, String>,
) -> Vec<String> {
    let mut skipped = Vec::new();
    let mut total: usize = variables.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    let mut fits = |name: &str, value: &str| {
        let bytes = name.len() + value.len() + 1;
        let fits = bytes <= MAX_VARIABLE_BYTES && total + bytes < MAX_TOTAL_BYTES;
        if fits {
            total += bytes + 1;
        }
        fits
    };
    if fits("MINITOWER_INPUT", json) {
        variables.insert("MINITOWER_INPUT".to_owned(), json.to_owned());
    } else {
        skipped.push(format!(
            "the input has {} bytes, too many for the variable MINITOWER_INPUT; read the file named by MINITOWER_INPUT_FILE",
            json.len()
        ));
    }
    for (key, value) in lease.input.iter().flatten() {
        let value = text(value);
        let reason: Cow<'_, str> = if key.is_empty() {
            "it has no name".into()
        } else if key.contains('=') || key.contains('\0') {
            "its name holds '=' or NUL".into()
        } else if value.contains('\0') {
            "its value holds NUL".into()
        } else if lease.secrets.contains_key(key) {
            "a secret of the run has this name".into()
        } else if variables.contains_key(key) && !declared.contains_key(key) {
            "the runner sets this variable itself".into()
        } else if is_reserved(key, Setter::Caller) {
            "it belongs to the runner, or makes programs run other code".into()
        } else if !fits(key, &value) {
            format!("its value has {} bytes, too many for a variable", value.len()).into()
        } else {
            variables.insert(key.clone(), value);
            continue;
        };
        // A key may be as long as an input.
        let key = &key[..key.floor_char_boundary(MAX_KEY_BYTES)];
        skipped.push(format!(
            "input key {key:?} is not passed as a variable: {reason}; it is in the file named by MINITOWER_INPUT_FILE"
        ));
    }
    skipped
}

/// A value of the input as a variable holds it.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;

//! The environment of a job's process.

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
        skipped.push(
            "the input is too large for the variable MINITOWER_INPUT; read the file named by MINITOWER_INPUT_FILE"
                .to_owned(),
        );
    }
    for (key, value) in lease.input.iter().flatten() {
        let value = text(value);
        let reason = if key.is_empty() {
            "it has no name"
        } else if key.contains('=') || key.contains('\0') {
            "its name holds '=' or NUL"
        } else if value.contains('\0') {
            "its value holds NUL"
        } else if variables.contains_key(key) && !declared.contains_key(key) {
            "the runner sets this variable itself"
        } else if is_reserved(key, Setter::Caller) {
            "it belongs to the runner, or makes programs run other code"
        } else if !fits(key, &value) {
            "its value is too large for a variable"
        } else {
            variables.insert(key.clone(), value);
            continue;
        };
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
mod tests {
    use serde_json::json;

    use std::sync::Arc;

    use super::*;
    use crate::data_dir::DataDir;

    fn lease(input: &Value) -> Lease {
        serde_json::from_value(json!({
            "run_id": 7, "run_no": 1, "app_id": 1, "app_slug": "hello", "version_no": 1, "entrypoint": "main.py",
            "attempt_id": 9, "attempt_no": 1, "lease_token": "secret", "lease_expires_at": "2030-01-01T00:00:00Z",
            "input": input,
        }))
        .unwrap()
    }

    fn own(pairs: &[(&str, &str)]) -> impl Iterator<Item = (OsString, OsString)> {
        pairs
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)))
            .collect::<Vec<_>>()
            .into_iter()
    }

    fn variables(input: &Value, pairs: &[(&str, &str)], pass: &str) -> (Variables, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace::create(&Arc::new(DataDir::open(folder.path(), "r").unwrap()), 9).unwrap();
        let lease = lease(input);
        let pass = globset::GlobSetBuilder::new().add(globset::Glob::new(pass).unwrap()).build().unwrap();
        let place = Place { workspace: &workspace, cache: Path::new("/cache"), environment: "served" };
        let mut variables = base(own(pairs), &pass, &place, &lease);
        let json = serde_json::to_string(&lease.input).unwrap();
        let skipped = add_input(&mut variables, &lease, &json, &BTreeMap::new());
        (variables, skipped)
    }

    #[test]
    fn input_becomes_variables_by_type() {
        let input = json!({"text": "a b", "number": 3, "yes": true, "none": null, "list": [1, {"a": "b"}]});
        let (variables, skipped) = variables(&input, &[], "X");
        for (name, value) in
            [("text", "a b"), ("number", "3"), ("yes", "true"), ("none", ""), ("list", r#"[1,{"a":"b"}]"#)]
        {
            assert_eq!(variables[name], value);
        }
        assert_eq!(serde_json::from_str::<Value>(&variables["MINITOWER_INPUT"]).unwrap(), input);
        assert_eq!(variables["MINITOWER_RUN_ID"], "7");
        assert_eq!(variables["MINITOWER_ATTEMPT"], "9");
        assert_eq!(variables["MINITOWER_APP"], "hello");
        assert!(skipped.is_empty(), "{skipped:?}");
    }

    #[test]
    fn a_job_knows_its_environment_and_its_folders() {
        let (variables, _) = variables(&json!({}), &[], "X");
        assert_eq!(variables["MINITOWER_ENVIRONMENT"], "served");
        assert_eq!(variables["MINITOWER_CACHE_DIR"], "/cache");
        assert!(variables["MINITOWER_ARTIFACTS_DIR"].ends_with("/artifacts"));
        assert_eq!(variables["PYTHONUNBUFFERED"], "1");
    }

    #[test]
    fn a_locale_without_unicode_is_not_passed_on() {
        for (given, lang, lc_all) in [
            (vec![], "C.UTF-8", None),
            (vec![("LANG", "C"), ("LC_ALL", "C")], "C.UTF-8", None),
            (vec![("LANG", "de_DE.ISO-8859-1"), ("LC_ALL", "POSIX")], "C.UTF-8", None),
            (vec![("LANG", "de_DE.UTF-8"), ("LC_ALL", "C")], "de_DE.UTF-8", None),
            (vec![("LANG", "C"), ("LC_ALL", "en_US.utf8")], "C.UTF-8", Some("en_US.utf8")),
            (vec![("LANG", "sr_RS.UTF-8@latin")], "sr_RS.UTF-8@latin", None),
        ] {
            let (variables, _) = variables(&json!({}), &given, "X");
            assert_eq!(variables["LANG"], lang, "{given:?}");
            assert_eq!(variables.get("LC_ALL").map(String::as_str), lc_all, "{given:?}");
        }
    }

    #[test]
    fn there_is_always_a_user_name() {
        let user = |given: &[(&str, &str)]| {
            let (variables, _) = variables(&json!({}), given, "X");
            (variables["USER"].clone(), variables["LOGNAME"].clone())
        };
        let both = |name: &str| (name.to_owned(), name.to_owned());
        assert_eq!(user(&[("USER", "ann")]), both("ann"));
        assert_eq!(user(&[("USER", ""), ("LOGNAME", "bob")]), both("bob"));
        let (name, _) = user(&[]);
        assert!(!name.is_empty());
    }

    #[test]
    fn a_towerfile_declares_variables_but_not_those_of_the_runner() {
        let pass =
            globset::GlobSetBuilder::new().add(globset::Glob::new("HTTP_PROXY").unwrap()).build().unwrap();
        let (base, _) = variables(&json!({}), &[("HTTP_PROXY", "http://p"), ("TZ", "UTC")], "HTTP_PROXY");
        let declare = |name: &str, value: &str| {
            let mut all = base.clone();
            add_declared(&mut all, &BTreeMap::from([(name.to_owned(), value.to_owned())]), &pass)
                .map(|()| all)
        };
        for name in ["MODE", "TZ", "LANG", "HTTP_PROXY", "NODE_OPTIONS", "ENV"] {
            assert_eq!(declare(name, "x").unwrap()[name], "x");
        }
        for name in [
            "PATH",
            "HOME",
            "TMPDIR",
            "SHELL",
            "LD_PRELOAD",
            "PYTHONHOME",
            "BASH_FUNC_ls%%",
            "MINITOWER_RUN_ID",
            "",
            "a=b",
            "n\0",
        ] {
            let refused = declare(name, "x").unwrap_err().to_string();
            assert!(refused.starts_with("app.env: "), "{refused}");
        }
        assert!(declare("MODE", "a\0b").is_err());
    }

    #[test]
    fn an_input_wins_over_what_the_towerfile_declares() {
        let declared = BTreeMap::from([("MODE".to_owned(), "declared".to_owned())]);
        let mut all = declared.clone();
        let skipped = add_input(&mut all, &lease(&json!({"MODE": "input"})), "{}", &declared);
        assert_eq!((all["MODE"].as_str(), skipped.len()), ("input", 0));
    }

    #[test]
    fn the_runners_secrets_are_never_passed_on() {
        let pairs = [
            ("PATH", "/bin"),
            ("MINITOWER_RUNNER_TOKEN", "s"),
            ("MINITOWER_REGISTRATION_TOKEN", "s"),
            ("AWS_SECRET", "s"),
        ];
        let (narrow, _) = variables(&json!({}), &pairs, "PIP_*");
        assert!(!narrow.values().any(|value| value == "s"), "{narrow:?}");
        let (all, _) = variables(&json!({}), &pairs, "*");
        assert_eq!(all["AWS_SECRET"], "s", "explicitly passed on");
        assert!(!all.keys().any(|name| name.contains("TOKEN")), "{all:?}");
    }

    #[test]
    fn keys_that_cannot_or_must_not_be_variables_are_skipped_and_said() {
        let input = json!({
            "a=b": 1, "n\0l": 2, "": 3, "PATH": "/evil", "HOME": "/evil", "LD_PRELOAD": "/evil.so",
            "PYTHONPATH": "/evil", "MINITOWER_ATTEMPT": "1", "BASH_ENV": "evil", "PS4": "evil", "BASH_FUNC_ls%%": "evil", "NODE_OPTIONS": "evil", "HTTP_PROXY": "evil", "nul": "a\0b",
            "big": "x".repeat(200_000), "fine": "1", "a-b": "1", "env": "1", "path": "lower case is another name",
        });
        let (variables, skipped) = variables(&input, &[("HTTP_PROXY", "good")], "HTTP_PROXY");
        assert!(!variables.values().any(|value| value.contains("evil")), "{variables:?}");
        assert_eq!(variables["HTTP_PROXY"], "good");
        assert_eq!(variables["MINITOWER_ATTEMPT"], "9");
        assert_eq!(variables["fine"], "1");
        assert_eq!(variables["path"], "lower case is another name");
        assert_eq!((variables["a-b"].as_str(), variables["env"].as_str()), ("1", "1"));
        assert_eq!(skipped.len(), 16, "{skipped:#?}");
        assert!(skipped[0].contains("MINITOWER_INPUT_FILE"));
        assert!(skipped.iter().any(|line| line.contains(r#""PATH""#)));
        assert!(!skipped.iter().any(|line| line.contains('\0')));
    }

    #[test]
    fn many_large_values_stay_below_what_a_process_may_get() {
        let input: serde_json::Map<String, Value> =
            (0..50).map(|n| (format!("k{n}"), Value::from("x".repeat(100_000)))).collect();
        let (variables, skipped) = variables(&Value::Object(input), &[], "X");
        let total: usize = variables.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
        assert!(total <= MAX_TOTAL_BYTES);
        assert!(!skipped.is_empty());
    }
}

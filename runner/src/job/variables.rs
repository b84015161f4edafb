//! The environment of a job's process.

use std::collections::BTreeMap;
use std::ffi::OsString;

use globset::GlobSet;
use minitower_client::wire::runner::Lease;
use serde_json::Value;

use crate::workspace::Workspace;

/// Longest `NAME=value`, by Linux's `MAX_ARG_STRLEN` (execve(2)) less the closing NUL.
const MAX_VARIABLE_BYTES: usize = 128 * 1024 - 1;
/// Most bytes of all variables; Linux allows a quarter of the stack's limit, usually 2 MiB, for these and arguments.
const MAX_TOTAL_BYTES: usize = 1024 * 1024;
/// Where programs are looked for when the runner itself does not know.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Taken over from the runner where it has them.
const INHERITED: [&str; 6] = ["PATH", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME"];
/// Beginnings of names that change how programs are loaded, or belong to the runner.
const RESERVED_PREFIXES: [&str; 3] = ["LD_", "PYTHON", "MINITOWER_"];
/// Names that do the same.
const RESERVED: [&str; 4] = ["BASH_ENV", "GLIBC_TUNABLES", "SHELLOPTS", "VIRTUAL_ENV"];

/// Variables by name.
pub(crate) type Variables = BTreeMap<String, String>;

/// The base every program of a run gets: of the runner's own environment only what is harmless or explicitly passed
/// on, and the names by which the run's processes are found again.
pub(crate) fn base(
    own: impl Iterator<Item = (OsString, OsString)>,
    pass: &GlobSet,
    workspace: &Workspace,
    lease: &Lease,
) -> Variables {
    let mut variables: Variables = own
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        // Whatever is passed on, the runner's own settings hold its secrets.
        .filter(|(name, _)| !name.starts_with("MINITOWER_"))
        .filter(|(name, _)| INHERITED.contains(&name.as_str()) || pass.is_match(name))
        .collect();
    variables.entry("PATH".to_owned()).or_insert_with(|| DEFAULT_PATH.to_owned());
    variables.entry("LANG".to_owned()).or_insert_with(|| "C.UTF-8".to_owned());
    let text = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    for (name, value) in [
        ("HOME", text(workspace.home())),
        ("TMPDIR", text(workspace.temporary())),
        ("SHELL", "/bin/sh".to_owned()),
        ("MINITOWER_RUN_ID", lease.run_id.to_string()),
        ("MINITOWER_APP", lease.app_slug.clone()),
        ("MINITOWER_ATTEMPT", lease.attempt_id.to_string()),
        ("MINITOWER_INPUT_FILE", text(workspace.input())),
        ("MINITOWER_OUTPUT_FILE", text(workspace.output())),
    ] {
        variables.insert(name.to_owned(), value);
    }
    variables
}

/// Adds the run's input: all of it as `MINITOWER_INPUT`, and a variable per key. Returns a line for the log for
/// everything that could not be a variable; it is still in the file named by `MINITOWER_INPUT_FILE`.
pub(crate) fn add_input(variables: &mut Variables, lease: &Lease, json: &str) -> Vec<String> {
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
        let value = match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let reason = if key.is_empty() {
            "it has no name"
        } else if key.contains('=') || key.contains('\0') {
            "its name holds '=' or NUL"
        } else if value.contains('\0') {
            "its value holds NUL"
        } else if is_reserved(key) || variables.contains_key(key) {
            "the runner sets this variable itself"
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

fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name) || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
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
        let mut variables = base(own(pairs), &pass, &workspace, &lease);
        let json = serde_json::to_string(&lease.input).unwrap();
        let skipped = add_input(&mut variables, &lease, &json);
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
            "PYTHONPATH": "/evil", "MINITOWER_ATTEMPT": "1", "BASH_ENV": "x", "HTTP_PROXY": "evil", "nul": "a\0b",
            "big": "x".repeat(200_000), "fine": "1", "path": "lower case is another name",
        });
        let (variables, skipped) = variables(&input, &[("HTTP_PROXY", "good")], "HTTP_PROXY");
        assert!(!variables.values().any(|value| value.contains("evil")), "{variables:?}");
        assert_eq!(variables["HTTP_PROXY"], "good");
        assert_eq!(variables["MINITOWER_ATTEMPT"], "9");
        assert_eq!(variables["fine"], "1");
        assert_eq!(variables["path"], "lower case is another name");
        assert_eq!(skipped.len(), 13, "{skipped:#?}");
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

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
    let pass = globset::GlobSetBuilder::new().add(globset::Glob::new("HTTP_PROXY").unwrap()).build().unwrap();
    let (base, _) = variables(&json!({}), &[("HTTP_PROXY", "http://p"), ("TZ", "UTC")], "HTTP_PROXY");
    let declare = |name: &str, value: &str| {
        let mut all = base.clone();
        add_declared(&mut all, &BTreeMap::from([(name.to_owned(), value.to_owned())]), &pass).map(|()| all)
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
fn a_secret_wins_over_an_input_and_over_what_is_passed_on() {
    let mut lease = lease(&json!({"API_KEY": "input", "other": "x"}));
    lease.secrets = BTreeMap::from(
        [("API_KEY", "s3cret"), ("PIP_INDEX_URL", "https://u:p@h")]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let mut all = Variables::from([("PIP_INDEX_URL".to_owned(), "passed on".to_owned())]);
    let named = ["API_KEY".to_owned(), "PIP_INDEX_URL".to_owned()];
    add_secrets(&mut all, &lease, &named).unwrap();
    let skipped = add_input(&mut all, &lease, "{}", &BTreeMap::new());
    assert_eq!((all["API_KEY"].as_str(), all["other"].as_str()), ("s3cret", "x"));
    assert_eq!(all["PIP_INDEX_URL"], "https://u:p@h");
    assert_eq!(skipped.len(), 1);
    assert!(
        skipped[0].contains("\"API_KEY\" is not passed as a variable: a secret of the run has this name")
    );
}

#[test]
fn a_secret_that_was_not_given_or_cannot_be_a_variable_is_named_without_its_value() {
    let mut lease = lease(&json!({}));
    let refused = |lease: &Lease, named: &[String]| {
        add_secrets(&mut Variables::new(), lease, named).unwrap_err().to_string()
    };
    let says = refused(&lease, &["API_KEY".to_owned()]);
    assert!(says.contains("names the secret API_KEY") && says.contains("update minitowerd"), "{says}");
    for name in ["PATH", "LD_PRELOAD", "MINITOWER_RUN_ID", "a=b", ""] {
        lease.secrets = BTreeMap::from([(name.to_owned(), "hunter2".to_owned())]);
        let says = refused(&lease, &[]);
        assert!(says.starts_with(&format!("the secret {name:?} cannot be")) && !says.contains("hunter2"));
    }
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
    assert!(skipped.iter().any(|line| line.contains(r#""big""#) && line.contains("200000 bytes")));
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

#[test]
fn a_line_about_a_key_is_short_however_long_the_key_is() {
    let (variables, skipped) = variables(&json!({"ä".repeat(200_000): "1"}), &[], "X");
    assert!(!variables.contains_key("MINITOWER_INPUT"));
    assert!(skipped[0].contains("400008 bytes"), "{}", &skipped[0]);
    assert!(skipped.len() == 2 && skipped.iter().all(|line| line.len() < 500), "{}", skipped[1].len());
}

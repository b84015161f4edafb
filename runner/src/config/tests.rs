//! What is given becomes a configuration, or an error that names it.

use super::*;

fn given() -> Arguments {
    Arguments {
        server_url: Some("http://127.0.0.1:1".to_owned()),
        runner_name: Some("r-1".to_owned()),
        data_dir: Some("/data".to_owned()),
        ..Arguments::default()
    }
}

fn problem(given: Arguments) -> String {
    let text = Config::from_arguments(given).unwrap_err().to_string();
    assert!(!text.contains('\n'), "{text}");
    text
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let config = Config::from_arguments(given()).unwrap();
    assert_eq!(config.environment, "default");
    assert_eq!(config.python_bin, "python3");
    assert_eq!(config.poll_interval, Duration::from_secs(3));
    assert_eq!(config.kill_grace, Duration::from_secs(10));
    assert_eq!(config.shutdown_grace, Duration::from_secs(30));
    assert_eq!((config.uv, config.python_downloads), (UvSource::Auto, false));
    assert_eq!(config.env_max_age, Duration::from_secs(7 * 24 * 60 * 60));
    for (name, passed) in [
        ("PIP_INDEX_URL", true),
        ("UV_CACHE", true),
        ("HTTP_PROXY", true),
        ("https_proxy", true),
        ("ALL_PROXY", true),
        ("AWS_KEY", false),
    ] {
        assert_eq!(config.env_pass.is_match(name), passed, "{name}");
    }
}

#[test]
fn a_missing_value_is_named() {
    assert!(problem(Arguments { server_url: None, ..given() }).contains("MINITOWER_SERVER_URL"));
    let empty = Some(String::new());
    assert!(problem(Arguments { runner_name: empty, ..given() }).contains("MINITOWER_RUNNER_NAME"));
}

#[test]
fn a_bad_value_is_named() {
    let bad = || Some("soon".to_owned());
    assert!(
        problem(Arguments { poll_interval: bad(), ..given() }).contains("MINITOWER_POLL_INTERVAL: `soon`")
    );
    assert!(problem(Arguments { shutdown_grace: bad(), ..given() }).contains("MINITOWER_SHUTDOWN_GRACE"));
    for name in ["../x", "a/b", "..", ".hidden"] {
        let text = problem(Arguments { runner_name: Some(name.to_owned()), ..given() });
        assert!(text.contains("MINITOWER_RUNNER_NAME"), "{text}");
    }
    assert!(problem(Arguments { env_max_age: bad(), ..given() }).contains("MINITOWER_ENV_MAX_AGE"));
    assert!(problem(Arguments { python_downloads: bad(), ..given() }).contains("MINITOWER_PYTHON_DOWNLOADS"));
    assert!(problem(Arguments { uv: bad(), ..given() }).contains("MINITOWER_UV: `soon`"));
    let glob = Some("[".to_owned());
    assert!(problem(Arguments { run_env_pass: glob, ..given() }).contains("MINITOWER_RUN_ENV_PASS"));
    for (folder, words) in [("/does/not/exist", "/does/not/exist: "), ("secrets", "an absolute path")] {
        let text = problem(Arguments { run_secrets_dir: Some(folder.to_owned()), ..given() });
        assert!(text.starts_with("MINITOWER_RUN_SECRETS_DIR: ") && text.contains(words), "{text}");
    }
    let file = Some("/does/not/exist".to_owned());
    let text = problem(Arguments { registration_token_file: file, ..given() });
    assert!(text.contains("MINITOWER_RUNNER_REGISTRATION_TOKEN_FILE: /does/not/exist"), "{text}");
}

#[test]
fn the_registration_token_comes_by_its_newer_name_first_and_from_files_too() {
    let both = Arguments {
        registration_token: Some("new".to_owned()),
        old_registration_token: Some("old".to_owned()),
        ..given()
    };
    assert_eq!(Config::from_arguments(both).unwrap().registration_token.as_deref(), Some("new"));
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "from-file\n").unwrap();
    let path = file.path().display().to_string();
    let from_file = Arguments { old_registration_token_file: Some(path), ..given() };
    let config = Config::from_arguments(from_file).unwrap();
    assert_eq!(config.registration_token.as_deref(), Some("from-file"));
    assert_eq!(config.hidden, [file.path()], "jobs may not read the secret's file");
    assert!(!format!("{config:?}").contains("from-file"));
}

#[test]
fn jobs_may_not_read_the_folder_of_the_runners_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let given = Arguments { run_secrets_dir: Some(folder.path().display().to_string()), ..given() };
    let config = Config::from_arguments(given).unwrap();
    assert_eq!(config.hidden, [folder.path()]);
    assert_eq!(config.run_secrets_dir.as_deref(), Some(folder.path()));
}

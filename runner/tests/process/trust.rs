//! Nobody decides what another one gets: environments, caches and secrets of installers.

use std::path::Path;

use minitower_client::wire::runner::{ResultReason, ResultStatus};

use crate::support::{ControlPlane, Index, Job, Runner, entries, project_files};

const SHOWS_VALUE: &str = "import tinypkg\nprint('value', tinypkg.VALUE)\n";

fn start(server: &ControlPlane, data: &Path, index: &Index, more: &[(&str, &str)]) -> Runner {
    let url = index.url("");
    let mut variables = vec![("PIP_INDEX_URL", url.as_str()), ("PIP_FIND_LINKS", "")];
    variables.extend(more);
    Runner::with(server, data, &variables)
}

fn project(requirements: &str) -> Job {
    Job::project("main.py", &[("main.py", SHOWS_VALUE), ("requirements.txt", requirements)])
}

#[tokio::test]
async fn teams_share_nothing_and_versions_of_a_team_what_is_made_of_wheels() {
    let (server, index) = (ControlPlane::start(), Index::start().await);
    let data = tempfile::tempdir().unwrap();
    index.wheel("tinypkg", "1.0", "VALUE = 'wheel'\n");
    for (team, version) in [(1, 1), (1, 2), (2, 1)] {
        server.submit(project("tinypkg==1.0\n").of(team, version));
    }
    let runner = start(&server, data.path(), &index, &[]);
    server.results(3).await;
    let log = server.seen().log();
    assert_eq!(log.matches("value wheel\n").count(), 3, "{log}");
    assert_eq!(log.matches("environment: new").count(), 2, "{log}");
    assert_eq!(log.matches("environment: cached").count(), 1, "{log}");
    assert_eq!(entries(&runner.data().join("cache/installers")).len(), 2, "a cache for each team");
}

#[tokio::test]
async fn names_in_a_project_that_installers_might_load_are_not_loaded() {
    let (server, index) = (ControlPlane::start(), Index::start().await);
    let data = tempfile::tempdir().unwrap();
    index.wheel("tinypkg", "1.0", "VALUE = 'wheel'\n");
    let hostile = "import sys\nprint('HOSTILE', *getattr(sys, 'orig_argv', []))\n";
    let mut files = vec![("main.py", SHOWS_VALUE), ("requirements.txt", "tinypkg==1.0\n")];
    for name in [
        "pip/__init__.py",
        "pip/__main__.py",
        "setuptools/__init__.py",
        "site/__init__.py",
        "sitecustomize.py",
        "usercustomize.py",
        "compileall.py",
        "zipfile.py",
        "ensurepip/__main__.py",
    ] {
        files.push((name, hostile));
    }
    files.extend([
        ("pip.conf", "[global]\nno-index = true\n"),
        (".pip/pip.conf", "[global]\nno-index = true\n"),
        (".config/pip/pip.conf", "[global]\nno-index = true\n"),
        ("pyvenv.cfg", "home = /nowhere\n"),
        (".pypirc", "[distutils]\n"),
    ]);
    // The job itself finds its own files first, as with Python everywhere.
    server.submit(Job::project("main.py", &files).of(1, 1));
    server.submit(project("tinypkg==1.0\n").of(1, 2));
    let _runner = start(&server, data.path(), &index, &[]);
    server.results(2).await;
    let log = server.seen().log();
    let loaded: Vec<_> =
        log.lines().filter(|line| line.starts_with("HOSTILE") && !line.contains("main.py")).collect();
    assert!(loaded.is_empty(), "{loaded:?}");
    assert!(log.contains("environment: cached") && log.ends_with("value wheel\n"), "{log}");
}

#[tokio::test]
async fn what_is_built_belongs_to_its_version_and_its_build_reaches_nothing() {
    let (server, index) = (ControlPlane::start(), Index::start().await);
    let data = tempfile::tempdir().unwrap();
    let plants = r#"
import pathlib
places = [*pathlib.Path(os.getcwd()).parents][:9]
places += [place / name for place in places for name in ("cache", "envs", "source", "spool", "venv")]
for place in places:
    for target in (place, *(place.glob("*") if place.name in ("cache", "envs") else ())):
        try: (target / "planted").write_text("x")
        except OSError: pass
"#;
    index.source("tinypkg", "1.0", plants);
    for version in [1, 1, 2] {
        server.submit(project("tinypkg==1.0\n").of(1, version));
    }
    let runner = start(&server, data.path(), &index, &[]);
    server.results(3).await;
    let log = server.seen().log();
    assert_eq!(log.matches("value built 1.0\n").count(), 3, "{log}");
    assert_eq!(log.matches("environment: new").count(), 2, "once for each version: {log}");
    if !runner.log().contains("no Landlock") {
        for folder in ["", "cache", "envs", "spool"] {
            let folder = runner.data().join(folder);
            assert!(!folder.join("planted").exists(), "{}", folder.display());
        }
        for team in entries(&runner.data().join("cache/installers")) {
            assert!(!runner.data().join("cache/installers").join(team).join("planted").exists());
        }
    }
}

#[tokio::test]
async fn the_outcome_is_that_of_an_installer_that_may_build() {
    let (server, index) = (ControlPlane::start(), Index::start().await);
    let data = tempfile::tempdir().unwrap();
    index.wheel("tinypkg", "1.0", "VALUE = 'wheel 1.0'\n");
    index.source("tinypkg", "2.0", "");
    server.submit(project("tinypkg>=1\n").of(1, 1));
    server.submit(project("tinypkg<2\n").of(1, 2));
    let _runner = start(&server, data.path(), &index, &[]);
    server.results(2).await;
    let log = server.seen().log();
    assert!(log.contains("value built 2.0\n") && log.contains("comes as source"), "{log}");
    assert!(log.contains("value wheel 1.0\n"), "{log}");
}

#[tokio::test]
async fn a_project_with_a_build_is_installed_for_its_version() {
    let (server, index) = (ControlPlane::start(), Index::start().await);
    let data = tempfile::tempdir().unwrap();
    for version in ["1.0", "2.0"] {
        let owned = project_files("tinypkg", version, "");
        let mut files: Vec<_> = owned.iter().map(|(name, text)| (*name, text.as_str())).collect();
        files.push(("jobs/main.py", SHOWS_VALUE));
        server.submit(Job::project("jobs/main.py", &files).of(1, if version == "1.0" { 1 } else { 2 }));
    }
    let _runner = start(&server, data.path(), &index, &[]);
    server.results(2).await;
    let log = server.seen().log();
    assert!(log.contains("value built 1.0\n") && log.contains("value built 2.0\n"), "{log}");
}

#[tokio::test]
async fn passwords_reach_the_installer_alone() {
    let (server, index) = (ControlPlane::start(), Index::start().await);
    let data = tempfile::tempdir().unwrap();
    index.wheel("tinypkg", "1.0", "VALUE = 'wheel'\n");
    let job = "import os\nprint('sees', [name for name in ('PIP_INDEX_URL', 'UV_INDEX_MY_PASSWORD', 'PIP_USER', 'PIP_VERBOSE') if name in os.environ])\n";
    let direct = format!("tinypkg @ {}\n", index.file("me:dir%40ct-pass@", "tinypkg-1.0-py3-none-any.whl"));
    server.submit(Job::project("main.py", &[("main.py", job), ("requirements.txt", "tinypkg==1.0\n")]));
    server.submit(Job::project("main.py", &[("main.py", job), ("requirements.txt", &direct)]));
    server.submit(Job::project("main.py", &[("main.py", job), ("requirements.txt", "no-such-package==1\n")]));
    let sends = format!("--index-url {}/${{UV_INDEX_MY_PASSWORD}}/simple\ntinypkg==1.0\n", index.url(""));
    server.submit(Job::project("main.py", &[("main.py", job), ("requirements.txt", &sends)]));
    let url = index.url("user:ind%65x-pass@");
    let more = [
        ("PIP_INDEX_URL", url.as_str()),
        ("UV_INDEX_MY_PASSWORD", "uv-pass"),
        ("PIP_USER", "1"),
        ("PIP_VERBOSE", "1"),
    ];
    let _runner = start(&server, data.path(), &index, &more);
    let results = server.results(4).await;
    let log = server.seen().log();
    assert_eq!(log.matches("sees ['PIP_VERBOSE']\n").count(), 2, "{log}");
    let messages: String = results.iter().filter_map(|result| result.error_message.clone()).collect();
    assert!(messages.contains("requirements.txt: line 1 refers to ${UV_INDEX_MY_PASSWORD}"), "{messages}");
    for secret in ["index-pass", "ind%65x-pass", "dir%40ct-pass", "dir@ct-pass", "uv-pass"] {
        assert!(!log.contains(secret) && !messages.contains(secret), "{secret}: {log}\n{messages}");
    }
}

#[tokio::test]
async fn what_only_uv_understands_is_refused_without_it() {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    let pyproject = (
        "pyproject.toml",
        "[project]\nname='x'\nversion='0'\ndependencies=['tinypkg']\n[tool.uv.sources]\ntinypkg={path='lib'}\n",
    );
    let lock = ("uv.lock", "version = 1\n");
    let main = ("main.py", "print('must not run')");
    let cases = [
        (vec![main, pyproject], "[tool.uv] sources"),
        (vec![main, pyproject, lock], "uv.lock"),
        (vec![main, ("pylock.toml", "lock-version='1.0'\n")], "pylock.toml"),
        (vec![main, ("requirements.txt", "a\n"), ("uv.toml", "")], "uv.toml"),
    ];
    for (files, _) in &cases {
        server.submit(Job::project("main.py", files));
    }
    let _runner = Runner::start(&server, data.path());
    let results = server.results(cases.len()).await;
    for (result, (_, what)) in results.iter().zip(&cases) {
        assert_eq!((result.status, result.reason), (ResultStatus::Failed, Some(ResultReason::Setup)));
        let message = result.error_message.as_deref().unwrap();
        assert!(message.contains(what) && message.contains("put uv on its PATH"), "{message}");
    }
}

/// A program that answers to `--version` with `name`, and tells how it was called instead of installing.
fn recorder(folder: &Path, name: &str, more: &str) -> String {
    let (plain, program) = (folder.join("uv.txt"), folder.join("uv"));
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && {{ echo '{name} 99.0.0'; exit 0; }}\n{more}\necho \"called: $* in $PWD with $UV_CACHE_DIR\"\n"
    );
    std::fs::write(&plain, script).unwrap();
    // Another process writes it: what this one holds open for writing cannot be executed.
    let install = std::process::Command::new("install").args(["-m", "755"]).args([&plain, &program]).status();
    assert!(install.unwrap().success());
    program.display().to_string()
}

#[tokio::test]
async fn uv_reads_settings_of_a_project_for_its_version_alone() {
    let server = ControlPlane::start();
    let (data, tools) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let uv = recorder(tools.path(), "uv", "");
    let main = ("main.py", "print('ran')\n");
    let requirements = ("requirements.txt", "tinypkg==1.0\n");
    server.submit(Job::project("main.py", &[main, requirements]).of(1, 1));
    server.submit(Job::project("main.py", &[main, requirements, ("uv.toml", "no-index = true\n")]).of(1, 2));
    let runner = Runner::with(&server, data.path(), &[("MINITOWER_UV", &uv)]);
    server.results(2).await;
    let log = server.seen().log();
    let calls: Vec<_> = log.lines().filter(|line| line.starts_with("called: pip install")).collect();
    let [shared, private] = calls[..] else { panic!("{log}") };
    let cache = runner.data().canonicalize().unwrap().join("cache");
    assert!(
        shared.contains(" --no-build --no-config in ") && shared.contains("/setup/stage with "),
        "{shared}"
    );
    assert!(shared.contains(&format!(" with {}", cache.display())), "{shared}");
    assert!(!private.contains("--no-config") && !private.contains("--no-build"), "{private}");
    assert!(private.contains("/setup/project with ") && private.ends_with("/setup/cache"), "{private}");
    assert_eq!(log.matches("ran\n").count(), 2, "{log}");
}

#[tokio::test]
async fn a_lock_that_does_not_fit_ends_the_run() {
    let server = ControlPlane::start();
    let (data, tools) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let uv = recorder(tools.path(), "uv", "[ \"$1\" = lock ] && exit 1");
    let pyproject = "[project]\nname='x'\nversion='0'\ndependencies=['tinypkg']\n";
    let files =
        [("main.py", "print('must not run')"), ("pyproject.toml", pyproject), ("uv.lock", "version = 1\n")];
    server.submit(Job::project("main.py", &files));
    let _runner = Runner::with(&server, data.path(), &[("MINITOWER_UV", &uv)]);
    let result = server.result().await;
    assert_eq!((result.status, result.reason), (ResultStatus::Failed, Some(ResultReason::Setup)));
    assert!(result.error_message.unwrap().contains("run `uv lock` and deploy again"));
    let log = server.seen().log();
    assert!(!log.contains("called: sync") && !log.contains("must not run"), "{log}");
}

#[tokio::test]
async fn what_does_not_answer_as_uv_is_not_used() {
    let (server, index) = (ControlPlane::start(), Index::start().await);
    let (data, tools) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    index.wheel("tinypkg", "1.0", "VALUE = 'wheel'\n");
    recorder(tools.path(), "not uv", "[ \"$1\" = pip ] && echo HOSTILE");
    server.submit(project("tinypkg==1.0\n"));
    let path = format!("{}:{}", tools.path().display(), std::env::var("PATH").unwrap());
    // The test's index has no uv either, so that pip installs.
    let runner = start(&server, data.path(), &index, &[("MINITOWER_UV", "auto"), ("PATH", &path)]);
    server.result().await;
    let log = server.seen().log();
    assert!(log.contains("value wheel\n") && log.contains("requirements.txt by pip"), "{log}");
    assert!(!log.contains("HOSTILE") && runner.log().contains("this uv is not used"), "{log}");
}

//! What is installed for a run, and what the next one sees of it.

use std::path::Path;
use std::process::Command;

use minitower_client::wire::runner::{ResultReason, ResultStatus};

use crate::support::{Circumstances, ControlPlane, Index, Job, Runner, project_files};

/// Makes a wheel of a package `tinypkg` with one value, in `folder`.
fn wheel(folder: &Path) {
    let program = r#"
import sys, zipfile
with zipfile.ZipFile(sys.argv[1] + "/tinypkg-1.0-py3-none-any.whl", "w") as z:
    z.writestr("tinypkg/__init__.py", "VALUE = 'original'\n")
    z.writestr("tinypkg-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tinypkg\nVersion: 1.0\n")
    z.writestr("tinypkg-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    z.writestr("tinypkg-1.0.dist-info/entry_points.txt", "[console_scripts]\ntiny = tinypkg:main\n")
    z.writestr("tinypkg-1.0.dist-info/RECORD", "")
"#;
    assert!(Command::new("python3").args(["-c", program]).arg(folder).status().unwrap().success());
}

/// Variables that make the installers look only there.
fn only(folder: &Path) -> Vec<(&'static str, String)> {
    let folder = folder.display().to_string();
    vec![
        ("PIP_NO_INDEX", "1".to_owned()),
        ("PIP_FIND_LINKS", folder.clone()),
        ("UV_NO_INDEX", "1".to_owned()),
        ("UV_FIND_LINKS", folder),
    ]
}

fn start(server: &ControlPlane, data: &Path, variables: &[(&'static str, String)]) -> Runner {
    let variables: Vec<(&str, &str)> =
        variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Runner::with(server, data, &variables)
}

#[tokio::test]
async fn requirements_are_installed_once_and_a_run_cannot_change_what_the_next_one_sees() {
    let server = ControlPlane::start();
    let (data, wheels) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    wheel(wheels.path());
    let main = r#"
import os, shutil, site, sys, tinypkg
print("value", tinypkg.VALUE, shutil.which("tiny") is not None)
try:
    import planted
    print("planted seen")
except ImportError:
    print("clean")
for place in site.getsitepackages() + [os.path.dirname(os.path.dirname(tinypkg.__file__))]:
    for name, text in (("planted.py", ""), ("tinypkg/__init__.py", "VALUE = 'changed'")):
        try:
            path = os.path.join(place, name)
            if os.path.exists(path): os.chmod(path, 0o644)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            open(path, "w").write(text)
        except OSError as error:
            print("refused", name)
"#;
    let project = || Job::project("main.py", &[("main.py", main), ("requirements.txt", "tinypkg==1.0\n")]);
    server.submit(project());
    server.submit(project());
    let runner = start(&server, data.path(), &only(wheels.path()));
    let results = server.results(2).await;
    assert!(results.iter().all(|result| result.status == ResultStatus::Completed), "{results:?}");
    let log = server.seen().log();
    assert_eq!(log.matches("value original True\nclean\n").count(), 2, "{log}");
    assert_eq!(log.matches("installing dependencies").count(), 1, "prepared once: {log}");
    if !runner.log().contains("no Landlock") {
        assert!(log.contains("refused planted.py"), "{log}");
    }
}

#[tokio::test]
async fn what_a_job_closes_of_caches_and_environments_is_open_to_the_next_one() {
    let server = ControlPlane::start();
    let (data, wheels) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    wheel(wheels.path());
    let main = r#"
import os, tinypkg
cache = os.environ["MINITOWER_CACHE_DIR"]
print("value", tinypkg.VALUE, "model", os.path.exists(cache + "/model"))
open(cache + "/model", "w").close()
# Nothing can be listed there, but the paths are known.
data = os.path.abspath(os.path.join(os.environ["HOME"], "..", "..", ".."))
environment = tinypkg.__file__[:tinypkg.__file__.index("/env/")]
closed = os.environ["closed"].split()
paths = [environment + "/" + name for name in closed if name != "none"]
for path in paths + [cache + ".used", cache, data + "/cache/apps", data + "/cache/installers"]:
    os.chmod(path, 0)
"#;
    for closed in ["env/lib", "seal.json", "env", ".", "none"] {
        let files = [("main.py", main), ("requirements.txt", "tinypkg==1.0\n")];
        let mut job = Job::project("main.py", &files);
        job.input = serde_json::json!({"closed": closed});
        server.submit(job);
    }
    let variables = only(wheels.path());
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    // With namespaces of its own a job does not reach them.
    let _runner = Runner::under_with(Circumstances::WithoutNamespaces, &server, data.path(), &variables);
    let results = server.results(5).await;
    let log = server.seen().log();
    assert!(results.iter().all(|result| result.status == ResultStatus::Completed), "{results:?}\n{log}");
    assert_eq!(log.matches("value original model False\n").count(), 1, "{log}");
    assert_eq!(log.matches("value original model True\n").count(), 4, "{log}");
    // An environment that was touched is not trusted.
    assert_eq!(log.matches("installing dependencies").count(), 5, "{log}");
}

#[tokio::test]
async fn what_is_editable_is_part_of_its_run() {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    let owned = project_files("tinypkg", "1.0", EDITABLE);
    let mut files: Vec<_> = owned.iter().map(|(name, text)| (*name, text.as_str())).collect();
    files.extend([("lib/edited.py", "VALUE = 'where it lies'"), ("requirements.txt", "-e .\n")]);
    files.push(("jobs/main.py", "import edited; print(edited.VALUE, edited.__file__)"));
    server.submit(Job::project("jobs/main.py", &files));
    let runner = start(&server, data.path(), &[("PIP_NO_INDEX", "1".to_owned())]);
    let result = server.result().await;
    let log = server.seen().log();
    assert_eq!(result.status, ResultStatus::Completed, "{log}");
    assert!(log.contains("where it lies ") && log.contains("/work/1/source/lib/edited.py"), "{log}");
    assert_eq!(std::fs::read_dir(runner.data().join("envs")).unwrap().count(), 0);
}

/// Lets the backend build an editable wheel: one line that names a folder of the project.
const EDITABLE: &str = r#"
def build_editable(folder, config_settings=None, metadata_directory=None):
    name = build_wheel(folder)
    with zipfile.ZipFile(os.path.join(folder, name), "a") as z:
        z.writestr("tinypkg.pth", os.path.join(os.getcwd(), "lib") + "\n")
    return name
"#;

#[tokio::test]
async fn what_is_not_pinned_is_renewed_when_it_is_old() {
    let (server, index) = (ControlPlane::start(), Index::start().await);
    let data = tempfile::tempdir().unwrap();
    index.wheel("tinypkg", "1.0", "VALUE = 'first'\n");
    let main = "import tinypkg; print('got', tinypkg.VALUE)";
    let project =
        |requirement| Job::project("main.py", &[("main.py", main), ("requirements.txt", requirement)]);
    let refreshed = || {
        let towerfile = "# refreshed: 2026-01-02T03:04:05Z\n[app]\nname = 'tested'\nscript = 'main.py'\n";
        Job::project(
            "main.py",
            &[("main.py", main), ("requirements.txt", "tinypkg>=1\n"), ("Towerfile", towerfile)],
        )
    };
    let url = index.url("");
    let variables = vec![("PIP_INDEX_URL", url), ("PIP_FIND_LINKS", String::new())];
    {
        let _runner = start(&server, data.path(), &variables);
        server.submit(project("tinypkg>=1\n"));
        server.submit(project("tinypkg==1.0\n"));
        server.results(2).await;
        index.wheel("tinypkg", "2.0", "VALUE = 'second'\n");
        server.submit(project("tinypkg>=1\n"));
        server.submit(refreshed());
        server.results(4).await;
    }
    let log = server.seen().log();
    let got: Vec<_> = log.lines().filter(|line| line.starts_with("got ")).collect();
    assert_eq!(got, ["got first", "got first", "got first", "got second"], "{log}");
    assert!(log.contains("environment: cached, prepared"), "{log}");
    let old = [variables, vec![("MINITOWER_ENV_MAX_AGE", "1ns".to_owned())]].concat();
    let _runner = start(&server, data.path(), &old);
    server.submit(project("tinypkg>=1\n"));
    server.submit(project("tinypkg==1.0\n"));
    server.results(6).await;
    let log = server.seen().log();
    let got: Vec<_> = log.lines().filter(|line| line.starts_with("got ")).skip(4).collect();
    assert_eq!(got, ["got second", "got first"], "what is pinned is kept: {log}");
    assert!(log.contains("not pinned; renewing it"), "{log}");
}

#[tokio::test]
async fn pip_of_a_job_installs_into_its_own_environment() {
    let (server, index) = (ControlPlane::start(), Index::start().await);
    let data = tempfile::tempdir().unwrap();
    index.wheel("tinypkg", "1.0", "VALUE = 'one'\n");
    index.wheel("tinypkg", "2.0", "VALUE = 'two'\n");
    let main = r#"
import subprocess, sys
for command in (["pip"], ["pip3"], [sys.executable, "-m", "pip"], ["pip%d.%d" % sys.version_info[:2]]):
    done = subprocess.run([*command, "install", "-q", "--disable-pip-version-check", "tinypkg==2.0"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
for python in ("python", "python3", "python%d.%d" % sys.version_info[:2]):
    print(subprocess.check_output([python, "-c", "import sys, tinypkg; print(sys.prefix, tinypkg.VALUE)"], text=True), end="")
"#;
    let files = [("main.py", main), ("requirements.txt", "tinypkg==1.0\n")];
    let shows =
        [("main.py", "import tinypkg; print('next', tinypkg.VALUE)"), ("requirements.txt", "tinypkg==1.0\n")];
    server.submit(Job::project("main.py", &files));
    server.submit(Job::project("main.py", &shows));
    let variables = [("PIP_INDEX_URL", index.url("")), ("PIP_FIND_LINKS", String::new())];
    let runner = start(&server, data.path(), &variables);
    server.results(2).await;
    let log = server.seen().log();
    let own = format!("{}/work/1/venv two\n", runner.data().canonicalize().unwrap().display());
    assert_eq!(log.matches(&own).count(), 3, "{log}");
    assert!(log.contains("next one\n"), "{log}");
}

#[tokio::test]
async fn a_python_that_is_not_here_is_told_with_those_that_are() {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    let header = "# /// script\n# requires-python = '>=3.99'\n# ///\nprint('must not run')";
    server.submit(Job::script("main.py", header));
    let pyproject =
        ("pyproject.toml", "[project]\nname='x'\nversion='0'\nrequires-python='<3'\ndependencies=[]\n");
    server.submit(Job::project("main.sh", &[("main.sh", "echo must not run"), pyproject]));
    // Only uv downloads, and it is switched off.
    let _runner = start(&server, data.path(), &[("MINITOWER_PYTHON_DOWNLOADS", "true".to_owned())]);
    let results = server.results(2).await;
    for (result, asked) in results.iter().zip(["main.py is `>=3.99`", "pyproject.toml is `<3`"]) {
        assert_eq!(result.reason, Some(ResultReason::Setup));
        let message = result.error_message.as_deref().unwrap();
        assert!(message.contains(asked) && message.contains("found: 3."), "{message}");
        assert!(message.contains("only uv downloads Pythons"), "{message}");
    }
}

#[tokio::test]
async fn dependencies_that_cannot_be_installed_fail_the_run_with_the_installers_words() {
    let server = ControlPlane::start();
    let (data, wheels) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let files = [("main.py", "print('must not run')"), ("requirements.txt", "no-such-package==1\n")];
    server.submit(Job::project("main.py", &files));
    let _runner = start(&server, data.path(), &only(wheels.path()));
    let result = server.result().await;
    assert_eq!((result.status, result.reason), (ResultStatus::Failed, Some(ResultReason::Setup)));
    let log = server.seen().log();
    assert!(log.contains("no-such-package") && log.contains("setup failed"), "{log}");
    assert!(!log.contains("must not run"));
}

#[tokio::test]
async fn a_missing_interpreter_is_named_with_the_way_out() {
    let server = ControlPlane::start();
    let data = tempfile::tempdir().unwrap();
    server.submit(Job::script("main.py", "print('must not run')"));
    let _runner = Runner::with(&server, data.path(), &[("MINITOWER_PYTHON_BIN", "no-such-python")]);
    let result = server.result().await;
    assert_eq!(result.reason, Some(ResultReason::Setup));
    let message = result.error_message.unwrap();
    assert!(message.contains("no-such-python") && message.contains("MINITOWER_PYTHON_BIN"), "{message}");
}

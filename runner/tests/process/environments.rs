//! What is installed for a run, and what the next one sees of it.

use std::path::Path;
use std::process::Command;

use minitower_client::wire::runner::{ResultReason, ResultStatus};

use crate::support::{ControlPlane, Job, Runner};

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
    let server = ControlPlane::start().await;
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
    let log = server.change(|state| state.log());
    assert_eq!(log.matches("value original True\nclean\n").count(), 2, "{log}");
    assert_eq!(log.matches("installing dependencies").count(), 1, "prepared once: {log}");
    if !runner.log().contains("no Landlock") {
        assert!(log.contains("refused planted.py"), "{log}");
    }
}

#[tokio::test]
async fn a_package_of_the_project_itself_is_installed_for_its_run_only() {
    let server = ControlPlane::start().await;
    let (data, wheels) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    wheel(wheels.path());
    let requirements = format!("tinypkg @ file://{}/tinypkg-1.0-py3-none-any.whl\n", wheels.path().display());
    let files = [("main.py", "import tinypkg; print(tinypkg.__file__)"), ("requirements.txt", &requirements)];
    server.submit(Job::project("main.py", &files));
    let runner = start(&server, data.path(), &only(wheels.path()));
    let result = server.result().await;
    let log = server.change(|state| state.log());
    assert_eq!(result.status, ResultStatus::Completed, "{log}");
    assert!(
        log.contains(&format!("{}/work/1/venv/", runner.data().canonicalize().unwrap().display())),
        "{log}"
    );
    assert_eq!(std::fs::read_dir(runner.data().join("envs")).unwrap().count(), 0);
}

#[tokio::test]
async fn dependencies_that_cannot_be_installed_fail_the_run_with_the_installers_words() {
    let server = ControlPlane::start().await;
    let (data, wheels) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let files = [("main.py", "print('must not run')"), ("requirements.txt", "no-such-package==1\n")];
    server.submit(Job::project("main.py", &files));
    let _runner = start(&server, data.path(), &only(wheels.path()));
    let result = server.result().await;
    assert_eq!((result.status, result.reason), (ResultStatus::Failed, Some(ResultReason::Setup)));
    let log = server.change(|state| state.log());
    assert!(log.contains("no-such-package") && log.contains("setup failed"), "{log}");
    assert!(!log.contains("must not run"));
}

#[tokio::test]
async fn a_missing_interpreter_is_named_with_the_way_out() {
    let server = ControlPlane::start().await;
    let data = tempfile::tempdir().unwrap();
    server.submit(Job::script("main.py", "print('must not run')"));
    let _runner = Runner::with(&server, data.path(), &[("MINITOWER_PYTHON_BIN", "no-such-python")]);
    let result = server.result().await;
    assert_eq!(result.reason, Some(ResultReason::Setup));
    let message = result.error_message.unwrap();
    assert!(message.contains("no-such-python") && message.contains("MINITOWER_PYTHON_BIN"), "{message}");
}

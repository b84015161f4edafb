//! A package index on this machine.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Html;
use axum::routing::get;

use super::archive;

/// Writes a wheel: folder, name, version, the text of its module.
const WHEEL: &str = r#"
import sys, zipfile
folder, name, version, text = sys.argv[1:5]
info = f"{name}-{version}.dist-info"
with zipfile.ZipFile(f"{folder}/{name}-{version}-py3-none-any.whl", "w") as z:
    z.writestr(f"{name}/__init__.py", text)
    z.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    z.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    z.writestr(f"{info}/entry_points.txt", f"[console_scripts]\n{name}={name}:main\n")
    z.writestr(f"{info}/RECORD", "")
"#;
/// A build backend that needs nothing; `{extra}` runs when it builds.
const BACKEND: &str = r#"
import os, sys, zipfile
{extra}
def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "{name}-{version}-py3-none-any.whl"
    info = "{name}-{version}.dist-info"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as z:
        z.writestr("{name}/__init__.py", "VALUE = 'built {version}'\n")
        z.writestr(info + "/METADATA", "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        z.writestr(info + "/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        z.writestr(info + "/RECORD", "")
    return name
"#;

/// An index; ends with the test.
pub(crate) struct Index {
    folder: tempfile::TempDir,
    address: String,
}

impl Index {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let router = axum::Router::new()
            .route("/simple/{name}/", get(page))
            .route("/files/{file}", get(file))
            .with_state(folder.path().to_owned());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { folder, address }
    }

    /// Adds a wheel whose module has this text.
    pub(crate) fn wheel(&self, name: &str, version: &str, text: &str) {
        let mut python = Command::new("python3");
        python.args(["-c", WHEEL]).arg(self.folder.path()).args([name, version, text]);
        assert!(python.status().unwrap().success());
    }

    /// Adds a source distribution; `extra` runs when it is built.
    pub(crate) fn source(&self, name: &str, version: &str, extra: &str) {
        let folder = format!("{name}-{version}");
        let metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n");
        let files = project_files(name, version, extra);
        let names: Vec<_> = files.iter().map(|(file, _)| format!("{folder}/{file}")).collect();
        let info = format!("{folder}/PKG-INFO");
        let mut entries: Vec<_> =
            names.iter().zip(&files).map(|(name, (_, text))| (name.as_str(), text.as_str())).collect();
        entries.push((&info, &metadata));
        fs::write(self.folder.path().join(format!("{folder}.tar.gz")), archive(&entries)).unwrap();
    }

    /// Its address, with this user part.
    pub(crate) fn url(&self, user: &str) -> String {
        format!("http://{user}{}/simple/", self.address)
    }

    /// The address of a file, with this user part.
    pub(crate) fn file(&self, user: &str, file: &str) -> String {
        format!("http://{user}{}/files/{file}", self.address)
    }
}

/// The files of a project that can be built without anything else.
pub(crate) fn project_files(name: &str, version: &str, extra: &str) -> Vec<(&'static str, String)> {
    let backend = BACKEND.replace("{extra}", extra).replace("{name}", name).replace("{version}", version);
    let pyproject = format!(
        "[project]\nname = '{name}'\nversion = '{version}'\ndependencies = []\n[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
    );
    vec![("pyproject.toml", pyproject), ("backend.py", backend)]
}

async fn page(State(folder): State<PathBuf>, Path(name): Path<String>) -> Result<Html<String>, StatusCode> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let files: Vec<_> =
        files.filter(|file| file.starts_with(&format!("{}-", name.replace('-', "_")))).collect();
    if files.is_empty() {
        return Err(StatusCode::NOT_FOUND);
    }
    let links: Vec<_> =
        files.iter().map(|file| format!("<a href=\"/files/{file}\">{file}</a><br>\n")).collect();
    Ok(Html(links.concat()))
}

async fn file(State(folder): State<PathBuf>, Path(file): Path<String>) -> Result<Vec<u8>, StatusCode> {
    fs::read(folder.join(file)).map_err(|_| StatusCode::NOT_FOUND)
}

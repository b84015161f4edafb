//! What is installed, and what would be had an installer its way: package names and versions.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::str::FromStr;

use nix::fcntl::OFlag;
use pep440_rs::Version;
use serde::Deserialize;

use super::interpreter::Interpreter;
use super::{requirement, venv};

/// Largest answer of an installer that is read.
const MAX_BYTES: u64 = 32 * 1024 * 1024;

/// Versions by normal name.
pub(super) type Versions = BTreeMap<String, String>;

/// What is installed in an environment.
pub(super) fn installed(target: &Path, interpreter: &Interpreter) -> Versions {
    let mut found = Versions::new();
    for place in venv::places(interpreter) {
        for entry in fs::read_dir(target.join(place)).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some((name, version)) =
                name.strip_suffix(".dist-info").and_then(|name| name.split_once('-'))
            {
                found.insert(requirement::normal(name), version.to_owned());
            }
        }
    }
    found
}

/// Reads an installer's answer: lines of `name==version`, or pip's report.
pub(super) fn read(answer: &Path) -> Option<Versions> {
    // Something built by strangers may have written it: no link is followed, no pipe waited for.
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let file = File::options().read(true).custom_flags(flags).open(answer).ok()?;
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text).ok()?;
    if text.trim_start().starts_with('{') { report(&text) } else { Some(lines(&text)) }
}

fn lines(text: &str) -> Versions {
    let plain = text.lines().filter_map(|line| line.split([';', ' ']).next()?.split_once("=="));
    plain.map(|(name, version)| (requirement::name(name), version.trim().to_owned())).collect()
}

fn report(text: &str) -> Option<Versions> {
    #[derive(Deserialize)]
    struct Report {
        install: Vec<Item>,
    }
    #[derive(Deserialize)]
    struct Item {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    struct Metadata {
        name: String,
        version: String,
    }
    let report: Report = serde_json::from_str(text).ok()?;
    let items = report
        .install
        .into_iter()
        .map(|item| (requirement::normal(&item.metadata.name), item.metadata.version));
    Some(items.collect())
}

/// Whether all that is wanted is installed in the wanted version.
pub(super) fn agrees(wanted: &Versions, installed: &Versions) -> bool {
    wanted.iter().all(|(name, version)| {
        installed.get(name).is_some_and(|other| {
            other == version
                || matches!((Version::from_str(other), Version::from_str(version)), (Ok(a), Ok(b)) if a == b)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(pairs: &[(&str, &str)]) -> Versions {
        pairs.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect()
    }

    #[test]
    fn both_kinds_of_answers_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let answer = folder.path().join("answer");
        let expected = versions(&[("foo-bar", "1.0"), ("baz", "2")]);
        fs::write(&answer, "# comment\nFoo_Bar==1.0 ; python_version > '3'\nbaz==2\n-e .\n").unwrap();
        assert_eq!(read(&answer), Some(expected.clone()));
        fs::write(&answer, r#"{"version": "1", "install": [{"metadata": {"name": "foo.bar", "version": "1.0"}}, {"metadata": {"name": "baz", "version": "2"}}]}"#).unwrap();
        assert_eq!(read(&answer), Some(expected));
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&answer, &link).unwrap();
        assert_eq!(read(&link), None);
        assert_eq!(read(&folder.path().join("missing")), None);
    }

    #[test]
    fn another_version_or_a_missing_package_is_a_difference() {
        let installed = versions(&[("a", "1.0"), ("b", "2")]);
        assert!(agrees(&versions(&[("a", "1.0.0")]), &installed));
        assert!(!agrees(&versions(&[("a", "1.1")]), &installed));
        assert!(!agrees(&versions(&[("c", "1")]), &installed));
    }

    #[test]
    fn what_is_installed_is_found_by_its_folders() {
        let folder = tempfile::tempdir().unwrap();
        let interpreter = Interpreter::of("3.11.7", "/usr/bin/python3");
        venv::create(folder.path(), &interpreter).unwrap();
        let place = folder.path().join(&interpreter.purelib);
        for name in ["Foo_Bar-1.0.dist-info", "foo_bar", "x.py"] {
            fs::create_dir(place.join(name)).unwrap();
        }
        assert_eq!(installed(folder.path(), &interpreter), versions(&[("foo-bar", "1.0")]));
    }
}

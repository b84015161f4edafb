//! Names of prepared environments: everything that decides what is in them.

use std::fs::File;
use std::io::Read;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::interpreter::Interpreter;
use super::needs::Needs;
use super::variables::Variables;

/// Most bytes of an installer's own configuration.
const MAX_CONFIGURATION_BYTES: u64 = 1024 * 1024;

/// Whose environment it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner<'o> {
    /// All versions of a team that ask for the same.
    Team(&'o str),
    /// One version of one app.
    Version {
        /// The team.
        team: &'o str,
        /// The app.
        app_id: i64,
        /// Its version.
        version_no: i64,
    },
}

/// The name of an environment.
pub(super) fn key(
    owner: Owner<'_>,
    interpreter: &Interpreter,
    installer: &str,
    needs: &Needs,
    variables: &Variables,
) -> String {
    let mut parts = Parts(Sha256::new());
    match owner {
        Owner::Team(team) => parts.add(&["team", team]),
        Owner::Version { team, app_id, version_no } => {
            parts.add(&["version", team, &app_id.to_string(), &version_no.to_string()]);
        }
    }
    parts.add(&["python", &interpreter.identity, "installer", installer]);
    parts.add(&["what", &format!("{:?}", needs.what), &needs.uv_options.join(" ")]);
    parts.add(&["refreshed", needs.refreshed.as_deref().unwrap_or_default()]);
    for (file, text) in &needs.files {
        let name = file.to_string_lossy();
        parts.add(&["file", &name, text]);
    }
    for (name, value) in variables {
        // Where packages come from, and how they are built.
        let decides =
            ["PIP_", "UV_", "CC", "CXX", "CFLAGS", "LDFLAGS"].iter().any(|word| name.starts_with(word));
        if decides || needs.references.contains(name) {
            parts.add(&["variable", name, value]);
        }
        if matches!(
            name.as_str(),
            "PIP_CONFIG_FILE" | "UV_CONFIG_FILE" | "PIP_CONSTRAINT" | "UV_CONSTRAINT" | "UV_OVERRIDE"
        ) {
            parts.add(&["configuration", &contents(value)]);
        }
    }
    HEXLOWER.encode(&parts.0.finalize()[..16])
}

/// Each part with its length, so that no two lists of parts are the same bytes.
struct Parts(Sha256);

impl Parts {
    fn add(&mut self, parts: &[&str]) {
        for part in parts {
            self.0.update((part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
    }
}

fn contents(files: &str) -> String {
    let read = |file: &str| {
        let mut text = String::new();
        let read =
            File::open(file).and_then(|file| file.take(MAX_CONFIGURATION_BYTES).read_to_string(&mut text));
        read.map(|_| text).unwrap_or_default()
    };
    files.split_whitespace().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::super::files::tests::project;
    use super::super::project::decide;
    use super::*;

    fn name(owner: Owner<'_>, files: &[(&str, &str)], variables: &[(&str, &str)]) -> String {
        let needs = decide(project(files).path(), Some("main.py")).unwrap();
        let variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        key(owner, &Interpreter::of("3.11.7", "/usr/bin/python3"), "uv 1", &needs, &variables)
    }

    const TEAM: Owner<'static> = Owner::Team("a");

    #[test]
    fn whatever_decides_the_contents_is_in_the_name() {
        let same =
            || name(TEAM, &[("requirements.txt", "-r b.txt"), ("b.txt", "x==1"), ("main.py", "1")], &[]);
        let base = same();
        assert_eq!(base, same());
        let configuration = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(configuration.path(), "[global]\n").unwrap();
        let configured = || {
            let path = configuration.path().display().to_string();
            name(TEAM, &[("requirements.txt", "-r b.txt"), ("b.txt", "x==1")], &[("PIP_CONFIG_FILE", &path)])
        };
        let before = configured();
        std::fs::write(configuration.path(), "[global]\nindex-url = https://h/\n").unwrap();
        assert_ne!(before, configured());
        let others = [
            name(Owner::Team("b"), &[("requirements.txt", "-r b.txt"), ("b.txt", "x==1")], &[]),
            name(
                Owner::Version { team: "a", app_id: 1, version_no: 1 },
                &[("requirements.txt", "-r b.txt"), ("b.txt", "x==1")],
                &[],
            ),
            name(TEAM, &[("requirements.txt", "-r b.txt"), ("b.txt", "x==2")], &[]),
            name(TEAM, &[("requirements.txt", "-r b.txt"), ("b.txt", "x==1")], &[("UV_INDEX", "https://h/")]),
            name(
                TEAM,
                &[("requirements.txt", "-r b.txt"), ("b.txt", "x==1"), ("Towerfile", "# refreshed: 2026\n")],
                &[],
            ),
            name(TEAM, &[("requirements.txt", "-r b.txt"), ("b.txt", "x==1"), ("uv.toml", "")], &[]),
        ];
        for (at, other) in others.iter().enumerate() {
            assert!(*other != base && !others[..at].contains(other), "{at}");
        }
    }

    #[test]
    fn what_decides_nothing_is_not() {
        let with = |script: &str, variable: &str| {
            name(
                TEAM,
                &[("requirements.txt", "x==1"), ("main.py", script), ("Towerfile", script)],
                &[("LANG", variable)],
            )
        };
        assert_eq!(with("# one\n", "C"), with("# two\n", "de"));
        let asks =
            |token: &str| name(TEAM, &[("requirements.txt", "x @ https://${MY}@h/x.whl")], &[("MY", token)]);
        assert_ne!(asks("1"), asks("2"), "a variable that a requirement refers to decides");
    }
}

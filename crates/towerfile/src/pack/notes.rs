//! What is odd about a plan, so that people hear of it before it is uploaded.

use std::collections::BTreeMap;
use std::fmt;

use super::select::PlannedKind;
use crate::Towerfile;
use crate::near::shown;
use crate::shell;
use crate::source::Pattern;
use crate::variables::{DECLARABLE, Setter, is_reserved};

/// Most files that one note names.
const MOST_NAMED: usize = 5;

/// What is odd about a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanNote {
    /// A pattern of `app.source` selects nothing.
    NothingMatches {
        /// The pattern.
        pattern: String,
    },
    /// Files that often hold secrets are packed.
    Secrets {
        /// Their paths.
        paths: Vec<String>,
    },
    /// The script was written by a Windows editor.
    WindowsText {
        /// `app.script`.
        script: String,
        /// What it has: a byte order mark, or CRLF.
        what: &'static str,
    },
    /// No variable carries a parameter to the job.
    NoVariable {
        /// The parameter.
        parameter: String,
    },
    /// Shells cannot read the variable that carries a parameter.
    NotForShells {
        /// The parameter.
        parameter: String,
    },
    /// Nothing below a folder of `app.import_paths` is packed.
    NothingToImport {
        /// The folder.
        folder: String,
    },
}

impl fmt::Display for PlanNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingMatches { pattern } => write!(
                f,
                "app.source has {}, which matches nothing that is packed: correct or remove it",
                shown(pattern)
            ),
            Self::Secrets { paths } => {
                let named: Vec<_> =
                    paths.iter().take(MOST_NAMED).map(|path| shown(path).to_string()).collect();
                let more = paths.len().saturating_sub(MOST_NAMED);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                let what = if paths.len() == 1 { "looks like a secret" } else { "look like secrets" };
                write!(
                    f,
                    "{}{more} {what} and will be uploaded: name what should stay here in .towerignore",
                    named.join(", ")
                )
            }
            Self::WindowsText { script, what } => write!(
                f,
                "the script {} {what}, as Windows editors write; the runner copes, other shells do not: \
                 `sed -i 's/\\r$//; 1s/^\\xEF\\xBB\\xBF//' {}` mends it",
                shown(script),
                shell::quoted(script)
            ),
            Self::NoVariable { parameter } => write!(
                f,
                "the parameter {} does not reach the job as a variable: the runner sets that variable itself, or it makes \
                 programs run other code. The job finds the value in the file named by MINITOWER_INPUT_FILE; or give \
                 the parameter another name",
                shown(parameter)
            ),
            Self::NotForShells { parameter } => write!(
                f,
                "the parameter {} becomes a variable that shells cannot read: letters, digits and _ make one that they \
                 can, and it must not begin with a digit",
                shown(parameter)
            ),
            Self::NothingToImport { folder } => write!(
                f,
                "app.import_paths has {}, but nothing below it is packed: correct it, or add it to app.source",
                shown(folder)
            ),
        }
    }
}

/// What is odd about the files that were found, but for what is in them.
pub(super) fn notes(
    towerfile: &Towerfile,
    patterns: &[Pattern],
    used: &[bool],
    found: &BTreeMap<String, PlannedKind>,
) -> Vec<PlanNote> {
    let unused = patterns.iter().zip(used).filter(|(_, used)| !**used);
    let unused = unused.map(|(pattern, _)| PlanNote::NothingMatches { pattern: pattern.as_str().to_owned() });
    let lost = towerfile.import_paths.iter().filter(|folder| {
        let below = format!("{folder}/");
        let linked = matches!(found.get(*folder), Some(PlannedKind::Symlink { .. }));
        let next = found.range(below.clone()..).next();
        *folder != "." && !linked && next.is_none_or(|(path, _)| !path.starts_with(&below))
    });
    let lost = lost.map(|folder| PlanNote::NothingToImport { folder: folder.clone() });
    let secrets: Vec<_> = found.keys().filter(|path| is_secret(path)).cloned().collect();
    let secrets = (!secrets.is_empty()).then_some(PlanNote::Secrets { paths: secrets });
    let odd = towerfile.parameters.iter().filter_map(|parameter| odd_variable(&parameter.name));
    unused.chain(lost).chain(secrets).chain(odd).collect()
}

/// What is odd about a variable that carries the parameter of this name to the job.
fn odd_variable(name: &str) -> Option<PlanNote> {
    let parameter = || name.to_owned();
    if DECLARABLE.contains(&name) || is_reserved(name, Setter::Caller) {
        return Some(PlanNote::NoVariable { parameter: parameter() });
    }
    let word = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let readable = word && !name.starts_with(|c: char| c.is_ascii_digit());
    (!readable).then(|| PlanNote::NotForShells { parameter: parameter() })
}

/// Whether files of this name often hold secrets.
fn is_secret(path: &str) -> bool {
    const NAMES: [&str; 11] = [
        ".git-credentials",
        ".netrc",
        ".npmrc",
        ".pgpass",
        ".pypirc",
        "id_dsa",
        "id_ecdsa",
        "id_ed25519",
        "id_rsa",
        "kubeconfig",
        "secrets.toml",
    ];
    /// Where the clients of clouds and clusters keep theirs.
    const PATHS: [&str; 4] =
        [".aws/credentials", ".docker/config.json", ".kube/config", "application_default_credentials.json"];
    const ENDS: [&str; 4] = [".pem", ".key", ".p12", ".pfx"];
    /// What people commit on purpose, to show which variables there are.
    const PATTERNS: [&str; 4] = ["example", "sample", "template", "dist"];
    let name = path.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let variables = name == ".envrc"
        || name.strip_prefix(".env").is_some_and(|rest| {
            rest.is_empty() || rest.starts_with('.') && !PATTERNS.iter().any(|word| rest.ends_with(word))
        });
    let account = name.starts_with("service-account") || name.starts_with("service_account");
    let path = path.to_ascii_lowercase();
    let in_place =
        |end: &str| path.strip_suffix(end).is_some_and(|before| before.is_empty() || before.ends_with('/'));
    variables
        || NAMES.contains(&&*name)
        || PATHS.iter().any(|end| in_place(end))
        || ENDS.iter().any(|end| name.ends_with(end))
        || account && std::path::Path::new(&name).extension().is_some_and(|end| end == "json")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(".env", true)]
    #[case("a/.env.production", true)]
    #[case(".envrc", true)]
    #[case(".env.example", false)]
    #[case(".environment", false)]
    #[case("certs/server.pem", true)]
    #[case("deploy.key", true)]
    #[case("id_rsa", true)]
    #[case("id_rsa.pub", false)]
    #[case("service-account-prod.json", true)]
    #[case("service_account.json", true)]
    #[case("accounts.json", false)]
    #[case(".netrc", true)]
    #[case(".dlt/secrets.toml", true)]
    #[case(".aws/credentials", true)]
    #[case("home/.kube/config", true)]
    #[case("kube/config", false)]
    #[case("x.aws/credentials", false)]
    #[case("monkey.py", false)]
    fn secrets(#[case] path: &str, #[case] expected: bool) {
        assert_eq!(is_secret(path), expected, "{path}");
    }

    #[rstest]
    #[case("city", None)]
    #[case("path", None)]
    #[case("_x1", None)]
    #[case("PATH", Some("does not reach the job as a variable"))]
    #[case("MINITOWER_X", Some("MINITOWER_INPUT_FILE"))]
    #[case("TZ", Some("the runner sets that variable itself"))]
    #[case("a b", Some("shells cannot read"))]
    #[case("a-b", Some("shells cannot read"))]
    #[case("1a", Some("must not begin with a digit"))]
    fn a_parameter_that_makes_no_good_variable_is_told(#[case] name: &str, #[case] told: Option<&str>) {
        let note = odd_variable(name).map(|note| note.to_string());
        assert_eq!(note.is_some(), told.is_some(), "{note:?}");
        assert!(told.is_none_or(|told| note.is_some_and(|note| note.contains(told))), "{name}");
    }

    #[test]
    fn a_hint_names_a_script_that_a_shell_finds() {
        let note = PlanNote::WindowsText { script: "my job.sh".to_owned(), what: "has CRLF" }.to_string();
        assert!(note.contains("//' 'my job.sh'` mends it"), "{note}");
    }

    #[test]
    fn many_secrets_are_one_note() {
        let paths = (0..7).map(|number| format!("{number}.pem")).collect();
        let note = PlanNote::Secrets { paths }.to_string();
        assert!(
            note.contains("\"4.pem\" and 2 more look like secrets") && note.contains(".towerignore"),
            "{note}"
        );
    }
}

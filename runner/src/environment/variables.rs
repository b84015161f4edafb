//! Which variables reach the installer, and which the job.

use std::collections::{BTreeMap, BTreeSet};

/// Variables of a program, by name.
pub(crate) type Variables = BTreeMap<String, String>;

/// Variables that say where to install, or what the project is. The runner decides that itself.
const WHERE: [&str; 29] = [
    "PIP_USER",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_DRY_RUN",
    "PIP_REQUIRE_VIRTUALENV",
    "PIP_REQUIRE_VENV",
    "PIP_PYTHON",
    "PIP_SRC",
    "PIP_EDITABLE",
    "PIP_REQUIREMENT",
    "PIP_REPORT",
    "PIP_NO_INSTALL",
    "PIP_NO_DEPS",
    "PIP_CACHE_DIR",
    "PIP_LOG",
    "PIP_ISOLATED",
    "PIP_BREAK_SYSTEM_PACKAGES",
    "PIP_IGNORE_INSTALLED",
    "PIP_QUIET",
    "UV_PROJECT",
    "UV_PROJECT_ENVIRONMENT",
    "UV_WORKING_DIRECTORY",
    "UV_WORKING_DIR",
    "UV_TARGET",
    "UV_PREFIX",
    "UV_SYSTEM_PYTHON",
    "UV_BREAK_SYSTEM_PACKAGES",
    "UV_CACHE_DIR",
];
/// Beginnings of such names.
const WHERE_PREFIXES: [&str; 3] = ["PYTHON", "UV_PYTHON", "UV_TOOL_"];
/// Where Debian, Fedora, Alpine and macOS keep the certificates that the machine trusts.
const SYSTEM_CERTIFICATES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
/// By these the processes of a run are found again.
const MARKS: [&str; 3] = ["MINITOWER_RUN_ID", "MINITOWER_APP", "MINITOWER_ATTEMPT"];
/// Parts of the names of secrets.
const SECRET_PARTS: [&str; 6] = ["PASSWORD", "TOKEN", "SECRET", "CLIENT_CERT", "KEYRING", "CREDENTIAL"];

fn is_installers(name: &str) -> bool {
    name.starts_with("PIP_") || name.starts_with("UV_")
}

fn says_where(name: &str) -> bool {
    let says_whence = name.contains("_MIRROR") || name.contains("DOWNLOADS_JSON_URL");
    !says_whence && is_where(name)
}

fn is_where(name: &str) -> bool {
    WHERE.contains(&name)
        || name == "VIRTUAL_ENV"
        || WHERE_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether it holds a password: by its name, or because an address in it has a user part.
fn is_secret(name: &str, value: &str) -> bool {
    let user_part =
        |address: &str| address.split(['/', '?', '#']).next().is_some_and(|place| place.contains('@'));
    SECRET_PARTS.iter().any(|part| name.contains(part)) || value.split("://").skip(1).any(user_part)
}

/// What the installer gets of the variables of a run: without what would change where it installs, and without what is the job's.
pub(crate) fn of_installer(variables: &Variables) -> Variables {
    let is_jobs = |name: &str| name.starts_with("MINITOWER_") && !MARKS.contains(&name);
    let kept = variables.iter().filter(|(name, _)| !says_where(name) && !is_jobs(name));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Takes from a job's variables what would break an installer that it starts and, unless the operator named them
/// (`explicit`), the secrets of installers.
pub(crate) fn keep_for_job(variables: &mut Variables, explicit: bool) {
    variables.retain(|name, value| {
        !is_installers(name) || (!says_where(name) && (explicit || !is_secret(name, value)))
    });
}

/// The secrets among the installer's variables.
pub(super) fn secrets(variables: &Variables) -> impl Iterator<Item = &str> {
    let named = variables
        .iter()
        .filter(|(name, _)| is_installers(name) && SECRET_PARTS.iter().any(|part| name.contains(part)));
    named.map(|(_, value)| value.as_str())
}

/// Names of the installers' secrets, whichever of the two installers is told them: those that jobs do not get.
pub(super) fn secret_names(variables: &Variables) -> BTreeSet<String> {
    let mut all = variables.clone();
    for_uv(&mut all);
    for_pip(&mut all);
    all.retain(|name, value| is_installers(name) && is_secret(name, value));
    all.into_keys().collect()
}

/// Lets an installer trust what the machine trusts, unless the operator says otherwise: uv and older pips bring a list of their own.
pub(super) fn trust_the_system(variables: &mut Variables) {
    if ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().any(|name| variables.contains_key(*name)) {
        return;
    }
    if let Some(bundle) = SYSTEM_CERTIFICATES.iter().find(|file| std::path::Path::new(file).is_file()) {
        variables.insert("SSL_CERT_FILE".to_owned(), (*bundle).to_owned());
    }
}

/// Gives uv what was said to pip alone, so that both install from the same place.
pub(super) fn for_uv(variables: &mut Variables) {
    let spaced = |value: &str, by: &str| value.split_whitespace().collect::<Vec<_>>().join(by);
    let mut also = |pip: &str, uv: &[&str], by: &str| {
        if let Some(value) = variables.get(pip).filter(|value| !value.trim().is_empty()).cloned()
            && !uv.iter().any(|name| variables.contains_key(*name))
        {
            variables.insert(uv[0].to_owned(), spaced(&value, by));
        }
    };
    also("PIP_INDEX_URL", &["UV_DEFAULT_INDEX", "UV_INDEX_URL"], " ");
    also("PIP_EXTRA_INDEX_URL", &["UV_INDEX", "UV_EXTRA_INDEX_URL"], " ");
    also("PIP_FIND_LINKS", &["UV_FIND_LINKS"], ",");
    also("PIP_NO_INDEX", &["UV_NO_INDEX"], " ");
    also("PIP_TRUSTED_HOST", &["UV_INSECURE_HOST"], " ");
    also("PIP_CONSTRAINT", &["UV_CONSTRAINT"], " ");
    also("PIP_CERT", &["SSL_CERT_FILE"], " ");
}

/// Gives pip what was said to uv alone.
pub(super) fn for_pip(variables: &mut Variables) {
    for (uv, pip, from) in [
        ("UV_DEFAULT_INDEX", "PIP_INDEX_URL", ' '),
        ("UV_INDEX_URL", "PIP_INDEX_URL", ' '),
        ("UV_INDEX", "PIP_EXTRA_INDEX_URL", ' '),
        ("UV_EXTRA_INDEX_URL", "PIP_EXTRA_INDEX_URL", ' '),
        ("UV_FIND_LINKS", "PIP_FIND_LINKS", ','),
        ("UV_NO_INDEX", "PIP_NO_INDEX", ' '),
        ("UV_INSECURE_HOST", "PIP_TRUSTED_HOST", ' '),
        ("UV_CONSTRAINT", "PIP_CONSTRAINT", ' '),
        ("SSL_CERT_FILE", "PIP_CERT", '\0'),
    ] {
        if let Some(value) = variables.get(uv).filter(|value| !value.trim().is_empty()).cloned()
            && !variables.contains_key(pip)
        {
            // `name=URL` is uv's way of naming an index.
            let places = value.split(from).map(|place| match place.split_once('=') {
                Some((name, url)) if uv.contains("INDEX") && !name.contains([':', '/']) => url,
                _ => place,
            });
            variables.insert(pip.to_owned(), places.collect::<Vec<_>>().join(" "));
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[rstest]
    #[case("PIP_USER", "1", false, false)]
    #[case("PIP_TARGET", "/x", false, false)]
    #[case("UV_PROJECT", "/x", false, false)]
    #[case("UV_PYTHON_PREFERENCE", "system", false, false)]
    #[case("PIP_INDEX_URL", "https://host/simple", true, true)]
    #[case("PIP_INDEX_URL", "https://u:p@host/simple", true, false)]
    #[case("PIP_EXTRA_INDEX_URL", "https://a/ https://tok@host/simple", true, false)]
    #[case("UV_INDEX_MINE_PASSWORD", "p", true, false)]
    #[case("PIP_CLIENT_CERT", "/x.pem", true, false)]
    #[case("PIP_DEFAULT_TIMEOUT", "3", true, true)]
    #[case("UV_PYTHON_INSTALL_MIRROR", "https://h/", true, true)]
    #[case("HTTPS_PROXY", "http://u:p@proxy", true, true)]
    fn who_gets_what(#[case] name: &str, #[case] value: &str, #[case] installer: bool, #[case] job: bool) {
        let all = variables(&[(name, value)]);
        assert_eq!(of_installer(&all).contains_key(name), installer);
        let mut of_job = all.clone();
        keep_for_job(&mut of_job, false);
        assert_eq!(of_job.contains_key(name), job);
        let mut named_by_operator = all;
        keep_for_job(&mut named_by_operator, true);
        assert_eq!(named_by_operator.contains_key(name), installer || job);
    }

    #[test]
    fn what_is_said_to_one_installer_holds_for_the_other() {
        let mut uv = variables(&[
            ("PIP_INDEX_URL", "https://h/simple"),
            ("PIP_EXTRA_INDEX_URL", "https://a/  https://b/"),
            ("PIP_FIND_LINKS", "/a /b"),
        ]);
        for_uv(&mut uv);
        assert_eq!(uv["UV_DEFAULT_INDEX"], "https://h/simple");
        assert_eq!(uv["UV_INDEX"], "https://a/ https://b/");
        assert_eq!(uv["UV_FIND_LINKS"], "/a,/b");
        let mut both = variables(&[("PIP_INDEX_URL", "https://pip/"), ("UV_INDEX_URL", "https://uv/")]);
        for_uv(&mut both);
        assert!(!both.contains_key("UV_DEFAULT_INDEX"));
        let mut pip = variables(&[
            ("UV_DEFAULT_INDEX", "mine=https://h/simple"),
            ("UV_INDEX", "a=https://a/?x=1 https://b/?y=2"),
            ("UV_FIND_LINKS", "/a,/b"),
        ]);
        for_pip(&mut pip);
        assert_eq!(pip["PIP_INDEX_URL"], "https://h/simple");
        assert_eq!(pip["PIP_EXTRA_INDEX_URL"], "https://a/?x=1 https://b/?y=2");
        assert_eq!(pip["PIP_FIND_LINKS"], "/a /b");
    }
}

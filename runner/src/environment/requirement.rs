//! What one requirement says of itself: whether it names a file, an address, one version.

/// Endings of files that installers take.
const ARCHIVES: [&str; 7] = [".whl", ".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar"];

/// Where a requirement comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A package of an index.
    Index,
    /// An address.
    Address,
    /// A file or folder of this machine.
    Local,
    /// The project itself.
    Itself,
}

/// Where `requirement`, without a comment, comes from.
pub(super) fn origin(requirement: &str) -> Origin {
    let requirement = requirement.trim();
    let plain = requirement.split(';').next().unwrap_or_default().trim();
    let place = match plain.split_once('@') {
        // `name @ place`, `name[extra]@place`; in an address the `@` follows a colon or slash.
        Some((name, place)) if !name.contains([':', '/']) && !name.trim_start().starts_with('.') => {
            let place = place.trim();
            return if place.contains("://") && !place.starts_with("file:") {
                Origin::Address
            } else {
                Origin::Local
            };
        }
        _ => plain.split(char::is_whitespace).next().unwrap_or_default(),
    };
    if place.contains("://") && !place.starts_with("file:") {
        return Origin::Address;
    }
    let path = place.strip_prefix("file:").unwrap_or(place);
    let path = path.split('[').next().unwrap_or_default();
    if matches!(path.trim_end_matches('/'), "." | "./.") {
        return Origin::Itself;
    }
    let lower = path.to_ascii_lowercase();
    if place.starts_with("file:")
        || path.contains('/')
        || path.starts_with('.')
        || ARCHIVES.iter().any(|ending| lower.ends_with(ending))
    {
        return Origin::Local;
    }
    Origin::Index
}

/// The name of a requirement of an index, in its normal form.
pub(super) fn name(requirement: &str) -> String {
    let end = requirement.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)));
    normal(&requirement[..end.unwrap_or(requirement.len())])
}

/// The normal form of a package's name (PEP 503).
pub(super) fn normal(name: &str) -> String {
    let parts: Vec<&str> = name.trim().split(['-', '_', '.']).filter(|part| !part.is_empty()).collect();
    parts.join("-").to_ascii_lowercase()
}

/// Whether only one version can satisfy it: `==` without a wildcard, `===`, or a hash.
pub(super) fn is_pinned(requirement: &str) -> bool {
    if requirement.contains("--hash") {
        return true;
    }
    let plain = requirement.split(';').next().unwrap_or_default();
    plain.split_once("==").is_some_and(|(before, version)| {
        let version = version.trim_start_matches('=').split([',', ' ', ')']).find(|part| !part.is_empty());
        !before.ends_with(['!', '~', '<', '>']) && version.is_some_and(|version| !version.ends_with('*'))
    })
}

/// Whether it can be a PEP 508 requirement and nothing else to an installer, which reads it as a line of a file: no path, no
/// option, and no other line, whatever ends one for Python.
pub(super) fn is_plain(requirement: &str) -> bool {
    let ends_line = |c: char| (c.is_control() && c != '\t') || matches!(c, '\u{2028}' | '\u{2029}');
    requirement.trim_start().starts_with(|c: char| c.is_ascii_alphanumeric())
        && !requirement.contains(ends_line)
        && !requirement.ends_with('\\')
        && !requirement.split_whitespace().any(|word| word.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("requests==2.0", Origin::Index)]
    #[case("requests[security] >= 2 ; python_version < '4'", Origin::Index)]
    #[case("requests ; sys_platform == 'a/b'", Origin::Index)]
    #[case("x @ https://host/x.whl", Origin::Address)]
    #[case("x[a,b]@https://user@host/x.whl", Origin::Address)]
    #[case("git+https://host/a/b.git", Origin::Address)]
    #[case("git+ssh://git@host/a/b.git@v1", Origin::Address)]
    #[case("https://u:p@host/x-1.tar.gz", Origin::Address)]
    #[case("x @ file:///srv/x.whl", Origin::Local)]
    #[case("x @ ./x.whl", Origin::Local)]
    #[case("./lib", Origin::Local)]
    #[case("../lib", Origin::Local)]
    #[case("lib/pkg[extra]", Origin::Local)]
    #[case("/srv/x", Origin::Local)]
    #[case("x-1-py3-none-any.WHL", Origin::Local)]
    #[case("x-1.tar.bz2", Origin::Local)]
    #[case("file:lib", Origin::Local)]
    #[case(".", Origin::Itself)]
    #[case("./", Origin::Itself)]
    #[case(".[x] ; python_version > '3'", Origin::Itself)]
    #[case("file:.", Origin::Itself)]
    fn origins(#[case] requirement: &str, #[case] expected: Origin) {
        assert_eq!(origin(requirement), expected);
    }

    #[rstest]
    #[case("a==1.0", true)]
    #[case("a == 1.0 ; python_version >= '3'", true)]
    #[case("a===1.0", true)]
    #[case("a[x]==1.0,<2", true)]
    #[case("a>=1 --hash=sha256:00", true)]
    #[case("a==1.*", false)]
    #[case("a", false)]
    #[case("a>=1", false)]
    #[case("a ; python_version == '3.11'", false)]
    fn one_version_or_many(#[case] requirement: &str, #[case] expected: bool) {
        assert_eq!(is_pinned(requirement), expected);
    }

    #[test]
    fn names_are_normal() {
        for text in ["Foo.Bar[x]>=1", "foo_bar==2", "FOO--bar ; x", "foo-bar@https://h/x"] {
            assert_eq!(name(text), "foo-bar");
        }
    }

    #[rstest]
    #[case("a>=1", true)]
    #[case("a[x] @ https://h/a-1.whl ; python_version > '3'", true)]
    #[case("-r x", false)]
    #[case("./x", false)]
    #[case("a\n-e .", false)]
    #[case("a\u{2028}--no-binary=a", false)]
    #[case("a\u{85}--no-binary=a", false)]
    #[case("a\u{c}b", false)]
    #[case("a --no-binary=a", false)]
    #[case("a\\", false)]
    fn a_plain_requirement_is_nothing_else(#[case] requirement: &str, #[case] plain: bool) {
        assert_eq!(is_plain(requirement), plain);
    }
}

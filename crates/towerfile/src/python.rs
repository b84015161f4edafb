//! How a project says which Pythons may run it.

use std::str::FromStr;

use pep440_rs::{VersionSpecifiers, VersionSpecifiersParseError};

/// Reads a version specifier such as `>=3.12`. A bare version means that version with all its patches.
pub fn specifiers(text: &str) -> Result<VersionSpecifiers, VersionSpecifiersParseError> {
    let text = text.trim();
    let bare = text.starts_with(|c: char| c.is_ascii_digit()) && !text.contains([',', '=', '<', '>']);
    match (bare, text.ends_with(".*")) {
        (true, true) => VersionSpecifiers::from_str(&format!("=={text}")),
        (true, false) => VersionSpecifiers::from_str(&format!("=={text}.*")),
        (false, _) => VersionSpecifiers::from_str(text),
    }
}

#[cfg(test)]
mod tests {
    use pep440_rs::Version;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(" >=3.10,<3.13 ", "3.12.9", true)]
    #[case(">=3.10", "3.9.1", false)]
    #[case("3.11", "3.11.7", true)]
    #[case("3.11", "3.1.0", false)]
    #[case("3.11.*", "3.11.7", true)]
    #[case("3.11.7", "3.11.6", false)]
    #[case("", "3.8.0", true)]
    fn a_version_fits_or_not(#[case] specifier: &str, #[case] version: &str, #[case] fits: bool) {
        let version = Version::from_str(version).unwrap();
        assert_eq!(specifiers(specifier).unwrap().contains(&version), fits);
    }

    #[test]
    fn what_nobody_can_read_is_an_error() {
        for text in ["^3.8", "three", "3.x"] {
            assert!(specifiers(text).is_err(), "{text}");
        }
    }
}

//! The names that no app may give to a variable of its runs.

/// Beginnings of names that change how programs are loaded, or belong to the runner.
const RESERVED_PREFIXES: [&str; 3] = ["LD_", "PYTHON", "MINITOWER_"];

/// Names that do the same, or that the runner sets for every run.
const RESERVED: [&str; 8] =
    ["BASH_ENV", "GLIBC_TUNABLES", "HOME", "PATH", "SHELL", "SHELLOPTS", "TMPDIR", "VIRTUAL_ENV"];

/// Whether `name` belongs to the runner, so that neither a Towerfile nor an input may set it.
pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name) || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("LD_PRELOAD", true)]
    #[case("PYTHONPATH", true)]
    #[case("MINITOWER_API_TOKEN", true)]
    #[case("PATH", true)]
    #[case("TZ", false)]
    #[case("PATHS", false)]
    #[case("LOG_LEVEL", false)]
    #[case("ld_preload", false)]
    fn names(#[case] name: &str, #[case] reserved: bool) {
        assert_eq!(is_reserved(name), reserved);
    }
}

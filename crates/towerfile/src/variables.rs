//! The names that may not be given to a variable of a run.

/// Who gives a variable its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setter {
    /// The author of the app, in `[app.env]`: the program is theirs, and so is what it is told.
    Author,
    /// Whoever starts a run, by a key of its input: they choose values, not which code runs.
    Caller,
}

/// Beginnings of names that change how any program is loaded, or belong to the runner.
pub const RESERVED_PREFIXES: [&str; 4] = ["BASH_FUNC_", "LD_", "MINITOWER_", "PYTHON"];

/// Names that do the same, or that the runner sets for every run.
pub const RESERVED: [&str; 13] = [
    "BASHOPTS",
    "BASH_ENV",
    "GCONV_PATH",
    "GLIBC_TUNABLES",
    "HOME",
    "IFS",
    "LOCPATH",
    "PATH",
    "PROMPT_COMMAND",
    "SHELL",
    "SHELLOPTS",
    "TMPDIR",
    "VIRTUAL_ENV",
];

/// Names that the runner sets for every run, and that an author may set to something else.
pub const DECLARABLE: [&str; 5] = ["LANG", "LC_ALL", "LOGNAME", "TZ", "USER"];

/// Beginnings of names by which certain programs are told what code to run besides their own.
const AUTHORS_PREFIXES: [&str; 5] = ["DOTNET_STARTUP_HOOKS", "GIT_CONFIG", "LUA_INIT", "OPENSSL_", "PERL5"];

/// Names that do the same. Common ones such as `ENV`, which shells read only when a person types at them, are among
/// them: an author may well want them.
const AUTHORS: [&str; 33] = [
    "BROWSER",
    "CDPATH",
    "CLASSPATH",
    "EDITOR",
    "ENV",
    "GIT_ASKPASS",
    "GIT_EDITOR",
    "GIT_EXEC_PATH",
    "GIT_EXTERNAL_DIFF",
    "GIT_PAGER",
    "GIT_PROXY_COMMAND",
    "GIT_SEQUENCE_EDITOR",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_TEMPLATE_DIR",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "LESSCLOSE",
    "LESSOPEN",
    "NODE_OPTIONS",
    "NODE_PATH",
    "PAGER",
    "PERLLIB",
    "PERL_UNICODE",
    "PHPRC",
    "PHP_INI_SCAN_DIR",
    "PS4",
    "RUBYLIB",
    "RUBYOPT",
    "SSH_ASKPASS",
    "VISUAL",
    "ZDOTDIR",
    "_JAVA_OPTIONS",
];

/// Whether `name` is kept from `setter`: it belongs to the runner, or makes programs run other code than theirs. Names
/// count as they are written: `path` is not `PATH`.
pub fn is_reserved(name: &str, setter: Setter) -> bool {
    let among = |prefixes: &[&str], names: &[&str]| {
        names.contains(&name) || prefixes.iter().any(|prefix| name.starts_with(prefix))
    };
    among(&RESERVED_PREFIXES, &RESERVED) || (setter == Setter::Caller && among(&AUTHORS_PREFIXES, &AUTHORS))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("LD_PRELOAD", true, true)]
    #[case("LD_AUDIT", true, true)]
    #[case("PYTHONPATH", true, true)]
    #[case("PYTHONSTARTUP", true, true)]
    #[case("MINITOWER_API_TOKEN", true, true)]
    #[case("BASH_FUNC_ls%%", true, true)]
    #[case("BASH_ENV", true, true)]
    #[case("BASHOPTS", true, true)]
    #[case("SHELLOPTS", true, true)]
    #[case("PROMPT_COMMAND", true, true)]
    #[case("IFS", true, true)]
    #[case("GCONV_PATH", true, true)]
    #[case("PATH", true, true)]
    #[case("VIRTUAL_ENV", true, true)]
    #[case("ENV", false, true)]
    #[case("PS4", false, true)]
    #[case("NODE_OPTIONS", false, true)]
    #[case("JAVA_TOOL_OPTIONS", false, true)]
    #[case("_JAVA_OPTIONS", false, true)]
    #[case("PERL5OPT", false, true)]
    #[case("PERL5LIB", false, true)]
    #[case("PERL_UNICODE", false, true)]
    #[case("RUBYOPT", false, true)]
    #[case("LESSOPEN", false, true)]
    #[case("GIT_CONFIG_COUNT", false, true)]
    #[case("GIT_CONFIG_KEY_0", false, true)]
    #[case("GIT_SSH_COMMAND", false, true)]
    #[case("TZ", false, false)]
    #[case("PATHS", false, false)]
    #[case("LOG_LEVEL", false, false)]
    #[case("GIT_BRANCH", false, false)]
    #[case("ld_preload", false, false)]
    #[case("path", false, false)]
    #[case("env", false, false)]
    #[case("a-b", false, false)]
    fn names(#[case] name: &str, #[case] author: bool, #[case] caller: bool) {
        assert_eq!(is_reserved(name, Setter::Author), author);
        assert_eq!(is_reserved(name, Setter::Caller), caller);
    }
}

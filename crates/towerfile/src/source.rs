//! Which paths a Towerfile's `source` patterns select.
//!
//! A pattern is matched component by component: `**` stands for any number of folders, `*`, `?`, `[…]` and `{…,…}`
//! for text inside one component (`?` and `[…]` for one ASCII character). A component that begins with a dot is only
//! matched by a pattern component that does too, as in a shell. A pattern whose last component is a plain name also
//! selects what lies below that folder.

use globset::{GlobBuilder, GlobMatcher};

/// Most bytes of one pattern. Towerfiles come from strangers, and each pattern is compiled.
pub const MAX_PATTERN_BYTES: usize = 512;

/// Most patterns of one Towerfile.
pub const MAX_PATTERNS: usize = 100;

/// Why a pattern is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternFault {
    /// It is empty.
    #[error("must not be empty")]
    Empty,
    /// It is longer than [`MAX_PATTERN_BYTES`].
    #[error("must be at most {MAX_PATTERN_BYTES} bytes long")]
    TooLong,
    /// It begins with `/`.
    #[error("must be relative to the project's root, not absolute")]
    Absolute,
    /// A component is `..`.
    #[error("must not contain `..`")]
    Parent,
    /// It holds a control character.
    #[error("must not contain control characters")]
    Control,
    /// The glob's syntax is wrong.
    #[error("is no valid glob: {0}")]
    Syntax(String),
}

/// One compiled pattern.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    components: Vec<Component>,
}

#[derive(Debug, Clone)]
enum Component {
    /// `**`: any number of components that do not begin with a dot.
    AnyDepth,
    /// One component.
    One { glob: GlobMatcher, dotted: bool },
}

impl Pattern {
    /// Compiles a pattern.
    pub fn new(text: &str) -> Result<Self, PatternFault> {
        if text.is_empty() {
            return Err(PatternFault::Empty);
        }
        if text.len() > MAX_PATTERN_BYTES {
            return Err(PatternFault::TooLong);
        }
        if text.starts_with('/') {
            return Err(PatternFault::Absolute);
        }
        if text.contains(char::is_control) {
            return Err(PatternFault::Control);
        }
        let mut components = Vec::new();
        let mut ends_plain = true;
        for part in text.split('/').filter(|part| !matches!(*part, "" | ".")) {
            ends_plain = !part.contains(['*', '?', '[', '{', '\\']);
            components.push(match part {
                ".." => return Err(PatternFault::Parent),
                "**" => Component::AnyDepth,
                _ => Component::One {
                    glob: GlobBuilder::new(part)
                        .build()
                        .map_err(|error| PatternFault::Syntax(error.kind().to_string()))?
                        .compile_matcher(),
                    dotted: part.starts_with('.'),
                },
            });
        }
        // A folder named outright means everything in it.
        if ends_plain {
            components.push(Component::AnyDepth);
        }
        Ok(Self { text: text.to_owned(), components })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the pattern selects `path`, a normal path.
    ///
    /// Time: at most components of the pattern × components of the path.
    pub fn matches(&self, path: &str) -> bool {
        // reached[i]: the components of the path so far are matched by the first i components of the pattern.
        let mut reached = vec![false; self.components.len() + 1];
        reached[0] = true;
        self.skip_any_depth(&mut reached);
        for part in path.split('/') {
            let hidden = part.starts_with('.');
            let mut next = vec![false; reached.len()];
            for (i, component) in self.components.iter().enumerate() {
                if !reached[i] {
                    continue;
                }
                match component {
                    Component::AnyDepth => next[i] |= !hidden,
                    Component::One { glob, dotted } => {
                        next[i + 1] |= (*dotted || !hidden) && glob.is_match(part);
                    }
                }
            }
            self.skip_any_depth(&mut next);
            reached = next;
        }
        reached[self.components.len()]
    }

    /// `**` may stand for no component at all.
    fn skip_any_depth(&self, reached: &mut [bool]) {
        for (i, component) in self.components.iter().enumerate() {
            if reached[i] && matches!(component, Component::AnyDepth) {
                reached[i + 1] = true;
            }
        }
    }

    /// Whether the pattern can select anything in a folder whose name begins with a dot.
    pub(crate) fn reaches_hidden(&self) -> bool {
        self.components.iter().any(|component| matches!(component, Component::One { dotted: true, .. }))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("./**", "main.py", true)]
    #[case("./**", "a/b/c.txt", true)]
    #[case("./**", ".env", false)]
    #[case("./**", ".git/config", false)]
    #[case("./**", "a/.cache/x", false)]
    #[case("**/*.py", "main.py", true)]
    #[case("**/*.py", "a/b/main.py", true)]
    #[case("**/*.py", "a/b/main.pyc", false)]
    #[case("*.py", "main.py", true)]
    #[case("*.py", "a/main.py", false)]
    #[case("*.py", ".hidden.py", false)]
    #[case("src/**/*.py", "src/main.py", true)]
    #[case("src/**/*.py", "src/a/b/main.py", true)]
    #[case("src/**/*.py", "lib/main.py", false)]
    #[case("src/**", "src/a", true)]
    #[case("src", "src/a/b", true)]
    #[case("./src/", "src/a/b", true)]
    #[case("src", "src/.env", false)]
    #[case("src", "srcs/a", false)]
    #[case("s*", "src/a", false)]
    #[case("main.py", "main.py", true)]
    #[case(".env", ".env", true)]
    #[case(".env", "a/.env", false)]
    #[case("**/.env", "a/b/.env", true)]
    #[case("**/.env", ".git/.env", false)]
    #[case(".github/**", ".github/workflows/ci.yml", true)]
    #[case(".github/**", ".github/.secret", false)]
    #[case(".*/**", ".a/b", true)]
    #[case("{a,b}.py", "b.py", true)]
    #[case("[ab].py", "c.py", false)]
    #[case("?.py", "a.py", true)]
    #[case("ä*.py", "äß.py", true)]
    #[case(".", "a/b", true)]
    #[case("**/**/**/x", "x", true)]
    fn selects(#[case] pattern: &str, #[case] path: &str, #[case] expected: bool) {
        assert_eq!(Pattern::new(pattern).unwrap().matches(path), expected, "{pattern} {path}");
    }

    #[rstest]
    #[case("", PatternFault::Empty)]
    #[case("/etc/**", PatternFault::Absolute)]
    #[case("../**", PatternFault::Parent)]
    #[case("a/../b", PatternFault::Parent)]
    #[case("a\nb", PatternFault::Control)]
    #[case(&"a".repeat(513), PatternFault::TooLong)]
    fn refused(#[case] pattern: &str, #[case] fault: PatternFault) {
        assert_eq!(Pattern::new(pattern).unwrap_err(), fault);
    }

    #[rstest]
    #[case("[a")]
    #[case("{a,b")]
    #[case("{a/b,c}")]
    fn refused_syntax(#[case] pattern: &str) {
        assert!(matches!(Pattern::new(pattern), Err(PatternFault::Syntax(_))), "{pattern}");
    }

    #[test]
    fn many_any_depth_components_stay_cheap() {
        let pattern = Pattern::new(&format!("{}x", "**/".repeat(150))).unwrap();
        assert!(!pattern.matches(&"a/".repeat(500)));
    }
}
